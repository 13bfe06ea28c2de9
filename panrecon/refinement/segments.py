"""Class and instance of a point as one number."""

from typing import Final

import numpy as np
from jaxtyping import Int

from panrecon.structures import VOID, Labels

NO_SEGMENT: Final = 0  # the number of void


def numbers_of(labels: Labels) -> Int[np.ndarray, "*n"]:
    """A number for every pair of class and instance, the same in every picture and on every mesh; void's is 0."""
    return ((labels.category.astype(np.int64) - VOID) << 32) + (labels.instance - VOID) * (labels.category != VOID)


def labels_of(numbers: Int[np.ndarray, "*n"]) -> Labels:
    """What `numbers_of` makes the numbers of."""
    return Labels(((numbers >> 32) + VOID).astype(np.int32), ((numbers & 0xFFFFFFFF) + VOID).astype(np.int32))


def counted(labels: Labels) -> tuple[Int[np.ndarray, "*n"], Int[np.ndarray, " S"]]:
    """The segment of every point, counted from 0 (`VOID` for void), and the numbers of the segments that there are."""
    numbers = numbers_of(labels)
    present = np.unique(numbers)
    present = present[present != NO_SEGMENT]
    return np.where(numbers == NO_SEGMENT, VOID, np.searchsorted(present, numbers)), present
