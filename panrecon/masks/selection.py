"""Selection of the detections of a frame, by their boxes and masks."""

import math

import numpy as np
from jaxtyping import Bool, Float, Int

from panrecon.structures import Detections


def is_background_size(
    box: Float[np.ndarray, "n 4"], is_thing: Bool[np.ndarray, " n"], share: float
) -> Bool[np.ndarray, " n"]:
    """Whether a thing's box (x0, y0, x1, y1 in shares of the image) covers more than `share` of width and height."""
    inside = box.clip(0, 1)
    sides = inside[:, 2:] - inside[:, :2]
    return is_thing & (sides > share).all(axis=1)


def without_duplicates(detections: Detections, duplicate_iou: float) -> Detections:
    """The detections after non-maximum suppression of masks within each class, most certain first.

    A mask is dropped if a more certain, retained one of its class overlaps it with an IoU above `duplicate_iou`.
    """
    order = np.argsort(-detections.score, kind="stable")
    retained = np.zeros(len(order), dtype=bool)
    for category in np.unique(detections.category):
        of_class = order[detections.category[order] == category]
        is_duplicate = mask_iou(detections.mask[of_class]) > duplicate_iou
        for rank, detection in enumerate(of_class):
            retained[detection] = not (is_duplicate[rank, :rank] & retained[of_class[:rank]]).any()
    return select(detections, order[retained[order]])


def mask_iou(mask: Bool[np.ndarray, "n h w"]) -> Float[np.ndarray, "n n"]:
    """The IoU of every pair of masks, in [0, 1]; 0 where both are empty."""
    common = common_pixels(mask)
    area = np.diagonal(common)
    union = area[:, None] + area - common
    return np.divide(common, union, out=np.zeros(common.shape), where=union > 0)


def common_pixels(mask: Bool[np.ndarray, "n h w"]) -> Int[np.ndarray, "n n"]:
    """How many pixels every pair of masks shares; on the diagonal the areas."""
    bits = np.packbits(mask.reshape(len(mask), math.prod(mask.shape[1:])), axis=1)
    words = np.pad(bits, ((0, 0), (0, -bits.shape[1] % 8))).view(np.uint64)
    common = [np.bitwise_count(other & words).sum(axis=1) for other in words]
    return np.array(common, dtype=np.int64).reshape(len(mask), len(mask))


def without_small_masks(detections: Detections, min_area: int) -> Detections:
    """The detections whose masks have at least `min_area` pixels; empty masks are always dropped."""
    area = np.array([np.count_nonzero(mask) for mask in detections.mask])
    return select(detections, np.flatnonzero(area >= max(min_area, 1)))


def select(detections: Detections, index: Int[np.ndarray, " k"]) -> Detections:
    """The detections of these indices, in their order."""
    return Detections(detections.category[index], detections.score[index], detections.mask[index])


def no_detections(height: int, width: int) -> Detections:
    """An empty set of detections, on an image of this size in pixels."""
    return Detections(np.empty(0, np.int32), np.empty(0, np.float32), np.empty((0, height, width), bool))
