"""Label images of both sides brought to one size: nearest pixel, never a mixture of ids."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from panrecon.structures import Labels


@dataclass(frozen=True)
class Crop:
    """How label images of both sides are cropped: resized by `scale`, then `top` rows cut off at the top.

    PanopticRecon (Yu et al., IROS 2024) scores KITTI-360 at scale 0.5 with 126 rows cut off.
    """

    scale: float = 1.0
    top: int = 0

    def resized_shape(self, labels: Labels) -> tuple[int, int]:
        """Height and width of an image after resizing by `scale`, before rows are cut off; at least 1 each."""
        height, width = (max(1, round(side * self.scale)) for side in labels.category.shape)
        return height, width

    def __call__(self, labels: Labels, shape: tuple[int, int]) -> Labels:
        """The image resized to a shape (height, width), without its top rows."""
        resized_labels = resized(labels, *shape)
        return Labels(resized_labels.category[self.top :], resized_labels.instance[self.top :])


def resized(labels: Labels, height: int, width: int) -> Labels:
    """The image at another size: every pixel takes the labels of the one that its centre falls into."""
    old_height, old_width = labels.category.shape
    if (old_height, old_width) == (height, width):
        return labels
    pixels = np.ix_(_nearest(old_height, height), _nearest(old_width, width))
    return Labels(labels.category[pixels], labels.instance[pixels])


def _nearest(old: int, new: int) -> Int[np.ndarray, " new"]:
    return ((np.arange(new) + 0.5) * old / new).astype(np.int64)
