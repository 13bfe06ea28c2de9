"""Points near boundaries: known answers, a slow plain twin, and what must hold whatever the labels."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from panrecon.evaluation.metrics.boundary import near_boundary
from panrecon.structures import VOID, Labels
from tests.evaluation.plain import CHAIR, CLASSES, CLUTTER, TABLE, THINGS, WALL, labels


def row(count: int) -> np.ndarray:
    """Points 2 cm apart along x."""
    return np.arange(count)[:, None] * np.array([0.02, 0.0, 0.0])


def near(side: Labels) -> list[int]:
    """The points of a row that are near."""
    return np.flatnonzero(near_boundary(row(len(side.category)), side, CLASSES)).tolist()


def plain_near(vertices: np.ndarray, side: Labels, distance: float) -> list[bool]:
    keys = [
        (category, instance if category in THINGS else VOID)
        for category, instance in zip(side.category.tolist(), side.instance.tolist(), strict=True)
    ]
    return [
        keys[i][0] != VOID
        and any(
            keys[j][0] != VOID and keys[j] != keys[i] and np.linalg.norm(vertices[i] - vertices[j]) < distance
            for j in range(len(keys))
        )
        for i in range(len(keys))
    ]


@st.composite
def random_labels(draw: st.DrawFn, count: int) -> Labels:
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    length = draw(st.integers(1, 8))
    runs = np.repeat(np.arange(count), length)[:count]
    category, instance = rng.integers(VOID, len(CLASSES), count), rng.choice([VOID, 0, 5, 2**31], count)
    return Labels(category[runs], instance[runs])


@settings(max_examples=100, deadline=None)
@given(random_labels(40), st.floats(0.005, 0.3), st.integers(0, 2**32 - 1))
def test_equals_the_plain_definition(side: Labels, distance: float, seed: int) -> None:
    vertices = np.random.default_rng(seed).random((40, 3)) / 4
    actual = near_boundary(vertices, side, CLASSES, distance)
    assert_array_equal(actual, plain_near(vertices, side, distance))


def test_a_boundary_is_found_behind_any_number_of_neighbours_of_the_same_segment() -> None:
    """One far vertex of another object, beyond 300 of one's own."""
    own = np.random.default_rng(0).normal(0, 0.002, (300, 3))
    vertices = np.concatenate([own, [[0.04, 0, 0]]])
    assert near_boundary(vertices, labels((300, CHAIR, 1), (1, CHAIR, 2)), CLASSES).all()


@settings(max_examples=50, deadline=None)
@given(random_labels(40), st.integers(0, 2**32 - 1))
def test_neither_numbers_of_instances_nor_order_of_points_matter(side: Labels, seed: int) -> None:
    vertices = row(40)
    order = np.random.default_rng(seed).permutation(40)
    renamed = Labels(side.category[order], np.where(side.instance == VOID, VOID, 2**31 - side.instance)[order])
    actual = near_boundary(vertices[order], renamed, CLASSES)
    assert_array_equal(actual, near_boundary(vertices, side, CLASSES)[order])


@pytest.mark.parametrize("other", [(10, CHAIR, 2), (10, TABLE, 1), (10, WALL, VOID), (10, CLUTTER, 1)])
def test_two_segments_meet_in_the_middle(other: tuple[int, int, int]) -> None:
    assert near(labels((10, CHAIR, 1), other)) == [8, 9, 10, 11]


@pytest.mark.parametrize(
    "side",
    [
        labels((10, CHAIR, 1), (10, VOID, VOID)),
        labels((10, WALL, 1), (10, WALL, 2)),
        labels((20, CHAIR, 1)),
        labels((20, VOID, 1)),
    ],
)
def test_void_and_ids_of_stuff_make_no_boundary(side: Labels) -> None:
    assert near(side) == []


def test_no_points_have_no_boundary() -> None:
    assert len(near_boundary(np.empty((0, 3)), labels((0, VOID, VOID)), CLASSES)) == 0
