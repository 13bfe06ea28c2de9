"""Laws of the importer of Replica as NICE-SLAM distributes it, on scenes written in its layout."""

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from panrecon.datasets.importers.base import Importer
from panrecon.datasets.importers.replica import Replica
from panrecon.errors import InputError
from panrecon.io.files import write_json, write_text
from panrecon.io.images import write_depth, write_image
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

STATED = {"w": 20, "h": 16, "fx": CAMERA.fx, "fy": CAMERA.fy, "cx": CAMERA.cx, "cy": CAMERA.cy, "scale": 6553.5}


def lines(frames: list[np.ndarray]) -> str:
    """As numpy's savetxt writes them, which made the published ones."""
    return "".join(" ".join(f"{number:.18e}" for number in pose.ravel()) + "\n" for pose in frames)


def write_scene(parent: Path) -> Path:
    folder = parent / "Replica" / "room0"
    for number, pose in enumerate(poses(3)):
        write_image(folder / "results" / f"frame{number:06d}.jpg", picture(CAMERA, number))
        write_depth(folder / "results" / f"depth{number:06d}.png", plane_depth(CAMERA, pose), 6553.5)
    write_text(folder / "traj.txt", lines(poses(3)))
    write_json(folder.parent / "cam_params.json", {"camera": STATED})
    return folder


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    return write_scene(tmp_path)


def test_it_is_an_importer_of_its_own_folders_only(scene: Path, tmp_path: Path) -> None:
    assert isinstance(Replica(), Importer)
    assert Replica().recognise(scene) == "it holds traj.txt and results/frame*.jpg"
    others = [touch_layout(tmp_path / name, name) for name in LAYOUTS if name != "replica"]
    for folder in [*others, tmp_path, tmp_path / "absent"]:
        assert Replica().recognise(folder) is None


def test_depth_lies_on_the_plane_and_colours_come_back(scene: Path) -> None:
    source = Replica().read(scene)
    assert_on_plane(source)
    assert_pictures(source, [0, 1, 2])
    assert_allclose([frame.world_from_camera for frame in source.frames], poses(3), atol=1e-12)
    assert [frame.name for frame in source.frames] == ["000000", "000001", "000002"]
    assert source.camera == source.color_camera == CAMERA
    assert source.notes == []


def test_the_camera_lies_in_the_scene_or_beside_it_and_its_own_counts(scene: Path) -> None:
    write_json(scene / "cam_params.json", {"camera": STATED | {"scale": 3276.75}})
    inside = Replica().read(scene).frames[0].depth()
    (scene / "cam_params.json").unlink()
    assert_array_equal(inside, 2 * Replica().read(scene).frames[0].depth())


def test_frames_without_depth_or_pose_are_left_out_and_the_others_keep_their_own(scene: Path) -> None:
    (scene / "results" / "depth000000.png").unlink()
    source = Replica().read(scene)
    assert_on_plane(source)
    assert_pictures(source, [1, 2])
    assert source.notes == ["1 frames lack colour, depth or pose and are left out"]
    write_text(scene / "traj.txt", lines(poses(2)))
    assert [frame.name for frame in Replica().read(scene).frames] == ["000001"]
    assert_on_plane(Replica().read(scene))


def test_poses_of_frames_that_are_not_there_are_noted(scene: Path) -> None:
    for kind in ("frame000001.jpg", "depth000001.png"):
        (scene / "results" / kind).unlink()
    source = Replica().read(scene)
    assert_on_plane(source)
    assert_pictures(source, [0, 2])
    assert source.notes == ["1 poses of traj.txt are of no frame"]
    write_text(scene / "traj.txt", lines([poses(3)[0], poses(3)[2]]))  # thinned out, the trajectory with the images
    assert_on_plane(Replica().read(scene))


def test_frames_are_in_the_order_of_their_numbers(scene: Path) -> None:
    for number in (0, 1, 2):
        for kind, suffix in (("frame", "jpg"), ("depth", "png")):
            (scene / "results" / f"{kind}{number:06d}.{suffix}").rename(
                scene / "results" / f"{kind}{5 * number}.{suffix}"
            )
    source = Replica().read(scene)
    assert [frame.name for frame in source.frames] == ["000000", "000005", "000010"]
    assert_pictures(source, [0, 1, 2])
    assert_on_plane(source)


def test_a_pose_that_was_lost_stays_not_finite(scene: Path) -> None:
    write_text(scene / "traj.txt", lines([poses(3)[0], np.full((4, 4), -np.inf), poses(3)[2]]))
    finite = [np.isfinite(frame.world_from_camera).all() for frame in Replica().read(scene).frames]
    assert finite == [True, False, True]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"traj\.txt is empty"),
        ("1 0 0\n", r"traj\.txt has 3 numbers a line; 16 are needed"),
        ("1 0 0 x\n", r"traj\.txt cannot be read as 16 numbers a line"),
        (lines(poses(2)) + "1 0\n", r"traj\.txt cannot be read as 16 numbers a line"),
        (lines([poses(1)[0], 2 * np.eye(4)]), r"pose 1 of .*traj\.txt \(counted from 0\) is no rotation and shift"),
        (lines([np.diag([1.0, 1, -1, 1])]), r"pose 0 of .* is no rotation and shift"),
        (lines([pose.T for pose in poses(3)]), r"pose 0 of .* no rotation and shift"),
    ],
)
def test_a_malformed_trajectory_is_refused(scene: Path, content: str, message: str) -> None:
    write_text(scene / "traj.txt", content)
    with pytest.raises(InputError, match=message):
        Replica().read(scene)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", r"cam_params\.json is not JSON"),
        ("[]", r"cam_params\.json states the camera None; it must have the numbers w, h, fx, fy, cx, cy, scale"),
        (json.dumps({"camera": STATED | {"fx": "600"}}), r"it must have the numbers w, h, fx"),
        (json.dumps({"camera": STATED | {"scale": 0}}), r"sizes, focal lengths and scale must be positive"),
    ],
)
def test_a_malformed_camera_is_refused(scene: Path, content: str, message: str) -> None:
    write_text(scene.parent / "cam_params.json", content)
    with pytest.raises(InputError, match=message):
        Replica().read(scene)


def test_what_is_missing_is_named(scene: Path) -> None:
    (scene.parent / "cam_params.json").rename(scene.parent / "other.json")
    with pytest.raises(InputError, match=r"cam_params\.json does not exist"):
        Replica().read(scene)
    (scene.parent / "other.json").rename(scene.parent / "cam_params.json")
    for file in (scene / "results").glob("depth*"):
        file.unlink()
    with pytest.raises(InputError, match=r"No frame of .*: 3 frame\*\.jpg and 0 depth\*\.png in results, 3 lines"):
        Replica().read(scene)
    (scene / "traj.txt").unlink()
    assert Replica().recognise(scene) is None
    with pytest.raises(InputError, match=r"traj\.txt cannot be read"):
        Replica().read(scene)
