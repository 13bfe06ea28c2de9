"""Overlapping masks of a frame made disjoint."""

import numpy as np
from jaxtyping import Bool, Int

from panrecon.structures import VOID, Detections


def resolve_overlaps(detections: Detections, chosen: Bool[np.ndarray, " D"]) -> Int[np.ndarray, "h w"]:
    """The most certain of the chosen detections at every pixel, `VOID` where there is none."""
    height, width = detections.mask.shape[1:]
    winner = np.full((height, width), VOID, dtype=np.int32)
    for detection in np.flatnonzero(chosen)[np.argsort(detections.score[chosen], kind="stable")]:
        winner[detections.mask[detection]] = detection
    return winner
