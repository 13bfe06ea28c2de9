"""What points read of feature maps: they are projected into the cameras that see them."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.ndimage import maximum_filter
from scipy.sparse import csr_array

from panrecon.features.sampling import cells_at, mixed
from panrecon.geometry.projective import nearest_pixel, project, transform
from panrecon.structures import Camera, FeatureMap, PointFeatures

BORDER: Final = 5.0  # px at the images' edges that no point reads, as in OpenScene (Peng et al., CVPR 2023)
CLEARANCE: Final = 1.0  # m, at least, from a car's camera to the plane of any surface: roads lie 1.5 m below


@dataclass(frozen=True)
class MapView:
    """A feature map over an image, and how points come into its camera."""

    camera: Camera
    camera_from_points: Float[np.ndarray, "4 4"]
    features: FeatureMap


@dataclass(frozen=True)
class PointReadings:
    """Features of `points` points as mixtures of cells: reading r is of point `point[r]`, who may read several images.

    Where many points share a cell this is several times smaller than a row a point, and gives the very same rows.
    """

    points: int
    cells: Float[np.ndarray, "c D"]
    point: Int[np.ndarray, " r"]
    cell: Int[np.ndarray, "r 4"]
    share: Float[np.ndarray, "r 4"]

    @property
    def seen(self) -> int:
        """How many points read anything."""
        return len(np.unique(self.point))

    def features(self) -> PointFeatures:
        """The mean over the images that a point reads."""
        readings = mixed(self.cells, self.cell, self.share)
        ones, order = np.ones(len(self.point), np.float32), np.arange(len(self.point))
        total = csr_array((ones, (self.point, order)), (self.points, len(self.point))) @ readings
        count = np.bincount(self.point, minlength=self.points).astype(np.float32)
        return PointFeatures(np.asarray(total / np.maximum(count, 1)[:, None]), count > 0)


def read_points(
    points: Float[np.ndarray, "n 3"], views: Iterable[MapView], splat: float | None = None
) -> PointReadings:
    """What points read of all views whose image they fall into, but for its border.

    `splat` (rad) asks what hides a point (`hidden`); without it nothing does, as in OpenScene.
    """
    cells, readings, before = [], [], 0
    for view in views:
        point, pixels = visible(points, view.camera, view.camera_from_points, splat)
        rows, columns, dimensions = view.features.values.shape
        cell, share = cells_at((rows, columns), view.camera, pixels)
        used, cell = np.unique(cell, return_inverse=True)
        cells.append(view.features.values.reshape(-1, dimensions)[used])
        readings.append((point, before + cell.reshape(-1, 4), share))
        before += len(used)
    point, cell, share = (np.concatenate(parts) for parts in zip(*readings, strict=True))
    return PointReadings(len(points), np.concatenate(cells), point, cell, share)


def visible(
    points: Float[np.ndarray, "n 3"],
    camera: Camera,
    camera_from_points: Float[np.ndarray, "4 4"],
    splat: float | None = None,
) -> tuple[Int[np.ndarray, " m"], Float[np.ndarray, "m 2"]]:
    """Which points the camera sees, and at which pixels (u, v)."""
    pixels, depth = project(camera, transform(camera_from_points, points))
    farthest = np.array([camera.width - 1, camera.height - 1]) - BORDER
    inside = ((pixels >= BORDER) & (pixels <= farthest)).all(axis=1) & (depth > 0)
    if splat is not None:
        inside &= ~hidden(camera, pixels, depth, splat)
    seen = np.flatnonzero(inside)
    return seen, pixels[seen]


def hidden(
    camera: Camera, pixels: Float[np.ndarray, "n 2"], depth: Float[np.ndarray, " n"], splat: float
) -> Bool[np.ndarray, " n"]:
    """Whether nearer points of the same scan lie before a point; those outside the image hide nothing.

    Every point covers a square of pixels that reaches `splat` (rad, half a gap between neighbouring beams, so that
    a surface has no holes) to each side. A point is hidden where what covers its pixel has an inverse depth greater by
    more than a plane `CLEARANCE` metres from the camera may vary within a square. Inverse depth is linear over the
    image of a plane: so no plane hides any of itself, however it slants. As LiDAR and camera sit about as far from
    each other, and inverse depth times that is parallax, what is hidden is also what the LiDAR sees a square or more
    beside what hides it.
    """
    column, row, inside = nearest_pixel(camera, pixels)
    inverse = np.divide(1.0, depth, out=np.zeros_like(depth), where=inside & (depth > 0))
    nearest = np.zeros((camera.height, camera.width))
    np.maximum.at(nearest, (row[inside], column[inside]), inverse[inside])
    focal = np.array([camera.fy, camera.fx])
    reach = np.maximum(1, np.rint(splat * focal)).astype(np.int64)
    covering = maximum_filter(nearest, size=tuple(2 * reach + 1), mode="constant")
    varies = np.linalg.norm((reach + 1) / focal)
    return np.asarray(inside & (covering[row, column] - inverse > varies / CLEARANCE))
