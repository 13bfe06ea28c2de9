"""Objects without a name: which of them are true objects of any class, and how many objects of no prompt are found."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from panrecon.evaluation.matching import intersect_segments
from panrecon.evaluation.overlap import Overlap
from panrecon.evaluation.segments import panoptic_segments, predicted_side, true_side
from panrecon.structures import VOID, CategoryTable

MIN_IOU: Final = 0.5  # above which two objects are one, whatever their classes
MAX_VOID_SHARE: Final = 0.5  # an object of which more than this share lies on void is neither true nor false


@dataclass(frozen=True)
class UnknownQuality:
    """Counts: predicted objects of the class `unknown`, those that are no true object, and those on void truth.

    `left_out` true objects are of classes that the prediction's table lacks; `found` of them have a predicted object
    of any class.
    """

    predicted: int
    false: int
    ignored: int
    left_out: int
    found: int


def unknown_quality(overlap: Overlap, table: CategoryTable, true_table: CategoryTable) -> UnknownQuality:
    """How the objects without a name agree with the true objects of any class, above an IoU of 0.5.

    Predicted classes of the overlap are of `table`, true ones of `true_table`, which may have more. Void is left out of
    unions.
    """
    predicted = panoptic_segments(predicted_side(overlap).restricted_to(table.is_thing), table)
    true = panoptic_segments(true_side(overlap).restricted_to(true_table.is_thing), true_table)
    intersections = intersect_segments(overlap, predicted, true)
    on_void = _area_on_void(overlap, predicted.of_row, len(predicted))
    between = intersections.between_segments
    p = intersections.predicted_index[between]
    t = intersections.true_index[between]
    common = intersections.area[between]
    union = intersections.predicted_area[p] - on_void[p] + intersections.true_area[t] - common
    is_same = common > MIN_IOU * union
    is_true = np.zeros(len(predicted), dtype=bool)
    is_true[p[is_same]] = True
    is_found = np.zeros(len(true), dtype=bool)
    is_found[t[is_same]] = True
    is_unknown = (predicted.category == table.unknown) & (table.unknown != VOID)
    is_ignored = ~is_true & (on_void > MAX_VOID_SHARE * intersections.predicted_area)
    is_in_table = np.array([table.index_of(category.name) != VOID for category in true_table], dtype=bool)
    is_left_out = ~is_in_table[true.category]
    return UnknownQuality(
        predicted=int(is_unknown.sum()),
        false=int((is_unknown & ~is_true & ~is_ignored).sum()),
        ignored=int((is_unknown & is_ignored).sum()),
        left_out=int(is_left_out.sum()),
        found=int((is_left_out & is_found).sum()),
    )


def _area_on_void(overlap: Overlap, segment_of_row: np.ndarray, count: int) -> np.ndarray:
    """The area of every segment where the truth has no class at all."""
    is_void = (overlap.true_category == VOID) & (segment_of_row != VOID)
    return np.bincount(segment_of_row[is_void], overlap.area[is_void], minlength=count)
