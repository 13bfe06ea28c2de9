"""Label images brought to one size: nearest pixel, never a mixture of ids."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from panrecon.structures import Labels


@dataclass(frozen=True)
class Crop:
    """What is done to the label images of both sides: resized by `scale`, then `top` rows cut off above.

    PanopticRecon (Yu et al., IROS 2024) scores KITTI-360 at scale 0.5 with 126 rows cut off.
    """

    scale: float = 1.0
    top: int = 0

    def size_of(self, labels: Labels) -> tuple[int, int]:
        """Height and width of an image once it is resized."""
        height, width = (max(1, round(side * self.scale)) for side in labels.category.shape)
        return height, width

    def __call__(self, labels: Labels, size: tuple[int, int]) -> Labels:
        small = resized(labels, *size)
        return Labels(small.category[self.top :], small.instance[self.top :])


def resized(labels: Labels, height: int, width: int) -> Labels:
    """Every pixel takes the labels of the one that its centre falls into."""
    if labels.category.shape == (height, width):
        return labels
    rows, columns = (_nearest(old, new) for old, new in zip(labels.category.shape, (height, width), strict=True))
    return Labels(labels.category[np.ix_(rows, columns)], labels.instance[np.ix_(rows, columns)])


def _nearest(old: int, new: int) -> Int[np.ndarray, " new"]:
    return ((np.arange(new) + 0.5) * old / new).astype(np.int64)
