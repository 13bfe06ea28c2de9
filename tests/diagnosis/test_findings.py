"""Laws of findings: every sentence states its value, every repair is a setting with the right value."""

from dataclasses import replace
from typing import get_args

import numpy as np
import pytest

from panrecon.config import ScanSettings
from panrecon.diagnosis.alignment import ColorDepthAlignment, Parallax
from panrecon.diagnosis.coverage import Coverage, Gaps, SceneSize
from panrecon.diagnosis.depth import ValidDepth
from panrecon.diagnosis.examine import examine
from panrecon.diagnosis.finding import Finding, Severity, listed, repairs
from panrecon.diagnosis.findings.cameras import alignment_findings, image_size_findings, orientation_finding
from panrecon.diagnosis.findings.coverage import coverage_finding, gaps_finding
from panrecon.diagnosis.findings.frames import (
    blur_finding,
    exposure_finding,
    pose_jumps_finding,
    stuck_poses_finding,
    valid_depth_finding,
)
from panrecon.diagnosis.findings.poses import lost_poses_finding, pose_findings
from panrecon.diagnosis.image_sizes import ImageSizes
from panrecon.diagnosis.images import NeighbourComparison
from panrecon.diagnosis.parameters import (
    AlignmentParameters,
    BlurParameters,
    ConfidenceParameters,
    CoverageParameters,
    DepthScaleParameters,
    DiagnosisParameters,
    ExposureParameters,
    PoseJumpParameters,
    PoseSearchParameters,
    ValidDepthParameters,
)
from panrecon.diagnosis.pose_continuity import PoseJumps, StuckPoses
from panrecon.diagnosis.pose_hypotheses import Aspect, PoseHypothesis, PoseSearch, RawPoses, ScoredHypothesis, Step
from panrecon.structures import Camera, Scan
from tests.diagnosis.samples import CAMERA, room_sample

NAMES = ("10", "11", "12", "13")
SKIP = "scan.skip_frames"
CONVENTIONS = {"camera to world, OpenCV axes": 0.2, "world to camera, OpenGL axes": 0.71}


SURE = DiagnosisParameters(
    confidence=ConfidenceParameters(models=dict.fromkeys(ConfidenceParameters().models, (-2.0, 3.0)))
)


def searched(best: PoseHypothesis, rival_fit: float = 0.3) -> PoseSearch:
    stated = ScoredHypothesis(PoseHypothesis(), 0.9, 0.7, 0.8)
    if best == stated.hypothesis:
        return PoseSearch(stated, (), CONVENTIONS, 0.1)
    before = ScoredHypothesis(stated.hypothesis, 0.2, 0.1, 0.8)
    after = ScoredHypothesis(best, 0.95, 0.7, 0.8)
    names: tuple[Aspect, ...] = get_args(Aspect)
    (aspect,) = [name for name in names if getattr(best, name) != getattr(before.hypothesis, name)]
    return PoseSearch(before, (Step(aspect, before, after, rival_fit),), CONVENTIONS, 0.1)


def examined(search: PoseSearch, parameters: DiagnosisParameters = SURE) -> list[Finding]:
    factor = search.best.hypothesis.depth_factor
    return pose_findings(search, (CAMERA, CAMERA), ScanSettings(), SceneSize(6.0, 2.0 * factor), parameters)


def of_check(findings: list[Finding], check: str) -> Finding:
    (finding,) = [finding for finding in findings if finding.check == check]
    return finding


@pytest.mark.parametrize(
    ("best", "check", "values", "repair"),
    [
        (
            PoseHypothesis("world_to_camera", "opengl"),
            "pose convention",
            ("world to camera, OpenGL axes", "95%", "20%"),
            {"scan.poses_are": "world_to_camera", "scan.axes": "opengl"},
        ),
        (PoseHypothesis(axes="opengl"), "pose convention", ("OpenGL",), {"scan.axes": "opengl"}),
        (PoseHypothesis(quaternions="wxyz"), "pose convention", ("w-x-y-z",), {"scan.quaternions": "wxyz"}),
        (PoseHypothesis(depth_along="ray"), "depth direction", ("own ray",), {"scan.depth_along": "ray"}),
        (PoseHypothesis(offset=3.0), "time offset", ("3 frames later", "95%"), {"scan.pose_offset": 3}),
        (PoseHypothesis(offset=0.5), "time offset", ("0.5 frames later",), {"scan.pose_offset": 0.5}),
        (
            PoseHypothesis(offset=1.0, drift=3.0),
            "time offset",
            ("1 frames at the first", "4 at the last"),
            {"scan.pose_offset": 1, "scan.pose_drift": 3},
        ),
        (PoseHypothesis(depth_factor=1000.0), "pose scale", ("0.001 m",), {"scan.pose_scale": 0.001}),
        (PoseHypothesis(offset=-1.0), "time offset", ("1 frame earlier",), {"scan.pose_offset": -1}),
        (
            PoseHypothesis(depth_factor=0.2),
            "depth scale",
            ("5000", "not 1000", "5 times too large", "95%"),
            {"scan.depth_scale": 5000.0},
        ),
        (
            PoseHypothesis(focal_factor=0.8),
            "intrinsics",
            ("88 px", "not 110"),
            {f"scan.{kind}_intrinsics": [88.0, 88.0, 79.5, 59.5] for kind in ("depth", "color")},
        ),
    ],
)
def test_a_wrong_hypothesis_is_told_with_its_gain_and_repaired(
    best: PoseHypothesis, check: str, values: tuple[str, ...], repair: dict[str, object]
) -> None:
    findings = examined(searched(best))
    finding = of_check(findings, check)
    assert (finding.severity, finding.repair) == ("wrong", repair)
    assert all(value in finding.sentence for value in values)
    assert {other.severity for other in findings if other.check != check} == {"fine"}
    rivalled = of_check(examined(searched(best, rival_fit=0.949)), check)
    assert rivalled.severity == "note" and rivalled.confidence < finding.confidence
    assert "look yourself" in rivalled.sentence and repairs([f for f in [rivalled] if f.severity == "wrong"]) == {}


def test_pose_findings_obey_their_parameters() -> None:
    good = searched(PoseHypothesis())
    assert [finding.severity for finding in examined(good)] == ["fine"] * 5
    (unfit,) = examined(good, replace(SURE, pose_search=PoseSearchParameters(min_fit=0.99)))
    assert (unfit.check, unfit.severity) == ("poses", "wrong") and "90%" in unfit.sentence
    (apart,) = examined(good, DiagnosisParameters(pose_search=PoseSearchParameters(min_overlap=0.85)))
    assert (apart.check, apart.severity) == ("poses", "note") and "80%" in apart.sentence
    small = DiagnosisParameters(depth_scale=DepthScaleParameters(max_extent=5.0))
    too_large = of_check(examined(good, small), "depth scale")
    assert too_large.severity == "wrong" and "6 m" in too_large.sentence
    static = DiagnosisParameters(depth_scale=DepthScaleParameters(max_static_share=0.1))
    assert of_check(examined(good, static), "depth scale").severity == "note"


def test_lost_poses_are_wrong_unless_they_are_left_out() -> None:
    assert lost_poses_finding([], 4, False).severity == "fine"
    finding = lost_poses_finding(["11"], 4, False)
    assert (finding.severity, finding.repair) == ("wrong", {"scan.skip_invalid_poses": True})
    assert "1 of 4" in finding.sentence and "11" in finding.sentence
    assert lost_poses_finding(["11"], 4, True).severity == "note"


def test_single_frames_are_named_and_left_out() -> None:
    stuck = stuck_poses_finding(StuckPoses((1, 2), (2,)), NAMES)
    jumps = pose_jumps_finding(PoseJumps((3,), (), 0.1, 0.9, 0.1, 0.8), NAMES)
    empty = valid_depth_finding(ValidDepth(0.8, 0.0, 0.02, (0,)), NAMES)
    assert (stuck.repair, jumps.repair, empty.repair) == ({SKIP: ["11", "12"]}, {SKIP: ["13"]}, {SKIP: ["10"]})
    assert "2 of 4" in stuck.sentence and "1 of 4" in jumps.sentence and "80%" in empty.sentence
    assert {finding.severity for finding in (stuck, jumps, empty)} == {"wrong"}


def test_images_that_are_there_twice_and_frames_far_apart_are_a_note() -> None:
    assert stuck_poses_finding(StuckPoses((1,), ()), NAMES).severity == "note"
    far_apart = PoseJumps((), (), 0.9, 0.95, 0.0, 0.2)
    note = pose_jumps_finding(far_apart, NAMES)
    assert note.severity == "note" and "20%" in note.sentence
    fine = pose_jumps_finding(far_apart, NAMES, PoseJumpParameters(min_median_overlap=0.1))
    assert fine.severity == "fine" and "90%" in fine.sentence


def test_no_setting_repairs_a_broken_trajectory() -> None:
    finding = pose_jumps_finding(PoseJumps((), (1,), 0.1, 0.9, 0.1, 0.8), NAMES)
    assert (finding.severity, finding.repair) == ("wrong", None) and "11-12" in finding.sentence


def test_too_little_depth_in_all_frames_is_wrong() -> None:
    finding = valid_depth_finding(ValidDepth(0.2, 400.0, 0.1, ()), NAMES)
    assert valid_depth_finding(ValidDepth(0.2, 20.0, 0.1, ()), NAMES).severity == "fine"  # a thing before nothing
    assert (finding.severity, finding.repair) == ("wrong", None) and "20%" in finding.sentence
    assert (
        valid_depth_finding(ValidDepth(0.2, 400.0, 0.1, ()), NAMES, ValidDepthParameters(min_median=0.1)).severity
        == "fine"
    )


def compared(**changes: list[float]) -> NeighbourComparison:
    fields = {"log_brightness": [0.0] * 4, "log_detail": [0.0] * 4, "log_step": [0.0] * 4, "clipped": [0.0] * 4}
    return NeighbourComparison(**{name: np.array(values) for name, values in (fields | changes).items()})


def test_blurred_frames_are_left_out_and_slightly_blurred_ones_noted() -> None:
    blurred = compared(log_detail=[0.0, np.log(0.1), np.log(0.3), np.nan])
    finding = blur_finding(blurred, NAMES)
    assert (finding.severity, finding.repair) == ("wrong", {SKIP: ["11"]}) and "10%" in finding.sentence
    without = blur_finding(blurred, NAMES, excluded=["11"])
    assert without.severity == "note" and "30%" in without.sentence
    lax = BlurParameters(max_detail=0.05, max_detail_noted=0.05)
    assert blur_finding(blurred, NAMES, parameters=lax).severity == "fine"


def test_exposure_is_wrong_for_flashes_and_clipped_frames_and_noted_for_steps() -> None:
    flash = exposure_finding(compared(log_brightness=[0.0, np.log(4), 0.0, 0.0]), NAMES)
    assert (flash.severity, flash.repair) == ("wrong", {SKIP: ["11"]}) and "4.0 times" in flash.sentence
    clipped = exposure_finding(compared(clipped=[0.0, 0.0, 0.5, 0.1]), NAMES)
    assert (clipped.severity, clipped.repair) == ("wrong", {SKIP: ["12"]}) and "50%" in clipped.sentence
    most = exposure_finding(compared(clipped=[0.5, 0.5, 0.5, 0.1]), NAMES)
    assert (most.severity, most.repair) == ("wrong", None) and "3 of 4" in most.sentence
    step = exposure_finding(compared(log_step=[0.0, np.log(2), 0.0, np.nan]), NAMES)
    assert step.severity == "note" and "11-12" in step.sentence and "2.0 times" in step.sentence
    lax = ExposureParameters(max_step_noted=3.0)
    assert exposure_finding(compared(log_step=[0.0, np.log(2), 0.0, np.nan]), NAMES, lax).severity == "fine"


def test_poor_coverage_is_repaired_by_taking_every_frame_where_some_are_left_out() -> None:
    assert coverage_finding(Coverage(0.7, 0.3), 2).severity == "fine"
    assert coverage_finding(Coverage(0.5, 0.3), 1).severity == "note"
    poor = coverage_finding(Coverage(0.2, 0.1), 5)
    assert (poor.severity, poor.repair) == ("wrong", {"scan.frame_stride": 1}) and "20%" in poor.sentence
    assert coverage_finding(Coverage(0.2, 0.1), 1).repair is None
    assert coverage_finding(Coverage(0.2, 0.1), 1, CoverageParameters(min_share=0.1)).severity == "note"


def test_a_gap_is_wrong_only_where_no_frame_between_was_left_out() -> None:
    without_overlap = Gaps((1,), (), np.array([0.9, 0.01, 0.9]))
    whole = {name: index for index, name in enumerate(NAMES)}
    thinned = {name: 10 * index for index, name in enumerate(NAMES)}
    wrong = gaps_finding(without_overlap, NAMES, 1, whole)
    assert wrong.severity == "wrong" and "1 place " in wrong.sentence and "11-12" in wrong.sentence
    assert gaps_finding(without_overlap, NAMES, 1, thinned).severity == "note"
    assert gaps_finding(Gaps((), (2,), np.full(3, 0.9)), NAMES, 1, whole).severity == "note"
    fine = gaps_finding(Gaps((), (), np.array([0.9, 0.5, 0.7])), NAMES, 1, whole)
    assert fine.severity == "fine" and "70%" in fine.sentence and "50%" in fine.sentence
    assert gaps_finding(Gaps((), (), np.zeros(0)), NAMES[:1], 1, whole).severity == "note"


def test_image_sizes_are_repaired_by_intrinsics_and_left_out_frames() -> None:
    scaled = ImageSizes((640, 480), ("11",), (640, 480), (1280, 960), True, (500.0, 500.0, 320.0, 240.0))
    intrinsics, odd = image_size_findings("colour", scaled, 4)
    assert intrinsics.repair == {"scan.color_intrinsics": [500.0, 500.0, 320.0, 240.0]}
    assert "1280 x 960" in intrinsics.sentence and "640 x 480" in intrinsics.sentence
    assert (odd.severity, odd.repair) == ("wrong", {SKIP: ["11"]}) and "1 of 4" in odd.sentence
    (cropped,) = image_size_findings(
        "depth", ImageSizes((640, 480), (), (640, 480), (1920, 1080), False, (300.0, 400.0, 320.0, 240.0)), 4
    )
    assert (cropped.severity, cropped.repair) == ("wrong", None) and "1920 x 1080" in cropped.sentence
    rectified = ImageSizes((1408, 376), (), (1408, 376), (1365, 479), False, (552.6, 552.6, 682.0, 238.8))
    (note,) = image_size_findings("colour", rectified, 4)
    assert note.severity == "note" and "principal point" in note.sentence


def aligned(shift: tuple[float, float], zoom: float = 1.0, parallax: float = 0.0) -> ColorDepthAlignment:
    beside = Parallax((parallax, 0.0), 0.1, 0.5)
    return ColorDepthAlignment(shift, zoom, deviation=0.1, ratio=0.5, strength=5.0, height=1.0, parallax=beside)


def colour_findings(
    alignment: ColorDepthAlignment | None,
    offset: tuple[float, float] = (0.0, 0.0),
    parameters: DiagnosisParameters = SURE,
) -> list[Finding]:
    color_camera = Camera(320, 240, 220.0, 220.0, 159.5 + offset[0], 119.5 + offset[1])  # twice as large
    scan = Scan("a", CAMERA, color_camera, 1000.0, ())
    return alignment_findings(alignment, scan, ScanSettings(color_offset=offset), parameters)


def test_shifted_or_zoomed_colour_is_repaired_in_pixels_of_its_own_camera() -> None:
    (finding,) = colour_findings(aligned((4.0, -3.0)), (1.0, 0.0))
    assert (finding.severity, finding.repair) == ("wrong", {"scan.color_offset": [9.0, -6.0]})
    assert "+8.0 px" in finding.sentence and "50%" in finding.sentence
    (zoomed,) = colour_findings(aligned((0.0, 0.0), zoom=1.1))
    assert zoomed.repair == {"scan.color_intrinsics": [242.0, 242.0, 159.5, 119.5]} and "242 px" in zoomed.sentence
    (unknown,) = colour_findings(None)
    assert unknown.severity == "note"
    (weak,) = colour_findings(aligned((4.0, -3.0)), parameters=limited(min_strength=6.0))
    assert weak.severity == "note"
    (lax,) = colour_findings(aligned((4.0, -3.0)), parameters=limited(max_ratio=0.4))
    assert lax.severity == "fine"


def test_a_shift_that_grows_where_things_are_near_may_be_that_of_a_camera_beside() -> None:
    """One 4 px / (0.5 / m x 110 px) = 7.3 cm to the left, for what it sees is shifted right."""
    shifted, beside = colour_findings(aligned((4.0, 0.0), parallax=8.0))
    assert shifted.repair == {"scan.color_offset": [8.0, 0.0]}
    assert beside.repair == {"scan.color_position": [-0.0727, 0.0, 0.0]} and "not registered" in beside.sentence
    assert len(colour_findings(aligned((4.0, 0.0), parallax=-8.0))) == 1


def limited(**limits: float) -> DiagnosisParameters:
    return replace(SURE, alignment=AlignmentParameters(**limits))  # type: ignore[arg-type]


def test_colour_that_fits_better_upside_down_is_turned() -> None:
    assert orientation_finding(1.2, 0) is None
    finding = orientation_finding(8.0, 180)
    assert finding is not None and finding.repair == {"scan.color_turned": 0} and "8.0 times" in finding.sentence


def test_frames_left_out_add_up_in_the_order_of_their_numbers() -> None:
    findings = [
        Finding("blur", "wrong", "", repair={SKIP: ["10", "9"]}),
        Finding("exposure", "wrong", "", repair={SKIP: ["9", "100"], "scan.axes": "opengl"}),
        Finding("coverage", "note", ""),
    ]
    assert repairs(findings) == {SKIP: ["9", "10", "100"], "scan.axes": "opengl"}


def test_long_lists_end_with_how_many_more_there_are() -> None:
    assert listed("abc") == "a, b, c"
    assert listed("abcdefgh", at_most=3) == "a, b, c and 5 more"


def test_every_check_reports_once_on_a_sound_sample_and_parameters_reach_it() -> None:
    sample = room_sample(40)
    raw_poses = RawPoses(sample.poses, np.arange(40))
    findings, sound = examine(sample, raw_poses, (CAMERA, CAMERA), ScanSettings())
    checks = [finding.check for finding in findings]
    assert len(set(checks)) == len(checks) == 12 and len(sound) == 40
    assert all(finding.severity in get_args(Severity) for finding in findings)
    assert [finding.check for finding in findings if finding.severity == "wrong"] == []
    strict = DiagnosisParameters(valid_depth=ValidDepthParameters(min_median=1.1, max_fragmentation=-1.0))
    other, _ = examine(sample, raw_poses, (CAMERA, CAMERA), ScanSettings(), strict)
    assert [finding.check for finding in other if finding.severity == "wrong"] == ["valid depth"]
    poor = replace(sample, frames=(replace(sample.frames[0], valid=0.3), *sample.frames[1:]))
    whole = DiagnosisParameters(valid_depth=ValidDepthParameters(min_frame=0.35))
    _, without_poor = examine(poor, raw_poses, (CAMERA, CAMERA), ScanSettings(), whole)
    assert without_poor.names == sample.names[1:]
