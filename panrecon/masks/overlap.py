"""Overlapping masks of a frame resolved to one detection a pixel."""

from typing import Final

import numpy as np
from jaxtyping import Bool, Int

from panrecon.masks.selection import common_pixels
from panrecon.structures import VOID, Detections

INSIDE: Final = 0.8  # of a mask lies within another, for it to be on that
SMALLER: Final = 0.5  # of the other's area, at most


def resolve_overlaps(detections: Detections, selected: Bool[np.ndarray, " D"]) -> Int[np.ndarray, "h w"]:
    """The index of the most certain selected detection at every pixel (argmax of the score), `VOID` = none.

    Of equal scores the later detection precedes.
    """
    height, width = detections.mask.shape[1:]
    detection_of_pixel = np.full((height, width), VOID, dtype=np.int32)
    for detection in np.flatnonzero(selected)[np.argsort(detections.score[selected], kind="stable")]:
        detection_of_pixel[detections.mask[detection]] = detection
    return detection_of_pixel


def resolve_things(detections: Detections, selected: Bool[np.ndarray, " D"]) -> Int[np.ndarray, "h w"]:
    """As `resolve_overlaps`, but a mask within a larger one of another class precedes it, whatever their scores.

    What lies within a larger thing lies on it or before it: the cup on the table, the screen in a box that spans screen
    and keyboard. A score says how sure the word is, not what is in front. A part of a thing of the same class is a
    fragment of it.
    """
    indices = np.flatnonzero(selected)
    common = common_pixels(detections.mask[indices])
    area = common.diagonal()
    category = detections.category[indices]
    is_inside = (common > INSIDE * area[:, None]) & (area[:, None] < SMALLER * area)
    is_inside &= category[:, None] != category
    depth = is_inside.sum(axis=1)
    detection_of_pixel = np.full(detections.mask.shape[1:], VOID, dtype=np.int32)
    for detection in indices[np.lexsort((detections.score[indices], depth))]:
        detection_of_pixel[detections.mask[detection]] = detection
    return detection_of_pixel
