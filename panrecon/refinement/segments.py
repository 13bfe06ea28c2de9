"""A segment, which is a pair of category and instance, as one number."""

from typing import Final

import numpy as np
from jaxtyping import Int

from panrecon.structures import VOID, Labels

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
