"""Estimators of poses that repeat themselves while the camera moves, and of poses that jump."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from panrecon.diagnosis.parameters import DiagnosisParameters, PoseJumpParameters, StuckPoseParameters
from panrecon.diagnosis.reprojection import Agreement, neighbour_agreement, pair_agreement
from panrecon.diagnosis.sample import Sample


@dataclass(frozen=True)
class StuckPoses:
    """Indices of frames with exactly the pose of the frame before, and of those among them whose image differs."""

    repeated: tuple[int, ...]
    moving: tuple[int, ...]


def stuck_poses(sample: Sample, parameters: StuckPoseParameters = StuckPoseParameters()) -> StuckPoses:
    """Frames that repeat the pose of the frame before."""
    is_same = np.abs(np.diff(sample.poses, axis=0)).max(axis=(1, 2)) < parameters.max_pose_change
    repeated = [int(index) + 1 for index in np.flatnonzero(is_same)]
    moving = [index for index in repeated if _image_change(sample, index) > parameters.min_image_change]
    return StuckPoses(tuple(repeated), tuple(moving))


def _image_change(sample: Sample, frame_index: int) -> float:
    """Mean absolute difference of a frame's gray values (of 255) to the frame before."""
    return float(np.abs(sample.frames[frame_index].gray - sample.frames[frame_index - 1].gray).mean())


@dataclass(frozen=True)
class PoseJumps:
    """Indices of frames whose poses jump away and back, and of the last frames before jumps without a way back.

    `min_fit` is the least fit of neighbours, `usual_fit` their median, `jump_fit` the highest at a jump, and
    `median_overlap` their median overlap, all in [0, 1]; 0 for fewer than three frames.
    """

    away: tuple[int, ...]
    breaks: tuple[int, ...]
    min_fit: float
    usual_fit: float
    jump_fit: float
    median_overlap: float


def pose_jumps(sample: Sample, parameters: DiagnosisParameters = DiagnosisParameters()) -> PoseJumps:
    """Frames whose poses do not fit those before and behind, although they see the same surface.

    Neighbours without overlap are gaps of the trajectory and no jumps, unless a later frame fits again.
    """
    if len(sample) < 3:
        return PoseJumps((), (), 0.0, 0.0, 0.0, 0.0)
    limits = parameters.pose_jumps
    neighbours = neighbour_agreement(sample, parameters.depth_tolerance)
    fits = _fits(neighbours, limits)
    away: list[int] = []
    breaks: list[int] = []
    next_index = 0
    for before in np.flatnonzero(~fits).tolist():
        if before < next_index:  # on the way back already
            continue
        frames_away = _frames_until_back(sample, fits, before, parameters)
        next_index = before + frames_away
        if frames_away:
            away += range(before + 1, next_index)
        elif neighbours.overlap[before] < limits.min_overlap:
            continue
        elif before == 0 and fits[1]:
            away.append(0)
        elif before == len(fits) - 1:
            away.append(before + 1)
        else:
            breaks.append(before)
    seen = neighbours.fit[neighbours.agreeing + neighbours.conflicting > 0]
    jumps = neighbours.fit[~fits & (neighbours.overlap >= limits.min_overlap)]
    return PoseJumps(
        tuple(away),
        tuple(breaks),
        min_fit=float(seen.min(initial=1.0)),
        usual_fit=float(np.median(seen)) if len(seen) else 0.0,
        jump_fit=float(jumps.max(initial=0.0)),
        median_overlap=float(np.median(neighbours.overlap)),
    )


def _frames_until_back(
    sample: Sample, fits: Bool[np.ndarray, " m"], before: int, parameters: DiagnosisParameters
) -> int:
    """After how many frames, of which the last step does not fit either, a frame fits this one; 0 = not soon."""
    last = min(before + 2 + parameters.pose_jumps.max_frames, len(sample))
    for after in range(before + 2, last):
        if not fits[after - 1]:
            pair = pair_agreement(sample, [(before, after)], parameters.depth_tolerance)
            if _fits(pair, parameters.pose_jumps)[0]:
                return after - before
    return 0


def _fits(pairs: Agreement, parameters: PoseJumpParameters) -> Bool[np.ndarray, " k"]:
    is_told = pairs.agreeing + pairs.conflicting >= parameters.min_told * np.maximum(pairs.points, 1)
    return np.asarray(~is_told | (pairs.fit >= parameters.min_fit)) & (pairs.overlap >= parameters.min_overlap)
