"""From labelled points of a LiDAR scan to masks of a camera, so that both vote in one graph of superfaces."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from jaxtyping import Float32

from panrecon.accumulation.depth import visible_points
from panrecon.structures import VOID, Camera, CategoryTable, Detections, Labels

MIN_PIXELS: Final = 25  # of a mask; less is a single point's


def masks_of_scan(
    camera: Camera, points: Float32[np.ndarray, "n 3"], labels: Labels, table: CategoryTable, score: float
) -> Detections:
    """A mask for every object and every class of stuff that a camera sees of a scan; points in the camera's frame.

    Pixels between the rings of the scan belong to the nearest point that nothing hides. All masks have one `score`.
    """
    if not len(points):
        return Detections(
            np.empty(0, np.int32), np.empty(0, np.float32), np.empty((0, camera.height, camera.width), bool)
        )
    seen = labels.at(visible_points(camera, points))
    thing = np.append(table.is_thing, False)[seen.category]
    number = np.where(thing, seen.instance, VOID)
    pairs = np.stack([seen.category, number], axis=-1)[seen.category != VOID]
    found = [(int(c), int(n)) for c, n in np.unique(pairs, axis=0) if n != VOID or not table.is_thing[c]]
    masks = [(seen.category == category) & (number == instance) for category, instance in found]
    kept = [i for i, mask in enumerate(masks) if mask.sum() >= MIN_PIXELS]
    category = np.array([found[i][0] for i in kept], dtype=np.int32)
    shape = (len(kept), camera.height, camera.width)
    stacked = np.stack([masks[i] for i in kept]) if kept else np.zeros(shape, bool)
    return Detections(category, np.full(len(kept), score, np.float32), stacked)


def together(detections: Sequence[Detections]) -> Detections:
    """All detections of one frame, most certain first."""
    score = np.concatenate([found.score for found in detections])
    order = np.argsort(-score, kind="stable")
    category = np.concatenate([found.category for found in detections])
    return Detections(category[order], score[order], np.concatenate([found.mask for found in detections])[order])
