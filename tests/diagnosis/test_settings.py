"""Laws of the settings that repair a scan, and of the two cameras that a scene's files state."""

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from benchmarks.breaks import (
    change_color,
    change_poses,
    measure_along_rays,
    names_of,
    offset_poses,
    reorder_quaternions,
    write_matrix,
)
from panrecon.config import ScanSettings, load_settings
from panrecon.datasets.scannet.dataset import ScanNet
from panrecon.errors import InputError
from panrecon.geometry.projective import FLIP, invert, register, transform
from panrecon.geometry.trajectory import PoseConvention, world_from_cameras
from panrecon.io.files import write_text
from panrecon.io.images import read_color, read_depth
from panrecon.io.scan import read_scan, write_scan

GOOD = ScanSettings()


def test_offset_images_take_later_poses_and_the_ends_are_dropped(room: Path) -> None:
    good = ScanNet().scan(room, GOOD)
    offset_poses(room, 2)
    repaired = ScanNet().scan(room, ScanSettings(pose_offset=2))
    assert [frame.name for frame in repaired.frames] == [frame.name for frame in good.frames[:-2]]
    assert_array_equal(repaired.poses, good.poses[:-2])
    early = ScanNet().scan(room, ScanSettings(pose_offset=-1))
    assert [frame.name for frame in early.frames] == [frame.name for frame in good.frames[1:]]


def test_skipped_frames_are_not_there_and_must_exist(room: Path) -> None:
    names = names_of(room)
    settings = load_settings(overrides=[f"scan.skip_frames=[{names[3]}, {names[7]}]"]).scan
    assert [f.name for f in ScanNet().scan(room, settings).frames] == names[:3] + names[4:7] + names[8:]
    with pytest.raises(InputError, match="ghost"):
        ScanNet().scan(room, ScanSettings(skip_frames=("ghost",)))
    with pytest.raises(InputError, match="leave no frame"):
        ScanNet().scan(room, ScanSettings(pose_offset=len(names)))


@pytest.mark.parametrize("poses_are", ["camera_to_world", "world_to_camera"])
@pytest.mark.parametrize("axes", ["opencv", "opengl"])
def test_a_pose_is_the_same_in_every_convention(poses_are: str, axes: str, room: Path) -> None:
    pose = ScanNet().scan(room, GOOD).poses[5]
    stated = pose @ FLIP if axes == "opengl" else pose.copy()
    stated = invert(stated) if poses_are == "world_to_camera" else stated
    stated[:3, 3] *= 1000
    convention = PoseConvention(poses_are, axes, scale=0.001)  # type: ignore[arg-type]
    assert_allclose(world_from_cameras(stated[None], convention)[0], pose, atol=1e-9)


def test_quaternions_that_began_with_w_are_put_in_order(room: Path) -> None:
    good = ScanNet().scan(room, GOOD)
    change_poses(room, reorder_quaternions)
    assert np.abs(ScanNet().scan(room, GOOD).poses - good.poses).max() > 0.1
    assert_allclose(ScanNet().scan(room, ScanSettings(quaternions="wxyz")).poses, good.poses, atol=1e-6)


def test_poses_between_frames_are_interpolated_and_drift(room: Path) -> None:
    good = ScanNet().scan(room, GOOD)
    count = len(good.frames)
    half = ScanNet().scan(room, ScanSettings(pose_offset=0.5)).poses
    assert_allclose(half[:, :3, 3], (good.poses[:-1, :3, 3] + good.poses[1:, :3, 3]) / 2)
    assert_allclose(
        half[:, :3, :3] @ half[:, :3, :3].transpose(0, 2, 1), np.broadcast_to(np.eye(3), (count - 1, 3, 3)), atol=1e-9
    )
    drifting = ScanNet().scan(room, ScanSettings(pose_drift=-2.0))
    assert_array_equal(drifting.poses[0], good.poses[0])
    assert_array_equal(drifting.poses[-1], good.poses[-3])


def test_depth_along_rays_comes_to_be_depth_along_the_axis(room: Path, tmp_path: Path) -> None:
    good = ScanNet().scan(room, GOOD)
    before = read_depth(good.frames[0].depth, 1000.0)
    measure_along_rays(room)
    settings = ScanSettings(depth_along="ray")
    scan = ScanNet().scan(room, settings)
    write_scan(tmp_path / "scan", scan, scan.frames[:1], ScanNet().depths(room, scan, settings))
    written = read_depth(read_scan(tmp_path / "scan").frames[0].depth, 1000.0)
    assert np.abs(read_depth(scan.frames[0].depth, 1000.0) - before).max() > 0.1
    assert_allclose(written, before, atol=0.002)


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_colour_that_is_turned_is_turned_back(degrees: int, room: Path, tmp_path: Path) -> None:
    upright = read_color(ScanNet().scan(room, GOOD).frames[0].color).astype(float)
    change_color(room, names_of(room), lambda image: np.ascontiguousarray(np.rot90(image, -degrees // 90)))
    scan = ScanNet().scan(room, ScanSettings.model_validate({"color_turned": degrees}))
    write_scan(tmp_path / "scan", scan, scan.frames[:1])
    assert np.abs(read_color(read_scan(tmp_path / "scan").frames[0].color) - upright).mean() < 4  # JPEG, twice


def test_a_colour_camera_beside_is_registered_by_the_settings_as_by_files(room: Path) -> None:
    scan = ScanNet().scan(room, ScanSettings(color_position=(0.05, 0.0, 0.0)))
    assert scan.needs_registration and scan.source_from_camera is not None
    assert_allclose(scan.source_from_camera[:3, 3], (-0.05, 0, 0))


def test_shifted_colour_comes_to_lie_where_the_depth_is(room: Path, tmp_path: Path) -> None:
    scan = ScanNet().scan(room, ScanSettings(color_offset=(4.0, -3.0)))
    write_scan(tmp_path / "scan", scan, scan.frames[:1])
    raw = read_color(scan.frames[0].color).astype(float)
    repaired = read_color(read_scan(tmp_path / "scan").frames[0].color).astype(float)
    to_shifted, to_unshifted = (np.abs(repaired[4:, :-5] - other).mean() for other in (raw[1:-3, 4:-1], raw[4:, :-5]))
    assert to_shifted < 4 < to_unshifted  # gray values; JPEG costs some


def test_intrinsics_of_the_settings_are_those_of_the_images_as_they_are(room: Path) -> None:
    write_text(room / f"{room.name}.txt", "colorWidth = 999\n")
    scan = ScanNet().scan(room, ScanSettings(color_intrinsics=(100.0, 101.0, 79.0, 59.0)))
    assert (scan.source_camera.width, scan.source_camera.fy) == (160, 101.0)


def test_identical_extrinsics_change_no_byte_and_others_register(room: Path, tmp_path: Path) -> None:
    common = np.eye(4)
    common[:3, 3] = 0.1, -0.2, 0.3
    plain = ScanNet().scan(room, GOOD)
    for kind in ("color", "depth"):
        write_matrix(room / "intrinsic" / f"extrinsic_{kind}.txt", common)
    same = ScanNet().scan(room, GOOD)
    assert same.source_from_camera is None and not same.needs_registration
    aside = np.eye(4)
    aside[0, 3] = 0.05  # the colour camera stands 5 cm to the right
    write_matrix(room / "intrinsic" / "extrinsic_color.txt", common @ aside)
    moved = ScanNet().scan(room, GOOD)
    assert moved.source_from_camera is not None
    assert_allclose(moved.source_from_camera, invert(aside), atol=1e-7)
    write_scan(tmp_path / "scan", moved, moved.frames[:1])
    frame = plain.frames[0]
    color, depth = read_color(frame.color), read_depth(frame.depth, 1000.0)
    expected = register(color, plain.camera, depth, plain.camera, invert(aside))
    written = read_color(read_scan(tmp_path / "scan").frames[0].color)
    assert np.abs(written.astype(float) - expected).mean() < 3  # JPEG


def test_axis_alignment_turns_poses_and_is_the_same_for_the_truth(room: Path) -> None:
    turn = np.array([[0.0, -1, 0, 2], [1, 0, 0, 3], [0, 0, 1, 0.5], [0, 0, 0, 1]])
    settings = ScanSettings(axis_alignment=True)
    plain = ScanNet().scan(room, GOOD)
    with pytest.raises(InputError, match="axisAlignment"):
        ScanNet().scan(room, settings)
    write_text(room / f"{room.name}.txt", "axisAlignment = " + " ".join(map(str, turn.ravel())) + "\n")
    assert_array_equal(ScanNet().scan(room, GOOD).poses, plain.poses)
    assert_allclose(ScanNet().scan(room, settings).poses, turn @ plain.poses)
    points = np.random.default_rng(0).normal(size=(5, 3))
    assert_allclose(transform(ScanNet().alignment(room, settings), points), points @ turn[:3, :3].T + turn[:3, 3])
