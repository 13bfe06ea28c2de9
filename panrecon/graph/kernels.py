"""Loops that numpy cannot express, compiled by numba and cached."""

from typing import no_type_check

import numba
import numpy as np
from jaxtyping import Float, Int, Int8


@numba.njit(cache=True)
@no_type_check  # numba cannot cache what the checker of shapes wraps
def _root(parent: np.ndarray, node: int) -> int:
    while parent[node] != node:
        parent[node] = parent[parent[node]]
        node = parent[node]
    return node


@numba.njit(cache=True)
@no_type_check  # numba cannot cache what the checker of shapes wraps
def _merge_by_internal_difference(
    start: np.ndarray, end: np.ndarray, weight: np.ndarray, count: int, threshold: float, min_size: int
) -> np.ndarray:
    parent = np.arange(count)
    size = np.ones(count, dtype=np.int64)
    limit = np.full(count, threshold)
    for edge in range(len(weight)):
        a = _root(parent, start[edge])
        b = _root(parent, end[edge])
        if a != b and weight[edge] <= limit[a] and weight[edge] <= limit[b]:
            parent[b] = a
            size[a] += size[b]
            limit[a] = weight[edge] + threshold / size[a]
    for edge in range(len(weight)):
        a = _root(parent, start[edge])
        b = _root(parent, end[edge])
        if a != b and (size[a] < min_size or size[b] < min_size):
            parent[b] = a
            size[a] += size[b]
    for node in range(count):
        parent[node] = _root(parent, node)
    return parent


def felzenszwalb_huttenlocher(
    edges: Int[np.ndarray, "E 2"], weight: Float[np.ndarray, " E"], count: int, threshold: float, min_size: int
) -> Int[np.ndarray, " count"]:
    """The segment 0 .. S-1 of every node, in the order of first nodes (Felzenszwalb & Huttenlocher, IJCV 2004).

    Two segments merge over an edge of at most the weight of either's heaviest internal edge + threshold / its size;
    those of fewer than `min_size` nodes then join the neighbour of their lightest edge.
    """
    order = np.argsort(weight, kind="stable")
    parent = _merge_by_internal_difference(
        edges[order, 0], edges[order, 1], weight[order].astype(np.float64), count, threshold, min_size
    )
    _, first, segment = np.unique(parent, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int32)
    rank[np.argsort(first)] = np.arange(len(first), dtype=np.int32)
    return rank[segment]


@numba.njit(cache=True)
@no_type_check  # numba cannot cache what the checker of shapes wraps
def _add_state_counts(
    state: np.ndarray, given_state: int, weight: np.ndarray, first: np.ndarray, second: np.ndarray, result: np.ndarray
) -> None:
    for pair in range(len(first)):
        state_of_first = state[first[pair]]
        state_of_second = state[second[pair]]
        for frame in range(len(weight)):
            if state_of_first[frame] == given_state:
                result[pair, state_of_second[frame]] += weight[frame]
            elif state_of_second[frame] == given_state:
                result[pair, state_of_first[frame]] += weight[frame]


def state_counts(
    state: Int8[np.ndarray, "U F"],
    given_state: int,
    weight_of_frame: Float[np.ndarray, " F"],
    first: Int[np.ndarray, " P"],
    second: Int[np.ndarray, " P"],
    states: int,
) -> Float[np.ndarray, "P states"]:
    """The weight of the frames in which one unit of a pair is in `given_state`, by the state of the other."""
    result = np.zeros((len(first), states))
    _add_state_counts(state, given_state, weight_of_frame, first, second, result)
    return result
