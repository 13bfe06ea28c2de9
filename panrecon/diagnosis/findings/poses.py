"""Findings on lost poses, pose convention, time offset, depth scale and focal length."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from panrecon.diagnosis.finding import Finding, counted, listed
from panrecon.diagnosis.parameters import DiagnosisParameters
from panrecon.diagnosis.pose_hypotheses import PoseSearch, snapped_depth_scale
from panrecon.structures import Camera

EFFECT: Final = "the surface falls apart into sheets, and masks vote for the wrong surface"


def lost_poses_finding(lost: Sequence[str], count: int, are_skipped: bool) -> Finding:
    """Frames without a finite pose, of `count`; they are left out only if a setting says so."""
    if not lost:
        return Finding("lost poses", "fine", f"All {count} frames have a pose.")
    sentence = f"{len(lost)} of {count} frames have no pose (inf or nan): {listed(lost)}"
    if are_skipped:
        return Finding("lost poses", "note", f"{sentence}; they are left out.")
    return Finding("lost poses", "wrong", f"{sentence}.", "the pipeline stops", {"scan.skip_invalid_poses": True})


def pose_findings(
    search: PoseSearch,
    cameras: tuple[Camera, Camera],
    depth_scale: float,
    extent: float,
    parameters: DiagnosisParameters = DiagnosisParameters(),
) -> list[Finding]:
    """Convention, offset, depth scale and focal length; or one finding `poses` if frames do not agree at all.

    `cameras` are those of the whole depth and colour images, `depth_scale` the units a metre of the depth as read, and
    `extent` (m) is the scene's at the best hypothesis.
    """
    limits = parameters.pose_search
    if search.best == search.stated and search.overlap < limits.min_overlap:
        sentence = f"Frames overlap by only {search.overlap:.0%}: conventions and depth scale cannot be determined."
        return [Finding("poses", "note", sentence)]
    if search.fit < limits.min_fit:
        return [
            Finding(
                "poses",
                "wrong",
                f"Depth of overlapping frames agrees at only {search.fit:.0%} of shared points, in every convention.",
                f"{EFFECT}; export poses, depth and intrinsics of the same recording again",
            )
        ]
    return [
        _convention(search),
        _offset(search),
        _depth_scale(search, depth_scale, extent, parameters),
        _focal_length(search, cameras),
    ]


def _gain(search: PoseSearch, aspect: str) -> str:
    """From which share of agreement to which a change of this aspect of the hypothesis leads."""
    for before, after in pairwise(search.steps):
        if getattr(before.hypothesis, aspect) != getattr(after.hypothesis, aspect):
            return f"depth of frames then agrees at {after.share:.0%} of the points instead of {before.share:.0%}"
    return ""


def _convention(search: PoseSearch) -> Finding:
    stated = search.stated
    best = search.best
    ranked = sorted(search.share_of_convention.items(), key=lambda item: -item[1])
    ranking = ", ".join(f"{convention} {share:.0%}" for convention, share in ranked)
    if best.convention == stated.convention:
        return Finding("pose convention", "fine", f"Agreement of depth between frames: {ranking}.")
    values = {"scan.poses_are": (stated.poses_are, best.poses_are), "scan.axes": (stated.axes, best.axes)}
    return Finding(
        "pose convention",
        "wrong",
        f"Poses are {best.convention}, not {stated.convention}: {_gain(search, 'convention')} ({ranking}).",
        EFFECT,
        {key: new for key, (old, new) in values.items() if old != new},
    )


def _offset(search: PoseSearch) -> Finding:
    offset = search.best.offset - search.stated.offset
    if offset == 0:
        return Finding("time offset", "fine", "Images and poses belong together: depth agrees less at other offsets.")
    direction = "later" if offset > 0 else "earlier"
    return Finding(
        "time offset",
        "wrong",
        f"The pose of every image is in the file {counted(abs(offset), 'frame')} {direction}: "
        f"{_gain(search, 'offset')}.",
        EFFECT,
        {"scan.pose_offset": search.best.offset},
    )


def _depth_scale(search: PoseSearch, depth_scale: float, extent: float, parameters: DiagnosisParameters) -> Finding:
    limits = parameters.depth_scale
    if search.best.depth_factor != search.stated.depth_factor:
        return _other_depth_scale(search, depth_scale, parameters)
    if search.static_share > limits.max_static_share * search.share:
        return Finding(
            "depth scale",
            "note",
            f"The depth scale {depth_scale:g} cannot be checked against the motion: the camera hardly moves "
            f"(agreement {search.share:.0%}, {search.static_share:.0%} for a static camera).",
        )
    if not limits.min_extent < extent < limits.max_extent:
        return Finding(
            "depth scale",
            "wrong",
            f"Depth and poses have the same scale, but the scene is {extent:.3g} m across; write poses in metres.",
            "voxels of 2 cm are far too large or too small for it",
        )
    sentence = f"{depth_scale:g} units a metre fit the motion; the scene is {extent:.1f} m across."
    return Finding("depth scale", "fine", sentence)


def _other_depth_scale(search: PoseSearch, depth_scale: float, parameters: DiagnosisParameters) -> Finding:
    common_scales = parameters.pose_search.common_depth_scales
    scale = snapped_depth_scale(depth_scale, search.best.depth_factor, common_scales, parameters.depth_scale)
    factor = scale / depth_scale
    error = f"{factor:.3g} times too large" if factor > 1 else f"{1 / factor:.3g} times too small"
    return Finding(
        "depth scale",
        "wrong",
        f"Depth has {scale:g} units a metre, not {depth_scale:g}: {_gain(search, 'depth_factor')}; the scene would be "
        f"{error}.",
        "the surfaces of frames do not meet, and sizes in metres are wrong",
        {"scan.depth_scale": scale},
    )


def _focal_length(search: PoseSearch, cameras: tuple[Camera, Camera]) -> Finding:
    camera, color_camera = cameras
    if search.best.focal_factor == search.stated.focal_factor:
        return Finding("intrinsics", "fine", f"The depth camera's focal length {camera.fx:.1f} px fits the motion.")
    factor = search.best.focal_factor / search.stated.focal_factor
    values = [round(value, 3) for value in (camera.fx * factor, camera.fy * factor, camera.cx, camera.cy)]
    kinds = ("depth", "color") if color_camera == camera else ("depth",)  # intrinsics stated once are wrong for both
    return Finding(
        "intrinsics",
        "wrong",
        f"The depth camera's focal length is about {camera.fx * factor:.0f} px, not {camera.fx:.0f}: "
        f"{_gain(search, 'focal_factor')}.",
        "surfaces are bent and doubled",
        {f"scan.{kind}_intrinsics": values for kind in kinds},
    )
