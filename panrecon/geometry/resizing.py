"""Views and label images at another size."""

import cv2
import numpy as np

from panrecon.structures import Labels, View


def scale_to_side(width: int, height: int, side: int) -> float:
    """The factor that brings the longer side of an image to `side` pixels; never above 1."""
    return min(1.0, side / max(width, height))


def resize_view(view: View, scale: float) -> View:
    """The view at another size; depth takes the nearest pixel, for means over an edge measure nothing."""
    camera = view.camera.scaled(scale)
    size = (camera.width, camera.height)
    color = cv2.resize(view.color, size, interpolation=cv2.INTER_AREA)
    depth = cv2.resize(view.depth, size, interpolation=cv2.INTER_NEAREST_EXACT)
    return View(view.name, camera, view.world_from_camera, color, depth)


def resize_labels(labels: Labels, width: int, height: int) -> Labels:
    """The label images at another size, by the nearest pixel."""
    category = cv2.resize(labels.category.astype(np.int32), (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
    instance = cv2.resize(labels.instance.astype(np.int32), (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
    return Labels(category, instance)
