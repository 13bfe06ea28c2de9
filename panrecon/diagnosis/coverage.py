"""Estimators of the scene's extent, of how often its surface is seen, and of gaps in the trajectory."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from panrecon.diagnosis.parameters import (
    CoverageParameters,
    DepthScaleParameters,
    DiagnosisParameters,
    GapParameters,
)
from panrecon.diagnosis.reprojection import neighbour_agreement, reproject
from panrecon.diagnosis.sample import Sample
from panrecon.geometry.projective import invert


@dataclass(frozen=True)
class Coverage:
    """Shares in [0, 1] of the seen surface: seen by enough frames, and seen again much later in the scan."""

    covered: float
    revisited: float


def coverage(sample: Sample, parameters: CoverageParameters = CoverageParameters()) -> Coverage:
    """How much of the surface several frames see: which frames see some points of every frame again.

    A point stands for the surface that its pixel covers, shared by the frames that see it.
    """
    frames = _evenly_spaced(len(sample), parameters.max_frames)
    points, origin = [], []
    for frame_index in frames:
        measured = sample.points[frame_index]
        measured = measured[measured[:, 2] > 0][:: max(sample.points_per_frame // parameters.points_per_frame, 1)]
        points.append(measured)
        origin.append(np.full(len(measured), frame_index))
    camera_points, first_seen = np.concatenate(points).astype(np.float64), np.concatenate(origin)
    if not len(camera_points):
        return Coverage(0.0, 0.0)
    poses = sample.poses[first_seen]
    world = np.einsum("pij,pj->pi", poses[:, :3, :3], camera_points) + poses[:, :3, 3]
    count = np.zeros(len(world))
    earliest, latest = first_seen.copy(), first_seen.copy()
    for frame_index in range(len(sample)):
        is_seen = _sees(sample, frame_index, world, parameters.depth_tolerance) | (first_seen == frame_index)
        count += is_seen
        earliest[is_seen] = np.minimum(earliest[is_seen], frame_index)
        latest[is_seen] = np.maximum(latest[is_seen], frame_index)
    area = camera_points[:, 2] ** 2 / count
    is_covered = count >= parameters.min_frames
    is_revisited = latest - earliest > parameters.revisit * len(sample)
    return Coverage(*(float(area[chosen].sum() / area.sum()) for chosen in (is_covered, is_revisited)))


def _sees(
    sample: Sample, frame_index: int, world: Float[np.ndarray, "p 3"], tolerance: float
) -> Bool[np.ndarray, " p"]:
    """Which points of the world (m) lie on the surface that a frame measures."""
    seen = reproject(world, invert(sample.poses[frame_index]), sample.camera, sample.frames[frame_index].depth)
    return (seen.measured > 0) & (np.abs(seen.measured - seen.depth) < tolerance * seen.depth)


def _evenly_spaced(count: int, at_most: int) -> list[int]:
    return sorted({int(index) for index in np.linspace(0, count - 1, at_most)})


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


@dataclass(frozen=True)
class SceneSize:
    """The longest side (m) of the box around what was measured, without stray points, and the median depth (m)."""

    extent: float
    median_depth: float


def scene_size(sample: Sample, parameters: DepthScaleParameters = DepthScaleParameters()) -> SceneSize:
    """How large and how far away the scene is; 0 without frames or without depth."""
    if not len(sample) or not (sample.points[..., 2] > 0).any():
        return SceneSize(0.0, 0.0)
    points = [
        points[::10] @ pose[:3, :3].T + pose[:3, 3] for points, pose in zip(sample.points, sample.poses, strict=True)
    ]
    joined = np.concatenate(points)
    percentiles = [parameters.extent_percentile, 100 - parameters.extent_percentile]
    extent = float(np.ptp(np.percentile(joined, percentiles, axis=0), axis=0).max())
    depth = sample.points[..., 2]
    return SceneSize(extent, float(np.median(depth[depth > 0])))
