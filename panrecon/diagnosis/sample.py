"""A scan made small: what the checks look at instead of the scan itself."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from panrecon.geometry.projective import pixel_directions
from panrecon.structures import Camera

WIDTH: Final = 160  # of the small images, pixels: enough for agreement within 2 %, and 200 frames in 40 MB
POINTS: Final = 1500  # per frame that are moved into other frames
MOST_ACROSS: Final = 400  # pixels of the colour images that are looked at
DARK, BRIGHT = 3, 252  # beyond these an 8-bit pixel tells nothing


@dataclass(frozen=True)
class SmallFrame:
    """One frame made small: every k-th depth (m, 0 = none), brightness of the colour and its fine detail around it.

    `detail` is the mean square of the image's Laplacian. `valid` and `clipped` are shares of all pixels: those with
    depth, and those that are black or white.
    """

    depth: Float[np.ndarray, "h w"]
    gray: Float[np.ndarray, "h w"]
    detail: Float[np.ndarray, "h w"]
    valid: float
    clipped: float


@dataclass(frozen=True)
class Sample:
    """All frames of a scan made small, in the order taken; `poses` are what is stated to be theirs."""

    names: tuple[str, ...]
    camera: Camera  # of the small images
    poses: Float[np.ndarray, "n 4 4"]
    frames: tuple[SmallFrame, ...]

    def __len__(self) -> int:
        return len(self.frames)

    @cached_property
    def points(self) -> Float[np.ndarray, "n p 3"]:
        """Camera-frame points of every frame (m), evenly spread over what was measured; all 0 where nothing was."""
        directions = pixel_directions(self.camera).astype(np.float32)
        return np.stack([_spread(directions, frame.depth) for frame in self.frames])

    def with_poses(self, poses: Float[np.ndarray, "n 4 4"]) -> "Sample":
        return replace(self, poses=poses)

    def scaled(self, factor: float) -> "Sample":
        """The sample with its depth multiplied."""
        frames = tuple(replace(frame, depth=frame.depth * np.float32(factor)) for frame in self.frames)
        return replace(self, frames=frames)

    def zoomed(self, factor: float) -> "Sample":
        """The sample with its focal lengths multiplied."""
        return replace(self, camera=zoomed(self.camera, factor))

    def of(self, rows: list[int]) -> "Sample":
        """Some of the frames."""
        return Sample(
            tuple(self.names[row] for row in rows),
            self.camera,
            self.poses[rows],
            tuple(self.frames[row] for row in rows),
        )


def zoomed(camera: Camera, factor: float) -> Camera:
    """The camera with its focal lengths multiplied."""
    return replace(camera, fx=camera.fx * factor, fy=camera.fy * factor)


def small_camera(camera: Camera) -> Camera:
    """The camera of every k-th pixel."""
    step, first = _thinning(camera.width)
    width, height = (len(range(first, size, step)) for size in (camera.width, camera.height))
    cx, cy = ((centre - first) / step for centre in (camera.cx, camera.cy))
    return Camera(width, height, camera.fx / step, camera.fy / step, cx, cy)


def small_frame(depth: Float[np.ndarray, "h w"], gray: UInt8[np.ndarray, "H W"]) -> SmallFrame:
    """A frame from its depth (m) and its colour image in shades of gray, of any size but the same shape."""
    step, first = _thinning(depth.shape[1])
    small = np.ascontiguousarray(depth[first::step, first::step])
    size = small.shape[1], small.shape[0]
    detail = cv2.Laplacian(gray, cv2.CV_32F)
    return SmallFrame(
        small,
        cv2.resize(gray.astype(np.float32), size, interpolation=cv2.INTER_AREA),
        cv2.resize(detail * detail, size, interpolation=cv2.INTER_AREA),
        float((depth > 0).mean()),
        float(((gray < DARK) | (gray > BRIGHT)).mean()),
    )


def shrink_of(color_camera: Camera) -> int:
    """By how much colour images are made smaller in decoding: to 250 to 500 pixels across, where detail is compared."""
    return next(shrink for shrink in (1, 2, 4, 8) if color_camera.width <= MOST_ACROSS * shrink or shrink == 8)


def _thinning(width: int) -> tuple[int, int]:
    """Every how many pixels one is kept, and the first of them."""
    step = max(round(width / WIDTH), 1)
    return step, (step - 1) // 2


def _spread(directions: Float[np.ndarray, "h w 3"], depth: Float[np.ndarray, "h w"]) -> Float[np.ndarray, "p 3"]:
    rows, columns = np.nonzero(depth)
    if not len(rows):
        return np.zeros((POINTS, 3), np.float32)
    kept = np.linspace(0, len(rows) - 1, POINTS).astype(np.int64)
    return directions[rows[kept], columns[kept]] * depth[rows[kept], columns[kept], None]
