"""What raw poses and depth may mean, and which meaning makes the frames agree with one another."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from typing import Final, Literal, get_args

import numpy as np
from jaxtyping import Bool, Float, Int

from panrecon.diagnosis.parameters import DepthScaleParameters, DiagnosisParameters, PoseSearchParameters
from panrecon.diagnosis.reprojection import Agreement, Pairs, agreement, rotation_angles
from panrecon.diagnosis.sample import Sample, with_focal_scaled
from panrecon.geometry.projective import pixel_directions
from panrecon.geometry.trajectory import PoseConvention, inverses, poses_at, world_from_cameras
from panrecon.structures import Axes, DepthAlong, PosesAre, QuaternionOrder

MIN_EXPLAINED: Final = 0.125  # of a better hypothesis' score; below, a hypothesis says nothing of what frames share
STATIC: Final = 1e4  # factor of the depth beside which any motion of the camera vanishes
Aspect = Literal["convention", "time", "depth_factor", "focal_factor", "depth_along"]


@dataclass(frozen=True)
class PoseHypothesis:
    """What the files may mean.

    Image i of n has the raw pose i + `offset` + `drift` i / (n - 1), whose unit is `pose_scale` metres; depth and focal
    length are multiplied by factors; depth is measured along the optical axis or along every pixel's ray.
    """

    poses_are: PosesAre = "camera_to_world"
    axes: Axes = "opencv"
    quaternions: QuaternionOrder = "xyzw"
    pose_scale: float = 1.0
    offset: float = 0.0
    drift: float = 0.0
    depth_factor: float = 1.0
    focal_factor: float = 1.0
    depth_along: DepthAlong = "axis"

    @property
    def convention(self) -> tuple[PosesAre, Axes, QuaternionOrder]:
        """Direction, axes, and order of quaternions."""
        return self.poses_are, self.axes, self.quaternions

    @property
    def time(self) -> tuple[float, float]:
        """Offset and drift."""
        return self.offset, self.drift

    @property
    def convention_in_words(self) -> str:
        """Direction and axes, and the order of quaternions where it is not the usual one."""
        axes = "OpenCV" if self.axes == "opencv" else "OpenGL"
        order = ", of quaternions in w-x-y-z order" if self.quaternions == "wxyz" else ""
        return f"{self.poses_are.replace('_', ' ')}, {axes} axes{order}"


@dataclass(frozen=True)
class ScoredHypothesis:
    """A hypothesis, and what the frame pairs say of it together.

    `fit` in [0, 1] is the share of agreeing points among those that could be seen again, `score` in [-1, 1] what
    agrees less what conflicts, as a share of all points; `overlap` in [0, 1] the mean share of points in view.
    """

    hypothesis: PoseHypothesis
    fit: float
    score: float
    overlap: float


@dataclass(frozen=True)
class Step:
    """A change of one aspect: the hypotheses before and after, and the fit of the best change of another aspect."""

    aspect: Aspect
    before: ScoredHypothesis
    after: ScoredHypothesis
    rival_fit: float

    @property
    def evidence(self) -> float:
        """By how much the log odds of agreement are higher than with any other explanation, none included.

        Where hardly a point of one frame is seen in another before the change, nothing is said for that.
        """
        explained = self.before.fit if self.before.score > MIN_EXPLAINED * self.after.score else 0.5
        return log_odds(self.after.fit) - log_odds(max(explained, self.rival_fit, 0.5))


@dataclass(frozen=True)
class PoseSearch:
    """The changes accepted one after the other, from the stated hypothesis to the best.

    `fit_of_convention` compares conventions, the rest as in the best hypothesis; `static_fit` is that of the best one
    if the camera is assumed to be static. Both are empty or 0 where there are no pairs.
    """

    stated: ScoredHypothesis
    steps: tuple[Step, ...]
    fit_of_convention: Mapping[str, float]
    static_fit: float

    @property
    def best(self) -> ScoredHypothesis:
        """The hypothesis that fits best."""
        return self.steps[-1].after if self.steps else self.stated


@dataclass(frozen=True)
class RawPoses:
    """The poses of all files as they are written, not finite where there is none, and the index of each frame's own."""

    poses: Float[np.ndarray, "N 4 4"]
    pose_of_frame: Int[np.ndarray, " n"]

    def world_from_camera(self, hypothesis: PoseHypothesis) -> Float[np.ndarray, "n 4 4"]:
        """The frames' poses under a hypothesis; not finite where it gives them none."""
        drifted = hypothesis.drift * self.pose_of_frame / max(len(self.poses) - 1, 1)
        return poses_at(self._in_convention(hypothesis), self.pose_of_frame + hypothesis.offset + drifted)

    def _in_convention(self, hypothesis: PoseHypothesis) -> Float[np.ndarray, "N 4 4"]:
        convention = PoseConvention(*hypothesis.convention, hypothesis.pose_scale)
        if convention not in self._cache:
            self._cache[convention] = world_from_cameras(self.poses, convention)
        return self._cache[convention]

    @cached_property
    def _cache(self) -> dict[PoseConvention, Float[np.ndarray, "N 4 4"]]:
        return {}


def apply_hypothesis(sample: Sample, raw_poses: RawPoses, hypothesis: PoseHypothesis) -> Sample:
    """The frames that have a pose under a hypothesis, with it, with depth along the axis, and with factors applied."""
    poses = raw_poses.world_from_camera(hypothesis)
    with_pose = np.flatnonzero(np.isfinite(poses).all(axis=(1, 2))).tolist()
    posed = sample.with_poses(poses).subset(with_pose).with_focal_scaled(hypothesis.focal_factor)
    along_axis = posed.with_depth_along_axis() if hypothesis.depth_along == "ray" else posed
    return along_axis.with_depth_scaled(hypothesis.depth_factor)


def search_poses(
    sample: Sample,
    raw_poses: RawPoses,
    stated: PoseHypothesis,
    depth_scale: float,
    parameters: DiagnosisParameters = DiagnosisParameters(),
) -> PoseSearch:
    """Greedy search from the stated hypothesis on: changes one aspect at a time, the one that raises the fit most.

    Ends when no change raises it clearly. `depth_scale` (units a metre) is that of the sample's depth.
    """
    search = parameters.pose_search
    pairs = frame_pairs(sample, search)
    if not pairs:
        return PoseSearch(ScoredHypothesis(stated, 0.0, 0.0, 0.0), (), {}, 0.0)
    scorer = _Scorer(sample, raw_poses, pairs, parameters, search.point_stride)
    coarse = _Scorer(sample, raw_poses, pairs, parameters, search.coarse_stride)
    scored_stated = scorer.scored(stated)
    steps: list[Step] = []
    while len(steps) < search.max_changes:
        last = steps[-1].after if steps else scored_stated
        step = _best_step(scorer, coarse, last, depth_scale, search)
        explains_nothing = last.score < MIN_EXPLAINED * step.after.score
        if not explains_nothing and (step.after.fit < last.fit + search.min_gain or step.after.score <= last.score):
            break
        steps.append(step)
    best = steps[-1].after.hypothesis if steps else stated
    conventions = {option.convention_in_words: scorer.scored(option).fit for option in _conventions(best)}
    static = replace(best, depth_factor=best.depth_factor * STATIC)
    return PoseSearch(scored_stated, tuple(steps), conventions, scorer.scored(static).fit)


def _best_step(
    scorer: "_Scorer",
    coarse: "_Scorer",
    last: ScoredHypothesis,
    depth_scale: float,
    parameters: PoseSearchParameters,
) -> Step:
    """The change of one aspect that fits best, its number refined; chosen within an aspect by the coarse scorer."""
    best_of_aspect = {}
    for aspect, hypotheses in _changes(last.hypothesis, depth_scale, parameters).items():
        roughly = _best(list(map(coarse.scored, hypotheses)), parameters)
        finely = map(coarse.scored, _refinements(roughly.hypothesis, aspect, parameters))
        best_of_aspect[aspect] = scorer.scored(_best([roughly, *finely], parameters).hypothesis)
    best = _best(list(best_of_aspect.values()), parameters)
    chosen = next(aspect for aspect, change in best_of_aspect.items() if change is best)
    least = parameters.min_score_to_best * best.score
    rivals = (change for aspect, change in best_of_aspect.items() if aspect != chosen and change.score >= least)
    return Step(chosen, last, best, max((rival.fit for rival in rivals), default=0.0))


def log_odds(share: float) -> float:
    """The logarithm of the odds of a share, which is kept a thousandth away from 0 and 1."""
    bounded = min(max(share, 1e-3), 1 - 1e-3)
    return float(np.log(bounded / (1 - bounded)))


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
    """Evenly spaced pairs, in both directions, between which the view changes enough, whatever the poses mean.

    That is, the camera rotates by `rotation_deg`, which it does in every convention, or depth changes at many pixels.
    """
    count = len(sample)
    longest = min(max(int(count * parameters.max_gap), 1), count - 1)
    is_wide_enough = (gap for gap in range(1, longest + 1) if _changes_enough(sample, gap, parameters))
    widest = next(is_wide_enough, longest)
    forward = [
        (first, first + gap)
        for gap in sorted({max(widest // 2, 1), widest, min(2 * widest, count - 1)})
        for first in _evenly_spaced(count - gap, parameters.pairs)
    ]
    return [*forward, *((second, first) for first, second in forward)]


def _changes_enough(sample: Sample, gap: int, parameters: PoseSearchParameters) -> bool:
    angle = float(np.nanmedian(rotation_angles(sample.poses, gap)))
    if angle > np.radians(parameters.rotation_deg):
        return True
    changed = []
    for first in _evenly_spaced(len(sample) - gap, parameters.pairs):
        before, after = sample.frames[first].depth, sample.frames[first + gap].depth
        is_measured = (before > 0) & (after > 0)
        ratio = before[is_measured] / after[is_measured]
        changed.append((np.abs(np.log(ratio)) > parameters.min_change).mean() if len(ratio) else 0.0)
    return float(np.median(changed)) > parameters.min_changed


class _Scorer:
    """Scores hypotheses by the same pairs of frames."""

    def __init__(
        self,
        sample: Sample,
        raw_poses: RawPoses,
        pairs: Pairs,
        parameters: DiagnosisParameters,
        point_stride: int,
    ) -> None:
        first, second = ([pair[side] for pair in pairs] for side in range(2))
        self.camera = sample.camera
        self.points = sample.points[first][:, ::point_stride]
        self.depth = np.stack([sample.frames[index].depth for index in second])
        self.first = RawPoses(raw_poses.poses, raw_poses.pose_of_frame[first])
        self.second = RawPoses(raw_poses.poses, raw_poses.pose_of_frame[second])
        self.tolerance = parameters.depth_tolerance
        self._posed: tuple[PoseHypothesis, Bool[np.ndarray, " k"], Float[np.ndarray, "m 4 4"]] | None = None

    def scored(self, hypothesis: PoseHypothesis) -> ScoredHypothesis:
        """The hypothesis with fit and overlap of all pairs together."""
        pairs = self._agreement(hypothesis)
        points = max(pairs.points.sum(), 1.0)
        agreeing = pairs.agreeing.sum()
        conflicting = pairs.conflicting.sum()
        fit = agreeing / max(agreeing + conflicting, 1e-9)
        return ScoredHypothesis(
            hypothesis, float(fit), float((agreeing - conflicting) / points), float(pairs.inside.sum() / points)
        )

    def _agreement(self, hypothesis: PoseHypothesis) -> Agreement:
        """Over the pairs whose frames have poses. To multiply depth is to divide translations."""
        is_posed, motion = self._motions(hypothesis)
        motion = motion.copy()
        motion[:, :3, 3] /= hypothesis.depth_factor
        points = self.points[is_posed] / np.array([hypothesis.focal_factor, hypothesis.focal_factor, 1.0], np.float32)
        depth = self.depth[is_posed]
        camera = with_focal_scaled(self.camera, hypothesis.focal_factor)
        if hypothesis.depth_along == "ray":
            lengths = np.linalg.norm(points / np.maximum(points[..., 2:], 1e-6), axis=-1, keepdims=True)
            points = points / np.where(points[..., 2:] > 0, lengths, 1)
            depth = depth / np.linalg.norm(pixel_directions(camera), axis=-1).astype(np.float32)
        return agreement(points.astype(np.float32), depth, motion, camera, self.tolerance)

    def _motions(self, hypothesis: PoseHypothesis) -> tuple[Bool[np.ndarray, " k"], Float[np.ndarray, "m 4 4"]]:
        """Which pairs have poses, and theirs of the first camera in the second's frame; kept, for many ask in a row."""
        poses_alone = replace(hypothesis, depth_factor=1.0, focal_factor=1.0, depth_along="axis")
        if self._posed is None or self._posed[0] != poses_alone:
            first = self.first.world_from_camera(hypothesis)
            second = self.second.world_from_camera(hypothesis)
            is_posed = np.isfinite(first).all(axis=(1, 2)) & np.isfinite(second).all(axis=(1, 2))
            self._posed = poses_alone, is_posed, inverses(second[is_posed]) @ first[is_posed]
        return self._posed[1:]


def _best(scored: Sequence[ScoredHypothesis], parameters: PoseSearchParameters) -> ScoredHypothesis:
    """The one that fits best, of those that explain enough of what the frames show."""
    highest = max(candidate.score for candidate in scored)
    least = min(parameters.min_score_to_best * highest, highest)
    return max((candidate for candidate in scored if candidate.score >= least), key=lambda candidate: candidate.fit)


def _evenly_spaced(count: int, at_most: int) -> list[int]:
    return sorted({int(index) for index in np.linspace(0, count - 1, at_most)}) if count > 0 else []


def _conventions(hypothesis: PoseHypothesis) -> list[PoseHypothesis]:
    return [
        replace(hypothesis, poses_are=poses_are, axes=axes, quaternions=quaternions)
        for poses_are, axes, quaternions in product(get_args(PosesAre), get_args(Axes), get_args(QuaternionOrder))
    ]


def _changes(
    hypothesis: PoseHypothesis, depth_scale: float, parameters: PoseSearchParameters
) -> dict[Aspect, list[PoseHypothesis]]:
    """Changes of every aspect: conventions, offsets and drifts, factors of depth and of the focal length."""
    offsets = range(-parameters.max_offset, parameters.max_offset + 1)
    depth_factors = (
        *np.geomspace(*parameters.depth_factors, parameters.depth_factor_steps),
        *(depth_scale / (common * hypothesis.depth_factor) for common in parameters.common_depth_scales),
        *parameters.pose_units,
        *(1 / unit for unit in parameters.pose_units),
    )
    halves = np.arange(-parameters.max_offset + 0.5, parameters.max_offset)
    focal_factors = np.geomspace(*parameters.focal_factors, parameters.focal_factor_steps)
    other: DepthAlong = "axis" if hypothesis.depth_along == "ray" else "ray"
    return {
        "convention": _conventions(hypothesis),
        "time": [
            replace(hypothesis, offset=float(offset), drift=float(end - offset))
            for offset, end in (*product(offsets, offsets), *((half, half) for half in halves))
            if (offset + end) % 1 == 0
        ],
        "depth_factor": [
            replace(hypothesis, depth_factor=hypothesis.depth_factor * float(factor)) for factor in depth_factors
        ],
        "focal_factor": [
            replace(hypothesis, focal_factor=hypothesis.focal_factor * float(factor)) for factor in focal_factors
        ],
        "depth_along": [replace(hypothesis, depth_along=other)],
    }


def _refinements(changed: PoseHypothesis, aspect: Aspect, parameters: PoseSearchParameters) -> Iterator[PoseHypothesis]:
    """Small changes of the number that is this aspect."""
    if aspect in ("depth_factor", "focal_factor"):
        value = getattr(changed, aspect)
        for factor in np.linspace(*parameters.refinement, parameters.refinement_steps):
            yield replace(changed, **{aspect: value * float(factor)})
    if aspect == "time":
        steps = np.linspace(-0.5, 0.5, 5).tolist()
        for offset, drift in product(steps, steps):
            yield replace(changed, offset=changed.offset + offset, drift=changed.drift + 2 * drift)
