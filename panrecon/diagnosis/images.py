"""Estimators of brightness and detail of every frame, against its neighbours at the surface points that both see."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from panrecon.diagnosis.parameters import NeighbourParameters
from panrecon.diagnosis.reprojection import relative_pose, reproject
from panrecon.diagnosis.sample import Sample
from panrecon.geometry.projective import pixel_directions


@dataclass(frozen=True)
class NeighbourComparison:
    """Natural logarithms of a frame's brightness and detail over its neighbours', medians; nan where none overlaps.

    `log_step` is that of brightness over the next frame. `clipped` is the share of pixels that are black or white.
    """

    log_brightness: Float[np.ndarray, " n"]
    log_detail: Float[np.ndarray, " n"]
    log_step: Float[np.ndarray, " n"]
    clipped: Float[np.ndarray, " n"]


def compare_neighbours(sample: Sample, parameters: NeighbourParameters = NeighbourParameters()) -> NeighbourComparison:
    """Brightness and detail of every frame over its neighbours', where depth and poses say that both see the same."""
    count = len(sample)
    gaps = parameters.gaps
    brightness = np.full((count, 2 * len(gaps)), np.nan)
    detail = np.full((count, 2 * len(gaps)), np.nan)
    stride = parameters.pixel_stride
    directions = pixel_directions(sample.camera).astype(np.float32)[::stride, ::stride]
    for first in range(count):
        for gap_index, gap in enumerate(gaps):
            if first + gap < count:
                log_brightness, log_detail = _compared(sample, directions, first, first + gap, parameters)
                brightness[first, gap_index] = log_brightness
                brightness[first + gap, gap_index + len(gaps)] = -log_brightness
                detail[first, gap_index] = log_detail
                detail[first + gap, gap_index + len(gaps)] = -log_detail
    clipped = np.array([frame.clipped for frame in sample.frames])
    return NeighbourComparison(_median(brightness), _median(detail), brightness[:, 0], clipped)


def _compared(
    sample: Sample, directions: Float[np.ndarray, "h w 3"], first: int, second: int, parameters: NeighbourParameters
) -> tuple[float, float]:
    """Logarithms of the first frame's brightness and detail over the second's; nan where they share too little."""
    stride = parameters.pixel_stride
    first_frame = sample.frames[first]
    second_frame = sample.frames[second]
    depth = first_frame.depth[::stride, ::stride]
    gray = first_frame.gray[::stride, ::stride]
    detail = first_frame.detail[::stride, ::stride]
    is_measured = depth > 0
    points = directions[is_measured] * depth[is_measured][:, None]
    seen = reproject(points, relative_pose(sample.poses, first, second), sample.camera, second_frame.depth)
    is_shared = (seen.measured > 0) & (np.abs(seen.depth - seen.measured) < parameters.depth_tolerance * seen.depth)
    row = seen.row[is_shared]
    column = seen.column[is_shared]
    first_gray = gray[is_measured][is_shared]
    log_brightness = _log_brightness(first_gray, second_frame.gray[row, column], parameters)
    if is_shared.sum() < parameters.min_points:
        return log_brightness, np.nan
    first_detail = detail[is_measured][is_shared].mean() + 1e-3
    second_detail = second_frame.detail[row, column].mean() + 1e-3
    log_detail = float(np.log(first_detail / second_detail))
    return log_brightness, log_detail - 2 * float(np.nan_to_num(log_brightness))  # detail grows with brightness squared


def _log_brightness(
    first: Float[np.ndarray, " p"], second: Float[np.ndarray, " p"], parameters: NeighbourParameters
) -> float:
    """The median logarithm of the ratio of gray values that follow the exposure; nan where these are few."""
    lighter = np.maximum(first, second)
    is_exposed = (
        (np.minimum(first, second) > parameters.min_gray_of_darker)
        & (lighter > parameters.min_gray_of_lighter)
        & (lighter < parameters.max_gray_of_lighter)
    )
    if is_exposed.sum() < parameters.min_points:
        return np.nan
    return float(np.median(np.log(first[is_exposed] / second[is_exposed])))


def _median(values: Float[np.ndarray, "n k"]) -> Float[np.ndarray, " n"]:
    is_known = np.isfinite(values).any(axis=1)
    result = np.full(len(values), np.nan)
    result[is_known] = np.nanmedian(values[is_known], axis=1)
    return result
