"""Loops that numpy cannot express, compiled by numba and cached."""

from typing import Final, no_type_check

import numba
import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import csr_array

from panrecon.threads import parallel_map

CHUNK: Final = 1 << 16  # vertices that a core works on at once


@numba.njit(cache=True, nogil=True)
@no_type_check  # numba cannot cache what the checker of shapes wraps
def _add_messages(first, last, row_start, neighbour, weight, segment, probability, message) -> None:
    candidates = segment.shape[1]
    for vertex in range(first, last):
        for entry in range(row_start[vertex], row_start[vertex + 1]):
            other = neighbour[entry]
            for j in range(candidates):
                sent = weight[entry] * probability[other, j]
                for k in range(candidates):
                    if segment[other, j] == segment[vertex, k]:
                        message[vertex, k] += sent


def messages(
    neighbours: csr_array, segment: Int[np.ndarray, "V K"], probability: Float[np.ndarray, "V K"]
) -> Float[np.ndarray, "V K"]:
    """What the neighbours of every vertex say for each of its K segments: their probabilities of it, weighted.

    `neighbours` (V x V) holds the weights of edges, in both directions; V stays below 2^31.
    """
    message = np.zeros(segment.shape, dtype=np.float64)

    def add(first: int) -> None:
        last = min(first + CHUNK, len(segment))
        of_rows = (neighbours.indptr, neighbours.indices, neighbours.data)
        _add_messages(first, last, *of_rows, segment, probability, message)

    for _ in parallel_map(add, range(0, len(segment), CHUNK)):
        pass
    return message
