"""Laws of frames of three files each, as 7-Scenes, 3DMatch, BundleFusion and ScanNet's reader in C++ write them."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.testing import assert_allclose

from panrecon.datasets.importers.base import Importer
from panrecon.datasets.importers.frames import Frames
from panrecon.datasets.importers.write import posed_frames
from panrecon.errors import InputError
from panrecon.geometry.projective import invert
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

COLOR = CAMERA.scaled(2.0)


def write(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(path.suffix, image)[1].tobytes())


def write_frame(
    folder: Path, number: int, index: int, suffix: str = ".png", color: Camera = CAMERA, depth: Camera = CAMERA
) -> None:
    """Frame `number` of the folder, that shows the `index`-th view."""
    pose = poses(index + 1)[index]
    stem = f"frame-{number:06d}"
    write(folder / f"{stem}.color.png", picture(color, index)[..., ::-1])
    write(folder / f"{stem}.depth{suffix}", np.rint(plane_depth(depth, pose) * 1000).astype(np.uint16))
    np.savetxt(folder / f"{stem}.pose.txt", pose, fmt="%.9e", delimiter="\t ")


def write_intrinsics(file: Path, camera: Camera = CAMERA) -> None:
    np.savetxt(file, camera.matrix)


def info_of(color: Camera, depth: Camera, color_extrinsic: np.ndarray) -> str:
    lines = ["m_versionNumber = 4", "m_sensorName = StructureSensor", "m_depthShift = 1000"]
    for kind, camera, extrinsic in (("Color", color, color_extrinsic), ("Depth", depth, np.eye(4))):
        matrix = np.eye(4)
        matrix[:3, :3] = camera.matrix
        lines += [f"m_{kind.lower()}Width = {camera.width}", f"m_{kind.lower()}Height = {camera.height}"]
        lines += [f"m_calibration{kind}Intrinsic = {' '.join(map(str, matrix.ravel()))} "]
        lines += [f"m_calibration{kind}Extrinsic = {' '.join(map(str, extrinsic.ravel()))} "]
    return "\n".join([*lines, "m_frames.size = 3"])


def write_scan(parent: Path) -> Path:
    """As 3DMatch has it."""
    for number in range(3):
        write_frame(parent / "seq-01", number, number)
    write_intrinsics(parent / "camera-intrinsics.txt")
    return parent


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    return write_scan(tmp_path)


def test_depth_lies_on_the_plane_and_colours_come_back(scan: Path) -> None:
    assert isinstance(Frames(), Importer)
    assert Frames().recognise(scan) == "it holds seq-01/frame-000000.pose.txt"
    for folder in (scan, scan / "seq-01"):
        source = Frames().read(folder)
        assert_on_plane(source)
        assert_pictures(source, [0, 1, 2], tolerance=0)
        assert source.camera == source.color_camera == CAMERA
        assert [frame.name for frame in source.frames] == ["000000", "000001", "000002"]
        assert source.notes == ["intrinsics are those of camera-intrinsics.txt"]


def test_it_knows_no_other_layout(scan: Path, tmp_path: Path) -> None:
    others = [touch_layout(tmp_path / name, name) for name in LAYOUTS if name != "frames"]
    assert [Frames().recognise(folder) for folder in others] == [None] * len(others)
    (scan / "scan.yaml").touch()  # then the user has described the folder
    assert Frames().recognise(scan) is None


def test_sequences_are_numbered_through(scan: Path) -> None:
    write_frame(scan / "seq-02", 0, 3)
    source = Frames().read(scan)
    assert_on_plane(source)
    assert_pictures(source, [0, 1, 2, 3], tolerance=0)
    assert [frame.name for frame in source.frames] == ["000000", "000001", "000002", "000003"]
    assert "seq-02 from 000003" in source.notes[-1]


@pytest.mark.parametrize("name", ["_info.txt", "info.txt"])
def test_scannets_reader_states_both_cameras(tmp_path: Path, name: str) -> None:
    color_extrinsic = np.eye(4)
    color_extrinsic[:3, 3] = [0.03, 0.001, -0.002]
    for number in range(3):
        write_frame(tmp_path, number, number, ".pgm", COLOR)
    (tmp_path / name).write_text(info_of(COLOR, CAMERA, color_extrinsic))
    source = Frames().read(tmp_path)
    assert_on_plane(source)
    assert_pictures(source, [0, 1, 2], tolerance=0)
    assert (source.camera, source.color_camera) == (CAMERA, COLOR)
    assert_allclose(source.color_from_depth, invert(color_extrinsic))


def test_7_scenes_has_cameras_beside_each_other_and_its_own_void(tmp_path: Path) -> None:
    large = np.full((480, 640), 1500, np.uint16)
    large[0, :3] = 65535, 0, 1400
    write(tmp_path / "seq-01" / "frame-000000.depth.png", large)
    write(tmp_path / "seq-01" / "frame-000000.color.png", np.zeros((480, 640, 3), np.uint8))
    np.savetxt(tmp_path / "seq-01" / "frame-000000.pose.txt", np.eye(4))
    source = Frames().read(tmp_path)
    assert (source.camera.fx, source.color_camera.fx) == (585.0, 525.0)
    assert not source.shares_viewpoint and "7-Scenes" in source.notes[0]
    assert source.frames[0].depth()[0, :4].tolist() == [0.0, 0.0, np.float32(1.4), 1.5]


@pytest.mark.parametrize("number", ["-1.#INF", "-1.#IND00", "0", "-inf"])
def test_lost_poses_are_known_in_every_spelling(scan: Path, number: str) -> None:
    (scan / "seq-01" / "frame-000001.pose.txt").write_text(f"{number} {number} {number} {number}\n" * 4)
    assert [frame.name for frame in posed_frames(Frames().read(scan))] == ["000000", "000002"]


def test_frames_that_lack_a_file_are_left_out_and_counted(scan: Path) -> None:
    (scan / "seq-01" / "frame-000001.depth.png").unlink()
    source = Frames().read(scan)
    assert_pictures(source, [0, 2], tolerance=0)
    assert source.notes[1:] == ["1 frames lack colour, depth or pose and are left out"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("camera-intrinsics.txt", "1 2 3", r"camera-intrinsics\.txt holds \[1\.0, 2\.0, 3\.0\]; it must be fx 0 cx"),
        ("camera-intrinsics.txt", "f", r"cannot be read as 3 x 3 numbers"),
        ("_info.txt", "m_colorWidth = 20", r"_info\.txt lacks or misstates sizes, .*m_colorHeight"),
        ("camera-intrinsics.txt", None, r"has no _info\.txt and no camera-intrinsics\.txt, and its images, 20 x 16"),
    ],
)
def test_what_is_wrong_is_named(scan: Path, name: str, content: str | None, message: str) -> None:
    if content is None:
        (scan / name).unlink()
    else:
        (scan / name).write_text(content)
    with pytest.raises(InputError, match=message):
        Frames().read(scan)
