"""LiDAR-to-detections: labelled points become detections of a camera's image, and both sensors vote in one graph."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from jaxtyping import Float32

from panrecon.accumulation.depth import visible_points
from panrecon.structures import VOID, Camera, CategoryTable, Detections, Labels

MIN_PIXELS: Final = 25  # set by hand: a smaller mask is that of a single point


def detections_of_scan(
    camera: Camera,
    points: Float32[np.ndarray, "n 3"],
    labels: Labels,
    table: CategoryTable,
    score: float,
    min_pixels: int = MIN_PIXELS,
) -> Detections:
    """One mask for every object and every stuff class of a scan in a camera's view, all with the same `score`.

    Points are in the camera's frame (m). Every pixel near a projected point belongs to the nearest one that no other
    occludes, so that masks have no gaps between scan lines. Masks below `min_pixels`, things without an instance and
    `VOID` give none.
    """
    if not len(points):
        no_masks = np.empty((0, camera.height, camera.width), bool)
        return Detections(np.empty(0, np.int32), np.empty(0, np.float32), no_masks)
    pixel_labels = labels.at(visible_points(camera, points))
    is_thing = np.append(table.is_thing, False)[pixel_labels.category]
    instance = np.where(is_thing, pixel_labels.instance, VOID)
    pairs = np.stack([pixel_labels.category, instance], axis=-1)[pixel_labels.category != VOID]
    segments = [(int(c), int(i)) for c, i in np.unique(pairs, axis=0) if i != VOID or not table.is_thing[c]]
    masks = [(pixel_labels.category == c) & (instance == i) for c, i in segments]
    large = [index for index, mask in enumerate(masks) if mask.sum() >= min_pixels]
    category = np.array([segments[index][0] for index in large], dtype=np.int32)
    shape = (len(large), camera.height, camera.width)
    stacked = np.stack([masks[index] for index in large]) if large else np.zeros(shape, bool)
    return Detections(category, np.full(len(large), score, np.float32), stacked)


def merge_detections(detections: Sequence[Detections]) -> Detections:
    """All detections of one frame, by falling score; at least one is needed."""
    score = np.concatenate([part.score for part in detections])
    category = np.concatenate([part.category for part in detections])
    mask = np.concatenate([part.mask for part in detections])
    order = np.argsort(-score, kind="stable")
    return Detections(category[order], score[order], mask[order])
