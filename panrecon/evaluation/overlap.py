"""How two labellings of the same points overlap: the one table from which every score of labels is computed.

A scene has millions of points but only thousands of (predicted label, true label) pairs. One pass counts them; tables
of frames and scenes add, so that memory grows with objects and not with points.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, no_type_check

import numba
import numpy as np
from jaxtyping import Bool, Float, Int

from panrecon.structures import VOID, Labels, listed

CHUNK: Final = 1 << 16  # points counted at once: their 64-bit copies fit the cache of a core


@dataclass(frozen=True)
class Overlap:
    """Every combination of a predicted and a true label, in ascending order, with the area where they co-occur.

    Columns of `labels`: predicted category, predicted instance, true category, true instance; `VOID` = none, categories
    below it are ids that the class table does not list (`panrecon.io.ids`). `area` counts points, or adds their weights
    (m^2).
    """

    labels: Int[np.ndarray, "N 4"]
    area: Float[np.ndarray, " N"]

    def __len__(self) -> int:
        return len(self.area)

    @property
    def predicted_category(self) -> Int[np.ndarray, " N"]:
        """Category index on the predicted side of every row; `VOID` = none."""
        return listed(self.labels[:, 0])

    @property
    def predicted_instance(self) -> Int[np.ndarray, " N"]:
        """Instance on the predicted side of every row; `VOID` = none."""
        return self.labels[:, 1]

    @property
    def true_category(self) -> Int[np.ndarray, " N"]:
        """Category index on the true side of every row; `VOID` = none."""
        return listed(self.labels[:, 2])

    @property
    def true_instance(self) -> Int[np.ndarray, " N"]:
        """Instance on the true side of every row; `VOID` = none."""
        return self.labels[:, 3]

    def restricted_to(self, is_selected: Bool[np.ndarray, " N"]) -> "Overlap":
        """The same rows, both sides void in all but the selected ones."""
        return Overlap(np.where(is_selected[:, None], self.labels, VOID), self.area)

    def rows_of(self, part: "Overlap") -> Int[np.ndarray, " n"]:
        """The row here of every row of `part`, the overlap of a subset of the points."""
        _, group = np.unique(np.concatenate([self.labels, part.labels]), axis=0, return_inverse=True)
        group_of_own, group_of_part = np.split(group.reshape(-1), [len(self)])
        row_of_group = np.empty(len(self), dtype=np.int64)
        row_of_group[group_of_own] = np.arange(len(self))
        return row_of_group[group_of_part]


def overlap(prediction: Labels, truth: Labels, weight: Float[np.ndarray, "*points"] | None = None) -> Overlap:
    """The overlap of two labellings of the same points; each counts 1, or its weight (its area in m^2, for instance).

    Raises:
        ValueError: they label different numbers of points.
    """
    return overlap_and_rows(prediction, truth, weight)[0]


def overlap_and_rows(
    prediction: Labels, truth: Labels, weight: Float[np.ndarray, "*points"] | None = None
) -> tuple[Overlap, Int[np.ndarray, " P"]]:
    """The overlap, and the row of every point in it (points in C order); `weight` and errors as in `overlap`."""
    columns = [
        np.asarray(column).reshape(-1)
        for column in (prediction.category, prediction.instance, truth.category, truth.instance)
    ]
    if len({len(column) for column in columns}) > 1:
        raise ValueError(f"Labels of {len(columns[0])} points cannot be compared with those of {len(columns[2])}.")
    count = len(columns[0])
    weights = np.broadcast_to(1.0, count) if weight is None else np.asarray(weight, dtype=np.float64).reshape(-1)
    rows = np.empty(count, dtype=np.int32)
    table = _Table.empty()
    for start in range(0, count, CHUNK):
        stop = min(start + CHUNK, count)
        keys = np.stack([column[start:stop] for column in columns], dtype=np.int64, casting="unsafe")
        table = table.with_room(stop - start)
        used = _count(keys, weights[start:stop], table.keys, table.area, table.slots, table.used, rows[start:stop])
        table = _Table(table.keys, table.area, table.slots, used)
    order = np.lexsort(table.keys[: table.used].T[::-1])
    rank = np.empty(table.used, dtype=np.int32)
    rank[order] = np.arange(table.used, dtype=np.int32)
    return Overlap(table.keys[order], table.area[order]), rank[rows]


def merge_overlaps(overlaps: Sequence[Overlap]) -> Overlap:
    """The overlap of the points of several overlaps together, as if they had been one; empty for none."""
    labels = np.concatenate([part.labels for part in overlaps] or [np.empty((0, 4), np.int64)])
    keys, key_of_row = np.unique(labels, axis=0, return_inverse=True)
    areas = np.concatenate([part.area for part in overlaps] or [np.empty(0)])
    return Overlap(keys, np.bincount(key_of_row.reshape(-1), areas, minlength=len(keys)).astype(np.float64))


@dataclass(frozen=True)
class _Table:
    """A hash table that grows: the first `used` keys with their areas, and the key in every slot (-1 = free)."""

    keys: Int[np.ndarray, "capacity 4"]
    area: Float[np.ndarray, " capacity"]
    slots: Int[np.ndarray, " slots"]
    used: int

    @classmethod
    def empty(cls) -> "_Table":
        return cls(np.empty((0, 4), np.int64), np.zeros(0), np.full(0, -1, np.int32), 0)

    def with_room(self, count: int) -> "_Table":
        """Room for `count` more keys, with at least half of the slots free."""
        needed = self.used + count
        if needed <= len(self.area):
            return self
        capacity = 2 * needed
        keys = np.empty((capacity, 4), np.int64)
        area = np.zeros(capacity)
        keys[: self.used] = self.keys[: self.used]
        area[: self.used] = self.area[: self.used]
        slots = np.full(1 << (2 * capacity - 1).bit_length(), -1, np.int32)
        _insert(keys, self.used, slots)
        return _Table(keys, area, slots, self.used)


@numba.njit(cache=True)
@no_type_check  # numba cannot cache what the checker of shapes wraps
def _slot(a: int, b: int, c: int, d: int, keys: np.ndarray, slots: np.ndarray) -> int:
    """The slot that holds the key (a, b, c, d), or the free one where it is to be inserted."""
    mixed = np.uint64(0)
    for value in (a, b, c, d):  # the finaliser of MurmurHash3 (Appleby, 2011)
        mixed = (mixed ^ np.uint64(value)) * np.uint64(0xFF51AFD7ED558CCD)
        mixed ^= mixed >> np.uint64(33)
    slot = np.int64(mixed & np.uint64(len(slots) - 1))
    while slots[slot] >= 0:
        row = slots[slot]
        if keys[row, 0] == a and keys[row, 1] == b and keys[row, 2] == c and keys[row, 3] == d:
            return slot
        slot = (slot + 1) & (len(slots) - 1)
    return slot


@numba.njit(cache=True)
@no_type_check  # numba cannot cache what the checker of shapes wraps
def _insert(keys: np.ndarray, used: int, slots: np.ndarray) -> None:
    for row in range(used):
        slots[_slot(keys[row, 0], keys[row, 1], keys[row, 2], keys[row, 3], keys, slots)] = row


@numba.njit(cache=True)
@no_type_check  # numba cannot cache what the checker of shapes wraps
def _count(
    labels: np.ndarray,
    weight: np.ndarray,
    keys: np.ndarray,
    area: np.ndarray,
    slots: np.ndarray,
    used: int,
    rows: np.ndarray,
) -> int:
    """Adds every point's weight to its key, new keys at the end; the loop is what numpy would need three sorts for."""
    for point in range(len(weight)):
        a = labels[0, point]
        b = labels[1, point]
        c = labels[2, point]
        d = labels[3, point]
        slot = _slot(a, b, c, d, keys, slots)
        row = slots[slot]
        if row < 0:
            row = used
            used += 1
            keys[row, 0] = a
            keys[row, 1] = b
            keys[row, 2] = c
            keys[row, 3] = d
            slots[slot] = row
        area[row] += weight[point]
        rows[point] = row
    return used
