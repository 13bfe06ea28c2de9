"""A dense depth image of what a camera sees of many accumulated points, without what is hidden from it."""

from typing import Final

import numpy as np
from jaxtyping import Bool, Float32, Int

from panrecon.accumulation.kernels import front_image, front_points, plane_moments
from panrecon.geometry.projective import project
from panrecon.structures import VOID, Camera

RING: Final = 0.0073  # rad between the rings of a 64-beam scan: what lies between two is filled
NEAREST: Final = 1.5  # m: nearer to the camera passes no plane; it bounds how steeply inverse depth falls in an image
LAYER: Final = 0.002  # 1/m of inverse depth, by which the points of one surface scatter
MIN_WEIGHT: Final = 0.5  # of the points around a pixel; 1 is a point on it
OFF_CENTRE: Final = 1.0  # pixels between a pixel and the mean of its points: more is beside a silhouette, not on it
FAR: Final = 1e6  # pixels: what lies farther beside an image is not rounded to whole numbers
DAMPING: Final = 0.05  # pixels^2: slopes of few points are not believed


def depth_image(
    camera: Camera,
    resting: Float32[np.ndarray, "n 3"],
    moving: Float32[np.ndarray, "m 3"],
    nearest: float = 1.0,
    farthest: float = 80.0,
) -> Float32[np.ndarray, "h w"]:
    """Depth along the optical axis (m) of points in the camera's frame; 0 where none lies, or a moving one hides it.

    Around every pixel the points of the front layer are gathered and a plane is fitted to them: planes are linear in
    inverse depth. Moving points hide what is behind them and are not measured themselves.
    """
    u, v, inverse, is_moving = _projected(camera, resting, moving, nearest, farthest)
    radius, slope = _radius(camera), 1 / (NEAREST * camera.fx)
    front = front_image(u, v, inverse, radius, slope, camera.height, camera.width)
    sums = plane_moments(u[~is_moving], v[~is_moving], inverse[~is_moving], front, slope, LAYER, radius)
    value, believed = _planes(sums)
    hidden = front_image(u[is_moving], v[is_moving], inverse[is_moving], radius, slope, camera.height, camera.width)
    believed &= (hidden == 0) | (value > hidden + LAYER)
    in_reach = (value >= 1 / farthest) & (value <= 1 / nearest)
    keep = believed & in_reach
    return np.divide(1, value, out=np.zeros_like(value), where=keep)


def points_seen(
    camera: Camera, points: Float32[np.ndarray, "n 3"], nearest: float = 1.0, farthest: float = 80.0
) -> Int[np.ndarray, "h w"]:
    """The point of one scan that every pixel sees, of those in the camera's frame; `VOID` where none lies near.

    Between the rings of a scan the nearest point speaks that nothing hides.
    """
    pixels, depth = project(camera, points)
    shown = np.flatnonzero((depth >= nearest) & (depth <= farthest) & (np.abs(pixels) < FAR).all(axis=1))
    u, v = (np.ascontiguousarray(pixels[shown, axis], np.float32) for axis in range(2))
    inverse = (1 / depth[shown]).astype(np.float32)
    slope = 1 / (NEAREST * camera.fx)
    winner = front_points(u, v, inverse, _radius(camera), slope, camera.height, camera.width)
    return np.where(winner == VOID, VOID, np.append(shown, VOID)[winner])


def _radius(camera: Camera) -> int:
    """Pixels around a point that it speaks for."""
    return max(1, round(RING * camera.fx))


def _projected(
    camera: Camera,
    resting: Float32[np.ndarray, "n 3"],
    moving: Float32[np.ndarray, "m 3"],
    nearest: float,
    farthest: float,
) -> tuple[Float32[np.ndarray, " k"], Float32[np.ndarray, " k"], Float32[np.ndarray, " k"], Bool[np.ndarray, " k"]]:
    """Pixel, inverse depth and whether it moves, of the points that the image shows, some pixels beside it."""
    points = np.concatenate([resting, moving])
    is_moving = np.arange(len(points)) >= len(resting)
    pixels, depth = project(camera, points)
    beside = _radius(camera) + 0.5
    shown = (
        (depth >= nearest)
        & (depth <= farthest)
        & (pixels > -beside).all(axis=1)
        & (pixels[:, 0] < camera.width - 1 + beside)
        & (pixels[:, 1] < camera.height - 1 + beside)
    )
    u, v = pixels[shown].T.astype(np.float32)
    return np.ascontiguousarray(u), np.ascontiguousarray(v), (1 / depth[shown]).astype(np.float32), is_moving[shown]


def _planes(sums: Float32[np.ndarray, "h w 9"]) -> tuple[Float32[np.ndarray, "h w"], Bool[np.ndarray, "h w"]]:
    """Inverse depth at every pixel by least squares with a damped slope, and where its points surround it."""
    weight = sums[..., 0]
    there = weight > MIN_WEIGHT
    scale = np.divide(1, weight, out=np.zeros_like(weight), where=there)
    x, y, xx, xy, yy, d, xd, yd = (sums[..., i] * scale for i in range(1, 9))
    xx, xy, yy = xx - x * x + DAMPING, xy - x * y, yy - y * y + DAMPING
    xd, yd = xd - x * d, yd - y * d
    determinant = np.where(there, xx * yy - xy * xy, 1)
    slope_x, slope_y = (xd * yy - yd * xy) / determinant, (yd * xx - xd * xy) / determinant
    centred = (np.abs(x) <= OFF_CENTRE) & (np.abs(y) <= OFF_CENTRE)
    return (d - slope_x * x - slope_y * y).astype(np.float32), there & centred
