"""All checks on what was read of a scan, each on the scan as the checks before it have repaired it."""

from panrecon.config import ScanSettings
from panrecon.diagnosis.coverage import coverage, gaps
from panrecon.diagnosis.depth import valid_depth
from panrecon.diagnosis.findings import SKIP, Finding
from panrecon.diagnosis.images import beside, blur, exposure
from panrecon.diagnosis.pose_hypotheses import Reading, Stated, judge, understood
from panrecon.diagnosis.poses import frozen, jumps, pose_findings
from panrecon.diagnosis.sample import Sample
from panrecon.structures import Camera


def examine(
    sample: Sample, stated: Stated, cameras: tuple[Camera, Camera], settings: ScanSettings
) -> tuple[list[Finding], Sample]:
    """What the depth, the poses and the look of all frames tell; and the frames that are well, with their right poses.

    `cameras` are those of the whole depth and colour images. Frames that are frozen, empty or jump do not count in the
    checks after.
    """
    start = Reading(settings.poses_are, settings.axes, settings.pose_offset)
    judged = judge(sample, stated, start, settings.depth_scale)
    right = understood(sample, stated, judged.best)
    findings = pose_findings(judged, cameras, settings.depth_scale, right)
    if any(finding.check == "poses" and finding.severity == "wrong" for finding in findings):
        return [*findings, valid_depth(right)], right  # the other checks need to know what frames share
    for check in (frozen, valid_depth, jumps):
        findings.append(check(right))
        right = without(right, findings[-1])
    seen = beside(right)
    lit = exposure(right, seen)
    findings += [lit, blur(right, seen, (lit.repair or {}).get(SKIP, ()))]
    row_of_name = dict(zip(sample.names, stated.row.tolist(), strict=True))
    findings += [coverage(right, settings.frame_stride), gaps(right, settings.frame_stride, row_of_name)]
    return findings, right


def without(sample: Sample, finding: Finding) -> Sample:
    """The frames that a finding does not leave out."""
    skipped = set((finding.repair or {}).get(SKIP, ()))
    return sample.of([row for row, name in enumerate(sample.names) if name not in skipped]) if skipped else sample
