"""All checks on a sample of a scan, each on the sample as the checks before it have repaired it."""

from panrecon.config import ScanSettings
from panrecon.diagnosis.coverage import coverage, gaps, scene_size
from panrecon.diagnosis.depth import valid_depth
from panrecon.diagnosis.finding import Finding
from panrecon.diagnosis.findings.coverage import coverage_finding, gaps_finding
from panrecon.diagnosis.findings.frames import (
    blur_finding,
    exposure_finding,
    pose_jumps_finding,
    stuck_poses_finding,
    valid_depth_finding,
)
from panrecon.diagnosis.findings.poses import pose_findings, trusted_hypothesis
from panrecon.diagnosis.images import compare_neighbours
from panrecon.diagnosis.parameters import DiagnosisParameters
from panrecon.diagnosis.pose_continuity import pose_jumps, stuck_poses
from panrecon.diagnosis.pose_hypotheses import PoseHypothesis, RawPoses, apply_hypothesis, search_poses
from panrecon.diagnosis.sample import Sample
from panrecon.structures import Camera


def examine(
    sample: Sample,
    raw_poses: RawPoses,
    cameras: tuple[Camera, Camera],
    settings: ScanSettings,
    parameters: DiagnosisParameters = DiagnosisParameters(),
) -> tuple[list[Finding], Sample]:
    """Findings on poses, depth, colour and coverage of all frames; and the sound frames with repaired poses.

    `cameras` are those of the whole depth and colour images, `settings` those that the sample was read with. Frames
    with stuck or jumping poses or without depth do not count in the checks after.
    """
    stated = PoseHypothesis(
        settings.poses_are,
        settings.axes,
        settings.quaternions,
        settings.pose_scale,
        settings.pose_offset,
        settings.pose_drift,
        depth_along=settings.depth_along,
    )
    search = search_poses(sample, raw_poses, stated, settings.depth_scale, parameters)
    size = scene_size(apply_hypothesis(sample, raw_poses, search.best.hypothesis), parameters.depth_scale)
    findings = pose_findings(search, cameras, settings, size, parameters)
    trusted = trusted_hypothesis(search, findings)
    posed = apply_hypothesis(sample, raw_poses, trusted.hypothesis)
    if trusted.fit < parameters.pose_search.min_fit and trusted.overlap >= parameters.pose_search.min_overlap:
        # The other checks compare frames by their poses.
        depth = valid_depth(posed, parameters.valid_depth)
        return [*findings, valid_depth_finding(depth, posed.names, parameters.valid_depth)], posed
    sound, of_frames = _sound_frames(posed, parameters)
    index_of_frame = dict(zip(sample.names, raw_poses.pose_of_frame.tolist(), strict=True))
    of_views = _view_findings(sound, settings.frame_stride, index_of_frame, parameters)
    return [*findings, *of_frames, *of_views], sound


def _sound_frames(sample: Sample, parameters: DiagnosisParameters) -> tuple[Sample, list[Finding]]:
    """The frames without those with stuck poses, without depth or with jumping poses; and the findings on these."""
    stuck = stuck_poses_finding(stuck_poses(sample, parameters.stuck_poses), sample.names)
    sample = _without(sample, stuck)
    depth = valid_depth(sample, parameters.valid_depth)
    empty = valid_depth_finding(depth, sample.names, parameters.valid_depth)
    sample = _without(sample, empty)
    jumps = pose_jumps(sample, parameters)
    jumping = pose_jumps_finding(jumps, sample.names, parameters.pose_jumps, parameters.confidence)
    return _without(sample, jumping), [stuck, empty, jumping]


def _view_findings(
    sample: Sample, frame_stride: int, index_of_frame: dict[str, int], parameters: DiagnosisParameters
) -> list[Finding]:
    """Findings on what frames see of the same surface: exposure, blur, coverage and gaps."""
    comparison = compare_neighbours(sample, parameters.neighbours)
    exposure = exposure_finding(comparison, sample.names, parameters.exposure)
    blur = blur_finding(comparison, sample.names, exposure.skipped_frames, parameters.blur)
    covered = coverage_finding(coverage(sample, parameters.coverage), frame_stride, parameters.coverage)
    gap = gaps_finding(gaps(sample, parameters), sample.names, frame_stride, index_of_frame, parameters.gaps)
    return [exposure, blur, covered, gap]


def _without(sample: Sample, finding: Finding) -> Sample:
    """The frames that a finding's repair does not leave out."""
    skipped = set(finding.skipped_frames) if finding.severity == "wrong" else set()
    if not skipped:
        return sample
    return sample.subset([index for index, name in enumerate(sample.names) if name not in skipped])
