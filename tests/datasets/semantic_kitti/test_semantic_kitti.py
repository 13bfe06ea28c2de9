"""Laws of SemanticKITTI's files."""

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from panrecon.datasets.points import read_points, write_points
from panrecon.datasets.semantic_kitti import format as files
from panrecon.errors import InputError
from panrecon.geometry.projective import project, transform
from panrecon.io.categories import find_table, read_categories
from panrecon.io.images import write_image
from panrecon.structures import VOID

TABLE = read_categories(find_table("semantic_kitti"))
POINTS = np.array([[10, 0, 0, 0.5], [20, 1, -1, 0.1], [5, -1, 2, 1.0], [7, 7, 7, 0.0]], dtype=np.float32)
SEMANTIC, INSTANCE = np.array([10, 252, 40, 99]), np.array([3, 3, 0, 65535])
LIDAR = np.array([[0.0, -1, 0, 0.1], [0, 0, -1, -0.2], [1, 0, 0, -0.3]])  # camera 0 from LiDAR
MATRIX = np.array([[100.0, 0, 50], [0, 100, 20], [0, 0, 1]])


@pytest.fixture
def sequence(tmp_path: Path) -> Path:
    folder = tmp_path / "sequences/08"
    write_points(folder / "velodyne/000007.bin", POINTS)
    files.write_raw_labels(folder / "labels/000007.label", SEMANTIC, INSTANCE)
    shifts = {"P0": 0.0, "P1": -0.5, "P2": 0.06, "P3": -0.44}
    matrices = {name: MATRIX @ np.column_stack([np.eye(3), [x, 0, 0]]) for name, x in shifts.items()}
    files.write_calibration(folder / "calib.txt", {**matrices, "Tr": LIDAR})
    for image in files.IMAGE_FOLDERS:
        write_image(folder / image / "000007.png", np.zeros((40, 100, 3), np.uint8))
    return folder


def test_labels_are_the_class_below_and_the_instance_above(sequence: Path) -> None:
    raw = np.fromfile(sequence / "labels/000007.label", dtype="<u4")
    assert_array_equal(raw & 0xFFFF, SEMANTIC)
    assert_array_equal(raw >> 16, INSTANCE)
    for found, written in zip(
        files.read_raw_labels(sequence / "labels/000007.label"), (SEMANTIC, INSTANCE), strict=True
    ):
        assert_array_equal(found, written)


def test_a_scan_comes_back_with_its_labels_and_images(sequence: Path) -> None:
    assert files.scan_names(sequence) == ("000007",)
    scan = files.read_scan(sequence, "000007", TABLE)
    assert_array_equal(scan.points, POINTS)
    assert scan.labels is not None
    names = ["none" if row == VOID else TABLE[row].name for row in scan.labels.category]
    assert names == ["car", "car", "road", "none"]  # a moving car is a car
    assert scan.labels.instance[2] == VOID
    assert len(set(scan.labels.instance.tolist())) == 4  # ids count within a class
    assert [(image.name, image.camera.width, image.camera.height) for image in scan.images] == [
        ("image_2", 100, 40),
        ("image_3", 100, 40),
    ]


def test_points_fall_where_the_projection_matrix_says(sequence: Path) -> None:
    calibration = files.read_calibration(sequence / "calib.txt")
    homogeneous = np.column_stack([POINTS[:, :3], np.ones(4)]).T
    for image, name in zip(files.read_scan(sequence, "000007", TABLE).images, ("P2", "P3"), strict=True):
        u, v, w = calibration[name] @ np.vstack([LIDAR, [0, 0, 0, 1]]) @ homogeneous
        pixels, depth = project(image.camera, transform(image.camera_from_lidar, POINTS[:, :3].astype(np.float64)))
        assert_allclose(pixels, np.stack([u / w, v / w], axis=1), atol=1e-9)
        assert_allclose(depth, w, atol=1e-9)


def test_poses_are_those_of_the_lidar(sequence: Path) -> None:
    camera_from_lidar, moved = np.vstack([LIDAR, [0, 0, 0, 1]]), np.eye(4)
    moved[:3, 3] = [0, 0, 2]  # the camera goes 2 m ahead
    files.write_poses(sequence / "poses.txt", [np.eye(4), moved])
    poses = files.read_poses(sequence)
    assert_allclose(poses[0], np.eye(4), atol=1e-12)
    assert_allclose(poses[1], np.linalg.inv(camera_from_lidar) @ moved @ camera_from_lidar, atol=1e-12)
    assert_allclose(poses[1][:3, 3], [2, 0, 0], atol=1e-12)


def test_a_scan_without_labels_or_images_is_read(sequence: Path) -> None:
    (sequence / "labels/000007.label").unlink()
    (sequence / "image_3/000007.png").unlink()
    scan = files.read_scan(sequence, "000007", TABLE)
    assert scan.labels is None
    assert [image.name for image in scan.images] == ["image_2"]


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("velodyne/000007.bin", b"\0" * 15, "15 bytes, no multiple of 16"),
        ("velodyne/000007.bin", np.full(16, np.nan, "<f4").tobytes(), "4 of 4 points .* are nan"),
        ("labels/000007.label", b"\0" * 15, "15 bytes, no multiple of 4"),
        ("labels/000007.label", b"\0" * 12, "labels 3 points, its scan has 4"),
        ("calib.txt", b"P2: 1 2 3\n", "P2 of .* has 3 numbers; 12"),
        ("calib.txt", b"P2: 1 2 x\n", "P2 of .* is no row of numbers"),
        ("calib.txt", b"calib_time: 2012\nP0: " + b"1 " * 12, "has no P2, P3, Tr"),
    ],
)
def test_a_damaged_file_is_an_error_that_says_what(sequence: Path, name: str, content: bytes, complaint: str) -> None:
    (sequence / name).write_bytes(content)
    with pytest.raises(InputError, match=complaint):
        files.read_scan(sequence, "000007", TABLE)


def test_what_is_not_there_is_an_error(sequence: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no scan"):
        files.scan_names(tmp_path)
    with pytest.raises(InputError, match=r"000008.bin does not exist"):
        files.read_scan(sequence, "000008", TABLE)
    with pytest.raises(InputError, match=r"poses.txt do not exist"):
        files.read_poses(sequence)
    (sequence / "calib.txt").unlink()
    with pytest.raises(InputError, match=r"calib.txt does not exist"):
        files.read_scan(sequence, "000007", TABLE)


@pytest.mark.parametrize("ids", [([65536], [0]), ([0], [65536]), ([-1], [0])])
def test_ids_that_do_not_fit_are_refused_and_nothing_is_written(
    tmp_path: Path, ids: tuple[list[int], list[int]]
) -> None:
    with pytest.raises(InputError, match="does not fit the 16 bits"):
        files.write_raw_labels(tmp_path / "a.label", *(np.array(values) for values in ids))
    assert not list(tmp_path.iterdir())


def test_points_of_any_width_come_back(tmp_path: Path) -> None:
    points = np.random.default_rng(0).normal(size=(5, 5)).astype(np.float32)
    write_points(tmp_path / "a.pcd.bin", points)
    assert_array_equal(read_points(tmp_path / "a.pcd.bin", 5), points)
    assert (tmp_path / "a.pcd.bin").stat().st_size == 100
