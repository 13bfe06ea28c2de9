"""What counts as one segment: the rule that papers differ in most.

Every function cuts one side of an overlap into segments and gives the segment of every row. It never sees a point.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from panrecon.evaluation.overlap import Overlap
from panrecon.structures import VOID, CategoryTable


@dataclass(frozen=True)
class Side:
    """The labels of one side of an overlap, row by row."""

    category: Int[np.ndarray, " N"]
    instance: Int[np.ndarray, " N"]
    area: Float[np.ndarray, " N"]

    def restricted_to(self, classes: Bool[np.ndarray, " C"]) -> "Side":
        """Points of other classes become void, their instances with them."""
        kept = np.append(classes, False)[self.category]
        return Side(np.where(kept, self.category, VOID), np.where(kept, self.instance, VOID), self.area)


@dataclass(frozen=True)
class Segments:
    """The segment of every row (`VOID` = none), and the category and instance (`VOID` = stuff) of every segment."""

    of_row: Int[np.ndarray, " N"]
    category: Int[np.ndarray, " S"]
    instance: Int[np.ndarray, " S"]

    def __len__(self) -> int:
        return len(self.category)


def predicted_side(overlap: Overlap) -> Side:
    return Side(overlap.predicted_category, overlap.predicted_instance, overlap.area)


def true_side(overlap: Overlap) -> Side:
    return Side(overlap.true_category, overlap.true_instance, overlap.area)


def panoptic_segments(side: Side, table: CategoryTable) -> Segments:
    """All points of a thing class and instance, or all points of a stuff class, whatever their ids."""
    is_thing = np.append(table.is_thing, False)[side.category]
    return _distinct(side.category, np.where(is_thing, side.instance, VOID))


def labelled_segments(side: Side) -> Segments:
    """All points of a class and instance, of stuff too."""
    return _distinct(side.category, side.instance)


def instance_segments(side: Side) -> Segments:
    """All points of an instance, whatever their classes; the class is the one most of them have."""
    instances, of_found = np.unique(side.instance[side.instance != VOID], return_inverse=True)
    of_row = np.full(len(side.instance), VOID, dtype=np.int64)
    of_row[side.instance != VOID] = of_found
    return Segments(of_row, _most_common_category(of_row, side, len(instances)), instances)


def remapped_segments(side: Side, table: CategoryTable) -> Segments:
    """The segments of PanopticRecon's and PVLFF's released scripts (Yu et al., IROS 2024; Chen et al., RA-L 2024).

    Points without instance get one segment per evaluated class, things too. Every instance takes its most common class
    with all its points: not evaluated, it becomes void; of stuff, it is joined with the other instances of that class
    (but not with the points without one).
    """
    evaluated = np.append(table.is_evaluated, False)
    is_thing = np.append(table.is_thing, False)
    whole = instance_segments(side)
    merged = np.where(is_thing[whole.category], np.arange(len(whole)), len(whole) + whole.category)
    merged[~evaluated[whole.category]] = VOID
    loose = np.where(evaluated[side.category], len(whole) + len(table) + side.category, VOID)
    group = np.where(side.instance == VOID, loose, np.append(merged, VOID)[whole.of_row])
    groups, of_found = np.unique(group[group != VOID], return_inverse=True)
    of_row = np.full(len(group), VOID, dtype=np.int64)
    of_row[group != VOID] = of_found
    category = _most_common_category(of_row, side, len(groups))
    kept = np.append(whole.instance, VOID)[np.minimum(groups, len(whole))]
    return Segments(of_row, category, np.where(groups < len(whole), kept, VOID))


def _distinct(category: Int[np.ndarray, " N"], instance: Int[np.ndarray, " N"]) -> Segments:
    """The distinct labels that have a category, in ascending order."""
    labelled = category != VOID
    found, inverse = np.unique(np.column_stack([category[labelled], instance[labelled]]), axis=0, return_inverse=True)
    of_row = np.full(len(category), VOID, dtype=np.int64)
    of_row[labelled] = inverse.reshape(-1)
    return Segments(of_row, found[:, 0], found[:, 1])


def _most_common_category(of_row: Int[np.ndarray, " N"], side: Side, count: int) -> Int[np.ndarray, " S"]:
    """The category of most area of every segment, void included; of equals the first."""
    inside = of_row != VOID
    found, inverse = np.unique(np.column_stack([of_row[inside], side.category[inside]]), axis=0, return_inverse=True)
    area = np.bincount(inverse.reshape(-1), side.area[inside], minlength=len(found))
    order = np.lexsort((found[:, 1], -area, found[:, 0]))
    first = order[np.unique(found[order, 0], return_index=True)[1]]
    category = np.full(count, VOID, dtype=np.int64)
    category[found[first, 0]] = found[first, 1]
    return category
