"""Which convention and offset of the raw poses, and which factors of depth and focal length, make the frames agree."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from typing import Final, get_args

import numpy as np
from jaxtyping import Float, Int

from panrecon.diagnosis.parameters import DepthScaleParameters, DiagnosisParameters, PoseSearchParameters
from panrecon.diagnosis.reprojection import Agreement, Pairs, agreement, inverses, rotation_angles
from panrecon.diagnosis.sample import Sample, with_focal_scaled
from panrecon.geometry.projective import as_world_from_camera
from panrecon.structures import Axes, PosesAre

STATIC: Final = 1e4  # factor of the depth beside which any motion of the camera vanishes


@dataclass(frozen=True)
class PoseHypothesis:
    """What the files may mean: image i has raw pose i + `offset`; depth and focal length are multiplied by factors."""

    poses_are: PosesAre = "camera_to_world"
    axes: Axes = "opencv"
    offset: int = 0
    depth_factor: float = 1.0
    focal_factor: float = 1.0

    @property
    def convention(self) -> str:
        """Direction and axes in words."""
        return f"{self.poses_are.replace('_', ' ')}, {'OpenCV' if self.axes == 'opencv' else 'OpenGL'} axes"


@dataclass(frozen=True)
class ScoredHypothesis:
    """A hypothesis and the mean share of agreement in [0, 1] that it gives frame pairs."""

    hypothesis: PoseHypothesis
    share: float


@dataclass(frozen=True)
class PoseSearch:
    """The hypotheses accepted one after the other, the first as stated, the last the best.

    `share_of_convention` compares the four conventions, the rest as in the best hypothesis; `static_share` is the
    share at the best one if the camera is assumed to be static; `fit` and `overlap` are means there: the fit of the
    pairs that overlap, and the overlap of all. All are 0 where there are no pairs.
    """

    steps: tuple[ScoredHypothesis, ...]
    share_of_convention: Mapping[str, float]
    static_share: float
    fit: float
    overlap: float

    @property
    def stated(self) -> PoseHypothesis:
        """The hypothesis that the search started from."""
        return self.steps[0].hypothesis

    @property
    def best(self) -> PoseHypothesis:
        """The hypothesis with the largest share."""
        return self.steps[-1].hypothesis

    @property
    def share(self) -> float:
        """The share of the best hypothesis."""
        return self.steps[-1].share


@dataclass(frozen=True)
class RawPoses:
    """The poses of all files as they are written, not finite where there is none, and the index of each frame's own."""

    poses: Float[np.ndarray, "N 4 4"]
    pose_of_frame: Int[np.ndarray, " n"]

    def world_from_camera(self, hypothesis: PoseHypothesis) -> Float[np.ndarray, "n 4 4"]:
        """The frames' poses under a hypothesis; not finite where it gives them none."""
        pose_index = self.pose_of_frame + hypothesis.offset
        exists = (pose_index >= 0) & (pose_index < len(self.poses))
        result = np.full((len(pose_index), 4, 4), np.nan)
        result[exists] = self._in_convention(hypothesis)[pose_index[exists]]
        return result

    def _in_convention(self, hypothesis: PoseHypothesis) -> Float[np.ndarray, "N 4 4"]:
        key = (hypothesis.poses_are, hypothesis.axes)
        if key not in self._cache:
            self._cache[key] = np.stack([as_world_from_camera(pose, *key) for pose in self.poses])
        return self._cache[key]

    @cached_property
    def _cache(self) -> dict[tuple[PosesAre, Axes], Float[np.ndarray, "N 4 4"]]:
        return {}


def apply_hypothesis(sample: Sample, raw_poses: RawPoses, hypothesis: PoseHypothesis) -> Sample:
    """The frames that have a pose under a hypothesis, with it, and with depth and focal length multiplied."""
    poses = raw_poses.world_from_camera(hypothesis)
    with_pose = np.flatnonzero(np.isfinite(poses).all(axis=(1, 2))).tolist()
    posed = sample.with_poses(poses).subset(with_pose)
    return posed.with_depth_scaled(hypothesis.depth_factor).with_focal_scaled(hypothesis.focal_factor)


def search_poses(
    sample: Sample,
    raw_poses: RawPoses,
    stated: PoseHypothesis,
    depth_scale: float,
    parameters: DiagnosisParameters = DiagnosisParameters(),
) -> PoseSearch:
    """Greedy search from the stated hypothesis on: changes one aspect at a time, the one that raises agreement most.

    Ends when no change raises it clearly. `depth_scale` (units a metre) is that of the sample's depth.
    """
    search = parameters.pose_search
    pairs = frame_pairs(sample, search)
    if not pairs:
        return PoseSearch((ScoredHypothesis(stated, 0.0),), {}, 0.0, 0.0, 0.0)
    scorer = _Scorer(sample, raw_poses, pairs, parameters)
    steps = [scorer.scored(stated)]
    while len(steps) <= search.max_changes:
        last = steps[-1]
        coarse = _best(scorer.scored(changed) for changed in _changes(last.hypothesis, depth_scale, search))
        refined = _refinements(coarse.hypothesis, last.hypothesis, search)
        best = _best(scorer.scored(hypothesis) for hypothesis in refined)
        if best.share < search.min_gain * last.share + search.min_gain_absolute:
            break
        steps.append(best)
    best_hypothesis = steps[-1].hypothesis
    conventions = {option.convention: scorer.share(option) for option in _conventions(best_hypothesis)}
    static = replace(best_hypothesis, depth_factor=best_hypothesis.depth_factor * STATIC)
    fit, overlap = scorer.fit_and_overlap(best_hypothesis)
    return PoseSearch(tuple(steps), conventions, scorer.share(static), fit, overlap)


def snapped_depth_scale(
    depth_scale: float,
    depth_factor: float,
    common_scales: tuple[float, ...] = PoseSearchParameters.common_depth_scales,
    parameters: DepthScaleParameters = DepthScaleParameters(),
) -> float:
    """Units a metre of depth that is `depth_factor` times as large as stated; a common scale if one is near."""
    estimate = depth_scale / depth_factor
    common = min(common_scales, key=lambda scale: abs(np.log(scale / estimate)))
    is_common = abs(np.log(common / estimate)) < parameters.common_scale_tolerance
    return common if is_common else float(f"{estimate:.4g}")


def frame_pairs(sample: Sample, parameters: PoseSearchParameters = PoseSearchParameters()) -> Pairs:
    """Evenly spaced pairs within which the camera rotates by `rotation_deg`; it does so in every convention."""
    count = len(sample)
    longest = max(int(count * parameters.max_gap), 1)
    angles = [float(np.median(rotation_angles(sample.poses, gap))) for gap in range(1, longest + 1) if gap < count]
    if not angles:
        return []
    wide_enough = (index for index, angle in enumerate(angles) if angle > np.radians(parameters.rotation_deg))
    gap = 1 + next(wide_enough, int(np.argmax(angles)))
    return [
        (first, first + multiple * gap)
        for multiple in (1, 2)
        for first in _evenly_spaced(count - multiple * gap, parameters.pairs)
    ]


class _Scorer:
    """Scores hypotheses by the same pairs of frames."""

    def __init__(self, sample: Sample, raw_poses: RawPoses, pairs: Pairs, parameters: DiagnosisParameters) -> None:
        first, second = ([pair[side] for pair in pairs] for side in range(2))
        self.camera = sample.camera
        self.points = sample.points[first][:, :: parameters.pose_search.point_stride]
        self.depth = np.stack([sample.frames[index].depth for index in second])
        self.first = RawPoses(raw_poses.poses, raw_poses.pose_of_frame[first])
        self.second = RawPoses(raw_poses.poses, raw_poses.pose_of_frame[second])
        self.tolerance = parameters.depth_tolerance
        self.min_pair_overlap = parameters.pose_search.min_pair_overlap

    def scored(self, hypothesis: PoseHypothesis) -> ScoredHypothesis:
        return ScoredHypothesis(hypothesis, self.share(hypothesis))

    def share(self, hypothesis: PoseHypothesis) -> float:
        """The mean share of agreement."""
        share = self._agreement(hypothesis).share
        return float(share.mean()) if len(share) else 0.0

    def fit_and_overlap(self, hypothesis: PoseHypothesis) -> tuple[float, float]:
        """The mean fit of pairs that overlap, and the mean overlap of all."""
        pairs = self._agreement(hypothesis)
        fit = pairs.fit[pairs.overlap >= self.min_pair_overlap]
        return float(fit.mean()) if len(fit) else 0.0, float(pairs.overlap.mean()) if len(pairs.overlap) else 0.0

    def _agreement(self, hypothesis: PoseHypothesis) -> Agreement:
        """Over the pairs whose frames have poses. To multiply depth is to divide translations."""
        first = self.first.world_from_camera(hypothesis)
        second = self.second.world_from_camera(hypothesis)
        is_posed = np.isfinite(first).all(axis=(1, 2)) & np.isfinite(second).all(axis=(1, 2))
        motion = inverses(second[is_posed]) @ first[is_posed]
        motion[:, :3, 3] /= hypothesis.depth_factor
        points = self.points[is_posed] / np.array([hypothesis.focal_factor, hypothesis.focal_factor, 1.0], np.float32)
        camera = with_focal_scaled(self.camera, hypothesis.focal_factor)
        return agreement(points, self.depth[is_posed], motion, camera, self.tolerance)


def _best(scored: Iterator[ScoredHypothesis]) -> ScoredHypothesis:
    """The first of those with the largest share."""
    return max(scored, key=lambda candidate: candidate.share)


def _evenly_spaced(count: int, at_most: int) -> list[int]:
    return sorted({int(index) for index in np.linspace(0, count - 1, at_most)}) if count > 0 else []


def _conventions(hypothesis: PoseHypothesis) -> list[PoseHypothesis]:
    return [
        replace(hypothesis, poses_are=poses_are, axes=axes)
        for poses_are, axes in product(get_args(PosesAre), get_args(Axes))
    ]


def _changes(
    hypothesis: PoseHypothesis, depth_scale: float, parameters: PoseSearchParameters
) -> Iterator[PoseHypothesis]:
    """Every convention with every offset, every depth factor, every focal factor."""
    for option, offset in product(_conventions(hypothesis), range(-parameters.max_offset, parameters.max_offset + 1)):
        yield replace(option, offset=offset)
    depth_factors = np.geomspace(*parameters.depth_factors, parameters.depth_factor_steps)
    to_common = (depth_scale / (common * hypothesis.depth_factor) for common in parameters.common_depth_scales)
    for factor in (*depth_factors, *to_common):
        yield replace(hypothesis, depth_factor=hypothesis.depth_factor * float(factor))
    for factor in np.geomspace(*parameters.focal_factors, parameters.focal_factor_steps):
        yield replace(hypothesis, focal_factor=hypothesis.focal_factor * float(factor))


def _refinements(
    changed: PoseHypothesis, before: PoseHypothesis, parameters: PoseSearchParameters
) -> Iterator[PoseHypothesis]:
    """The changed hypothesis, and small changes of the factor that it changed."""
    yield changed
    for factor in np.linspace(*parameters.refinement, parameters.refinement_steps):
        if changed.depth_factor != before.depth_factor:
            yield replace(changed, depth_factor=changed.depth_factor * float(factor))
        if changed.focal_factor != before.focal_factor:
            yield replace(changed, focal_factor=changed.focal_factor * float(factor))
