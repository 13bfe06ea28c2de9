"""The cases of marching cubes (Lorensen & Cline 1987), derived: 256 ways in which a surface can cross a cell.

Corner c of a cell lies at (c & 1, c >> 1 & 1, c >> 2 & 1); a case is the sum of 2^c over the corners inside.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from jaxtyping import Int

# The corners of every side of a cell, counter-clockwise as seen from outside.
SIDES: Final = ((0, 4, 6, 2), (1, 3, 7, 5), (0, 1, 5, 4), (2, 6, 7, 3), (0, 2, 3, 1), (4, 5, 7, 6))
EDGES: Final = tuple((corner, axis) for axis in range(3) for corner in range(8) if not corner >> axis & 1)

Triangle = tuple[int, int, int]


def triangles_of_cases() -> Int[np.ndarray, "256 T 3"]:
    """The edges (indices of `EDGES`) on which the corners of every triangle lie, -1 where a case has fewer triangles.

    Triangles face outwards. Two inside corners of a side that share no edge are separated, in both cells of the side,
    so that surfaces have no holes.
    """
    triangles = [_triangles(case) for case in range(256)]
    table = np.full((256, max(map(len, triangles)), 3), -1, dtype=np.int8)
    for case, of_case in enumerate(triangles):
        table[case, : len(of_case)] = np.array(of_case, dtype=np.int8).reshape(-1, 3)
    return table


def _triangles(case: int) -> Sequence[Triangle]:
    """Every closed polygon in which the surface meets the cell's sides, triangulated."""
    following = dict(line for side in SIDES for line in _lines(case, side))
    triangles: list[Triangle] = []
    while following:
        loop = [min(following)]
        while (edge := following.pop(loop[-1])) != loop[0]:
            loop.append(edge)
        triangles += _filled(loop)[1]
    return triangles


def _filled(loop: Sequence[int]) -> tuple[float, list[Triangle]]:
    """The triangulation of a polygon by the shortest diagonals, after the sum of their squared lengths.

    Diagonals on a side of the cell are avoided where possible: the next cell's surface might have the same.
    """
    if len(loop) < 3:
        return 0.0, []
    ways = []
    for middle in range(1, len(loop) - 1):
        before, after = _filled(loop[: middle + 1]), _filled(loop[middle:])
        cuts = ([loop[0]] if middle > 1 else []) + ([loop[-1]] if middle < len(loop) - 2 else [])
        price = before[0] + after[0] + sum(_price(loop[middle], end) for end in cuts)
        ways.append((price, [(loop[0], loop[middle], loop[-1]), *before[1], *after[1]]))
    return min(ways)


def _price(one: int, other: int) -> float:
    """The squared distance between the midpoints of two edges, more if they are of one side."""
    ends = [{corner, corner | 1 << axis} for corner, axis in (EDGES[one], EDGES[other])]
    middles = [np.mean([[c & 1, c >> 1 & 1, c >> 2] for c in pair], axis=0) for pair in ends]
    of_one_side = any(ends[0] | ends[1] <= set(side) for side in SIDES)
    return float(((middles[0] - middles[1]) ** 2).sum()) + 100 * of_one_side


def _lines(case: int, side: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    """The lines in which the surface meets a side, each from edge to edge around one run of inside corners."""
    inside = [bool(case >> corner & 1) for corner in side]
    for start in range(4):
        if inside[start] and not inside[start - 1]:
            stop = next(n for n in range(start + 1, start + 5) if not inside[n % 4])
            yield _edge(side[start - 1], side[start]), _edge(side[(stop - 1) % 4], side[stop % 4])


def _edge(one: int, other: int) -> int:
    return EDGES.index((min(one, other), (one ^ other).bit_length() - 1))
