"""Findings on single frames: stuck poses, pose jumps, missing depth, blur and exposure."""

from collections.abc import Collection, Sequence

import numpy as np

from panrecon.diagnosis.depth import ValidDepth
from panrecon.diagnosis.finding import SKIP, Finding, counted, listed, suspicion
from panrecon.diagnosis.images import NeighbourComparison
from panrecon.diagnosis.parameters import (
    BlurParameters,
    ConfidenceParameters,
    ExposureParameters,
    PoseJumpParameters,
    ValidDepthParameters,
)
from panrecon.diagnosis.pose_continuity import PoseJumps, StuckPoses
from panrecon.diagnosis.pose_hypotheses import log_odds


def stuck_poses_finding(stuck: StuckPoses, names: Sequence[str]) -> Finding:
    """Frames that repeat a pose: wrong where the image changes, else images are there twice, too."""
    repeated = [names[index] for index in stuck.repeated]
    if stuck.moving:
        return Finding(
            "stuck poses",
            "wrong",
            f"{len(repeated)} of {len(names)} frames have exactly the pose of the frame before, {len(stuck.moving)} of "
            f"them although the image changes: {listed(repeated)}.",
            "tracking had stopped: their surface is fused into the wrong place",
            {SKIP: repeated},
        )
    if repeated:
        sentence = f"{len(repeated)} frames repeat image and pose of the frame before: {listed(repeated)}."
        return Finding("stuck poses", "note", sentence)
    return Finding("stuck poses", "fine", "No pose occurs twice in a row.")


def pose_jumps_finding(
    jumps: PoseJumps,
    names: Sequence[str],
    parameters: PoseJumpParameters = PoseJumpParameters(),
    confidence: ConfidenceParameters = ConfidenceParameters(),
) -> Finding:
    """Frames whose poses jump away and back, which are left out, and places where the trajectory breaks."""
    if jumps.median_overlap < parameters.min_median_overlap:
        sentence = f"Neighbouring frames overlap by only {jumps.median_overlap:.0%}: jumps cannot be recognised."
        return Finding("pose jumps", "note", sentence)
    away = [names[index] for index in jumps.away]
    breaks = [f"{names[index]}-{names[index + 1]}" for index in jumps.breaks]
    clauses = []
    if away:
        clauses.append(f"the poses of {len(away)} of {len(names)} frames jump away and back: {listed(away)}")
    if breaks:
        clauses.append(f"the poses before and after {listed(breaks)} do not fit together")
    if not clauses:
        sentence = f"At least {jumps.min_fit:.0%} of the points that neighbouring frames share agree."
        return Finding("pose jumps", "fine", sentence)
    sentence = " and ".join(clauses)
    usual = f"usual are {jumps.usual_fit:.0%}"
    finding = Finding(
        "pose jumps",
        "wrong",
        f"{sentence[0].upper()}{sentence[1:]} (at most {jumps.jump_fit:.0%} of shared points agree, {usual}).",
        "their surface is fused into the wrong place; objects are doubled",
        {SKIP: away} if away else None,
    )
    return suspicion(finding, log_odds(jumps.usual_fit) - log_odds(jumps.jump_fit), confidence)


def valid_depth_finding(
    depth: ValidDepth, names: Sequence[str], parameters: ValidDepthParameters = ValidDepthParameters()
) -> Finding:
    """Too little depth in the whole scan, or nearly none in single frames."""
    if depth.median < parameters.min_median and depth.fragmentation > parameters.max_fragmentation:
        return Finding(
            "valid depth",
            "wrong",
            f"Half of the frames have depth at less than {depth.median:.0%} of their pixels.",
            "the surface will have holes, and objects without depth are not reconstructed",
        )
    empty = [names[index] for index in depth.empty]
    if empty:
        return Finding(
            "valid depth",
            "wrong",
            f"{len(empty)} of {len(names)} frames have depth at less than {parameters.min_frame:.0%} of their pixels, "
            f"the others at {depth.median:.0%}: {listed(empty)}.",
            "what only they see is not reconstructed, and their masks support no surface",
            {SKIP: empty},
        )
    return Finding(
        "valid depth",
        "fine",
        f"Depth at {depth.median:.0%} of the pixels (median), {depth.minimum:.0%} in the frame with least.",
    )


def blur_finding(
    comparison: NeighbourComparison,
    names: Sequence[str],
    excluded: Collection[str] = (),
    parameters: BlurParameters = BlurParameters(),
) -> Finding:
    """Frames with much less detail than their neighbours; those `excluded` are left out for another reason already."""
    log_detail = np.where(np.isin(names, list(excluded)), 0, np.nan_to_num(comparison.log_detail))
    least = float(np.exp(log_detail.min()))
    blurred = [names[index] for index in np.flatnonzero(log_detail < np.log(parameters.max_detail)).tolist()]
    if blurred:
        return Finding(
            "blur",
            "wrong",
            f"{len(blurred)} of {len(names)} frames are blurred (down to {least:.0%} of the detail that their "
            f"neighbours have on the same surface): {listed(blurred)}.",
            "2D masks miss or merge objects in them, and the mesh's colour is smeared",
            {SKIP: blurred},
        )
    slightly = [names[index] for index in np.flatnonzero(log_detail < np.log(parameters.max_detail_noted)).tolist()]
    if slightly:
        sentence = f"{len(slightly)} frames are slightly blurred (down to {least:.0%} of detail): {listed(slightly)}."
        return Finding("blur", "note", sentence)
    return Finding("blur", "fine", f"Every frame has at least {least:.0%} of its neighbours' detail.")


def exposure_finding(
    comparison: NeighbourComparison, names: Sequence[str], parameters: ExposureParameters = ExposureParameters()
) -> Finding:
    """Frames much brighter or darker than their neighbours, or mostly black or white."""
    clipped = comparison.clipped
    off = np.abs(np.nan_to_num(comparison.log_brightness))
    bad = np.flatnonzero((off > np.log(parameters.max_ratio)) | (clipped > parameters.max_clipped))
    if len(bad) > parameters.max_frames * len(names):
        return Finding(
            "exposure",
            "wrong",
            f"{len(bad)} of {len(names)} frames are exposed otherwise than their neighbours or black or white at over "
            f"{parameters.max_clipped:.0%} of their pixels.",
            "2D networks see nothing there, and the mesh has no colour",
        )
    if len(bad):
        bad_names = [names[index] for index in bad.tolist()]
        return Finding(
            "exposure",
            "wrong",
            f"{len(bad)} of {len(names)} frames are exposed otherwise than their neighbours (up to "
            f"{np.exp(off[bad].max()):.1f} times) or black or white at up to {clipped[bad].max():.0%}: "
            f"{listed(bad_names)}.",
            "2D masks and features differ there, and the mesh's colour has seams",
            {SKIP: bad_names},
        )
    step = np.abs(np.nan_to_num(comparison.log_step))
    steps = np.flatnonzero(step > np.log(parameters.max_step_noted))
    if len(steps):
        places = [f"{names[index]}-{names[index + 1]}" for index in steps.tolist()]
        return Finding(
            "exposure",
            "note",
            f"Brightness changes by up to {np.exp(step.max()):.1f} times from a frame to the next, at "
            f"{counted(len(places), 'place')} by over {parameters.max_step_noted:g}: {listed(places)}.",
        )
    return Finding(
        "exposure",
        "fine",
        f"Frames are within {np.exp(off.max()):.2f} times their neighbours' brightness, at most {clipped.max():.0%} of "
        "a frame is black or white.",
    )
