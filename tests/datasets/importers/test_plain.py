"""Laws of a plain folder with a scan.yaml."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml

from panrecon.datasets.importers.base import Importer
from panrecon.datasets.importers.plain import Plain
from panrecon.errors import InputError
from panrecon.geometry.projective import invert
from panrecon.structures import Camera
from tests.datasets.importers.scenes import CAMERA, assert_on_plane, assert_pictures, picture, plane_depth, poses

STATED = {"fx": CAMERA.fx, "fy": CAMERA.fy, "cx": CAMERA.cx, "cy": CAMERA.cy}
TEN_LINES = {"color": "rgb/*.png", "depth": "depth/*.png", "poses": "pose/*.txt", "camera": STATED}


def write_scan(folder: Path, count: int = 3, **changes: Any) -> Path:
    """`count` frames, and a scan.yaml that says so, with changes (None: left out)."""
    for number, pose in enumerate(poses(count)):
        write(folder / "rgb" / f"frame-{number:04d}.png", picture(CAMERA, number)[..., ::-1])
        scale = changes.get("depth_scale", 1000)
        write(folder / "depth" / f"{number}.png", np.rint(plane_depth(CAMERA, pose) * scale).astype(np.uint16))
        (folder / "pose").mkdir(exist_ok=True)
        np.savetxt(folder / "pose" / f"{number}.txt", pose)
    describe(folder, **changes)
    return folder


def describe(folder: Path, **changes: Any) -> None:
    content = {key: value for key, value in (TEN_LINES | changes).items() if value is not None}
    (folder / "scan.yaml").write_text(yaml.safe_dump(content))


def write(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(".png", image)[1].tobytes())


def test_a_description_of_a_few_lines_gives_the_scan(tmp_path: Path) -> None:
    source = Plain().read(write_scan(tmp_path))
    assert isinstance(Plain(), Importer) and Plain().recognise(tmp_path) == "it holds scan.yaml"
    assert source.camera == source.color_camera == CAMERA
    assert_on_plane(source)
    assert_pictures(source, [0, 1, 2], tolerance=0.1)


@pytest.mark.parametrize("poses_are", ["camera_to_world", "world_to_camera"])
@pytest.mark.parametrize("axes", ["opencv", "opengl"])
def test_every_convention_comes_to_the_same(tmp_path: Path, poses_are: str, axes: str) -> None:
    write_scan(tmp_path, poses_are=poses_are, axes=axes)
    for number, pose in enumerate(poses(3)):
        stated = pose @ np.diag([1.0, -1, -1, 1]) if axes == "opengl" else pose
        np.savetxt(tmp_path / "pose" / f"{number}.txt", invert(stated) if poses_are == "world_to_camera" else stated)
    assert_on_plane(Plain().read(tmp_path))


def test_depth_of_another_scale_or_in_metres(tmp_path: Path) -> None:
    assert_on_plane(Plain().read(write_scan(tmp_path, depth_scale=5000)))
    for number, pose in enumerate(poses(3)):
        values = plane_depth(CAMERA, pose)
        values[0, 0] = np.nan
        np.save(tmp_path / "depth" / f"{number}.npy", values)
    describe(tmp_path, depth="depth/*.npy")
    source = Plain().read(tmp_path)
    assert_on_plane(source)
    assert source.frames[0].depth()[0, 0] == 0


def test_one_file_of_poses_is_read_line_by_line(tmp_path: Path) -> None:
    write_scan(tmp_path, poses="trajectory.txt")
    np.savetxt(tmp_path / "trajectory.txt", [pose.ravel() for pose in poses(3)])
    assert_on_plane(Plain().read(tmp_path))
    np.savetxt(tmp_path / "trajectory.txt", [pose.ravel() for pose in poses(2)])
    with pytest.raises(InputError, match=r"has 2 lines of 16 numbers; 3 lines of 16 are needed"):
        Plain().read(tmp_path)


def test_colour_of_another_size_has_a_camera_of_its_own_or_the_same_scaled(tmp_path: Path) -> None:
    write_scan(tmp_path)
    large = CAMERA.scaled(2.0)
    for number in range(3):
        write(tmp_path / "rgb" / f"frame-{number:04d}.png", picture(large, number)[..., ::-1])
    assert Plain().read(tmp_path).color_camera == large
    describe(tmp_path, color_camera={"fx": 30.0, "fy": 31.0, "cx": 20.0, "cy": 16.0})
    assert Plain().read(tmp_path).color_camera == Camera(40, 32, 30.0, 31.0, 20.0, 16.0)
    for number in range(3):
        write(tmp_path / "rgb" / f"frame-{number:04d}.png", picture(Camera(40, 20, 1.0, 1.0, 0.0, 0.0), number))
    describe(tmp_path)
    with pytest.raises(InputError, match=r"40 x 20 pixels and depth 20 x 16.*state color_camera"):
        Plain().read(tmp_path)


def test_frames_without_a_partner_are_left_out_and_noted(tmp_path: Path) -> None:
    write_scan(tmp_path)
    (tmp_path / "depth" / "1.png").unlink()
    source = Plain().read(tmp_path)
    assert_pictures(source, [0, 2], tolerance=0.1)
    assert source.notes == ["1 frames lack an image or a pose and are left out"]


LAYOUTS_OF_SEQUENCES = {
    "seq-*/frame-*.color.png": ("seq-*/frame-*.depth.png", "seq-*/frame-*.pose.txt"),
    "**/color/*.png": ("**/depth/*.png", "**/pose/*.txt"),
    "rgb_*/*.png": ("depth_*/*.png", "pose_*/*.txt"),
}


@pytest.mark.parametrize("color", LAYOUTS_OF_SEQUENCES)
def test_folders_that_share_numbers_are_all_read(tmp_path: Path, color: str) -> None:
    depth, pose = LAYOUTS_OF_SEQUENCES[color]
    for index, matrix in enumerate(poses(4)):
        folder, number = (("09", "10")[index // 2]), str(8 + 2 * (index % 2))  # 8 and 10: not the alphabet's order

        def place(pattern: str, folder: str = folder, number: str = number) -> Path:
            nested = pattern.replace("**", f"scan{folder}/floor" if folder == "10" else f"scan{folder}")
            return tmp_path / nested.replace("*", folder, 1 if "**" not in pattern else 0).replace("*", number)

        write(place(color), picture(CAMERA, index)[..., ::-1])
        write(place(depth), np.rint(plane_depth(CAMERA, matrix) * 1000).astype(np.uint16))
        place(pose).parent.mkdir(exist_ok=True)
        np.savetxt(place(pose), matrix)
    describe(tmp_path, color=color, depth=depth, poses=pose)
    source = Plain().read(tmp_path)
    assert_on_plane(source)
    assert_pictures(source, [0, 1, 2, 3], tolerance=0.1)
    assert [frame.name for frame in source.frames] == ["000000", "000001", "000002", "000003"]
    (note,) = source.notes
    assert "2 folders share numbers and are numbered anew" in note and "from 000002" in note


def test_two_files_of_one_number_in_one_folder_are_named(tmp_path: Path) -> None:
    write_scan(tmp_path)
    write(tmp_path / "rgb" / "again-0001.png", picture(CAMERA, 1))
    with pytest.raises(InputError, match=r"rgb/again-0001\.png and rgb/frame-0001\.png have one number, 1; "):
        Plain().read(tmp_path)


def test_names_without_a_common_number_are_shown(tmp_path: Path) -> None:
    write_scan(tmp_path)
    for number in range(3):
        (tmp_path / "depth" / f"{number}.png").rename(tmp_path / "depth" / f"{number + 7}.png")
    with pytest.raises(InputError, match=r"alike \(rgb/frame-0000\.png, depth/7\.png, pose/0\.txt\)") as error:
        Plain().read(tmp_path)
    assert len(str(error.value)) <= 200


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"camera": None}, "camera: field required"),
        ({"camera": {"fx": 1, "fy": 1, "cx": 1}}, r"camera\.cy: field required"),
        ({"axes": "opengL"}, "axes: input should be 'opencv' or 'opengl'"),
        ({"depth_scale": 0}, "depth_scale: input should be greater than 0"),
        ({"colour": "x"}, "colour: extra inputs are not permitted"),
        ({"color": "images/*.png"}, r"No file in .* is called 'images/\*\.png'"),
    ],
)
def test_a_wrong_description_is_one_sentence(tmp_path: Path, changes: dict[str, Any], sentence: str) -> None:
    write_scan(tmp_path)
    describe(tmp_path, **changes)
    with pytest.raises(InputError, match=sentence):
        Plain().read(tmp_path)


def test_damaged_depth_in_metres_is_one_sentence(tmp_path: Path) -> None:
    write_scan(tmp_path, depth="depth/*.npy")
    for number in range(3):
        (tmp_path / "depth" / f"{number}.npy").write_bytes(b"not an array")
    with pytest.raises(InputError, match=r".*0\.npy cannot be read"):
        Plain().read(tmp_path)


def test_what_is_no_yaml_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "scan.yaml").write_text("color: [")
    with pytest.raises(InputError, match=r"scan\.yaml is not YAML"):
        Plain().read(tmp_path)
