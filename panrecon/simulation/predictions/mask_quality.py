"""How good detections of single views are: recall, precision and shape."""

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
        return self.matched / max(self.true, 1)

    @property
    def precision(self) -> float:
        return self.matched / max(self.detected, 1)

    @property
    def segmentation_quality(self) -> float:
        """Mean IoU of the matches (SQ)."""
        return self.iou_sum / max(self.matched, 1)


def mask_quality(detections: Sequence[Detections], truth: Sequence[Detections]) -> MaskQuality:
    """Quality of the detections against exact ones of the same views; each is matched at most once, best IoU first."""
    return sum((_view_quality(found, true) for found, true in zip(detections, truth, strict=True)), MaskQuality())


def _view_quality(found: Detections, true: Detections) -> MaskQuality:
    iou = _iou(found, true)
    ious = []
    while iou.size and iou.max() > MATCH_IOU:
        row, column = np.unravel_index(int(iou.argmax()), iou.shape)
        ious.append(float(iou[row, column]))
        iou[row], iou[:, column] = 0.0, 0.0
    return MaskQuality(len(ious), len(found), len(true), float(sum(ious)))


def _iou(found: Detections, true: Detections) -> Float[np.ndarray, "D T"]:
    """IoU of every pair of the same class, else 0."""
    a, b = (d.mask.reshape(len(d), int(np.prod(d.mask.shape[1:]))).astype(np.float32) for d in (found, true))
    common = a @ b.T
    union = a.sum(axis=1)[:, None] + b.sum(axis=1)[None] - common
    return np.where(found.category[:, None] == true.category[None], common / np.maximum(union, 1), 0.0)
