"""Points near boundaries: known answers, a slow plain twin, and what must hold whatever the labels."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from panrecon.evaluation.boundary import near_boundary
from panrecon.structures import VOID, Labels
from tests.evaluation.plain import CHAIR, CLASSES, CLUTTER, TABLE, THINGS, WALL, labels

NO_FACES = np.empty((0, 3), dtype=np.int32)


def strip(count: int, spacing: float) -> tuple[np.ndarray, np.ndarray]:
    """Two rows of `count` points along x: the first row, then the second."""
    x, y = np.meshgrid(np.arange(count) * spacing, [0.0, spacing])
    a = np.arange(count - 1, dtype=np.int32)
    faces = np.concatenate([np.stack([a, a + 1, a + count], 1), np.stack([a + 1, a + count + 1, a + count], 1)])
    return np.stack([x.ravel(), y.ravel(), np.zeros(2 * count)], axis=1), faces


def both_rows(*runs: tuple[int, int, int]) -> Labels:
    return labels(*runs, *runs)


def near(side: Labels, distance: float = 0.05, cloud: bool = False) -> list[int]:
    """The points of the first row that are near, in a strip of points 2 cm apart."""
    count = len(side.category) // 2
    vertices, faces = strip(count, 0.02)
    found = near_boundary(vertices, NO_FACES if cloud else faces, side, CLASSES, distance)
    return np.flatnonzero(found[:count]).tolist()


def plain_near(vertices: np.ndarray, edges: list[tuple[int, int]], side: Labels, distance: float) -> list[bool]:
    keys = [
        (category, instance if category in THINGS else VOID)
        for category, instance in zip(side.category.tolist(), side.instance.tolist(), strict=True)
    ]
    meeting = {
        end
        for pair in edges
        for end in pair
        if keys[pair[0]] != keys[pair[1]] and VOID not in (keys[i][0] for i in pair)
    }
    return [any(np.linalg.norm(vertex - vertices[m]) < distance for m in meeting) for vertex in vertices]


@st.composite
def random_labels(draw: st.DrawFn, count: int) -> Labels:
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    length = draw(st.integers(1, 8))
    runs = np.repeat(np.arange(count), length)[:count]
    category, instance = rng.integers(VOID, len(CLASSES), count), rng.choice([VOID, 0, 5, 2**31], count)
    return Labels(category[runs], instance[runs])


@settings(max_examples=100, deadline=None)
@given(random_labels(40), st.floats(0.005, 0.1))
def test_a_mesh_equals_the_plain_definition(side: Labels, distance: float) -> None:
    vertices, faces = strip(20, 0.02)
    vertices = vertices + np.random.default_rng(0).normal(0, 0.003, vertices.shape)
    edges = [(int(face[i]), int(face[i - 1])) for face in faces for i in range(3)]
    found = near_boundary(vertices, faces, side, CLASSES, distance)
    assert_array_equal(found, plain_near(vertices, edges, side, distance))


@settings(max_examples=100, deadline=None)
@given(random_labels(40), st.floats(0.005, 0.3), st.integers(0, 2**32 - 1))
def test_a_cloud_equals_the_plain_definition(side: Labels, distance: float, seed: int) -> None:
    vertices = np.random.default_rng(seed).random((40, 3)) / 4
    edges = []
    for i, vertex in enumerate(vertices):
        distances = np.linalg.norm(vertices - vertex, axis=1)
        edges += [(i, int(j)) for j in np.argsort(distances)[1:9] if distances[j] < distance]
    found = near_boundary(vertices, NO_FACES, side, CLASSES, distance)
    assert_array_equal(found, plain_near(vertices, edges, side, distance))


@settings(max_examples=50, deadline=None)
@given(random_labels(40), st.integers(0, 2**32 - 1))
def test_neither_numbers_of_instances_nor_order_of_points_matter(side: Labels, seed: int) -> None:
    vertices, faces = strip(20, 0.02)
    order = np.random.default_rng(seed).permutation(40)
    renamed = Labels(side.category[order], np.where(side.instance == VOID, VOID, 2**31 - side.instance)[order])
    place = np.argsort(order).astype(np.int32)
    found = near_boundary(vertices[order], place[faces], renamed, CLASSES)
    assert_array_equal(found, near_boundary(vertices, faces, side, CLASSES)[order])


@pytest.mark.parametrize("cloud", [False, True])
@pytest.mark.parametrize("other", [(10, CHAIR, 2), (10, TABLE, 1), (10, WALL, VOID), (10, CLUTTER, 1)])
def test_two_segments_meet_in_the_middle(other: tuple[int, int, int], cloud: bool) -> None:
    found = near(both_rows((10, CHAIR, 1), other), distance=0.05, cloud=cloud)
    assert found == list(range(7, 13)) if not cloud else set(range(7, 13)) <= set(found)


@pytest.mark.parametrize(
    "side",
    [
        both_rows((10, CHAIR, 1), (10, VOID, VOID)),
        both_rows((10, WALL, 1), (10, WALL, 2)),
        both_rows((20, CHAIR, 1)),
        both_rows((20, VOID, 1)),
    ],
)
def test_void_and_ids_of_stuff_make_no_border(side: Labels) -> None:
    assert near(side) == near(side, cloud=True) == []


def test_no_points_have_no_border() -> None:
    assert len(near_boundary(np.empty((0, 3)), NO_FACES, labels((0, VOID, VOID)), CLASSES)) == 0
