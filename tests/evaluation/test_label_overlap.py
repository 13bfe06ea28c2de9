"""The table of label pairs: against counting one by one, and what must hold however the points come."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from panrecon.evaluation import overlap as module
from panrecon.evaluation.overlap import Overlap, merge_overlaps, overlap, overlap_and_rows
from panrecon.structures import VOID, Labels
from tests.evaluation.plain import label_pairs


def rows(prediction: Labels, truth: Labels) -> list[tuple[int, ...]]:
    columns = (prediction.category, prediction.instance, truth.category, truth.instance)
    return list(zip(*(column.ravel().tolist() for column in columns), strict=True))


@settings(max_examples=200, deadline=None)
@given(label_pairs(highest=2**32))
def test_equals_counting_one_by_one(pair: tuple[Labels, Labels]) -> None:
    counts = Counter(rows(*pair))
    actual = overlap(*pair)
    assert [tuple(row) for row in actual.labels.tolist()] == sorted(counts)
    assert actual.area.tolist() == [counts[key] for key in sorted(counts)]


@settings(max_examples=50, deadline=None)
@given(label_pairs(), st.integers(1, 7))
def test_points_may_come_in_chunks_of_any_size(pair: tuple[Labels, Labels], chunk: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "CHUNK", chunk)
        chunked, row = overlap_and_rows(*pair)
    whole = overlap(*pair)
    assert_array_equal(chunked.labels, whole.labels)
    assert_array_equal(chunked.area, whole.area)
    assert [tuple(key) for key in chunked.labels[row].tolist()] == rows(*pair)


@settings(max_examples=50, deadline=None)
@given(label_pairs(), label_pairs())
def test_overlaps_of_frames_add(one: tuple[Labels, Labels], other: tuple[Labels, Labels]) -> None:
    both = [
        Labels(np.append(a.category, b.category), np.append(a.instance, b.instance))
        for a, b in zip(one, other, strict=True)
    ]
    stacked, parts = overlap(both[0], both[1]), [overlap(*one), overlap(*other)]
    added = merge_overlaps(parts)
    assert_array_equal(added.labels, stacked.labels)
    assert_array_equal(added.area, stacked.area)
    for part in parts:
        assert_array_equal(stacked.labels[stacked.rows_of(part)], part.labels)


def test_thousands_of_pairs_outgrow_the_first_table() -> None:
    count = 3 * module.CHUNK
    ids = np.arange(count) % (count // 2)
    actual = overlap(Labels(np.zeros(count, np.int32), ids), Labels(np.ones(count, np.int32), ids))
    assert len(actual) == count // 2
    assert (actual.area == 2).all()


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.int64])
def test_ids_of_any_width_are_the_same(dtype: type) -> None:
    labels = Labels(np.array([0, 1, 1], dtype), np.array([200, 7, 7], dtype))
    assert overlap(labels, labels).labels.tolist() == [[0, 200, 0, 200], [1, 7, 1, 7]]


def test_points_may_weigh_what_they_like() -> None:
    labels = Labels(np.array([0, 1, 0]), np.array([VOID, 3, VOID]))
    assert_allclose(overlap(labels, labels, np.array([0.5, 2.0, 0.25])).area, [0.75, 2.0])


def test_nothing_meets_nothing() -> None:
    empty = Labels(np.empty(0, np.int32), np.empty(0, np.int32))
    assert len(overlap(empty, empty)) == 0
    assert len(merge_overlaps([])) == 0


def test_labels_of_other_points_are_refused() -> None:
    three, two = (Labels(np.zeros(n, np.int32), np.zeros(n, np.int32)) for n in (3, 2))
    with pytest.raises(ValueError, match="3 points cannot be compared with those of 2"):
        overlap(three, two)


def test_both_sides_are_void_in_rows_that_are_not_selected() -> None:
    actual = Overlap(np.arange(8).reshape(2, 4), np.array([1.0, 2.0])).restricted_to(np.array([False, True]))
    assert actual.labels.tolist() == [[VOID] * 4, [4, 5, 6, 7]] and actual.area.tolist() == [1.0, 2.0]
