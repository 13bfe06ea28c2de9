"""Rigid motions, pinhole projection and poses: pure functions over arrays (conventions: `panrecon.structures`)."""

from typing import Final

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int, Shaped, UInt8

from panrecon.structures import Camera

FLIP: Final = np.diag([1.0, -1.0, -1.0, 1.0])  # OpenGL's camera axes from OpenCV's, and back


def transform(to_from: Float[np.ndarray, "4 4"], points: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n 3"]:
    """The points in the frame `to`, in their own precision.

    Written out, because the rounding of a matrix product depends on the number of threads.
    """
    motion = to_from.astype(points.dtype)
    rotated = sum(points[..., axis, None] * motion[:3, axis] for axis in range(3))
    return np.asarray(rotated + motion[:3, 3])


def invert(to_from: Float[np.ndarray, "4 4"]) -> Float[np.ndarray, "4 4"]:
    """`from_to` of a rigid transform."""
    rotation = to_from[:3, :3]
    translation = to_from[:3, 3]
    result = np.eye(4)
    result[:3, :3] = rotation.T
    result[:3, 3] = -rotation.T @ translation
    return result


def project(
    camera: Camera, camera_points: Float[np.ndarray, "n 3"]
) -> tuple[Float[np.ndarray, "n 2"], Float[np.ndarray, " n"]]:
    """Pixel coordinates (u, v) and depth (m); points at or behind the camera get pixel (-inf, -inf)."""
    depth = camera_points[:, 2]
    in_front = depth > 1e-6
    safe = np.where(in_front, depth, 1.0)
    u = camera.fx * camera_points[:, 0] / safe + camera.cx
    v = camera.fy * camera_points[:, 1] / safe + camera.cy
    pixels = np.where(in_front[:, None], np.stack([u, v], axis=1), -np.inf)
    return pixels, depth


def nearest_pixel(
    camera: Camera, pixels: Float[np.ndarray, "n 2"]
) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"], Bool[np.ndarray, " n"]]:
    """Column and row of the nearest pixel (0 outside the image), and whether it lies inside the image."""
    inside = (
        (pixels[:, 0] > -0.5)
        & (pixels[:, 1] > -0.5)
        & (pixels[:, 0] < camera.width - 0.5)
        & (pixels[:, 1] < camera.height - 0.5)
    )
    rounded = np.rint(np.where(inside[:, None], pixels, 0.0)).astype(np.int64)
    return rounded[:, 0], rounded[:, 1], inside


def pixel_directions(camera: Camera) -> Float[np.ndarray, "h w 3"]:
    """The camera-frame direction with z = 1 through every pixel centre."""
    u, v = np.meshgrid(np.arange(camera.width), np.arange(camera.height))
    x, y = (u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy
    return np.stack([x, y, np.ones_like(x)], axis=-1)


def unproject(camera: Camera, depth: Float[np.ndarray, "h w"]) -> Float[np.ndarray, "h w 3"]:
    """Camera-frame points of a depth image."""
    return pixel_directions(camera) * depth[..., None]


def resample(
    image: Shaped[np.ndarray, "h w *channels"], source: Camera, target: Camera, nearest: bool = False
) -> Shaped[np.ndarray, "H W *channels"]:
    """The image resampled to the camera `target` at the same pose; black outside the view of `source`.

    Bilinear, or the nearest pixel; an image that becomes smaller is averaged first.
    """
    shrink = target.fx / source.fx
    if shrink < 1 and not nearest:
        source = source.scaled(shrink)
        image = cv2.resize(image, (source.width, source.height), interpolation=cv2.INTER_AREA)
    u = (np.arange(target.width) - target.cx) / target.fx * source.fx + source.cx
    v = (np.arange(target.height) - target.cy) / target.fy * source.fy + source.cy
    columns, rows = np.meshgrid(u.astype(np.float32), v.astype(np.float32))
    return cv2.remap(image, columns, rows, cv2.INTER_NEAREST if nearest else cv2.INTER_LINEAR)


def look_at(
    eye: Float[np.ndarray, "3"], target: Float[np.ndarray, "3"], up: Float[np.ndarray, "3"] | None = None
) -> Float[np.ndarray, "4 4"]:
    """`world_from_camera` of a camera at `eye` that looks at `target`; `up` is world z if not given."""
    up = np.array([0.0, 0.0, 1.0]) if up is None else up
    forward = (target - eye) / np.linalg.norm(target - eye)
    right = np.cross(forward, up)
    right /= np.linalg.norm(right)
    world_from_camera = np.eye(4)
    world_from_camera[:3, :3] = np.stack([right, np.cross(forward, right), forward], axis=1)
    world_from_camera[:3, 3] = eye
    return world_from_camera


def register(
    color: UInt8[np.ndarray, "h w 3"],
    color_camera: Camera,
    depth: Float[np.ndarray, "H W"],
    camera: Camera,
    color_from_camera: Float[np.ndarray, "4 4"],
) -> UInt8[np.ndarray, "H W 3"]:
    """The colour image of a camera beside a depth camera, registered to its pixels; black outside the colour image.

    Pixels without depth get the median depth of the others. Occlusion for the colour camera alone is ignored.
    """
    measured = depth > 0
    filled = np.where(measured, depth, np.median(depth[measured]) if measured.any() else 1.0)
    points = transform(color_from_camera, unproject(camera, filled).reshape(-1, 3))
    pixels, _ = project(color_camera, points)
    u, v = (pixels[:, axis].reshape(depth.shape).astype(np.float32) for axis in range(2))
    return cv2.remap(color, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=0)
