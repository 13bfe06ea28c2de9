"""Overlapping masks of a frame resolved to one detection a pixel."""

import numpy as np
from jaxtyping import Bool, Int

from panrecon.structures import VOID, Detections


def resolve_overlaps(detections: Detections, selected: Bool[np.ndarray, " D"]) -> Int[np.ndarray, "h w"]:
    """The index of the most certain selected detection at every pixel (argmax of the score), `VOID` = none.

    Of equal scores the later detection precedes.
    """
    height, width = detections.mask.shape[1:]
    detection_of_pixel = np.full((height, width), VOID, dtype=np.int32)
    for detection in np.flatnonzero(selected)[np.argsort(detections.score[selected], kind="stable")]:
        detection_of_pixel[detections.mask[detection]] = detection
    return detection_of_pixel
