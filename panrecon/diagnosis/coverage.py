"""Estimators of the scene's extent, of how often its surface is seen, and of gaps in the trajectory."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from panrecon.diagnosis.parameters import (
    CoverageParameters,
    DepthScaleParameters,
    DiagnosisParameters,
    GapParameters,
)
from panrecon.diagnosis.reprojection import neighbour_agreement
from panrecon.diagnosis.sample import Sample
from panrecon.geometry.projective import transform


@dataclass(frozen=True)
class Coverage:
    """Shares in [0, 1] of the seen surface: seen by enough frames, and seen again much later in the scan."""

    covered: float
    revisited: float


def coverage(sample: Sample, parameters: CoverageParameters = CoverageParameters()) -> Coverage:
    """How much of the surface, counted in cells of a grid, several frames see."""
    cell, frame_index = _observations(sample, parameters.cell_size)
    _, start, count = np.unique(cell, return_index=True, return_counts=True)
    if not len(count):
        return Coverage(0.0, 0.0)
    interval = frame_index[start + count - 1] - frame_index[start]
    covered = float((count >= parameters.min_frames).mean())
    return Coverage(covered, float((interval > parameters.revisit * len(sample)).mean()))


def _observations(sample: Sample, cell_size: float) -> tuple[Int[np.ndarray, " s"], Int[np.ndarray, " s"]]:
    """Every cell that a frame sees, once a frame, sorted by cell and then by frame; and the frame's index."""
    cells: list[Float[np.ndarray, "c 3"]] = []
    frame_indices: list[Int[np.ndarray, " c"]] = []
    for frame_index, points in enumerate(sample.points):
        measured = points[points[:, 2] > 0].astype(np.float64)
        seen = np.unique(np.floor(transform(sample.poses[frame_index], measured) / cell_size), axis=0)
        cells.append(seen)
        frame_indices.append(np.full(len(seen), frame_index))
    _, cell_index = np.unique(np.concatenate(cells), axis=0, return_inverse=True)
    frame_index_of = np.concatenate(frame_indices)
    order = np.lexsort((frame_index_of, cell_index.ravel()))
    return cell_index.ravel()[order], frame_index_of[order]


@dataclass(frozen=True)
class Gaps:
    """Indices of the frames before gaps: without overlap with the next frame, and before missing frame numbers.

    `overlap` is the share of every frame in [0, 1] that the next one sees; empty for a single frame.
    """

    without_overlap: tuple[int, ...]
    missing_numbers: tuple[int, ...]
    overlap: Float[np.ndarray, " m"]


def gaps(sample: Sample, parameters: DiagnosisParameters = DiagnosisParameters()) -> Gaps:
    """Where consecutive frames have nothing in common, or their numbers leave some out."""
    overlap = neighbour_agreement(sample, parameters.depth_tolerance).overlap
    without = np.flatnonzero(overlap < parameters.gaps.min_overlap)
    return Gaps(tuple(without.tolist()), tuple(missing_numbers(sample.names, parameters.gaps)), overlap)


def missing_numbers(names: Sequence[str], parameters: GapParameters = GapParameters()) -> list[int]:
    """Indices of frames whose number is much farther from the next one's than usual; none if names are no numbers."""
    if not all(name.isdigit() for name in names) or len(names) < 3:
        return []
    steps = np.diff([int(name) for name in names])
    return [int(index) for index in np.flatnonzero(steps >= parameters.missing_steps * np.median(steps))]


def scene_extent(sample: Sample, parameters: DepthScaleParameters = DepthScaleParameters()) -> float:
    """The longest side (m) of the box around what was measured, without stray points; 0 without frames."""
    if not len(sample):
        return 0.0
    points = [
        points[::10] @ pose[:3, :3].T + pose[:3, 3] for points, pose in zip(sample.points, sample.poses, strict=True)
    ]
    joined = np.concatenate(points)
    if not len(joined):
        return 0.0
    percentiles = [parameters.extent_percentile, 100 - parameters.extent_percentile]
    return float(np.ptp(np.percentile(joined, percentiles, axis=0), axis=0).max())
