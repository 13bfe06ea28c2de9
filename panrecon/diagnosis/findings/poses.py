"""Findings on lost poses, pose convention, time offset, depth scale and focal length."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from panrecon.config import ScanSettings
from panrecon.diagnosis.coverage import SceneSize
from panrecon.diagnosis.finding import Finding, counted, listed, suspicion
from panrecon.diagnosis.parameters import DepthScaleParameters, DiagnosisParameters, PoseSearchParameters
from panrecon.diagnosis.pose_hypotheses import (
    Aspect,
    PoseHypothesis,
    PoseSearch,
    ScoredHypothesis,
    Step,
    log_odds,
    snapped_depth_scale,
)
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
    settings: ScanSettings,
    scene: SceneSize,
    parameters: DiagnosisParameters = DiagnosisParameters(),
) -> list[Finding]:
    """Convention, offset, scales, focal length and direction of depth; or one finding `poses` if nothing explains them.

    `cameras` are those of the whole depth and colour images, `settings` those they were read with, and `scene` is as
    large as it is at the best hypothesis.
    """
    limits = parameters.pose_search
    best = search.best
    if not search.steps and best.overlap < limits.min_overlap:
        sentence = f"Frames overlap by only {best.overlap:.0%}: conventions and depth scale cannot be determined."
        return [Finding("poses", "note", sentence)]
    of_steps = [_finding_of(step, search, cameras, settings, scene, parameters) for step in search.steps]
    if best.fit < limits.min_fit:
        sentence = f"Depth of overlapping frames agrees at only {best.fit:.0%} of the points that they could see again"
        finding = Finding(
            "poses",
            "wrong",
            f"{sentence}, in every convention.",
            f"{EFFECT}; export poses, depth and intrinsics of the same recording again",
        )
        evidence = log_odds(limits.min_fit) - log_odds(best.fit)
        return [suspicion(finding, evidence, parameters.confidence)]
    changed = {step.aspect for step in search.steps}
    sound = [(aspect, finding) for aspect, finding in _sound(search, cameras[0], settings, scene, parameters)]
    return [*of_steps, *(finding for aspect, finding in sound if aspect not in changed)]


def trusted_hypothesis(search: PoseSearch, findings: Sequence[Finding]) -> ScoredHypothesis:
    """The last hypothesis up to which every finding on a step is wrong, and so repaired."""
    trusted = search.stated
    unit_change = 1.0  # of what the search takes for a factor of the depth, but is one of the poses
    for step, finding in zip(search.steps, findings, strict=False):
        if finding.severity != "wrong" or not finding.repair:
            break
        trusted = step.after
        if finding.check == "pose scale":
            unit_change = step.after.hypothesis.depth_factor / step.before.hypothesis.depth_factor
    hypothesis = trusted.hypothesis
    rescaled = replace(
        hypothesis,
        pose_scale=hypothesis.pose_scale / unit_change,
        depth_factor=hypothesis.depth_factor / unit_change,
    )
    return replace(trusted, hypothesis=rescaled)


def _finding_of(
    step: Step,
    search: PoseSearch,
    cameras: tuple[Camera, Camera],
    settings: ScanSettings,
    scene: SceneSize,
    parameters: DiagnosisParameters,
) -> Finding:
    """What the change of one aspect means."""
    before, after = step.before.hypothesis, step.after.hypothesis
    gain = f"depth of frames then agrees at {step.after.fit:.0%} of what they share instead of {step.before.fit:.0%}"
    match step.aspect:
        case "convention":
            finding = _other_convention(search, before, after, gain)
        case "time":
            finding = _other_time(after, gain)
        case "depth_factor":
            finding = _other_scale(after.depth_factor / before.depth_factor, gain, settings, scene, parameters)
        case "focal_factor":
            finding = _other_focal_length(after.focal_factor / before.focal_factor, gain, cameras)
        case "depth_along":
            finding = Finding(
                "depth direction",
                "wrong",
                f"Depth is measured along {_direction(after)}, not along {_direction(before)}: {gain}.",
                "flat walls become bowls, the more the farther from the middle of the image",
                {"scan.depth_along": after.depth_along},
            )
    return suspicion(finding, step.evidence, parameters.confidence)


def _direction(hypothesis: PoseHypothesis) -> str:
    return "every pixel's own ray" if hypothesis.depth_along == "ray" else "the optical axis"


def _ranking(search: PoseSearch) -> str:
    ranked = sorted(search.fit_of_convention.items(), key=lambda item: -item[1])
    return ", ".join(f"{convention} {fit:.0%}" for convention, fit in ranked[:4])


def _other_convention(search: PoseSearch, before: PoseHypothesis, after: PoseHypothesis, gain: str) -> Finding:
    values = {
        "scan.poses_are": (before.poses_are, after.poses_are),
        "scan.axes": (before.axes, after.axes),
        "scan.quaternions": (before.quaternions, after.quaternions),
    }
    return Finding(
        "pose convention",
        "wrong",
        f"Poses are {after.convention_in_words}, not {before.convention_in_words}: {gain} ({_ranking(search)}).",
        EFFECT,
        {key: new for key, (old, new) in values.items() if old != new},
    )


def _other_time(after: PoseHypothesis, gain: str) -> Finding:
    offset, drift = after.offset, after.drift
    if drift:
        sentence = f"Poses drift against images, by {offset:g} frames at the first and {offset + drift:g} at the last"
        repair = {"scan.pose_offset": offset, "scan.pose_drift": drift}
        return Finding("time offset", "wrong", f"{sentence}: {gain}.", EFFECT, repair)
    direction = "later" if offset > 0 else "earlier"
    size = counted(abs(int(offset)), "frame") if offset == int(offset) else f"{abs(offset):g} frames"
    sentence = f"The pose of every image is in the file {size} {direction}: {gain}."
    return Finding("time offset", "wrong", sentence, EFFECT, {"scan.pose_offset": offset})


def _other_scale(
    factor: float, gain: str, settings: ScanSettings, scene: SceneSize, parameters: DiagnosisParameters
) -> Finding:
    """Depth has another unit, or poses have: what of both gives usual distances and a usual unit."""
    unit = _unit_of_poses(factor, parameters.pose_search, parameters.depth_scale)
    median_as_stated = scene.median_depth / factor
    is_depth_usual = parameters.depth_scale.min_median < median_as_stated < parameters.depth_scale.max_median
    if unit is not None and is_depth_usual:
        scale = float(f"{settings.pose_scale / unit:.6g}")
        return Finding(
            "pose scale",
            "wrong",
            f"A unit of the poses is {scale:.4g} m, not {settings.pose_scale:g}: {gain}.",
            "frames do not meet, and the scene is far too large or too small",
            {"scan.pose_scale": scale},
        )
    common_scales = parameters.pose_search.common_depth_scales
    new_scale = snapped_depth_scale(settings.depth_scale, factor, common_scales, parameters.depth_scale)
    ratio = new_scale / settings.depth_scale
    error = f"{ratio:.3g} times too large" if ratio > 1 else f"{1 / ratio:.3g} times too small"
    return Finding(
        "depth scale",
        "wrong",
        f"Depth has {new_scale:g} units a metre, not {settings.depth_scale:g}: {gain}; the scene would be {error}.",
        "the surfaces of frames do not meet, and sizes in metres are wrong",
        {"scan.depth_scale": new_scale},
    )


def _unit_of_poses(factor: float, search: PoseSearchParameters, limits: DepthScaleParameters) -> float | None:
    """The usual unit (of which so many are a metre) that a factor of the depth stands for; None if there is none."""
    units = (*search.pose_units, *(1 / unit for unit in search.pose_units))
    nearest = min(units, key=lambda unit: abs(np.log(unit / factor)))
    return nearest if abs(np.log(nearest / factor)) < limits.common_scale_tolerance else None


def _other_focal_length(factor: float, gain: str, cameras: tuple[Camera, Camera]) -> Finding:
    camera, color_camera = cameras
    values = [round(value, 3) for value in (camera.fx * factor, camera.fy * factor, camera.cx, camera.cy)]
    kinds = ("depth", "color") if color_camera == camera else ("depth",)  # intrinsics stated once are wrong for both
    return Finding(
        "intrinsics",
        "wrong",
        f"The depth camera's focal length is about {camera.fx * factor:.0f} px, not {camera.fx:.0f}: {gain}.",
        "surfaces are bent and doubled",
        {f"scan.{kind}_intrinsics": values for kind in kinds},
    )


def _sound(
    search: PoseSearch, camera: Camera, settings: ScanSettings, scene: SceneSize, parameters: DiagnosisParameters
) -> Iterator[tuple[Aspect, Finding]]:
    """What is said of every aspect that is right."""
    yield "convention", Finding("pose convention", "fine", f"Agreement of depth between frames: {_ranking(search)}.")
    sentence = "Images and poses belong together: depth agrees less at other offsets."
    yield "time", Finding("time offset", "fine", sentence)
    yield "depth_factor", _sound_scale(search, settings, scene, parameters)
    sentence = f"The depth camera's focal length {camera.fx:.1f} px fits the motion."
    yield "focal_factor", Finding("intrinsics", "fine", sentence)
    stated = _direction(search.stated.hypothesis)
    yield "depth_along", Finding("depth direction", "fine", f"Depth is measured along {stated}.")


def _sound_scale(
    search: PoseSearch, settings: ScanSettings, scene: SceneSize, parameters: DiagnosisParameters
) -> Finding:
    limits = parameters.depth_scale
    if search.static_fit > limits.max_static_share * search.best.fit:
        return Finding(
            "depth scale",
            "note",
            f"The depth scale {settings.depth_scale:g} cannot be checked against the motion: depth hardly changes "
            f"(agreement {search.best.fit:.0%}, {search.static_fit:.0%} for a static camera).",
        )
    if not limits.min_extent < scene.extent < limits.max_extent:
        return Finding(
            "depth scale",
            "wrong",
            f"Depth and poses have the same scale, but the scene is {scene.extent:.3g} m across; mend both in alike.",
            "voxels of 2 cm are far too large or too small for it",
        )
    sentence = f"{settings.depth_scale:g} units a metre fit the motion; the scene is {scene.extent:.1f} m across."
    return Finding("depth scale", "fine", sentence)
