"""Laws of the cases of marching cubes."""

from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from panrecon.fusion.marching_cubes import EDGES, triangles_of_cases

TABLE = triangles_of_cases()
SIDE = 5


@given(seed=st.integers(0, 2**32 - 1), share=st.floats(0.05, 0.95))
@settings(deadline=None, max_examples=60)
def test_any_inside_has_a_surface_without_holes_that_faces_out(seed: int, share: float) -> None:
    inside = np.pad(np.random.default_rng(seed).random((SIDE,) * 3) < share, 1)
    sides: Counter[tuple[tuple[int, ...], tuple[int, ...]]] = Counter()
    volume = 0.0
    for cell in np.ndindex(*(SIDE + 1,) * 3):
        case = sum(int(inside[tuple(cell + corner(c))]) << c for c in range(8))
        for triangle in TABLE[case][TABLE[case][:, 0] >= 0]:
            middles = [2 * (np.array(cell) + corner(EDGES[e][0])) + np.eye(3, dtype=int)[EDGES[e][1]] for e in triangle]
            corners = [tuple(middle.tolist()) for middle in middles]
            sides.update(zip(corners, corners[1:] + corners[:1], strict=True))
            volume += float(np.linalg.det(np.array(middles) / 2)) / 6
    assert all(sides[end, start] == count for (start, end), count in sides.items())
    assert not inside.any() or 0 < volume < inside.sum()
    assert set(sides.values()) <= {1, 2}  # 2: two sheets touch in a line


def test_a_case_uses_just_the_edges_that_the_surface_crosses() -> None:
    for case, triangles in enumerate(TABLE):
        crossed = {n for n, (c, axis) in enumerate(EDGES) if (case >> c & 1) != (case >> (c | 1 << axis) & 1)}
        assert set(triangles[triangles >= 0].tolist()) == crossed


def corner(number: int) -> np.ndarray:
    return np.array([number & 1, number >> 1 & 1, number >> 2])
