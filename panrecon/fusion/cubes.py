"""The cases of marching cubes (Lorensen & Cline 1987), derived: 256 ways in which a surface can cross a cell.

Corner c of a cell lies at (c & 1, c >> 1 & 1, c >> 2 & 1); a case is the sum of 2^c over the corners inside.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import Final

import numpy as np
from jaxtyping import Int

# The corners of every side of a cell, counter-clockwise as seen from outside.
SIDES: Final = ((0, 4, 6, 2), (1, 3, 7, 5), (0, 1, 5, 4), (2, 6, 7, 3), (0, 2, 3, 1), (4, 5, 7, 6))
EDGES: Final = tuple((corner, axis) for axis in range(3) for corner in range(8) if not corner >> axis & 1)


def triangles_of_cases() -> Int[np.ndarray, "256 T 3"]:
    """The edges (rows of `EDGES`) that the corners of every triangle lie on, -1 where a case has fewer triangles.

    Triangles face out. On a side with two inside corners that touch at no edge these are kept apart, in both cells that
    share the side alike: surfaces have no holes.
    """
    triangles = [list(_triangles(case)) for case in range(256)]
    table = np.full((256, max(map(len, triangles)), 3), -1, dtype=np.int8)
    for case, found in enumerate(triangles):
        table[case, : len(found)] = np.array(found, dtype=np.int8).reshape(-1, 3)
    return table


def _triangles(case: int) -> Iterator[tuple[int, int, int]]:
    """Every closed line in which the surface meets the cell's sides, cut into a fan of triangles."""
    following = dict(line for side in SIDES for line in _lines(case, side))
    while following:
        first = min(following)
        loop = [first]
        while (edge := following.pop(loop[-1])) != first:
            loop.append(edge)
        yield from ((first, second, third) for second, third in pairwise(loop[1:]))


def _lines(case: int, side: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    """The lines in which the surface meets a side, each from edge to edge around one run of inside corners."""
    inside = [bool(case >> corner & 1) for corner in side]
    for start in range(4):
        if inside[start] and not inside[start - 1]:
            stop = next(n for n in range(start + 1, start + 5) if not inside[n % 4])
            yield _edge(side[start - 1], side[start]), _edge(side[(stop - 1) % 4], side[stop % 4])


def _edge(one: int, other: int) -> int:
    return EDGES.index((min(one, other), (one ^ other).bit_length() - 1))
