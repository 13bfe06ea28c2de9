"""Quality of detections in single views: recall, precision and mean IoU."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float

from panrecon.structures import Detections

MATCH_IOU: Final = 0.3


@dataclass(frozen=True)
class MaskQuality:
    """Counts over any number of views; `+` adds views. A match has the right class and an IoU above 0.3."""

    matched: int = 0
    detected: int = 0
    true: int = 0
    iou_sum: float = 0.0

    def __add__(self, other: "MaskQuality") -> "MaskQuality":
        return MaskQuality(
            self.matched + other.matched,
            self.detected + other.detected,
            self.true + other.true,
            self.iou_sum + other.iou_sum,
        )

    @property
    def recall(self) -> float:
        """The share of true masks that are matched, in [0, 1]."""
        return self.matched / max(self.true, 1)

    @property
    def precision(self) -> float:
        """The share of detections that are matched, in [0, 1]."""
        return self.matched / max(self.detected, 1)

    @property
    def segmentation_quality(self) -> float:
        """The mean IoU of the matches (SQ; Kirillov et al., 2019), in [0, 1]."""
        return self.iou_sum / max(self.matched, 1)


def mask_quality(detections: Sequence[Detections], truth: Sequence[Detections]) -> MaskQuality:
    """The counts of detections against the exact ones of the same views, matched greedily by IoU, one to one."""
    return sum((_view_quality(view, true) for view, true in zip(detections, truth, strict=True)), MaskQuality())


def _view_quality(detections: Detections, truth: Detections) -> MaskQuality:
    iou = _iou(detections, truth)
    matched_ious = []
    while iou.size and iou.max() > MATCH_IOU:
        row, column = np.unravel_index(int(iou.argmax()), iou.shape)
        matched_ious.append(float(iou[row, column]))
        iou[row] = 0.0
        iou[:, column] = 0.0
    return MaskQuality(len(matched_ious), len(detections), len(truth), float(sum(matched_ious)))


def _iou(detections: Detections, truth: Detections) -> Float[np.ndarray, "D T"]:
    """The IoU of every pair of the same class, else 0."""
    detected = _pixels(detections)
    true = _pixels(truth)
    intersection = detected @ true.T
    union = detected.sum(axis=1)[:, None] + true.sum(axis=1)[None] - intersection
    same_class = detections.category[:, None] == truth.category[None]
    return np.where(same_class, intersection / np.maximum(union, 1), 0.0)


def _pixels(detections: Detections) -> Float[np.ndarray, "D P"]:
    pixel_count = int(np.prod(detections.mask.shape[1:]))
    return detections.mask.reshape(len(detections), pixel_count).astype(np.float32)
