"""Laws of the importer of nerfstudio's transforms.json, on files written as its documentation has them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from panrecon.datasets.importers.base import Importer, Lens
from panrecon.datasets.importers.lenses import rectified
from panrecon.datasets.importers.nerfstudio import Nerfstudio
from panrecon.errors import InputError
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

STATED = {"fl_x": CAMERA.fx, "fl_y": CAMERA.fy, "cx": CAMERA.cx + 0.5, "cy": CAMERA.cy + 0.5, "w": 20, "h": 16}


def write_scan(folder: Path, count: int = 3, color: Camera = CAMERA, **changes: Any) -> Path:
    """A scan, and a transforms.json that says so, with changes (None: left out)."""
    frames = []
    for number, pose in enumerate(poses(count)):
        write_image(folder / "images" / f"frame_{number:05d}.png", picture(color, number))
        write_depth(folder / "depth" / f"frame_{number:05d}.png", plane_depth(CAMERA, pose))
        frames.append(
            {
                "file_path": f"images/frame_{number:05d}.png",
                "depth_file_path": f"./depth/frame_{number:05d}.png",
                "transform_matrix": (pose @ np.diag([1.0, -1.0, -1.0, 1.0])).tolist(),
            }
        )
    content: dict[str, Any] = {"camera_model": "OPENCV", **STATED, "frames": frames}
    change(folder, content | changes)
    return folder


def change(folder: Path, content: dict[str, Any]) -> None:
    kept = {key: value for key, value in content.items() if value is not None}
    (folder / "transforms.json").write_text(json.dumps(kept))


def content_of(folder: Path) -> Any:
    return json.loads((folder / "transforms.json").read_text())


def test_depth_lies_on_the_plane_and_colours_come_back(tmp_path: Path) -> None:
    write_scan(tmp_path)
    assert isinstance(Nerfstudio(), Importer)
    for path in (tmp_path, tmp_path / "transforms.json"):
        assert Nerfstudio().recognise(path) == "it holds transforms.json"
        source = Nerfstudio().read(path)
        assert_on_plane(source)
        assert_pictures(source, [0, 1, 2], tolerance=0)
        assert source.camera == source.color_camera == CAMERA
        assert source.notes == []
        assert_allclose([frame.world_from_camera for frame in source.frames], poses(3), atol=1e-12)


def test_it_knows_no_other_layout(tmp_path: Path) -> None:
    others = [touch_layout(tmp_path / name, name) for name in LAYOUTS if name != "nerfstudio"]
    assert [Nerfstudio().recognise(folder) for folder in others] == [None] * len(others)


def test_depth_smaller_than_colour_has_the_same_camera_scaled(tmp_path: Path) -> None:
    large = CAMERA.scaled(4.0)
    stated: dict[str, Any] = {
        "fl_x": large.fx,
        "fl_y": large.fy,
        "cx": large.cx + 0.5,
        "cy": large.cy + 0.5,
        "w": 80,
        "h": 64,
    }
    source = Nerfstudio().read(write_scan(tmp_path, color=large, **stated))
    assert source.color_camera == large
    assert_on_plane(source)
    assert_pictures(source, [0, 1, 2], tolerance=0)


def test_cameras_of_frames_win_over_the_common_one(tmp_path: Path) -> None:
    content = content_of(write_scan(tmp_path, fl_x=None, w=None, h=None))
    for frame, fx in zip(content["frames"], (18.0, 18.0, 18.6), strict=True):
        frame["fl_x"] = fx
    write_depth(tmp_path / "depth" / "frame_00002.png", plane_depth(Camera(20, 16, 18.6, 17.0, 9.25, 7.5), poses(3)[2]))
    change(tmp_path, content)
    source = Nerfstudio().read(tmp_path)
    assert source.color_camera == CAMERA and "they have 2 cameras" in source.notes[0]
    assert_on_plane(rectified(source), tolerance=0.08, measured=0.85)


@pytest.mark.parametrize(
    ("stated", "distortion", "is_fisheye"),
    [
        ({"k1": 0.1, "k2": 0.02, "p1": 0.003, "p2": -0.004}, (0.1, 0.02, 0.003, -0.004, 0.0, 0.0, 0.0, 0.0), False),
        ({"k3": 0.03}, (0.0, 0.0, 0.0, 0.0, 0.03, 0.0, 0.0, 0.0), False),
        ({"camera_model": "OPENCV_FISHEYE", "k1": 0.1, "k4": 0.2, "p1": 9.0}, (0.1, 0.0, 0.0, 0.2), True),
        ({"camera_model": "PINHOLE", "k1": 0.1}, (), False),
    ],
)
def test_lenses_are_opencvs(
    tmp_path: Path, stated: dict[str, Any], distortion: tuple[float, ...], is_fisheye: bool
) -> None:
    source = Nerfstudio().read(write_scan(tmp_path, **stated))
    assert {frame.lens for frame in source.frames} == {Lens(CAMERA, distortion, is_fisheye)}
    assert len(source.notes) == bool(distortion)


@pytest.mark.parametrize("metres_per_unit", [None, 0.001, 1.0])
def test_depth_in_npy_has_the_files_unit(tmp_path: Path, metres_per_unit: float | None) -> None:
    content = content_of(write_scan(tmp_path, depth_unit_scale_factor=metres_per_unit))
    for number, (frame, pose) in enumerate(zip(content["frames"], poses(3), strict=True)):
        np.save(tmp_path / "depth" / f"{number}.npy", plane_depth(CAMERA, pose) / (metres_per_unit or 0.001))
        frame["depth_file_path"] = f"depth/{number}.npy"
    change(tmp_path, content)
    assert_on_plane(Nerfstudio().read(tmp_path))


def test_metres_that_are_not_stated_are_told(tmp_path: Path) -> None:
    content = content_of(write_scan(tmp_path, count=1))
    np.save(tmp_path / "depth" / "0.npy", plane_depth(CAMERA, poses(1)[0]))
    content["frames"][0]["depth_file_path"] = "depth/0.npy"
    change(tmp_path, content)
    with pytest.raises(InputError, match=r"is 1\.\d mm; state depth_unit_scale_factor there, metres a unit"):
        Nerfstudio().read(tmp_path)


def test_frames_without_depth_are_left_out_and_counted(tmp_path: Path) -> None:
    content = content_of(write_scan(tmp_path))
    del content["frames"][0]["depth_file_path"]
    change(tmp_path, content)
    (tmp_path / "images" / "frame_00001.png").unlink()
    source = Nerfstudio().read(tmp_path)
    assert_pictures(source, [2], tolerance=0)
    assert source.notes == ["2 frames of transforms.json have no image or no depth and are left out"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"frames": None}, "has no list `frames`"),
        ({"fl_x": None}, r"camera of frame 0 of .* lacks or misstates 'camera_angle_x'"),
        ({"fl_x": -3}, r"camera of frame 0 of .*fl -3"),
        ({"camera_model": "EQUIRECTANGULAR"}, r"camera_model of frame 0 of .* is 'EQUIRECTANGULAR'"),
        ({"depth_unit_scale_factor": 0}, "depth_unit_scale_factor of .* is 0"),
        ({"frames": [{"file_path": "a.png"}]}, "None of the 1 frames of .* has a depth_file_path"),
        ({"frames": [{"file_path": "a.png", "depth_file_path": "d.png"}]}, r"'a\.png' or 'd\.png' does not exist"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    write_scan(tmp_path, **changes)
    with pytest.raises(InputError, match=message):
        Nerfstudio().read(tmp_path)


def test_a_wrong_pose_is_named(tmp_path: Path) -> None:
    content = content_of(write_scan(tmp_path))
    content["frames"][1]["transform_matrix"] = [[1, 2], [3, 4]]
    change(tmp_path, content)
    with pytest.raises(InputError, match=r"transform_matrix of frame 1 of .* is not 4 x 4 numbers"):
        Nerfstudio().read(tmp_path)
