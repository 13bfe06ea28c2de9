"""Laws of the importer of RTAB-Map's exports, on files written as its export tool writes them."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.spatial.transform import Rotation

from panrecon.datasets.importers.base import Importer
from panrecon.datasets.importers.lenses import rectified
from panrecon.datasets.importers.rtabmap import RTABMap
from panrecon.errors import InputError
from panrecon.io.files import write_text
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

COLOR = CAMERA.scaled(4.0)  # phones' depth is smaller than their colour
IDS = ("2", "9", "10")
TIMES = ("1700000000.250000", "1700000000.500000", "1700000001.750000")
LOCAL = np.array([[0.0, 0.0, 1.0, 0.1], [-1.0, 0.0, 0.0, 0.0], [0.0, -1.0, 0.0, 0.2], [0.0, 0.0, 0.0, 1.0]])


def write_calibration(file: Path, camera: Camera = COLOR, local: np.ndarray = LOCAL, **changes: object) -> None:
    """By OpenCV, which RTAB-Map lets write it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    storage = cv2.FileStorage(str(file), cv2.FILE_STORAGE_WRITE)
    storage.write("camera_name", file.stem)
    storage.write("image_width", camera.width)
    storage.write("image_height", camera.height)
    entries = {"camera_matrix": camera.matrix, "distortion_coefficients": np.zeros((1, 5))}
    for name, matrix in (entries | {"local_transform": local[:3]} | changes).items():
        if isinstance(matrix, str):
            storage.write(name, matrix)
        elif isinstance(matrix, np.ndarray):
            storage.startWriteStruct(name, cv2.FileNode_MAP)
            storage.write("rows", matrix.shape[0])
            storage.write("cols", matrix.shape[1])
            storage.startWriteStruct("data", cv2.FileNode_SEQ | cv2.FileNode_FLOW)
            for value in matrix.ravel().tolist():
                storage.write("", float(value))
            storage.endWriteStruct()
            storage.endWriteStruct()
    storage.release()


def line(time: str, pose: np.ndarray, node: str = "") -> str:
    numbers = [*pose[:3, 3], *Rotation.from_matrix(pose[:3, :3]).as_quat()]
    return " ".join([time, *(f"{number:.9f}" for number in numbers), node]).strip()


def write_export(folder: Path, names: Sequence[str] = IDS, prefix: str = "map_") -> Path:
    """Images, calibrations, and the cameras' poses in the default format."""
    for number, (name, pose) in enumerate(zip(names, poses(3), strict=True)):
        write_image(folder / f"{prefix}rgb" / f"{name}.jpg", picture(COLOR, number))
        write_depth(folder / f"{prefix}depth" / f"{name}.png", plane_depth(CAMERA, pose))
        write_calibration(folder / f"{prefix}calib" / f"{name}.yaml")
    lines = [line(time, pose, node) for time, pose, node in zip(TIMES, poses(3), IDS, strict=True)]
    landmark = line(TIMES[0], np.eye(4), "-7")
    write_text(
        folder / f"{prefix}camera_poses.txt", "\n".join(["#timestamp x y z qx qy qz qw id", *lines, landmark, ""])
    )
    return folder


@pytest.mark.parametrize("prefix", ["map_", ""])
@pytest.mark.parametrize("names", [IDS, TIMES])
def test_depth_lies_on_the_plane_and_colours_come_back(tmp_path: Path, names: Sequence[str], prefix: str) -> None:
    write_export(tmp_path, names, prefix)
    assert isinstance(RTABMap(), Importer)
    assert RTABMap().recognise(tmp_path) == f"it holds {prefix}calib and {prefix}camera_poses.txt"
    source = RTABMap().read(tmp_path)
    assert_on_plane(source)
    assert_pictures(source, [0, 1, 2])
    assert (source.camera, source.color_camera) == (CAMERA, COLOR)
    assert_allclose([frame.world_from_camera for frame in source.frames], poses(3), atol=1e-7)
    assert [frame.name for frame in source.frames] == (list(IDS) if names == IDS else ["000000", "000001", "000002"])


def test_it_knows_no_other_layout(tmp_path: Path) -> None:
    others = [touch_layout(tmp_path / name, name) for name in LAYOUTS if name != "rtabmap"]
    assert [RTABMap().recognise(folder) for folder in [*others, tmp_path, tmp_path / "absent"]] == [None] * (
        len(others) + 2
    )


@pytest.mark.parametrize("kind", ["with ids", "without ids", "matrices"])
def test_poses_of_the_robot_are_moved_to_the_camera(tmp_path: Path, kind: str) -> None:
    """Lines without ids are of the images in their order."""
    (write_export(tmp_path) / "map_camera_poses.txt").unlink()
    of_robot = [pose @ np.linalg.inv(LOCAL) for pose in poses(3)]
    ids = IDS if kind == "with ids" else [""] * 3
    lines = [line(time, pose, node) for time, pose, node in zip(TIMES, of_robot, ids, strict=True)]
    if kind == "matrices":
        lines = [" ".join(f"{value:.9f}" for value in pose[:3].ravel()) for pose in of_robot]
    write_text(tmp_path / "map_poses.txt", "\n".join(lines))
    source = RTABMap().read(tmp_path)
    assert_on_plane(source)
    assert_pictures(source, [0, 1, 2])
    assert source.notes[0] == "map_poses.txt holds poses of the robot, moved by local_transform"


def test_one_calibration_may_be_that_of_all(tmp_path: Path) -> None:
    write_export(tmp_path)
    (tmp_path / "map_calib" / "2.yaml").rename(tmp_path / "calibration.yaml")
    for file in (tmp_path / "map_calib").iterdir():
        file.unlink()
    (tmp_path / "map_calib").rmdir()
    assert_on_plane(RTABMap().read(tmp_path))


@pytest.mark.parametrize("model", ["plumb_bob", "equidistant"])
def test_distorted_images_are_resampled_to_a_pinhole(tmp_path: Path, model: str) -> None:
    write_export(tmp_path)
    for name in IDS:
        bent = np.array([[0.02, -0.01, 0.001, 0.0]])
        file = tmp_path / "map_calib" / f"{name}.yaml"
        write_calibration(file, distortion_coefficients=bent, distortion_model=model)
    source = RTABMap().read(tmp_path)
    assert any("3 of 3 frames are distorted" in note for note in source.notes)
    assert all(frame.lens is not None and frame.lens.is_fisheye == (model == "equidistant") for frame in source.frames)
    assert rectified(source).frames[0].depth().shape == (CAMERA.height, CAMERA.width)


def test_frames_that_lack_a_part_are_left_out_and_counted(tmp_path: Path) -> None:
    write_export(tmp_path)
    (tmp_path / "map_depth" / "9.png").unlink()
    (tmp_path / "map_calib" / "10.yaml").unlink()
    source = RTABMap().read(tmp_path)
    assert [frame.name for frame in source.frames] == ["2"]
    assert source.notes[-1] == "2 frames lack colour, depth, calibration or pose and are left out"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 2 3\n", r"Line 1 of .*map_camera_poses\.txt is '1 2 3'; .*--poses_format 11"),
        ("1 0 0 0 0 0 0 9 2\n", "Line 1 of"),
        ("1 nan 0 0 0 0 0 1 2\n", "Line 1 of"),
        ("1 0 0 0 0 0 0 1\n", "has 1 poses without ids for 3 images; .*--images_id"),
        ("1 0 0 5 0 1 0 5 0 0 3 5\n", "in line 1 of .*map_camera_poses"),
        ("", "has 0 poses without ids for 3 images"),
        ("1 0 0 0 0 0 0 1 77\n", "0 poses of one name, but none has all"),
    ],
)
def test_wrong_poses_are_told(tmp_path: Path, text: str, message: str) -> None:
    (write_export(tmp_path) / "map_camera_poses.txt").write_text(text)
    with pytest.raises(InputError, match=message):
        RTABMap().read(tmp_path)


@pytest.mark.parametrize("text", ["", "[1", "camera_matrix: 3", "%YAML:1.0\n---\nimage_width: 9\n", "\xff"])
def test_a_damaged_calibration_is_named(tmp_path: Path, text: str) -> None:
    (write_export(tmp_path) / "map_calib" / "9.yaml").write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match=r"9\.yaml is damaged or lacks an entry"):
        RTABMap().read(tmp_path)


def test_a_camera_that_is_none_is_named(tmp_path: Path) -> None:
    write_export(tmp_path)
    write_calibration(tmp_path / "map_calib" / "9.yaml", camera_matrix=np.full((3, 3), np.nan))
    with pytest.raises(InputError, match=r"9\.yaml is damaged"):
        RTABMap().read(tmp_path)
    write_calibration(tmp_path / "map_calib" / "9.yaml", local=3 * LOCAL)
    with pytest.raises(InputError, match=r"local_transform of .*9\.yaml"):
        RTABMap().read(tmp_path)


def test_several_cameras_and_images_of_other_names_are_told(tmp_path: Path) -> None:
    write_export(tmp_path / "a")
    (tmp_path / "a" / "map_calib" / "2.yaml").rename(tmp_path / "a" / "map_calib" / "2_0.yaml")
    with pytest.raises(InputError, match="several cameras side by side"):
        RTABMap().read(tmp_path / "a")
    write_export(tmp_path / "b", ("left", "middle", "right"))
    with pytest.raises(InputError, match="The image left is called neither by an id nor by a time"):
        RTABMap().read(tmp_path / "b")
