"""Laws of the estimators, on arrays."""

from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from panrecon.diagnosis.alignment import ColorDepthPair, color_depth_alignment
from panrecon.diagnosis.coverage import coverage, gaps, missing_numbers, scene_size
from panrecon.diagnosis.depth import valid_depth
from panrecon.diagnosis.image_sizes import image_sizes
from panrecon.diagnosis.images import compare_neighbours
from panrecon.diagnosis.parameters import (
    CoverageParameters,
    DiagnosisParameters,
    GapParameters,
    ImageSizeParameters,
    NeighbourParameters,
    PoseJumpParameters,
    PoseSearchParameters,
    ValidDepthParameters,
)
from panrecon.diagnosis.pose_continuity import pose_jumps, stuck_poses
from panrecon.diagnosis.pose_hypotheses import PoseHypothesis, RawPoses, search_poses, snapped_depth_scale
from panrecon.diagnosis.reprojection import agreement
from panrecon.diagnosis.sample import Sample
from panrecon.geometry.projective import invert, look_at, pixel_directions, unproject
from panrecon.geometry.trajectory import inverses, poses_at
from panrecon.structures import Camera
from tests.diagnosis.samples import HALF_SIZE, room_sample

CAMERA = Camera(80, 60, 66.0, 66.0, 39.5, 29.5)
STEREO = Camera(320, 240, 260.0, 260.0, 159.5, 119.5)
TOLERANCE = DiagnosisParameters.depth_tolerance


def tilted_wall() -> np.ndarray:
    """A depth image of a tilted wall, m."""
    return (2 + 0.01 * np.arange(80, dtype=np.float32) + np.zeros((60, 1), np.float32)).astype(np.float32)


def test_a_frame_agrees_with_itself() -> None:
    points = unproject(CAMERA, tilted_wall()).reshape(1, -1, 3).astype(np.float32)
    shares = agreement(points, tilted_wall()[None], np.eye(4)[None], CAMERA, TOLERANCE)
    assert_allclose([shares.score, shares.fit, shares.overlap], 1, atol=1e-6)


@settings(deadline=None, max_examples=20)
@given(st.floats(0.1, 10.0))
def test_agreement_does_not_depend_on_the_unit_of_length(unit: float) -> None:
    """Which is why a scale can only be told from depth and motion together."""
    motion = invert(look_at(np.array([0.2, 0.1, 0.3]), np.array([0.3, 0.2, 3.0]), np.array([0.0, -1.0, 0.0])))[None]
    points = unproject(CAMERA, tilted_wall()).reshape(1, -1, 3).astype(np.float32)
    expected = agreement(points, tilted_wall()[None], motion, CAMERA, TOLERANCE)
    motion[:, :3, 3] *= unit
    scale = np.float32(unit)
    shares = agreement(points * scale, tilted_wall()[None] * scale, motion, CAMERA, TOLERANCE)
    assert_allclose(shares.fit, expected.fit, atol=2e-3)
    assert_allclose(shares.overlap, expected.overlap, atol=2e-3)


def test_holes_and_frames_without_depth_count_without_depth() -> None:
    points = unproject(CAMERA, tilted_wall()).reshape(1, -1, 3).astype(np.float32)
    holes = tilted_wall()[None].copy()
    holes[:, 20:40, 30:50] = 0
    shares = agreement(points, holes, np.eye(4)[None], CAMERA, TOLERANCE)
    assert_allclose([shares.score, shares.fit, shares.overlap], 1, atol=1e-3)
    assert shares.points < 0.95 * len(points[0])
    without_depth = agreement(points * 0, tilted_wall()[None], np.eye(4)[None], CAMERA, TOLERANCE)
    assert_allclose([without_depth.score, without_depth.fit, without_depth.overlap], 0)


def test_what_a_moving_camera_cannot_see_again_does_not_count() -> None:
    """Points outside the second image and behind its surface: only those before it conflict."""
    wall = np.full((60, 80), 2.0, np.float32)
    points = unproject(CAMERA, wall).reshape(1, -1, 3).astype(np.float32)
    aside = np.eye(4)[None].copy()
    aside[:, 0, 3] = 1.0
    moved = agreement(points, wall[None], aside, CAMERA, TOLERANCE)
    assert moved.fit == 1 and 0.3 < moved.overlap < 0.8
    still = np.eye(4)[None]
    hidden = agreement(points, 0.5 * wall[None], still, CAMERA, TOLERANCE)
    seen_through = agreement(points, 2 * wall[None], still, CAMERA, TOLERANCE)
    assert hidden.conflicting == 0 and hidden.score > -0.01
    assert seen_through.fit < 0.01 and seen_through.score < -0.9


def test_a_plane_agrees_however_slanted_it_is_and_between_surfaces_nothing_conflicts() -> None:
    """Inverse depth is linear on planes; at an edge of two surfaces any depth between them may be seen."""
    rows = np.arange(60, dtype=np.float32)[:, None] + np.zeros((1, 80), np.float32)
    floor = np.where(rows > 30, 66 * 1.2 / np.maximum(rows - 29.5, 0.5), 0).astype(np.float32)  # 1.2 m below
    points = unproject(CAMERA, floor).reshape(1, -1, 3).astype(np.float32)
    forward = np.eye(4)[None].copy()
    forward[:, 2, 3] = -0.13
    assert agreement(points, floor[None], forward, CAMERA, TOLERANCE).fit > 0.98  # the horizon has few pixels
    step = np.where(np.arange(80) < 40, 1.0, 3.0).astype(np.float32) + np.zeros((60, 1), np.float32)
    at_edge = np.array([[[1e-3, 0.0, 2.0], [0.0, 0.1, 2.5]]], np.float32)
    assert agreement(at_edge, step[None], np.eye(4)[None], CAMERA, TOLERANCE).agreeing == 2


def test_inverses_are_inverses() -> None:
    poses = np.stack([look_at(np.array([1.0, 2, n]), np.array([0.0, 0.5, 1.0])) for n in (3.0, 4.0)])
    assert_allclose(inverses(poses) @ poses, np.broadcast_to(np.eye(4), (2, 4, 4)), atol=1e-12)


def boxes(right: int = 0, down: int = 0, zoom: float = 1.0) -> list[ColorDepthPair]:
    """Boxes before a wall, in colour moved and zoomed about the middle."""
    rng = np.random.default_rng(0)
    pairs = []
    for _ in range(6):
        depth, gray = np.full((240, 320), 3.0, np.float32), np.full((240, 320), 90, np.uint8)
        for _ in range(4):
            left, top, width, height = rng.integers([30, 30, 30, 30], [220, 150, 70, 60])
            depth[top : top + height, left : left + width] = 2.0
            across = [round((x - 159.5) * zoom + 159.5) + right for x in (left, left + width)]
            along = [round((y - 119.5) * zoom + 119.5) + down for y in (top, top + height)]
            gray[along[0] : along[1], across[0] : across[1]] = rng.integers(140, 250)
        pairs.append(ColorDepthPair(depth, gray))
    return pairs


def test_the_shift_and_zoom_of_colour_are_measured() -> None:
    whole = color_depth_alignment(boxes(), STEREO)
    moved = color_depth_alignment(boxes(5, -7), STEREO)
    assert whole is not None and moved is not None
    assert_allclose(whole.shift, (0, 0), atol=1)
    assert_allclose(np.subtract(moved.shift, whole.shift), (5, -7), atol=0.5)
    assert whole.zoom == moved.zoom == 1.0 and moved.ratio < 0.8 < whole.ratio
    larger = color_depth_alignment(boxes(zoom=1.12), STEREO)
    assert larger is not None
    assert abs(larger.zoom - 1.12) < 0.04


def test_depth_without_discontinuities_gives_no_alignment() -> None:
    assert (
        color_depth_alignment(
            [ColorDepthPair(np.full((240, 320), 2, np.float32), np.zeros((240, 320), np.uint8))], STEREO
        )
        is None
    )


def test_intrinsics_of_another_size_are_scaled_to_the_images() -> None:
    camera = Camera(640, 480, 1170.0, 1172.0, 647.5, 483.5)  # of 1296 x 968
    sizes = image_sizes(camera, {"0": (640, 480), "1": (640, 480), "2": (320, 240)}, (640, 480))
    assert (sizes.size, sizes.odd, sizes.intrinsics_size) == ((640, 480), ("2",), (1296, 968))
    assert sizes.has_same_aspect and not sizes.fits
    assert_allclose(sizes.intrinsics, (1170 * 640 / 1296, 1172 * 480 / 968, 319.5, 239.5), atol=1e-3)
    centred = Camera(640, 480, 570.0, 570.0, 325.0, 236.0)
    assert image_sizes(centred, {"0": (640, 480)}, (1296, 968)).fits
    assert not image_sizes(centred, {"0": (640, 480)}, (1296, 968), ImageSizeParameters(max_decentring=0.0)).fits


def test_intrinsics_of_another_aspect_are_recognised() -> None:
    camera = Camera(640, 480, 900.0, 900.0, 959.5, 539.5)  # of 1920 x 1080
    sizes = image_sizes(camera, {"0": (640, 480)}, (640, 480))
    assert (sizes.intrinsics_size, sizes.has_same_aspect) == ((1920, 1080), False)


def test_a_sound_sample_has_no_stuck_poses_jumps_gaps_or_empty_frames() -> None:
    sample = room_sample()
    jumps = pose_jumps(sample)
    assert (stuck_poses(sample).repeated, jumps.away, jumps.breaks, valid_depth(sample).empty) == ((), (), (), ())
    assert gaps(sample).without_overlap == gaps(sample).missing_numbers == ()
    assert jumps.min_fit > 0.8 and jumps.median_overlap > 0.8


def test_stuck_poses_are_moving_where_the_image_changes() -> None:
    sample = room_sample()
    poses = sample.poses.copy()
    poses[5] = poses[6] = poses[4]
    stuck = stuck_poses(sample.with_poses(poses))
    assert (stuck.repeated, stuck.moving) == ((5, 6), (5, 6))
    twice = sample.subset([0, 1, 1, 2])
    assert (stuck_poses(twice).repeated, stuck_poses(twice).moving) == ((2,), ())


def test_a_pose_that_jumps_away_and_back_is_told_from_a_break() -> None:
    sample = room_sample()
    away = sample.poses.copy()
    away[4, :3, 3] += 0.3
    jumps = pose_jumps(sample.with_poses(away))
    assert (jumps.away, jumps.breaks) == ((4,), ())
    broken = sample.poses.copy()
    broken[6:, :3, 3] += 0.3
    jumps = pose_jumps(sample.with_poses(broken))
    assert (jumps.away, jumps.breaks) == ((), (5,))
    lax = DiagnosisParameters(pose_jumps=PoseJumpParameters(min_fit=0.0, min_overlap=0.0))
    assert pose_jumps(sample.with_poses(broken), lax).breaks == ()


def test_frames_with_little_depth_against_the_others_are_empty() -> None:
    sample = with_frame(room_sample(), 3, valid=0.1)
    depth = valid_depth(sample)
    assert (depth.median, depth.minimum, depth.empty) == (1.0, 0.1, (3,))


def test_a_thing_before_nothing_is_whole_and_what_has_holes_is_not() -> None:
    thing = np.zeros((120, 160), np.float32)
    thing[40:80, 60:110] = 1.0
    pieces = np.where(np.kron(np.indices((12, 16)).sum(axis=0) % 4 == 0, np.ones((10, 10))), 1, 0).astype(np.float32)
    sample = room_sample(1)
    assert_allclose(valid_depth(with_frame(sample, 0, depth=thing)).fragmentation, 180**2 / 2000, rtol=0.05)
    assert valid_depth(with_frame(sample, 0, depth=pieces)).fragmentation > 500
    assert valid_depth(sample, ValidDepthParameters(min_frame=0.05)).empty == ()


def test_brightness_and_detail_are_measured_against_neighbours() -> None:
    sample = room_sample()
    dark, smooth = 5, 12
    darkened = with_frame(sample, dark, gray=sample.frames[dark].gray / 2, detail=sample.frames[dark].detail / 4)
    changed = with_frame(darkened, smooth, detail=sample.frames[smooth].detail / 10)
    before = compare_neighbours(sample)
    after = compare_neighbours(changed)
    assert_allclose(after.log_brightness[dark] - before.log_brightness[dark], np.log(0.5), atol=0.02)
    assert_allclose(after.log_detail[dark], before.log_detail[dark], atol=0.05)  # a dark frame is no blurred one
    assert_allclose(after.log_detail[smooth] - before.log_detail[smooth], np.log(0.1), atol=0.05)
    assert_allclose(after.log_brightness[smooth], before.log_brightness[smooth], atol=1e-6)
    few = NeighbourParameters(min_points=10**6)
    assert np.isnan(compare_neighbours(sample, few).log_detail).all()


def test_coverage_is_the_share_of_the_surface_that_enough_frames_see() -> None:
    still = room_sample().subset([0] * 10)
    assert coverage(still).covered == coverage(still).revisited == 1
    assert coverage(still, CoverageParameters(min_frames=10)).covered == 1
    assert coverage(still, CoverageParameters(min_frames=11)).covered == 0
    assert coverage(room_sample()).covered > 2 * coverage(room_sample().subset([0, 12, 23])).covered


def test_views_without_overlap_are_gaps() -> None:
    sample = room_sample(40, turn=0.08).subset([0, 1, 2, 38, 39])
    assert gaps(sample).without_overlap == (2,)
    assert_allclose(gaps(sample).overlap[2], 0, atol=0.02)
    lax = DiagnosisParameters(gaps=GapParameters(min_overlap=0.0))
    assert gaps(sample, lax).without_overlap == ()


def test_the_extent_of_a_scene_is_its_longest_side() -> None:
    assert_allclose(scene_size(room_sample(105)).extent, 2 * HALF_SIZE.max(), rtol=0.1)
    assert scene_size(room_sample(3).subset([])).extent == 0


def test_missing_numbers_are_steps_far_above_the_usual_one() -> None:
    assert missing_numbers(["1", "2", "3", "30", "31"]) == [2]
    assert missing_numbers(["10", "20", "30", "40"]) == []
    assert missing_numbers(["a", "2", "3", "30"]) == []
    assert missing_numbers(["1", "2", "3", "30", "31"], GapParameters(missing_steps=50.0)) == []


@given(st.sampled_from([1000.0, 5000.0, 256.0]), st.floats(-0.03, 0.03))
def test_depth_scales_near_a_common_one_are_that_one(scale: float, log_error: float) -> None:
    assert snapped_depth_scale(1000.0, 1000 / (scale * np.exp(log_error))) == scale


def test_other_depth_scales_stay_as_measured() -> None:
    assert snapped_depth_scale(1000.0, 0.5) == 2000
    assert snapped_depth_scale(1000.0, 0.5, common_scales=(2010.0,)) == 2010


def test_the_search_finds_what_raw_poses_and_depth_mean() -> None:
    sample = room_sample(60)
    indices = np.arange(len(sample))
    inverse = inverses(sample.poses)
    inverted = search_poses(sample.with_poses(inverse), RawPoses(inverse, indices), PoseHypothesis(), 1000.0)
    assert inverted.best.hypothesis == PoseHypothesis(poses_are="world_to_camera")
    assert inverted.best.score > 2 * inverted.stated.score and inverted.steps[0].evidence > 1
    late = search_poses(sample, RawPoses(np.roll(sample.poses, 2, axis=0), indices), PoseHypothesis(), 1000.0)
    assert late.best.hypothesis == PoseHypothesis(offset=2.0)
    lagging = poses_at(sample.poses, indices - 3 * indices / 59)
    drifting = search_poses(sample.with_poses(lagging), RawPoses(lagging, indices), PoseHypothesis(), 1000.0)
    assert_allclose(drifting.best.hypothesis.time, (0, 3), atol=0.5)
    raw_poses = RawPoses(sample.poses, indices)
    small = search_poses(sample.with_depth_scaled(0.2), raw_poses, PoseHypothesis(), 1000.0)
    assert_allclose(small.best.hypothesis.depth_factor, 5.0, rtol=0.02)
    assert search_poses(sample, raw_poses, PoseHypothesis(), 1000.0).steps == ()
    lengths = np.linalg.norm(pixel_directions(sample.camera), axis=-1).astype(np.float32)
    along_rays = replace(sample, frames=tuple(replace(f, depth=f.depth * lengths) for f in sample.frames))
    found = search_poses(along_rays, raw_poses, PoseHypothesis(), 1000.0)
    assert found.best.hypothesis == PoseHypothesis(depth_along="ray")


def test_no_change_is_accepted_that_gains_less_than_the_parameters_ask_for() -> None:
    sample = room_sample(60)
    raw_poses = RawPoses(np.roll(sample.poses, 1, axis=0), np.arange(len(sample)))
    strict = DiagnosisParameters(pose_search=PoseSearchParameters(min_gain=1.0))
    search = search_poses(sample, raw_poses, PoseHypothesis(), 1000.0, strict)
    assert search.steps == () and search.best == search.stated


def with_frame(sample: Sample, frame_index: int, **changes: Any) -> Sample:
    """The sample with one frame's fields changed."""
    frames = list(sample.frames)
    frames[frame_index] = replace(frames[frame_index], **changes)
    return replace(sample, frames=tuple(frames))
