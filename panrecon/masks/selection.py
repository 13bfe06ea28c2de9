"""Which of the detections of a frame stay: rules on boxes and masks."""

import math
from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Int

from panrecon.structures import Detections

BACKGROUND_SHARE: Final = 0.7  # of both width and height: PanopticRecon's released code, there of SAM's input


def of_background_size(box: Float[np.ndarray, "n 4"], is_thing: Bool[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
    """Boxes (x0, y0, x1, y1; shares of the image) of things that cover more than 0.7 of both its width and height."""
    inside = box.clip(0, 1)
    sides = inside[:, 2:] - inside[:, :2]
    return is_thing & (sides > BACKGROUND_SHARE).all(axis=1)


def distinct(detections: Detections, duplicate_iou: float) -> Detections:
    """Non-maximum suppression of masks, class by class; most certain first.

    A mask goes if a more certain one of its class that stays overlaps it by more than `duplicate_iou`.
    """
    order = np.argsort(-detections.score, kind="stable")
    kept = np.zeros(len(order), dtype=bool)
    for category in np.unique(detections.category):
        mine = order[detections.category[order] == category]
        rivals = mask_iou(detections.mask[mine]) > duplicate_iou
        for candidate, number in enumerate(mine):
            kept[number] = not (rivals[candidate, :candidate] & kept[mine[:candidate]]).any()
    return chosen(detections, order[kept[order]])


def mask_iou(mask: Bool[np.ndarray, "n h w"]) -> Float[np.ndarray, "n n"]:
    """Of every pair of masks; 0 where both are empty."""
    bits = np.packbits(mask.reshape(len(mask), math.prod(mask.shape[1:])), axis=1)
    words = np.pad(bits, ((0, 0), (0, -bits.shape[1] % 8))).view(np.uint64)
    common = np.array([np.bitwise_count(one & words).sum(axis=1) for one in words]).reshape(len(mask), len(mask))
    area = np.diagonal(common)
    union = area[:, None] + area - common
    return np.divide(common, union, out=np.zeros(common.shape), where=union > 0)


def large_enough(detections: Detections, min_area: int) -> Detections:
    """Without the masks of fewer than `min_area` pixels, and without empty ones."""
    area = np.array([np.count_nonzero(mask) for mask in detections.mask])
    return chosen(detections, np.flatnonzero(area >= max(min_area, 1)))


def chosen(detections: Detections, rows: Int[np.ndarray, " k"]) -> Detections:
    """The detections of these rows, in their order."""
    return Detections(detections.category[rows], detections.score[rows], detections.mask[rows])


def nothing(height: int, width: int) -> Detections:
    """No detection, on an image of this size."""
    return Detections(np.empty(0, np.int32), np.empty(0, np.float32), np.empty((0, height, width), bool))
