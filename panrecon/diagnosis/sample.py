"""A thinned-out scan: what estimators measure instead of the scan itself."""

from dataclasses import dataclass, replace
from functools import cached_property

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from panrecon.diagnosis.parameters import SampleParameters
from panrecon.geometry.projective import pixel_directions
from panrecon.structures import Camera


@dataclass(frozen=True)
class SmallFrame:
    """One frame at low resolution: every k-th depth (m, 0 = none), gray values of the colour in [0, 255], and detail.

    `detail` is the local mean square of the Laplacian of the larger colour image. `valid` and `clipped` are shares of
    all pixels in [0, 1]: of those with depth, and of those that are black or white.
    """

    depth: Float[np.ndarray, "h w"]
    gray: Float[np.ndarray, "h w"]
    detail: Float[np.ndarray, "h w"]
    valid: float
    clipped: float


@dataclass(frozen=True)
class Sample:
    """All frames of a scan at low resolution, in the order taken, with world-from-camera poses and one camera."""

    names: tuple[str, ...]
    camera: Camera  # of the small images
    poses: Float[np.ndarray, "n 4 4"]
    frames: tuple[SmallFrame, ...]
    points_per_frame: int = SampleParameters.points_per_frame

    def __len__(self) -> int:
        return len(self.frames)

    @cached_property
    def points(self) -> Float[np.ndarray, "n p 3"]:
        """Evenly spaced points of every frame (m, camera's frame), `points_per_frame` each; all 0 without depth."""
        directions = pixel_directions(self.camera).astype(np.float32)
        return np.stack([_spaced_points(directions, frame.depth, self.points_per_frame) for frame in self.frames])

    def with_poses(self, poses: Float[np.ndarray, "n 4 4"]) -> "Sample":
        """The sample with other world-from-camera poses."""
        return replace(self, poses=poses)

    def with_depth_scaled(self, factor: float) -> "Sample":
        """The sample with its depth multiplied."""
        frames = tuple(replace(frame, depth=frame.depth * np.float32(factor)) for frame in self.frames)
        return replace(self, frames=frames)

    def with_depth_along_axis(self) -> "Sample":
        """The sample with depth that was measured along every pixel's ray turned into depth along the optical axis."""
        lengths = np.linalg.norm(pixel_directions(self.camera), axis=-1).astype(np.float32)
        return replace(self, frames=tuple(replace(frame, depth=frame.depth / lengths) for frame in self.frames))

    def with_focal_scaled(self, factor: float) -> "Sample":
        """The sample with its focal lengths multiplied."""
        return replace(self, camera=with_focal_scaled(self.camera, factor))

    def subset(self, indices: list[int]) -> "Sample":
        """The frames of these indices, in this order."""
        return replace(
            self,
            names=tuple(self.names[index] for index in indices),
            poses=self.poses[indices],
            frames=tuple(self.frames[index] for index in indices),
        )


def with_focal_scaled(camera: Camera, factor: float) -> Camera:
    """The camera with its focal lengths multiplied."""
    return replace(camera, fx=camera.fx * factor, fy=camera.fy * factor)


def small_camera(camera: Camera, parameters: SampleParameters = SampleParameters()) -> Camera:
    """The camera of a `SmallFrame`'s images, for that of the whole depth images."""
    return subsampled(camera, _subsampling(camera.width, parameters)[0])


def subsampled(camera: Camera, stride: int) -> Camera:
    """The camera of images of which every n-th row and column is kept, from the middle of the first n on."""
    first = (stride - 1) // 2
    width = len(range(first, camera.width, stride))
    height = len(range(first, camera.height, stride))
    cx, cy = ((centre - first) / stride for centre in (camera.cx, camera.cy))
    return Camera(width, height, camera.fx / stride, camera.fy / stride, cx, cy)


def small_frame(
    depth: Float[np.ndarray, "h w"],
    gray: UInt8[np.ndarray, "H W"],
    parameters: SampleParameters = SampleParameters(),
) -> SmallFrame:
    """A frame at low resolution, from its depth (m, 0 = none) and the gray values of its colour, of the same aspect."""
    stride, first = _subsampling(depth.shape[1], parameters)
    small_depth = np.ascontiguousarray(depth[first::stride, first::stride])
    return replace(frame_of_small_depth(small_depth, gray, parameters), valid=float((depth > 0).mean()))


def frame_of_small_depth(
    depth: Float[np.ndarray, "h w"],
    gray: UInt8[np.ndarray, "H W"],
    parameters: SampleParameters = SampleParameters(),
) -> SmallFrame:
    """A frame whose depth (m, 0 = none) is that of `small_camera` already."""
    size = depth.shape[1], depth.shape[0]
    laplacian = cv2.Laplacian(gray, cv2.CV_32F)
    return SmallFrame(
        depth,
        cv2.resize(gray.astype(np.float32), size, interpolation=cv2.INTER_AREA),
        cv2.resize(laplacian * laplacian, size, interpolation=cv2.INTER_AREA),
        float((depth > 0).mean()),
        float(((gray < parameters.black_level) | (gray > parameters.white_level)).mean()),
    )


def color_reduction(color_camera: Camera, parameters: SampleParameters = SampleParameters()) -> int:
    """The factor (1, 2, 4 or 8) by which colour images are reduced in decoding, for detail to be comparable."""
    limit = parameters.max_color_width
    return next(factor for factor in (1, 2, 4, 8) if color_camera.width <= limit * factor or factor == 8)


def _subsampling(width: int, parameters: SampleParameters) -> tuple[int, int]:
    """Every how many pixels one is kept, and the first of them."""
    stride = max(round(width / parameters.depth_width), 1)
    return stride, (stride - 1) // 2


def _spaced_points(
    directions: Float[np.ndarray, "h w 3"], depth: Float[np.ndarray, "h w"], count: int
) -> Float[np.ndarray, "p 3"]:
    """Points of evenly spaced pixels with depth."""
    rows, columns = np.nonzero(depth)
    if not len(rows):
        return np.zeros((count, 3), np.float32)
    pixel = np.linspace(0, len(rows) - 1, count).astype(np.int64)
    return directions[rows[pixel], columns[pixel]] * depth[rows[pixel], columns[pixel], None]
