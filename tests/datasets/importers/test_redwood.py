"""Laws of the importer of Redwood's and Open3D's layout, on scans written in it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from panrecon.datasets.importers.base import Importer
from panrecon.datasets.importers.redwood import Redwood
from panrecon.errors import InputError
from panrecon.fusion.voxel_block_grid import import_open3d
from panrecon.io.files import write_json, write_text
from panrecon.io.images import write_depth, write_image
from panrecon.structures import Camera
from tests.datasets.importers.scenes import (
    CAMERA,
    LAYOUTS,
    assert_on_plane,
    assert_pictures,
    picture,
    plane_depth,
    poses,
    touch_layout,
)

STATED = {"width": 20, "height": 16, "intrinsic_matrix": [18.0, 0, 0, 0, 17.0, 0, 9.25, 7.5, 1]}
PRIMESENSE = Camera(640, 480, 525.0, 525.0, 319.5, 239.5)


def log_of(frames: list[np.ndarray], numbers: list[int] | None = None) -> str:
    """As Open3D writes it."""
    blocks = []
    for number, pose in zip(numbers or range(len(frames)), frames, strict=True):
        rows = "".join(" ".join(f"{value:.8f}" for value in row) + " \n" for row in pose)
        blocks.append(f"{number} {number} {number + 1}\n{rows}")
    return "".join(blocks)


def write_scan(folder: Path, camera: Camera = CAMERA, count: int = 3, color: str = "color/{:06d}.jpg") -> Path:
    for number, pose in enumerate(poses(count)):
        write_image(folder / color.format(number + 1), picture(camera, number))
        write_depth(folder / "depth" / f"{number + 1:06d}.png", plane_depth(camera, pose), 1000.0)
    write_text(folder / "lounge_trajectory.log", log_of(poses(count)))
    if camera == CAMERA:
        write_json(folder / "camera_intrinsic.json", STATED)
    return folder


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    return write_scan(tmp_path / "lounge")


def test_it_is_an_importer_of_its_own_folders_only(scan: Path, tmp_path: Path) -> None:
    assert isinstance(Redwood(), Importer)
    assert Redwood().recognise(scan) == "it holds color/, depth/ and the trajectory lounge_trajectory.log"
    others = [touch_layout(tmp_path / name, name) for name in LAYOUTS if name != "redwood"]
    write_text(tmp_path / "scannet" / "training.log", "epoch 1\n")
    for folder in [*others, tmp_path, tmp_path / "absent"]:
        assert Redwood().recognise(folder) is None


@pytest.mark.parametrize("color", ["color/{:06d}.jpg", "rgb/{:06d}.png", "image/{:07d}-000000033369.jpg"])
def test_depth_lies_on_the_plane_and_colours_come_back(tmp_path: Path, color: str) -> None:
    source = Redwood().read(write_scan(tmp_path / "scan", color=color))
    assert_on_plane(source)
    assert_pictures(source, [0, 1, 2])
    assert_allclose([frame.world_from_camera for frame in source.frames], poses(3), atol=1e-7)
    assert [frame.name for frame in source.frames] == ["000001", "000002", "000003"]
    assert source.camera == source.color_camera == CAMERA
    assert source.notes == ["intrinsics are those of camera_intrinsic.json"]


@pytest.mark.parametrize("name", ["camera_primesense.json", "intrinsic.json"])
def test_intrinsics_may_lie_in_other_files(scan: Path, name: str) -> None:
    (scan / "camera_intrinsic.json").rename(scan / name)
    assert Redwood().read(scan).notes == [f"intrinsics are those of {name}"]


def test_intrinsics_are_primesenses_where_none_are_stated_and_the_size_is_its(scan: Path, tmp_path: Path) -> None:
    source = Redwood().read(write_scan(tmp_path / "large", PRIMESENSE, count=1))
    assert source.camera == PRIMESENSE
    assert_on_plane(source)
    assert source.notes[0].startswith("no file states intrinsics, PrimeSense's are taken")
    (scan / "camera_intrinsic.json").unlink()
    with pytest.raises(InputError, match=r"are 20 x 16 pixels, not 640 x 480 .* add camera_intrinsic\.json"):
        Redwood().read(scan)


def test_the_system_of_open3d_leaves_its_trajectory_in_scene(scan: Path) -> None:
    (scan / "scene").mkdir()
    (scan / "lounge_trajectory.log").rename(scan / "scene" / "trajectory.log")
    assert Redwood().recognise(scan) is not None
    assert_on_plane(Redwood().read(scan))


def test_what_open3d_itself_writes_is_read(scan: Path) -> None:
    open3d = import_open3d()
    intrinsic = open3d.camera.PinholeCameraIntrinsic(20, 16, CAMERA.fx, CAMERA.fy, CAMERA.cx, CAMERA.cy)
    trajectory = open3d.camera.PinholeCameraTrajectory()
    for pose in poses(3):
        parameters = open3d.camera.PinholeCameraParameters()
        parameters.intrinsic, parameters.extrinsic = intrinsic, np.linalg.inv(pose)  # camera from world
        trajectory.parameters = [*trajectory.parameters, parameters]
    assert open3d.io.write_pinhole_camera_trajectory(str(scan / "lounge_trajectory.log"), trajectory)
    assert open3d.io.write_pinhole_camera_intrinsic(str(scan / "camera_intrinsic.json"), intrinsic)
    source = Redwood().read(scan)
    assert source.camera == CAMERA
    assert_allclose([frame.world_from_camera for frame in source.frames], poses(3), atol=1e-7)
    assert_on_plane(source)


def test_of_several_trajectories_the_one_of_that_name_is_taken(scan: Path) -> None:
    write_text(scan / "other.log", log_of(poses(3)[::-1]))
    with pytest.raises(
        InputError, match=r"several trajectories, lounge_trajectory\.log, other\.log; name the right one"
    ):
        Redwood().read(scan)
    (scan / "lounge_trajectory.log").rename(scan / "trajectory.log")
    assert_on_plane(Redwood().read(scan))


def test_as_many_poses_as_images_are_theirs_in_order_whatever_their_numbers(scan: Path) -> None:
    write_text(scan / "lounge_trajectory.log", log_of(poses(3), [1, 2, 3]))
    assert_on_plane(Redwood().read(scan))


def test_fewer_poses_are_of_the_images_they_name(scan: Path) -> None:
    write_text(scan / "lounge_trajectory.log", log_of([poses(3)[2], poses(3)[0]], [2, 0]))
    source = Redwood().read(scan)
    assert_pictures(source, [0, 2])
    assert_on_plane(source)
    assert source.notes[1:] == ["1 frames lack colour, depth or pose and are left out"]


def test_images_without_partner_and_poses_without_image_are_noted(scan: Path) -> None:
    (scan / "depth" / "000002.png").unlink()
    write_text(scan / "lounge_trajectory.log", log_of(poses(5)))
    source = Redwood().read(scan)
    assert_pictures(source, [0, 2])
    assert_on_plane(source)
    assert source.notes[1:] == [
        "1 frames lack colour, depth or pose and are left out",
        "2 poses of lounge_trajectory.log are of no image",
    ]


def test_frames_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    scan = write_scan(tmp_path / "scan", color="color/{}.jpg", count=2)
    for number, new in ((2, 10), (1, 9)):
        (scan / "color" / f"{number}.jpg").rename(scan / "color" / f"{new}.jpg")
        (scan / "depth" / f"{number:06d}.png").rename(scan / "depth" / f"{new}.png")
    source = Redwood().read(scan)
    assert_pictures(source, [0, 1])
    assert_on_plane(source)


POSE = log_of(poses(1))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"has no \.log file that begins with `0 0 1`"),
        ("1 0 0 0\n" * 4, r"has no \.log file that begins with `0 0 1`"),
        (POSE + "1 1\n", r"Pose 1 of .*\.log \(counted from 0\) is not `i i i\+1` and 4 x 4"),
        (POSE + "1 1 2\n1 0 0 0\n", r"Pose 1 of .* is not `i i i\+1` and 4 x 4"),
        (POSE.replace("1.00000000", "one"), r"Pose 0 of .* is not `i i i\+1` and 4 x 4"),
        (POSE.replace("0 0 1\n", "0 3 8\n", 1), r"Pose 0 of .* is of 0 3; each must be of one frame"),
        (POSE + POSE, r"Pose 1 of .* is of 0 0; each must be of one frame"),
        (log_of([2 * np.eye(4)]), r"pose 0 of .* is no rotation and shift"),
        (log_of(poses(1), [7]), r"No frame of .*: 3 images in color, 3 in depth, 1 poses in lounge_trajectory\.log"),
    ],
)
def test_a_malformed_trajectory_is_refused(scan: Path, content: str, message: str) -> None:
    write_text(scan / "lounge_trajectory.log", content)
    with pytest.raises(InputError, match=message):
        Redwood().read(scan)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[", r"camera_intrinsic\.json is not JSON"),
        ([], r"has no width, height and intrinsic_matrix of 9 numbers"),
        (STATED | {"intrinsic_matrix": [1, 2]}, r"has no width, height and intrinsic_matrix of 9 numbers"),
        (
            STATED | {"intrinsic_matrix": [18, 0, 9.25, 0, 17, 7.5, 0, 0, 1]},
            r"it must be fx 0 0 0 fy 0 cx cy 1, column by",
        ),
        (STATED | {"intrinsic_matrix": [18, 0, 0, 0, -17, 0, 9.25, 7.5, 1]}, r"it must be fx 0 0 0 fy 0 cx cy 1"),
    ],
)
def test_malformed_intrinsics_are_refused(scan: Path, content: Any, message: str) -> None:
    write_text(scan / "camera_intrinsic.json", content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(InputError, match=message):
        Redwood().read(scan)


def test_images_without_a_number_or_twice_of_one_are_refused(scan: Path) -> None:
    (scan / "color" / "000001.jpg").rename(scan / "color" / "first.jpg")
    with pytest.raises(InputError, match=r"first\.jpg has no number of its own"):
        Redwood().read(scan)
    (scan / "color" / "first.jpg").rename(scan / "color" / "2.jpg")
    with pytest.raises(InputError, match=r"has no number of its own"):
        Redwood().read(scan)


def test_without_images_it_says_where_they_are_looked_for(scan: Path) -> None:
    (scan / "color").rename(scan / "photos")
    assert Redwood().recognise(scan) is None
    with pytest.raises(InputError, match=r"has no image in image, rgb, color"):
        Redwood().read(scan)
