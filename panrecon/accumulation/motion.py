"""Which points of a scan are of things that moved: where other scans saw through them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Float32

from panrecon.accumulation.kernels import judge_points, nearest_ranges
from panrecon.geometry.projective import invert, transform

ROWS: Final = 96  # of a range image over the elevations that a street scanner sees
COLUMNS: Final = 720
LOWEST, HIGHEST = np.deg2rad(-30.0), np.deg2rad(15.0)
MARGIN: Final = 0.4  # m by which a ray must have gone farther to have seen through a point
MARGIN_SHARE: Final = 0.02  # of the range, besides
MIN_SEEN_THROUGH: Final = 2  # scans
OUTWEIGHS: Final = 0.5  # times as many that confirm it: a long car stands for some scans where it has been
CELL: Final = 0.4  # m: moving points carry their neighbours with them
MOVING_SHARE: Final = 0.4  # of the points of a cell


@dataclass(frozen=True)
class PosedScan:
    """The n points of one scan in the sensor's frame (m), and where the sensor stood."""

    points: Float32[np.ndarray, "n 3"]
    world_from_lidar: Float[np.ndarray, "4 4"]

    @property
    def in_world(self) -> Float32[np.ndarray, "n 3"]:
        """Single precision: good for drives of kilometres to a millimetre or so."""
        return transform(self.world_from_lidar, self.points.astype(np.float64)).astype(np.float32)


def range_image(scan: PosedScan) -> Float32[np.ndarray, "rows columns"]:
    """The nearest range (m) by direction: rows from the highest elevation down, columns by azimuth; 0 = no return."""
    return np.asarray(nearest_ranges(scan.points, ROWS, COLUMNS, LOWEST, HIGHEST))


def moving_points(
    scan: PosedScan, others: Sequence[tuple[PosedScan, Float32[np.ndarray, "rows columns"]]]
) -> Bool[np.ndarray, " n"]:
    """The points of the scan that moved, judged by other scans of the same place with their range images.

    A scan speaks against a point if all its rays around the point's direction went on behind it, and for it if one of
    them ended there (visibility as in Kim & Kim, Removert, IROS 2020). Points near many moving ones are moving too.
    """
    through, confirmed = (np.zeros(len(scan.points), np.int32) for _ in range(2))
    for other, ranges in others:
        other_from_scan = invert(other.world_from_lidar) @ scan.world_from_lidar
        points = transform(other_from_scan, scan.points)
        judge_points(points, ranges, LOWEST, HIGHEST, MARGIN, MARGIN_SHARE, through, confirmed)
    moving = (through >= MIN_SEEN_THROUGH) & (through > OUTWEIGHS * confirmed)
    return _with_neighbours(scan.points, moving)


def _with_neighbours(points: Float32[np.ndarray, "n 3"], moving: Bool[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
    """The same for all points of a cell of which a good share moves; single ones among many that rest do not."""
    if not moving.any():
        return moving
    cell = np.floor(points / CELL).astype(np.int64) + (1 << 20)
    key = (cell[:, 0] << 42) | (cell[:, 1] << 21) | cell[:, 2]
    _, cell_of_point = np.unique(key, return_inverse=True)
    share = np.bincount(cell_of_point, moving) / np.bincount(cell_of_point)
    return np.asarray(share[cell_of_point] > MOVING_SHARE)
