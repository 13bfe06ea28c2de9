"""A segment, which is a class of stuff or an object with its class, as one number."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from jaxtyping import Int

from panrecon.structures import VOID, CategoryTable, Labels

VOID_SEGMENT: Final = 0  # the id of void


def segment_ids(labels: Labels) -> Int[np.ndarray, "*n"]:
    """The id of every point's pair of category and instance, the same on every image and mesh; void's is 0."""
    return ((labels.category.astype(np.int64) - VOID) << 32) + (labels.instance - VOID) * (labels.category != VOID)


def labels_of_ids(ids: Int[np.ndarray, "*n"]) -> Labels:
    """The inverse of `segment_ids`."""
    return Labels(((ids >> 32) + VOID).astype(np.int32), ((ids & 0xFFFFFFFF) + VOID).astype(np.int32))


def unique_segments(labels: Labels) -> tuple[Int[np.ndarray, "*n"], Int[np.ndarray, " S"]]:
    """The segment of every point as an index into the second result (`VOID` for void), and the sorted ids there are."""
    ids = segment_ids(labels)
    present = np.unique(ids)
    present = present[present != VOID_SEGMENT]
    return np.where(ids == VOID_SEGMENT, VOID, np.searchsorted(present, ids)), present


def indices_by_group(group: Int[np.ndarray, " n"], count: int) -> list[Int[np.ndarray, " m"]]:
    """The rising indices of the members of each of `count` groups; what is `VOID` is in none."""
    order = np.argsort(group, kind="stable")
    return np.split(order, np.searchsorted(group[order], np.arange(count + 1)))[1:-1]


class SegmentTable:
    """The segments that a vertex may take: stuff categories, then objects; with the field's columns of each."""

    def __init__(self, category_of_object: Sequence[int], table: CategoryTable) -> None:
        stuff = np.flatnonzero(~table.is_thing & ~table.is_background)
        objects = np.arange(len(category_of_object))
        self.stuff = stuff
        self.category = np.concatenate([stuff, np.asarray(category_of_object, dtype=np.int64)])
        self.instance = np.concatenate([np.full(len(stuff), len(objects)), objects])
        self._segment_of_stuff = np.full(len(table) + 1, VOID)
        self._segment_of_stuff[stuff] = np.arange(len(stuff))

    def __len__(self) -> int:
        return len(self.category)

    def segment_of(self, labels: Labels) -> Int[np.ndarray, " V"]:
        """The segment of every label, `VOID` for void and for a thing of no object."""
        is_object = labels.instance != VOID
        return np.where(is_object, labels.instance + len(self.stuff), self._segment_of_stuff[labels.category])

    def labels_of(self, segment: Int[np.ndarray, " V"]) -> Labels:
        """The labels of segments, of which none is `VOID`."""
        instance = np.where(segment < len(self.stuff), VOID, self.instance[segment])
        return Labels(self.category[segment].astype(np.int32), instance.astype(np.int32))
