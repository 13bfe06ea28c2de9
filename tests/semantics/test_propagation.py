"""Laws of labels given to superfaces that no mask covered."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from panrecon.semantics.propagation import propagate, superface_mean
from panrecon.structures import VOID, CategoryTable, Labels, PointSemantics, TriangleMesh

WALL, FLOOR, CHAIR, TABLE, CLUTTER = range(5)
STRIPS, ROWS = 5, 4  # each superface is a strip of two columns, and touches the next


def strips() -> TriangleMesh:
    columns = 2 * STRIPS
    x, y = np.meshgrid(np.arange(columns), np.arange(ROWS))
    vertices = 0.05 * np.stack([x.ravel(), y.ravel(), np.zeros(x.size)], axis=1)
    corner = (np.arange(ROWS - 1)[:, None] * columns + np.arange(columns - 1)).ravel()
    faces = [[corner, corner + 1, corner + columns], [corner + 1, corner + columns + 1, corner + columns]]
    colors = np.full((len(vertices), 3), 128, np.uint8)
    return TriangleMesh(vertices.astype(np.float32), np.concatenate(faces, axis=1).T.astype(np.int32), colors)


STRIP_OF_VERTEX = np.tile(np.arange(2 * STRIPS) // 2, ROWS)


def likely(*wanted: tuple[int, float]) -> PointSemantics:
    """For every strip the class and its probability; the others share the rest."""
    probability = np.empty((STRIPS, 5), np.float32)
    for row, (category, value) in zip(probability, wanted, strict=True):
        row[:] = (1 - value) / 4
        row[category] = value
    return PointSemantics(probability[STRIP_OF_VERTEX])


def labels(category: list[int], instance: list[int]) -> Labels:
    return Labels(np.array(category, np.int32), np.array(instance, np.int32))


def completed(
    before: Labels, semantics: PointSemantics, table: CategoryTable, min_confidence: float = 0.5
) -> tuple[list[int], list[int]]:
    after = propagate(strips(), STRIP_OF_VERTEX, before, semantics, table, min_confidence)
    return after.category.tolist(), after.instance.tolist()


def test_stuff_fills_where_the_classifier_is_sure(table: CategoryTable) -> None:
    before = labels([WALL, VOID, VOID, VOID, CHAIR], [VOID, VOID, VOID, VOID, 3])
    semantics = likely((FLOOR, 0.9), (FLOOR, 0.9), (WALL, 0.51), (WALL, 0.49), (WALL, 0.9))
    assert completed(before, semantics, table) == ([WALL, FLOOR, WALL, VOID, CHAIR], [VOID, VOID, VOID, VOID, 3])


def test_a_thing_joins_only_an_object_of_its_class_that_it_touches(table: CategoryTable) -> None:
    before = labels([CHAIR, VOID, VOID, VOID, TABLE], [7, VOID, VOID, VOID, 2])
    sure_chairs = likely(*[(CHAIR, 0.9)] * STRIPS)
    assert completed(before, sure_chairs, table) == ([CHAIR, CHAIR, VOID, VOID, TABLE], [7, 7, VOID, VOID, 2])


def test_a_thing_below_the_confidence_stays_void(table: CategoryTable) -> None:
    before = labels([CHAIR, VOID, WALL, WALL, WALL], [0, VOID, VOID, VOID, VOID])
    semantics = likely(*[(CHAIR, 0.6)] * STRIPS)
    assert completed(before, semantics, table, 0.7)[0][1] == VOID
    assert completed(before, semantics, table, 0.5)[1][1] == 0


def test_a_point_that_no_frame_saw_has_no_say(table: CategoryTable) -> None:
    before = labels([VOID] * 5, [VOID] * 5)
    semantics = likely(*[(WALL, 0.9)] * STRIPS)
    semantics.probability[STRIP_OF_VERTEX == 2] = 0
    semantics.probability[np.flatnonzero(STRIP_OF_VERTEX == 3)[1:]] = 0
    assert completed(before, semantics, table)[0] == [WALL, WALL, VOID, WALL, WALL]


def test_of_two_objects_the_one_with_the_longer_border_is_joined(table: CategoryTable) -> None:
    mesh = strips()
    superface = STRIP_OF_VERTEX.copy()
    superface[(superface == 2) & (mesh.vertices[:, 1] < 0.01)] = 3  # strip 3 reaches around the void one's corner
    before = labels([WALL, CHAIR, VOID, CHAIR, WALL], [VOID, 4, VOID, 9, VOID])
    after = propagate(mesh, superface, before, likely(*[(CHAIR, 0.9)] * STRIPS), table, 0.5)
    assert after.instance[2] == 9


@settings(deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_what_has_a_label_keeps_it_and_objects_hold_things_only(seed: int, table: CategoryTable) -> None:
    rng = np.random.default_rng(seed)
    category = rng.integers(-1, 5, STRIPS).astype(np.int32)
    is_thing = np.append(table.is_thing, False)[category]
    before = Labels(category, np.where(is_thing, rng.integers(0, 3, STRIPS), VOID).astype(np.int32))
    semantics = PointSemantics(rng.dirichlet(np.full(5, 0.3), 2 * STRIPS * ROWS).astype(np.float32))
    after = propagate(strips(), STRIP_OF_VERTEX, before, semantics, table, 0.4)
    known = category != VOID
    assert_array_equal(after.category[known], category[known])
    assert_array_equal(after.instance[known], before.instance[known])
    assert_array_equal(after.instance != VOID, np.append(table.is_thing, False)[after.category])
    assert set(after.instance.tolist()) <= set(before.instance.tolist()) | {VOID}


@pytest.mark.parametrize("seed", range(3))
def test_the_mean_of_a_superface_is_over_its_known_points(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values, superface = rng.random((40, 3)).astype(np.float32), rng.integers(0, 6, 40)
    values[rng.random(40) < 0.3] = 0
    expected = np.zeros((7, 3))
    for number in range(7):
        known = [value for value, s in zip(values, superface, strict=True) if s == number and value.any()]
        if known:
            expected[number] = np.mean(known, axis=0)
    assert_allclose(superface_mean(values, superface, 7), expected, atol=1e-6)
