"""Which reading of the stated poses, depth and focal length makes the frames agree."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from typing import Final, get_args

import numpy as np
from jaxtyping import Float, Int

from panrecon.diagnosis.reprojection import Agreement, Pairs, agreement, angles, inverses
from panrecon.diagnosis.sample import Sample, zoomed
from panrecon.geometry.projective import as_world_from_camera
from panrecon.structures import Axes, PosesAre

PAIRS: Final = 24  # of frames a gap apart, and as many two gaps apart
TURN: Final = np.radians(10)  # of the camera within a gap: enough to tell readings apart, little enough to overlap
THINNED: Final = 3  # every third point of a frame judges readings
OFFSETS: Final = range(-5, 6)
USUAL: Final = (1000.0, 5000.0, 6553.5, 4000.0, 256.0, 1.0)  # units per metre: mm, TUM, Replica, Redwood, KITTI, m
SCALES: Final = np.geomspace(0.05, 20, 61)  # 10 % apart
FOCALS: Final = np.geomspace(0.6, 1.67, 21)  # 5 % apart
FINE: Final = np.linspace(0.94, 1.06, 25)
USUAL_WITHIN: Final = 0.04  # a found scale is told to 1 or 2 %
# On the unbroken demo, rendered and real scans a wrong reading reaches at most 0.6 of the right one's share (offsets by
# one frame), a scale off by 12 % 0.85, and the right one 0.42 to 0.72. A slow camera's offsets differ less.
BETTER: Final = 1.05
BETTER_BY: Final = 0.01
POOR: Final = 0.5  # a fit below is no agreement
SEEN: Final = 0.1  # of a frame; less says nothing
UNTOLD: Final = 0.9  # of the share that is kept when the camera is taken to stand still: it hardly moves


@dataclass(frozen=True)
class Reading:
    """How the files are understood; depth and focal lengths are multiplied by `depth` and `focal`."""

    poses_are: PosesAre = "camera_to_world"
    axes: Axes = "opencv"
    offset: int = 0
    depth: float = 1.0
    focal: float = 1.0

    @property
    def convention(self) -> str:
        return f"{self.poses_are.replace('_', ' ')}, {'OpenCV' if self.axes == 'opencv' else 'OpenGL'} axes"


@dataclass(frozen=True)
class Judged:
    """The readings found, one change after the other from the stated one on, with the share of agreement of each; how
    the four conventions compare at the end; the share if the camera stood still; and at the best reading the mean `fit`
    and `seen` of the pairs that see each other.
    """

    readings: tuple[tuple[Reading, float], ...]
    conventions: Mapping[str, float]
    standing: float
    fit: float
    seen: float

    @property
    def best(self) -> Reading:
        return self.readings[-1][0]

    @property
    def share(self) -> float:
        return self.readings[-1][1]


@dataclass(frozen=True)
class Stated:
    """Poses as all files state them, not finite where there is none, and which of them each sampled frame has."""

    poses: Float[np.ndarray, "N 4 4"]
    row: Int[np.ndarray, " n"]

    def read(self, reading: Reading) -> Float[np.ndarray, "n 4 4"]:
        """World from camera of the sampled frames; not finite where the reading gives them none."""
        rows = self.row + reading.offset
        there = (rows >= 0) & (rows < len(self.poses))
        found = np.full((len(rows), 4, 4), np.nan)
        found[there] = self._in_convention(reading)[rows[there]]
        return found

    def _in_convention(self, reading: Reading) -> Float[np.ndarray, "N 4 4"]:
        key = (reading.poses_are, reading.axes)
        if key not in self._cache:
            self._cache[key] = np.stack([as_world_from_camera(pose, *key) for pose in self.poses])
        return self._cache[key]

    @cached_property
    def _cache(self) -> dict[tuple[PosesAre, Axes], Float[np.ndarray, "N 4 4"]]:
        return {}


def understood(sample: Sample, stated: Stated, reading: Reading) -> Sample:
    """The frames to which a reading gives a pose, with it."""
    poses = stated.read(reading)
    rows = np.flatnonzero(np.isfinite(poses).all(axis=(1, 2))).tolist()
    return sample.with_poses(poses).of(rows).scaled(reading.depth).zoomed(reading.focal)


def judge(sample: Sample, stated: Stated, start: Reading, depth_scale: float) -> Judged:
    """Changes the reading one aspect at a time, always the one that makes frames agree most, as long as it helps."""
    pairs = frame_pairs(sample)
    if not pairs:
        return Judged(((start, 0.0),), {}, 0.0, 0.0, 0.0)
    jury = _Jury(sample, stated, pairs)
    found = [(start, jury.share(start))]
    while len(found) <= 4:
        reading, share = found[-1]
        options = [(option, jury.share(option)) for option in _changes(reading, depth_scale)]
        best, best_share = max(options, key=lambda option: option[1])
        best, best_share = max([(fine, jury.share(fine)) for fine in _finer(best, reading)], key=lambda o: o[1])
        if best_share < BETTER * share + BETTER_BY:
            break
        found.append((best, best_share))
    last = found[-1][0]
    conventions = {option.convention: jury.share(option) for option in _conventions(last)}
    return Judged(
        tuple(found), conventions, jury.share(replace(last, depth=last.depth * 1e4)), *jury.fit_and_seen(last)
    )


def frame_pairs(sample: Sample) -> Pairs:
    """Pairs within which the camera turns by `TURN`, evenly spread; it turns as much in every convention."""
    count = len(sample)
    longest = max(count // 5, 1)
    turns = [float(np.median(angles(sample.poses, gap))) for gap in range(1, longest + 1) if gap < count]
    if not turns:
        return []
    gap = 1 + next((n for n, turn in enumerate(turns) if turn > TURN), int(np.argmax(turns)))
    spread = [(first, first + n * gap) for n in (1, 2) for first in _evenly(count - n * gap)]
    return [pair for pair in spread if pair[1] < count]


class _Jury:
    """Judges readings by the same pairs of frames."""

    def __init__(self, sample: Sample, stated: Stated, pairs: Pairs) -> None:
        first, second = ([pair[side] for pair in pairs] for side in range(2))
        self.camera = sample.camera
        self.points = sample.points[first][:, ::THINNED]
        self.depth = np.stack([sample.frames[row].depth for row in second])
        self.first, self.second = (Stated(stated.poses, stated.row[rows]) for rows in (first, second))

    def share(self, reading: Reading) -> float:
        """The mean share of agreement."""
        found = self._agreement(reading)
        return float(found.share.mean()) if len(found.share) else 0.0

    def fit_and_seen(self, reading: Reading) -> tuple[float, float]:
        """The mean fit of pairs that see each other, and the mean share that all see."""
        found = self._agreement(reading)
        fit = found.fit[found.seen >= SEEN]
        return float(fit.mean()) if len(fit) else 0.0, float(found.seen.mean()) if len(found.seen) else 0.0

    def _agreement(self, reading: Reading) -> Agreement:
        """Over the pairs whose frames have poses. Depth is as good as multiplied if shifts are divided."""
        first, second = self.first.read(reading), self.second.read(reading)
        there = np.isfinite(first).all(axis=(1, 2)) & np.isfinite(second).all(axis=(1, 2))
        motion = inverses(second[there]) @ first[there]
        motion[:, :3, 3] /= reading.depth
        points = self.points[there] / np.array([reading.focal, reading.focal, 1.0], np.float32)
        return agreement(points, self.depth[there], motion, zoomed(self.camera, reading.focal))


def _evenly(count: int) -> list[int]:
    return sorted({int(n) for n in np.linspace(0, count - 1, PAIRS)}) if count > 0 else []


def _conventions(reading: Reading) -> list[Reading]:
    return [
        replace(reading, poses_are=poses_are, axes=axes)
        for poses_are, axes in product(get_args(PosesAre), get_args(Axes))
    ]


def _changes(reading: Reading, depth_scale: float) -> Iterator[Reading]:
    """Every other convention with every offset, every depth scale, every focal length."""
    for option, offset in product(_conventions(reading), OFFSETS):
        yield replace(option, offset=offset)
    for factor in (*SCALES, *(depth_scale / (usual * reading.depth) for usual in USUAL)):
        yield replace(reading, depth=reading.depth * float(factor))
    for factor in FOCALS:
        yield replace(reading, focal=reading.focal * float(factor))


def _finer(best: Reading, before: Reading) -> Iterator[Reading]:
    yield best
    for factor in FINE:
        if best.depth != before.depth:
            yield replace(best, depth=best.depth * float(factor))
        if best.focal != before.focal:
            yield replace(best, focal=best.focal * float(factor))
