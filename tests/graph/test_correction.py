"""Laws of labels brought back to the frames."""

import numpy as np
from numpy.testing import assert_array_equal

from panrecon.graph.correction import corrected_labels
from panrecon.structures import VOID, CategoryTable, SceneObject

from .conftest import CHAIR, FLOOR, TABLE, WALL, detections

OBJECTS = (SceneObject(TABLE, 1.0, 1.0, 0.0, (), ()), SceneObject(CHAIR, 1.0, 1.0, 0.0, (), ()))


def row(*columns: int) -> np.ndarray:
    """A mask of one row of six pixels."""
    return np.isin(np.arange(6), columns)[None]


def test_masks_carry_the_id_and_the_class_of_their_object(table: CategoryTable) -> None:
    found = detections([CHAIR, CHAIR], [row(0, 1), row(3)])
    labels = corrected_labels(found, np.array([0, 1], np.int32), OBJECTS, table)
    assert_array_equal(labels.instance, [[0, 0, VOID, 1, VOID, VOID]])
    assert_array_equal(labels.category, [[TABLE, TABLE, VOID, CHAIR, VOID, VOID]])


def test_a_thing_of_no_object_is_void_and_stuff_lies_where_no_object_does(table: CategoryTable) -> None:
    found = detections([CHAIR, TABLE, FLOOR], [row(0, 1), row(2, 3), row(1, 3, 4)])
    labels = corrected_labels(found, np.array([1, VOID, VOID], np.int32), OBJECTS, table)
    assert_array_equal(labels.instance, [[1, 1, VOID, VOID, VOID, VOID]])
    assert_array_equal(labels.category, [[CHAIR, CHAIR, VOID, FLOOR, FLOOR, VOID]])


def test_the_better_mask_wins_among_objects_and_among_stuff(table: CategoryTable) -> None:
    found = detections([CHAIR, TABLE, FLOOR, WALL], [row(0, 1), row(1, 2), row(3, 4), row(4, 5)], [0.5, 0.8, 0.7, 0.6])
    labels = corrected_labels(found, np.array([1, 0, VOID, VOID], np.int32), OBJECTS, table)
    assert_array_equal(labels.instance, [[1, 0, 0, VOID, VOID, VOID]])
    assert_array_equal(labels.category, [[CHAIR, TABLE, TABLE, FLOOR, FLOOR, WALL]])


def test_a_frame_without_detections_is_void(table: CategoryTable) -> None:
    none = detections([CHAIR], [row(0)])
    empty = type(none)(none.category[:0], none.score[:0], none.mask[:0])
    labels = corrected_labels(empty, np.empty(0, np.int32), OBJECTS, table)
    assert (labels.category == VOID).all() and (labels.instance == VOID).all()
    assert labels.category.shape == (1, 6)
