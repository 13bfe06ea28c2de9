"""What counts as one segment: the rule that papers differ in most.

Every function divides one side of an overlap into segments and returns the segment of every row; points it never needs.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from panrecon.evaluation.overlap import Overlap
from panrecon.structures import VOID, CategoryTable, listed


@dataclass(frozen=True)
class Side:
    """The labels of one side of an overlap, row by row; `code` is the category, or below `VOID` an id without one."""

    code: Int[np.ndarray, " N"]
    instance: Int[np.ndarray, " N"]
    area: Float[np.ndarray, " N"]

    @property
    def category(self) -> Int[np.ndarray, " N"]:
        """Category index of every row; `VOID` = none."""
        return listed(self.code)

    def restricted_to(self, is_selected: Bool[np.ndarray, " C"]) -> "Side":
        """The same rows, void where the class is not selected, their instances too."""
        is_kept = np.append(is_selected, False)[self.category]
        category = np.where(is_kept, self.category, VOID)
        instance = np.where(is_kept, self.instance, VOID)
        return Side(category, instance, self.area)


@dataclass(frozen=True)
class Segments:
    """The segment of every row (`VOID` = none), and the category and instance (`VOID` = stuff) of every segment."""

    of_row: Int[np.ndarray, " N"]
    category: Int[np.ndarray, " S"]
    instance: Int[np.ndarray, " S"]

    def __len__(self) -> int:
        return len(self.category)


def predicted_side(overlap: Overlap) -> Side:
    """The predicted labels of every row."""
    return Side(overlap.labels[:, 0], overlap.predicted_instance, overlap.area)


def true_side(overlap: Overlap) -> Side:
    """The true labels of every row."""
    return Side(overlap.labels[:, 2], overlap.true_instance, overlap.area)


def panoptic_segments(side: Side, table: CategoryTable) -> Segments:
    """Segments of all points of one thing class and instance, or of one stuff class, whatever the instances there."""
    is_thing = np.append(table.is_thing, False)[side.category]
    return _distinct(side.category, np.where(is_thing, side.instance, VOID))


def labelled_segments(side: Side) -> Segments:
    """Segments of all points of one class and instance, of stuff too."""
    return _distinct(side.category, side.instance)


def instance_segments(side: Side, table: CategoryTable, with_none: bool = False) -> Segments:
    """Segments of all points of one instance, whatever their classes; each has the class of most of its points.

    `with_none`: the points of no instance are a segment too, the first.
    """
    has_instance = (side.instance != VOID) | with_none
    instances, index = np.unique(side.instance[has_instance], return_inverse=True)
    of_row = np.full(len(side.instance), VOID, dtype=np.int64)
    of_row[has_instance] = index
    return Segments(of_row, _most_common_category(of_row, side, len(instances), table), instances)


def remapped_segments(side: Side, table: CategoryTable) -> Segments:
    """The segments of PanopticRecon's and PVLFF's released scripts (Yu et al., IROS 2024; Chen et al., RA-L 2024).

    Points without instance get one segment per evaluated class, things too. Every instance takes its most common class
    with all its points: not evaluated, it becomes void; of stuff, it is joined with the other instances of that class
    (but not with the points without one).
    """
    is_evaluated = np.append(table.is_evaluated, False)
    is_thing = np.append(table.is_thing, False)
    raw = instance_segments(side, table)
    merged = np.where(is_thing[raw.category], np.arange(len(raw)), len(raw) + raw.category)
    merged[~is_evaluated[raw.category]] = VOID
    without_instance = np.where(is_evaluated[side.category], len(raw) + len(table) + side.category, VOID)
    group = np.where(side.instance == VOID, without_instance, np.append(merged, VOID)[raw.of_row])
    groups, index = np.unique(group[group != VOID], return_inverse=True)
    of_row = np.full(len(group), VOID, dtype=np.int64)
    of_row[group != VOID] = index
    category = _most_common_category(of_row, side, len(groups), table)
    raw_instance = np.append(raw.instance, VOID)[np.minimum(groups, len(raw))]
    return Segments(of_row, category, np.where(groups < len(raw), raw_instance, VOID))


def _distinct(category: Int[np.ndarray, " N"], instance: Int[np.ndarray, " N"]) -> Segments:
    """The distinct labels that have a category, in ascending order."""
    is_labelled = category != VOID
    labels_of_row = np.column_stack([category[is_labelled], instance[is_labelled]])
    labels, index = np.unique(labels_of_row, axis=0, return_inverse=True)
    of_row = np.full(len(category), VOID, dtype=np.int64)
    of_row[is_labelled] = index.reshape(-1)
    return Segments(of_row, labels[:, 0], labels[:, 1])


def _most_common_category(
    of_row: Int[np.ndarray, " N"], side: Side, count: int, table: CategoryTable
) -> Int[np.ndarray, " S"]:
    """The category of most area of every segment; of equals that of the least id, as in scripts.

    Void is one of them, every id that the table does not list another; where such an id wins, the segment is void.
    """
    is_inside = of_row != VOID
    pair_of_row = np.column_stack([of_row[is_inside], side.code[is_inside]])
    pairs, index = np.unique(pair_of_row, axis=0, return_inverse=True)
    area = np.bincount(index.reshape(-1), side.area[is_inside], minlength=len(pairs))
    segment, code = pairs.T
    id_of_pair = np.where(code > VOID, np.append(table.ids, 0)[listed(code)], VOID - code)
    order = np.lexsort((id_of_pair, -area, segment))
    first = order[np.unique(segment[order], return_index=True)[1]]
    category = np.full(count, VOID, dtype=np.int64)
    category[segment[first]] = listed(code[first])
    return category
