"""What is wrong with poses: their convention, their place in time, frozen and jumping ones; and the depth's scale."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final

import numpy as np
from jaxtyping import Bool

from panrecon.diagnosis.findings import SKIP, Finding, some
from panrecon.diagnosis.pose_hypotheses import POOR, UNTOLD, USUAL, USUAL_WITHIN, Judged, Reading
from panrecon.diagnosis.reprojection import neighbours, of_pairs
from panrecon.diagnosis.sample import Sample
from panrecon.structures import Camera

SAME_POSE: Final = 1e-6  # m and sines of angles: closer than any tracker repeats itself
SAME_IMAGE: Final = 3.0  # shades of gray, mean of the small images; a still camera's noise is under 1
# Of neighbours in unbroken scans at least 71 % of the common points agree, and they see 34 % of each other.
MISFIT: Final = 0.45
APART: Final = 0.1
SPARSE: Final = 0.35  # of a frame that the next one sees; the sparsest good scan has 0.58
LONGEST_JUMP: Final = 10  # frames away and back
HUGE, TINY = 100.0, 0.3  # m: no indoor scan is this large or small
BREAKS: Final = "the surface falls apart into sheets, and masks vote on the wrong places"


def pose_findings(judged: Judged, cameras: tuple[Camera, Camera], depth_scale: float, sample: Sample) -> list[Finding]:
    """Convention, offset, depth scale and focal length, each with what the agreement of depth says of it.

    `cameras` are those of the whole depth and colour images.
    """
    start, best = judged.readings[0][0], judged.best
    if best == start and judged.seen < SPARSE:
        sentence = f"Frames see only {judged.seen:.0%} of each other: conventions and scale cannot be told."
        return [Finding("poses", "note", sentence)]
    if judged.fit < POOR:
        return [
            Finding(
                "poses",
                "wrong",
                f"Frames agree at only {judged.fit:.0%} of the points that they share, in no convention at more.",
                f"{BREAKS}; export poses, depth and intrinsics of the same recording again",
            )
        ]
    gain = {aspect: _gain(judged, aspect) for aspect in ("convention", "offset", "depth", "focal")}
    return [
        _convention(judged, start, best, gain["convention"]),
        _offset(start, best, gain["offset"]),
        _scale(judged, start, best, gain["depth"], depth_scale, sample),
        _focal(start, best, gain["focal"], cameras),
    ]


def _gain(judged: Judged, aspect: str) -> str:
    """From which share to which a change of this aspect brings the agreement."""
    for (before, low), (after, high) in pairwise(judged.readings):
        if getattr(before, aspect) != getattr(after, aspect):
            return f"frames then agree at {high:.0%} of their points instead of {low:.0%}"
    return ""


def _convention(judged: Judged, start: Reading, best: Reading, gain: str) -> Finding:
    ranked = sorted(judged.conventions.items(), key=lambda item: -item[1])
    ranking = ", ".join(f"{name} {share:.0%}" for name, share in ranked)
    if best.convention == start.convention:
        return Finding("pose convention", "fine", f"Agreement of depth between frames: {ranking}.")
    keys = {"scan.poses_are": (start.poses_are, best.poses_are), "scan.axes": (start.axes, best.axes)}
    repair = {key: new for key, (old, new) in keys.items() if old != new}
    return Finding(
        "pose convention",
        "wrong",
        f"Poses are {best.convention}, not {start.convention}: {gain} ({ranking}).",
        BREAKS,
        repair,
    )


def _offset(start: Reading, best: Reading, gain: str) -> Finding:
    if best.offset == start.offset:
        return Finding("time offset", "fine", "Images and poses belong together: another offset agrees less.")
    n = best.offset - start.offset
    way = "later" if n > 0 else "earlier"
    return Finding(
        "time offset",
        "wrong",
        f"Every image has the pose of a file {abs(n)} frames {way}: {gain}.",
        BREAKS,
        {"scan.pose_offset": best.offset},
    )


def _scale(judged: Judged, start: Reading, best: Reading, gain: str, depth_scale: float, sample: Sample) -> Finding:
    size = room_size(sample)
    if best.depth == start.depth:
        if judged.standing > UNTOLD * judged.share:
            return Finding(
                "depth scale",
                "note",
                f"The depth scale {depth_scale:g} cannot be told from the motion: the camera hardly moves "
                f"(agreement {judged.share:.0%}, {judged.standing:.0%} if it stood still).",
            )
        if not TINY < size < HUGE:
            return Finding(
                "depth scale",
                "wrong",
                f"Depth and poses are of one scale, but the scan is {size:.3g} m across; write poses in metres.",
                "voxels of 2 cm are far too large or too small for it",
            )
        return Finding(
            "depth scale", "fine", f"{depth_scale:g} units a metre fit the motion; the scan is {size:.1f} m across."
        )
    found = depth_scale / best.depth
    usual = min(USUAL, key=lambda scale: abs(np.log(scale / found)))
    scale = usual if abs(np.log(usual / found)) < USUAL_WITHIN else float(f"{found:.4g}")
    factor = scale / depth_scale
    wrong = f"{factor:.3g} times too big" if factor > 1 else f"{1 / factor:.3g} times too small"
    return Finding(
        "depth scale",
        "wrong",
        f"Depth has {scale:g} units a metre, not {depth_scale:g}: {gain}; the room would be {wrong}.",
        "every frame's surface lies elsewhere, and sizes in metres are wrong",
        {"scan.depth_scale": scale},
    )


def _focal(start: Reading, best: Reading, gain: str, cameras: tuple[Camera, Camera]) -> Finding:
    camera, color_camera = cameras
    if best.focal == start.focal:
        return Finding("intrinsics", "fine", f"The depth camera's focal length {camera.fx:.1f} px fits the motion.")
    factor = best.focal / start.focal
    values = [round(value, 3) for value in (camera.fx * factor, camera.fy * factor, camera.cx, camera.cy)]
    kinds = ("depth", "color") if color_camera == camera else ("depth",)  # what is stated once is wrong for both
    return Finding(
        "intrinsics",
        "wrong",
        f"The depth camera's focal length is about {camera.fx * factor:.0f} px, not {camera.fx:.0f}: {gain}.",
        "surfaces are bent and doubled",
        {f"scan.{kind}_intrinsics": values for kind in kinds},
    )


def room_size(sample: Sample) -> float:
    """The longest side of the box around nine tenths of what was measured, m."""
    if not len(sample):
        return 0.0
    points = [
        points[::10] @ pose[:3, :3].T + pose[:3, 3] for points, pose in zip(sample.points, sample.poses, strict=True)
    ]
    joined = np.concatenate(points)
    return float(np.ptp(np.percentile(joined, [5, 95], axis=0), axis=0).max()) if len(joined) else 0.0


def frozen(sample: Sample) -> Finding:
    """Frames that have the very pose of the frame before although something else is seen."""
    same = np.abs(np.diff(sample.poses, axis=0)).max(axis=(1, 2)) < SAME_POSE
    repeated = [int(row) + 1 for row in np.flatnonzero(same)]
    moved = [row for row in repeated if _difference(sample, row) > SAME_IMAGE]
    names = [sample.names[row] for row in repeated]
    if moved:
        return Finding(
            "duplicate poses",
            "wrong",
            f"{len(repeated)} of {len(sample)} frames have exactly the pose of the frame before, {len(moved)} of them "
            f"while the image moves: {some(names)}.",
            "tracking had stopped: their surface is fused into the wrong place",
            {SKIP: names},
        )
    if repeated:
        return Finding(
            "duplicate poses", "note", f"{len(repeated)} frames are there twice, images and poses: {some(names)}."
        )
    return Finding("duplicate poses", "fine", "No pose occurs twice in a row.")


def _difference(sample: Sample, row: int) -> float:
    """Of a frame's image from the one before, shades of gray; whatever is larger of the run of equal poses counts."""
    return float(np.abs(sample.frames[row].gray - sample.frames[row - 1].gray).mean())


def jumps(sample: Sample) -> Finding:
    """Frames whose pose does not fit the frames before and behind, which fit each other."""
    beside = neighbours(sample)
    if len(sample) < 3 or np.median(beside.seen) < SPARSE:
        return Finding("jumping poses", "note", "Neighbours share too little for jumps to be told.")
    fits = (beside.seen >= APART) & (beside.fit >= MISFIT)
    skipped: list[int] = []
    places: list[str] = []
    row = 0
    for broken in np.flatnonzero(~fits).tolist():
        if broken < row:  # on the way back already
            continue
        back = _back(sample, fits, broken)
        row = broken + back
        if back:
            skipped += range(broken + 1, row)
        elif beside.seen[broken] < APART:
            continue  # nothing in common: a gap of the walk
        elif broken == 0 and fits[1]:
            skipped.append(0)
        elif broken == len(fits) - 1:
            skipped.append(broken + 1)
        else:
            places.append(f"{sample.names[broken]}-{sample.names[broken + 1]}")
    return _jump_finding(sample, skipped, places, float(beside.fit.min()))


def _back(sample: Sample, fits: Bool[np.ndarray, " m"], row: int) -> int:
    """After how many frames, the last step of which does not fit either, a frame fits this one again; 0: not soon."""
    ends = range(row + 2, min(row + 2 + LONGEST_JUMP, len(sample)))
    return next((end - row for end in ends if not fits[end - 1] and _fits(sample, row, end)), 0)


def _fits(sample: Sample, first: int, second: int) -> bool:
    found = of_pairs(sample, [(first, second)])
    return bool(found.seen[0] >= APART and found.fit[0] >= MISFIT)


def _jump_finding(sample: Sample, skipped: Sequence[int], places: Sequence[str], least: float) -> Finding:
    names = [sample.names[row] for row in skipped]
    repair: dict[str, Any] | None = {SKIP: names} if names and not places else None
    if names or places:
        away = f"the poses of {len(names)} of {len(sample)} frames jump away and back: {some(names)}" if names else ""
        apart = f"the poses on the two sides of {some(places)} do not fit together" if places else ""
        sentence = " and ".join(part for part in (away, apart) if part)
        return Finding(
            "jumping poses",
            "wrong",
            f"{sentence[0].upper()}{sentence[1:]} (under {MISFIT:.0%} of common points agree).",
            "their surface is fused into the wrong place; objects are doubled",
            repair or ({SKIP: names} if names else None),
        )
    return Finding("jumping poses", "fine", f"At least {least:.0%} of what neighbours share agrees.")
