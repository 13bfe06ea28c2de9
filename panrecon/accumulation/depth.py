"""A dense depth image of the accumulated points that a camera sees, without what is hidden from it."""

from typing import Final

import numpy as np
from jaxtyping import Bool, Float32, Int

from panrecon.accumulation.kernels import front_image, front_points, plane_moments
from panrecon.accumulation.parameters import DepthImageParameters
from panrecon.geometry.projective import project
from panrecon.structures import VOID, Camera

MAX_PIXEL: Final = 1e6  # pixels above which coordinates are not rounded to integers


def depth_image(
    camera: Camera,
    static: Float32[np.ndarray, "n 3"],
    dynamic: Float32[np.ndarray, "m 3"],
    nearest: float = 1.0,
    farthest: float = 80.0,
    parameters: DepthImageParameters = DepthImageParameters(),
) -> Float32[np.ndarray, "h w"]:
    """Depth along the optical axis (m) of points in the camera's frame; 0 where none lies, or a dynamic one occludes.

    Around every pixel the points of the front layer are gathered and a plane is fitted to them: planes are linear in
    inverse depth. Dynamic points occlude what is behind them and are not measured themselves. Only depths from
    `nearest` to `farthest` (m) count.
    """
    u, v, inverse, is_dynamic = _projected(camera, static, dynamic, nearest, farthest, parameters)
    radius = _radius(camera, parameters)
    gradient = _max_gradient(camera, parameters)
    front = front_image(u, v, inverse, radius, gradient, camera.height, camera.width)
    layer = parameters.layer_thickness
    moments = plane_moments(u[~is_dynamic], v[~is_dynamic], inverse[~is_dynamic], front, gradient, layer, radius)
    fitted, supported = _planes(moments, parameters)
    occluding = front_image(
        u[is_dynamic], v[is_dynamic], inverse[is_dynamic], radius, gradient, camera.height, camera.width
    )
    supported &= (occluding == 0) | (fitted > occluding + layer)
    in_range = (fitted >= 1 / farthest) & (fitted <= 1 / nearest)
    return np.divide(1, fitted, out=np.zeros_like(fitted), where=supported & in_range)


def visible_points(
    camera: Camera,
    points: Float32[np.ndarray, "n 3"],
    nearest: float = 1.0,
    farthest: float = 80.0,
    parameters: DepthImageParameters = DepthImageParameters(),
) -> Int[np.ndarray, "h w"]:
    """The index of the point that every pixel sees, of one scan's points in the camera's frame; `VOID` where none is.

    A pixel between two rings of the scan sees the nearest unoccluded point. Only depths from `nearest` to `farthest`
    (m) count.
    """
    pixels, depth = project(camera, points)
    in_view = np.flatnonzero((depth >= nearest) & (depth <= farthest) & (np.abs(pixels) < MAX_PIXEL).all(axis=1))
    u, v = (np.ascontiguousarray(pixels[in_view, axis], np.float32) for axis in range(2))
    inverse = (1 / depth[in_view]).astype(np.float32)
    radius = _radius(camera, parameters)
    front = front_points(u, v, inverse, radius, _max_gradient(camera, parameters), camera.height, camera.width)
    return np.where(front == VOID, VOID, np.append(in_view, VOID)[front])


def _radius(camera: Camera, parameters: DepthImageParameters) -> int:
    """Pixels around a point that it supports."""
    return max(1, round(parameters.ring_spacing * camera.fx))


def _max_gradient(camera: Camera, parameters: DepthImageParameters) -> float:
    """By how much (1/m) the inverse depth of one surface changes from a pixel to the next at most."""
    return 1 / (parameters.min_plane_distance * camera.fx)


def _projected(
    camera: Camera,
    static: Float32[np.ndarray, "n 3"],
    dynamic: Float32[np.ndarray, "m 3"],
    nearest: float,
    farthest: float,
    parameters: DepthImageParameters,
) -> tuple[Float32[np.ndarray, " k"], Float32[np.ndarray, " k"], Float32[np.ndarray, " k"], Bool[np.ndarray, " k"]]:
    """Pixel coordinates, inverse depth and whether it is dynamic, of every point in or just outside the image."""
    points = np.concatenate([static, dynamic])
    is_dynamic = np.arange(len(points)) >= len(static)
    pixels, depth = project(camera, points)
    margin = _radius(camera, parameters) + 0.5
    in_view = (
        (depth >= nearest)
        & (depth <= farthest)
        & (pixels > -margin).all(axis=1)
        & (pixels[:, 0] < camera.width - 1 + margin)
        & (pixels[:, 1] < camera.height - 1 + margin)
    )
    u, v = pixels[in_view].T.astype(np.float32)
    inverse = (1 / depth[in_view]).astype(np.float32)
    return np.ascontiguousarray(u), np.ascontiguousarray(v), inverse, is_dynamic[in_view]


def _planes(
    moments: Float32[np.ndarray, "h w 9"], parameters: DepthImageParameters
) -> tuple[Float32[np.ndarray, "h w"], Bool[np.ndarray, "h w"]]:
    """Inverse depth at every pixel by least squares with a damped gradient, and whether its points surround it."""
    weight = moments[..., 0]
    is_covered = weight > parameters.min_weight
    scale = np.divide(1, weight, out=np.zeros_like(weight), where=is_covered)
    x, y, xx, xy, yy, d, xd, yd = (moments[..., i] * scale for i in range(1, 9))
    xx = xx - x * x + parameters.gradient_damping
    xy = xy - x * y
    yy = yy - y * y + parameters.gradient_damping
    xd = xd - x * d
    yd = yd - y * d
    determinant = np.where(is_covered, xx * yy - xy * xy, 1)
    gradient_x = (xd * yy - yd * xy) / determinant
    gradient_y = (yd * xx - xd * xy) / determinant
    max_offset = parameters.max_centroid_offset
    is_surrounded = (np.abs(x) <= max_offset) & (np.abs(y) <= max_offset)
    return (d - gradient_x * x - gradient_y * y).astype(np.float32), is_covered & is_surrounded
