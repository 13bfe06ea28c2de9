"""Point-to-plane distance of the TSDF: the distance from a surface that a camera sees at a grazing angle."""

from typing import Final

import numpy as np
from jaxtyping import Float32

from panrecon.structures import Camera

STEP: Final = 2  # pixels to either side, over which inverse depth is linear
MIN_COSINE: Final = 0.02  # grazing angles below a degree count as one


def incidence_cosine(depth: Float32[np.ndarray, "h w"], camera: Camera) -> Float32[np.ndarray, "h w"]:
    """The distance from a pixel's plane per distance along the optical axis in front of it; in [0.02, ~1].

    A plane n . p = 1 has the inverse depth n_x x + n_y y + n_z at the direction (x, y, 1), so its derivative in the
    image is its normal. At a depth discontinuity the side of the smaller derivative counts; where neither side is
    measured the plane faces the camera.
    """
    inverse = np.divide(1, depth, out=np.zeros_like(depth), where=depth > 0)
    x = (np.arange(camera.width, dtype=np.float32) - np.float32(camera.cx)) / np.float32(camera.fx)
    y = (np.arange(camera.height, dtype=np.float32) - np.float32(camera.cy)) / np.float32(camera.fy)
    nx = _derivative(inverse, 1) * np.float32(camera.fx)
    ny = _derivative(inverse, 0) * np.float32(camera.fy)
    nz = inverse - nx * x - ny * y[:, None]
    length = np.sqrt(nx * nx + ny * ny + nz * nz)
    cosine = np.divide(inverse, length, out=np.ones_like(depth), where=length > 0)
    return np.clip(cosine, np.float32(MIN_COSINE), None)


def _derivative(inverse: Float32[np.ndarray, "h w"], axis: int) -> Float32[np.ndarray, "h w"]:
    """The derivative of inverse depth along an axis, per pixel, of the side where it is smaller; 0 = not measured."""
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
