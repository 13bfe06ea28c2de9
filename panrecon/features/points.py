"""Features of LiDAR points: feature maps interpolated where the points project into the cameras."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.ndimage import maximum_filter
from scipy.sparse import csr_array

from panrecon.features.sampling import bilinear_weights, interpolate
from panrecon.geometry.projective import nearest_pixel, project, transform
from panrecon.structures import Camera, FeatureMap, PointFeatures

BORDER: Final = 5.0  # pixels at the edges of images that are not sampled, as in OpenScene (Peng et al., CVPR 2023)
CLEARANCE: Final = 1.0  # m, at least, from a car's camera to the plane of any surface: roads lie 1.5 m below


@dataclass(frozen=True)
class MapView:
    """A feature map over an image, with the camera and its pose relative to the points."""

    camera: Camera
    camera_from_points: Float[np.ndarray, "4 4"]
    features: FeatureMap


@dataclass(frozen=True)
class PointInterpolation:
    """Features of `points` points as interpolations of cells: sample r is of point `point[r]`, which may have several.

    Where many points share a cell this is several times smaller than a feature a point, without loss.
    """

    points: int
    cells: Float[np.ndarray, "c D"]
    point: Int[np.ndarray, " r"]
    cell: Int[np.ndarray, "r 4"]
    share: Float[np.ndarray, "r 4"]

    @property
    def seen(self) -> int:
        """The number of points with a sample."""
        return len(np.unique(self.point))

    def features(self) -> PointFeatures:
        """The mean of a point's samples over images; points without one are not valid."""
        readings = interpolate(self.cells, self.cell, self.share)
        ones = np.ones(len(self.point), np.float32)
        order = np.arange(len(self.point))
        total = csr_array((ones, (self.point, order)), (self.points, len(self.point))) @ readings
        count = np.bincount(self.point, minlength=self.points).astype(np.float32)
        return PointFeatures(np.asarray(total / np.maximum(count, 1)[:, None]), count > 0)


def interpolate_views(
    points: Float[np.ndarray, "n 3"], views: Iterable[MapView], splat: float | None = None
) -> PointInterpolation:
    """The samples of all points in all views whose image they project into, except within `BORDER` of its edges.

    With `splat` (rad) occluded points are left out (`occluded`); without it none is, as in OpenScene.
    """
    cells = []
    readings = []
    before = 0
    for view in views:
        point, pixels = visible(points, view.camera, view.camera_from_points, splat)
        rows, columns, dimensions = view.features.values.shape
        cell, share = bilinear_weights((rows, columns), view.camera, pixels)
        used, cell = np.unique(cell, return_inverse=True)
        cells.append(view.features.values.reshape(-1, dimensions)[used])
        readings.append((point, before + cell.reshape(-1, 4), share))
        before += len(used)
    point, cell, share = (np.concatenate(parts) for parts in zip(*readings, strict=True))
    return PointInterpolation(len(points), np.concatenate(cells), point, cell, share)


def visible(
    points: Float[np.ndarray, "n 3"],
    camera: Camera,
    camera_from_points: Float[np.ndarray, "4 4"],
    splat: float | None = None,
) -> tuple[Int[np.ndarray, " m"], Float[np.ndarray, "m 2"]]:
    """The indices of the points that the camera sees, and their pixels (u, v)."""
    pixels, depth = project(camera, transform(camera_from_points, points))
    farthest = np.array([camera.width - 1, camera.height - 1]) - BORDER
    inside = ((pixels >= BORDER) & (pixels <= farthest)).all(axis=1) & (depth > 0)
    if splat is not None:
        inside &= ~occluded(camera, pixels, depth, splat)
    seen = np.flatnonzero(inside)
    return seen, pixels[seen]


def occluded(
    camera: Camera, pixels: Float[np.ndarray, "n 2"], depth: Float[np.ndarray, " n"], splat: float
) -> Bool[np.ndarray, " n"]:
    """Whether nearer points of the same scan occlude a point; points outside the image occlude nothing.

    Every point is a square splat of half side `splat` (rad, half a gap between neighbouring beams, so that a surface
    has no holes). A point is occluded where the splats at its pixel have an inverse depth greater by more than that of
    a plane `CLEARANCE` metres from the camera can vary within a square. Inverse depth is linear over the image of a
    plane, so no plane occludes itself, whatever its slant. Inverse depth times the distance of LiDAR and camera, which
    is about `CLEARANCE` too, is parallax: occluded points are those that the LiDAR sees a square or more beside their
    occluder.
    """
    column, row, inside = nearest_pixel(camera, pixels)
    inverse = np.divide(1.0, depth, out=np.zeros_like(depth), where=inside & (depth > 0))
    nearest = np.zeros((camera.height, camera.width))
    np.maximum.at(nearest, (row[inside], column[inside]), inverse[inside])
    focal = np.array([camera.fy, camera.fx])
    radius = np.maximum(1, np.rint(splat * focal)).astype(np.int64)
    covering = maximum_filter(nearest, size=tuple(2 * radius + 1), mode="constant")
    varies = np.linalg.norm((radius + 1) / focal)
    return np.asarray(inside & (covering[row, column] - inverse > varies / CLEARANCE))
