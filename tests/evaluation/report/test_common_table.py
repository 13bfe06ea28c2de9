"""Scenes of different tables: what is added is what one table would have given."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from panrecon.errors import InputError
from panrecon.evaluation.metrics.semantic import confusion, semantic_quality
from panrecon.evaluation.overlap import overlap
from panrecon.evaluation.protocols import PROTOCOLS, parse_protocol
from panrecon.evaluation.report.common_table import common_table, overlap_in, statistics_in
from panrecon.structures import VOID, Category, CategoryTable, Labels, listed
from tests.evaluation.plain import CHAIR, CLASSES, CLUTTER, label_pairs, labels

OTHER = CategoryTable((Category(1, "Chair", thing=True), Category(2, "clutter", thing=True), Category(9, "lamp", True)))

ORDERLESS = [name for name in PROTOCOLS if name not in ("panopticrecon", "pvlff")]  # ties by class


def test_classes_are_joined_by_name_and_evaluated_where_one_table_does() -> None:
    common = common_table([CLASSES, OTHER])
    assert [category.name for category in common] == ["wall", "floor", "chair", "table", "clutter", "lamp"]
    assert common.is_evaluated.all()
    assert common.ids.tolist() == [1, 2, 3, 4, 5, 6]
    assert common_table([CLASSES, CLASSES]) == CLASSES


def test_a_class_is_a_thing_everywhere_or_nowhere() -> None:
    with pytest.raises(InputError, match="wall"):
        common_table([CLASSES, CategoryTable((Category(1, "wall", thing=True),))])


@settings(max_examples=100, deadline=None)
@given(label_pairs(), st.sampled_from(ORDERLESS), st.permutations(range(len(CLASSES))))
def test_the_order_of_a_table_does_not_matter(pair: tuple[Labels, Labels], name: str, order: list[int]) -> None:
    """Statistics and class quality of a scene by its own table equal those by another order of the classes."""
    shuffled = CategoryTable(tuple(CLASSES[row] for row in order))
    row = np.append(np.argsort(order), VOID)
    moved, same = (overlap(*sides) for sides in (renumbered(pair, row), pair))
    actual = statistics_in(parse_protocol(name).match(moved, shuffled).statistics, shuffled, CLASSES)
    expected = parse_protocol(name).match(same, CLASSES).statistics
    assert_allclose(actual.iou_sum, expected.iou_sum, atol=1e-12)
    assert_array_equal(actual.is_counted, expected.is_counted)
    there, here = (semantic_quality(confusion(one, CLASSES)) for one in (overlap_in(moved, shuffled, CLASSES), same))
    assert_allclose(there.iou, here.iou, atol=1e-12)


def test_what_a_scene_does_not_evaluate_stays_void_truth() -> None:
    common = common_table([CLASSES, OTHER])
    scene = overlap(labels((10, CLUTTER, 1), (5, CHAIR, 0)), labels((10, CLUTTER, 1), (5, CHAIR, 0)))
    actual = confusion(overlap_in(scene, CLASSES, common), common)
    assert actual.sum() == 5


def renumbered(pair: tuple[Labels, Labels], row: np.ndarray) -> tuple[Labels, Labels]:
    """By other class indices; ids without one, below `VOID`, stay as they are."""
    prediction, truth = (
        Labels(np.where(side.category < VOID, side.category, row[listed(side.category)]), side.instance)
        for side in pair
    )
    return prediction, truth
