"""Loops that numpy cannot express, compiled by numba and cached."""

from collections import deque
from typing import Final, no_type_check

import numba
import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import csr_array

from panrecon.threads import parallel_map

CHUNK: Final = 1 << 16  # vertices that a core works on at once
NEGLIGIBLE: Final = 1e-7  # log odds that are not sent


@numba.njit(cache=True, nogil=True)
@no_type_check  # numba cannot cache what the checker of shapes wraps
def _softmax(first, last, score, probability) -> None:
    candidates = score.shape[1]
    for vertex in range(first, last):
        best = score[vertex, 0]
        for k in range(1, candidates):
            best = max(best, score[vertex, k])
        total = np.float32(0)
        for k in range(candidates):
            weight = np.exp(score[vertex, k] - best)
            probability[vertex, k] = weight
            total += weight
        for k in range(candidates):
            probability[vertex, k] /= total


@numba.njit(cache=True, nogil=True)
@no_type_check
def _with_messages(first, last, row_start, neighbour, weight, segment, probability, unary, score) -> None:
    candidates = segment.shape[1]
    for vertex in range(first, last):
        for k in range(candidates):
            score[vertex, k] = unary[vertex, k]
        for entry in range(row_start[vertex], row_start[vertex + 1]):
            other = neighbour[entry]
            for j in range(candidates):
                sent = weight[entry] * probability[other, j]
                if sent < NEGLIGIBLE:
                    continue
                for k in range(candidates):
                    if segment[other, j] == segment[vertex, k]:
                        score[vertex, k] += sent


def mean_field(
    neighbours: csr_array, segment: Int[np.ndarray, "V K"], unary: Float[np.ndarray, "V K"], rounds: int
) -> Float[np.ndarray, "V K"]:
    """The log scores of the K segments of every vertex after `rounds`, begun with `unary`, in single precision.

    In each, every neighbour says for a segment as much as it is probable there, times the weight of the edge.
    `neighbours` (V x V) holds the weights of edges, in both directions; V stays below 2^31.
    """
    unary = np.ascontiguousarray(unary, dtype=np.float32)
    score = unary.copy()
    probability = np.empty_like(unary)
    of_rows = (neighbours.indptr, neighbours.indices, neighbours.data.astype(np.float32))
    slices = [(first, min(first + CHUNK, len(segment))) for first in range(0, len(segment), CHUNK)]
    for _ in range(rounds):
        deque(parallel_map(lambda part: _softmax(*part, score, probability), slices), maxlen=0)
        deque(
            parallel_map(lambda part: _with_messages(*part, *of_rows, segment, probability, unary, score), slices),
            maxlen=0,
        )
    return score
