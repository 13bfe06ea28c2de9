"""How far a surface lies from a point before it, where a camera sees it at a grazing angle."""

from typing import Final

import numpy as np
from jaxtyping import Float32

from panrecon.structures import Camera

STEP: Final = 2  # pixels to either side, between which inverse depth is taken to change evenly
LEAST: Final = 0.02  # a surface seen at less than a degree says nothing


def across(depth: Float32[np.ndarray, "h w"], camera: Camera) -> Float32[np.ndarray, "h w"]:
    """Metres from the plane that a pixel shows, for every metre of depth before it; in [0.02, ~1].

    A plane n . p = 1 has the inverse depth n_x x + n_y y + n_z at the direction (x, y, 1): its slope in the image is
    its normal. At an edge the side counts on which the slope is less; where neither side is measured the plane faces
    the camera.
    """
    inverse = np.divide(1, depth, out=np.zeros_like(depth), where=depth > 0)
    x = (np.arange(camera.width, dtype=np.float32) - np.float32(camera.cx)) / np.float32(camera.fx)
    y = (np.arange(camera.height, dtype=np.float32) - np.float32(camera.cy)) / np.float32(camera.fy)
    nx, ny = _slope(inverse, 1) * np.float32(camera.fx), _slope(inverse, 0) * np.float32(camera.fy)
    nz = inverse - nx * x - ny * y[:, None]
    length = np.sqrt(nx * nx + ny * ny + nz * nz)
    found = np.divide(inverse, length, out=np.ones_like(depth), where=length > 0)
    return np.clip(found, np.float32(LEAST), None)


def _slope(inverse: Float32[np.ndarray, "h w"], axis: int) -> Float32[np.ndarray, "h w"]:
    """Change of inverse depth from pixel to pixel along an axis, the lesser of both sides; 0 where none is measured."""
    sides = []
    for step in (-STEP, STEP):
        beside = np.roll(inverse, -step, axis=axis)
        known = (inverse > 0) & (beside > 0)
        edge = [slice(None)] * 2
        edge[axis] = slice(0, STEP) if step < 0 else slice(-STEP, None)
        known[tuple(edge)] = False
        sides.append(np.where(known, (beside - inverse) / np.float32(step), np.float32(np.inf)))
    lesser = np.where(np.abs(sides[0]) < np.abs(sides[1]), sides[0], sides[1])
    return np.where(np.isfinite(lesser), lesser, np.float32(0))
