"""Laws of nuScenes' files."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.spatial.transform import Rotation

from panrecon.datasets.lidar import lidar_dataset
from panrecon.datasets.nuscenes import format as files
from panrecon.datasets.points import write_points
from panrecon.errors import InputError
from panrecon.geometry.projective import transform
from panrecon.io.categories import find_table, read_categories
from panrecon.io.files import write_arrays
from panrecon.structures import VOID

TABLE = read_categories(find_table("nuscenes"))
POINTS = np.array([[1, 10, 0, 255, 3], [2, 20, -1, 51, 0], [0, 5, 1, 0, 31]], dtype=np.float32)
SEMANTIC, INSTANCE = np.array([17, 24, 11]), np.array([5, 0, 2])


def pose(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    result = np.eye(4)
    result[:3, :3] = Rotation.random(random_state=seed).as_matrix()
    result[:3, 3] = rng.normal(size=3)
    return result


EGO_AT_SCAN, EGO_AT_IMAGE, EGO_FROM_LIDAR, EGO_FROM_CAMERA = (pose(seed) for seed in range(4))


def records() -> dict[str, list[dict[str, Any]]]:
    def data(token: str, ego: str, mounted: str, name: str, **more: Any) -> dict[str, Any]:
        return {
            "token": token, "sample_token": "s", "ego_pose_token": ego, "calibrated_sensor_token": mounted,
            "filename": name, "is_key_frame": True, **more,
        }  # fmt: skip

    matrix = [[400.0, 0, 80], [0, 410, 45], [0, 0, 1]]
    sweep = data("sweep", "e0", "c0", "sweeps/a.pcd.bin", is_key_frame=False)
    image = data("image", "e1", "c1", "samples/CAM_FRONT/a.jpg", width=160, height=90)
    return {
        "scene": [{"token": "scene"}],
        "sample": [{"token": "s", "timestamp": 1, "scene_token": "scene"}],
        "sensor": [{"token": "l", "channel": "LIDAR_TOP"}, {"token": "k", "channel": "CAM_FRONT"}],
        "calibrated_sensor": [
            {"token": "c0", "sensor_token": "l", "camera_intrinsic": [], **files.motion_fields(EGO_FROM_LIDAR)},
            {"token": "c1", "sensor_token": "k", "camera_intrinsic": matrix, **files.motion_fields(EGO_FROM_CAMERA)},
        ],
        "ego_pose": [
            {"token": "e0", **files.motion_fields(EGO_AT_SCAN)},
            {"token": "e1", **files.motion_fields(EGO_AT_IMAGE)},
        ],
        "sample_data": [data("scan", "e0", "c0", "samples/LIDAR_TOP/a.pcd.bin"), sweep, image],
        "panoptic": [{"sample_data_token": "scan", "filename": "panoptic/v1.0-mini/scan_panoptic.npz"}],
        "lidarseg": [{"sample_data_token": "scan", "filename": "lidarseg/v1.0-mini/scan_lidarseg.bin"}],
    }


@pytest.fixture
def root(tmp_path: Path) -> Path:
    files.write_tables(tmp_path, files.VERSION, records())
    write_points(tmp_path / "samples/LIDAR_TOP/a.pcd.bin", POINTS)
    files.write_panoptic(tmp_path / "panoptic/v1.0-mini/scan_panoptic.npz", SEMANTIC, INSTANCE)
    files.write_lidarseg(tmp_path / "lidarseg/v1.0-mini/scan_lidarseg.bin", SEMANTIC)
    return tmp_path


def test_a_key_frame_comes_back_and_a_sweep_is_none(root: Path) -> None:
    tables = files.read_tables(root)
    assert files.sample_tokens(tables) == ("s",)
    scan = files.read_scan(tables, "s", TABLE)
    assert scan.name == "scan"
    assert_array_equal(scan.points[:, :3], POINTS[:, :3])
    assert_allclose(scan.points[:, 3], [1, 0.2, 0], atol=1e-7)
    assert scan.labels is not None
    names = ["none" if row == VOID else TABLE[row].name for row in scan.labels.category]
    assert names == ["car", "driveable surface", "none"]
    assert_array_equal(scan.labels.instance == VOID, [False, True, False])


def test_points_go_to_the_camera_by_way_of_the_world(root: Path) -> None:
    """LiDAR and camera measure at times of their own, and the vehicle moves between them."""
    (image,) = files.read_scan(files.read_tables(root), "s", TABLE).images
    world = transform(EGO_AT_SCAN @ EGO_FROM_LIDAR, POINTS[:, :3].astype(np.float64))
    expected = transform(np.linalg.inv(EGO_AT_IMAGE @ EGO_FROM_CAMERA), world)
    assert_allclose(transform(image.camera_from_lidar, POINTS[:, :3].astype(np.float64)), expected, atol=1e-9)
    assert (image.name, image.camera.width, image.camera.height) == ("CAM_FRONT", 160, 90)
    assert (image.camera.fx, image.camera.fy, image.camera.cx, image.camera.cy) == (400, 410, 80, 45)


@pytest.mark.parametrize("seed", range(5))
def test_motions_come_back_and_their_quaternion_begins_with_w(seed: int) -> None:
    fields = files.motion_fields(pose(seed))
    assert_allclose(files.rigid_motion(fields), pose(seed), atol=1e-12)
    assert_allclose(np.linalg.norm(fields["rotation"]), 1, atol=1e-12)
    assert_allclose(
        2 * np.arccos(fields["rotation"][0]), Rotation.from_matrix(pose(seed)[:3, :3]).magnitude(), atol=1e-9
    )


def test_panoptic_labels_are_class_times_thousand_plus_instance(root: Path) -> None:
    path = root / "panoptic/v1.0-mini/scan_panoptic.npz"
    packed = np.load(path)["data"]
    assert packed.dtype == np.uint16
    assert_array_equal(packed, [17005, 24000, 11002])
    for found, written in zip(files.read_panoptic(path), (SEMANTIC, INSTANCE), strict=True):
        assert_array_equal(found, written)


def test_classes_of_lidarseg_will_do_without_instances(root: Path) -> None:
    (root / "v1.0-mini/panoptic.json").unlink()
    scan = files.read_scan(files.read_tables(root), "s", TABLE)
    assert scan.labels is not None
    assert (scan.labels.instance == VOID).all()
    assert TABLE[int(scan.labels.category[0])].name == "car"
    (root / "v1.0-mini/lidarseg.json").unlink()
    assert files.read_scan(files.read_tables(root), "s", TABLE).labels is None


def changed(root: Path, table: str, field: str, value: Any, record: int = 0) -> None:
    path = root / "v1.0-mini" / f"{table}.json"
    content = json.loads(path.read_text())
    if value is None:
        del content[record][field]
    else:
        content[record][field] = value
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("table", "field", "value", "record", "complaint"),
    [
        ("sample_data", "ego_pose_token", "gone", 0, r"ego_pose.json has no token 'gone'"),
        ("calibrated_sensor", "sensor_token", "gone", 0, r"sensor.json has no token 'gone'"),
        ("calibrated_sensor", "camera_intrinsic", [], 1, "CAM_FRONT of .* has no 3 x 3 camera_intrinsic"),
        ("calibrated_sensor", "rotation", [1, 0, 0], 1, "rotation"),
        ("ego_pose", "rotation", [0, 0, 0, 0], 0, "rotation"),
        ("sample_data", "filename", None, 1, "Record 1 of the table .* has no filename"),
        ("sample_data", "filename", "samples/b.pcd.bin", 0, "b.pcd.bin does not exist"),
        ("panoptic", "filename", "panoptic/b.npz", 0, r"b.npz do not exist"),
    ],
)
def test_a_damaged_table_is_an_error_that_says_what(
    root: Path, table: str, field: str, value: Any, record: int, complaint: str
) -> None:
    changed(root, table, field, value, record)
    with pytest.raises(InputError, match=complaint):
        files.read_scan(files.read_tables(root), "s", TABLE)


def test_damaged_labels_are_an_error_that_says_what(root: Path) -> None:
    path = root / "panoptic/v1.0-mini/scan_panoptic.npz"
    write_arrays(path, data=np.zeros(2, np.uint16))
    with pytest.raises(InputError, match="labels 2 points, its scan has 3"):
        files.read_scan(files.read_tables(root), "s", TABLE)
    write_arrays(path, labels=np.zeros(3, np.uint16))
    with pytest.raises(InputError, match="no npz with an array 'data'"):
        files.read_panoptic(path)
    path.write_bytes(b"PK\x03\x04 cut")
    with pytest.raises(InputError, match="cannot be read as npz"):
        files.read_panoptic(path)


def test_missing_and_broken_tables_are_errors(root: Path) -> None:
    (root / "v1.0-mini/sensor.json").write_text('{"a": 1}')
    with pytest.raises(InputError, match="no list of records"):
        files.read_tables(root)
    (root / "v1.0-mini/sensor.json").unlink()
    with pytest.raises(InputError, match=r"sensor.json does not exist"):
        files.read_tables(root)


@pytest.mark.parametrize(("semantic", "instance"), [(32, 0), (17, 1000), (-1, 0)])
def test_ids_that_do_not_fit_are_refused_and_nothing_is_written(tmp_path: Path, semantic: int, instance: int) -> None:
    with pytest.raises(InputError, match="does not fit"):
        files.write_panoptic(tmp_path / "a.npz", np.array([semantic]), np.array([instance]))
    assert not list(tmp_path.iterdir())


def test_the_version_is_the_only_one_there_or_the_one_that_is_named(tmp_path: Path) -> None:
    assert files.find_tables(tmp_path) == (tmp_path, "v1.0-mini")
    files.write_tables(tmp_path, "v1.0-trainval", records())
    assert files.find_tables(tmp_path) == (tmp_path, "v1.0-trainval")
    files.write_tables(tmp_path, "v1.0-mini", records())
    with pytest.raises(InputError, match=r"has tables of v1\.0-mini and v1\.0-trainval; name one"):
        files.find_tables(tmp_path)
    assert files.find_tables(tmp_path / "v1.0-mini") == (tmp_path, "v1.0-mini")
    data = lidar_dataset("nuscenes", tmp_path / "v1.0-trainval")
    assert [reference.folder for reference in data.scans()] == [tmp_path]
