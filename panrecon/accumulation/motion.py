"""Which points of a scan are dynamic: where rays of other scans passed through them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32

from panrecon.accumulation.kernels import count_ray_tests, nearest_ranges
from panrecon.accumulation.parameters import DynamicPointParameters, RangeImageParameters
from panrecon.geometry.projective import invert, transform


@dataclass(frozen=True)
class PosedScan:
    """The n points of one scan in the sensor's frame (m), and the sensor's pose."""

    points: Float32[np.ndarray, "n 3"]
    world_from_lidar: Float[np.ndarray, "4 4"]

    @property
    def in_world(self) -> Float32[np.ndarray, "n 3"]:
        """The points in the world (m), in single precision: 1 mm over sequences of kilometres."""
        return transform(self.world_from_lidar, self.points.astype(np.float64)).astype(np.float32)


def range_image(
    scan: PosedScan, parameters: RangeImageParameters = RangeImageParameters()
) -> Float32[np.ndarray, "rows columns"]:
    """The nearest range (m) by direction: rows from the highest elevation down, columns by azimuth; 0 = no return."""
    lowest, highest = _elevations(parameters)
    return np.asarray(nearest_ranges(scan.points, parameters.rows, parameters.columns, lowest, highest))


def dynamic_points(
    scan: PosedScan,
    others: Sequence[tuple[PosedScan, Float32[np.ndarray, "rows columns"]]],
    parameters: DynamicPointParameters = DynamicPointParameters(),
    image_parameters: RangeImageParameters = RangeImageParameters(),
) -> Bool[np.ndarray, " n"]:
    """Which points of the scan are dynamic, by ray tests in the `range_image`s of other scans of the same place.

    A scan violates a point if all its rays around the point's direction end behind it (free space where the point
    lies), and hits it if one of them ends there; else it misses (visibility as in Kim & Kim, Removert, IROS 2020).
    Points in cells with many dynamic ones are dynamic too. The images are those of `image_parameters`.
    """
    violations = np.zeros(len(scan.points), np.int32)
    hits = np.zeros(len(scan.points), np.int32)
    lowest, highest = _elevations(image_parameters)
    margins = (parameters.range_margin, parameters.relative_range_margin)
    for other, ranges in others:
        other_from_scan = invert(other.world_from_lidar) @ scan.world_from_lidar
        points = transform(other_from_scan, scan.points)
        count_ray_tests(points, ranges, lowest, highest, *margins, violations, hits)
    dynamic = (violations >= parameters.min_free_space_violations) & (
        violations > parameters.min_violations_per_hit * hits
    )
    return _spread_over_cells(scan.points, dynamic, parameters)


def _elevations(parameters: RangeImageParameters) -> tuple[float, float]:
    """The lowest and the highest elevation of a range image, rad."""
    lowest = float(np.deg2rad(parameters.min_elevation_deg))
    highest = float(np.deg2rad(parameters.max_elevation_deg))
    return lowest, highest


def _spread_over_cells(
    points: Float32[np.ndarray, "n 3"], dynamic: Bool[np.ndarray, " n"], parameters: DynamicPointParameters
) -> Bool[np.ndarray, " n"]:
    """Every point dynamic whose cell has a large share of dynamic ones; single ones among many static ones are not."""
    if not dynamic.any():
        return dynamic
    cell = np.floor(points / parameters.cell_size).astype(np.int64) + (1 << 20)
    key = (cell[:, 0] << 42) | (cell[:, 1] << 21) | cell[:, 2]
    _, cell_of_point = np.unique(key, return_inverse=True)
    share = np.bincount(cell_of_point, dynamic) / np.bincount(cell_of_point)
    return np.asarray(share[cell_of_point] > parameters.min_dynamic_share)
