"""Laws of the data sets that `panrecon simulate street` writes, from their files alone."""

from pathlib import Path

import numpy as np
import pytest
from jaxtyping import Float
from numpy.testing import assert_allclose
from scipy.spatial import cKDTree
from typer.testing import CliRunner

from panrecon.cli import app
from panrecon.datasets.kitti360_truth import SEMANTICS_2D, SEMANTICS_3D, Drive, drive_points, find_drive, label_frames
from panrecon.io.categories import find_table, read_categories
from panrecon.io.images import read_color
from panrecon.io.points import read_points
from panrecon.structures import VOID

DRIVE = "2013_05_28_drive_9005_sync"
SMALL = ["--seed", "5", "--frames", "4", "--width", "352", "--beams", "16", "--columns", "256"]
TABLE = read_categories(find_table("kitti360"))


def simulated(folder: Path, *options: str) -> Path:
    result = CliRunner().invoke(app, ["simulate", "street", str(folder), *SMALL, *options])
    assert result.exit_code == 0, result.output
    return folder


@pytest.fixture(scope="module")
def kitti(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return simulated(tmp_path_factory.mktemp("kitti360"))


def named_rows(path: Path) -> dict[str, Float[np.ndarray, " n"]]:
    """Numbers by the word before them; `calib_time` is none."""
    rows = [line.replace(":", "").split() for line in path.read_text().splitlines() if "time" not in line]
    return {row[0]: np.array(row[1:], dtype=np.float64) for row in rows}


def rigid(numbers: Float[np.ndarray, " n"]) -> Float[np.ndarray, "4 4"]:
    return np.vstack([numbers.reshape(-1, 4)[:3], [0, 0, 0, 1]])


def test_poses_of_vehicle_and_camera_agree_through_the_calibration(kitti: Path) -> None:
    vehicle = named_rows(kitti / "data_poses" / DRIVE / "poses.txt")
    camera = named_rows(kitti / "data_poses" / DRIVE / "cam0_to_world.txt")
    mounted = rigid(named_rows(kitti / "calibration/calib_cam_to_pose.txt")["image_00"])
    turn = np.eye(4)
    turn[:3, :3] = named_rows(kitti / "calibration/perspective.txt")["R_rect_00"].reshape(3, 3)
    assert list(vehicle) == list(camera) == ["0", "1", "2", "3"]
    for frame in vehicle:
        assert_allclose(rigid(vehicle[frame]) @ mounted @ np.linalg.inv(turn), rigid(camera[frame]), atol=1e-9)
    assert not np.allclose(turn, np.eye(4), atol=1e-3)


def test_frames_are_a_metre_apart(kitti: Path) -> None:
    places = [rigid(row)[:3, 3] for row in named_rows(kitti / "data_poses" / DRIVE / "poses.txt").values()]
    assert_allclose(np.linalg.norm(np.diff(places, axis=0), axis=1), 1, atol=0.05)


def test_the_second_camera_is_a_baseline_to_the_right_and_looks_the_same_way(kitti: Path) -> None:
    numbers, mounted = (
        named_rows(kitti / "calibration" / name) for name in ("perspective.txt", "calib_cam_to_pose.txt")
    )
    poses = []
    for side in ("00", "01"):
        turn = np.eye(4)
        turn[:3, :3] = numbers[f"R_rect_{side}"].reshape(3, 3)
        poses.append(rigid(mounted[f"image_{side}"]) @ np.linalg.inv(turn))
    shift = np.linalg.inv(poses[0]) @ poses[1]
    assert_allclose(shift[:3, :3], np.eye(3), atol=1e-9)
    projection = numbers["P_rect_01"].reshape(3, 4)
    assert_allclose(shift[:3, 3], [-projection[0, 3] / projection[0, 0], 0, 0], atol=1e-9)
    assert_allclose(shift[0, 3], 0.6, atol=1e-9)


def test_scans_projected_by_the_files_fit_the_label_images_and_the_truth(kitti: Path) -> None:
    """A point has the class of its pixel and of the true point beside it, but for edges and what hides it."""
    numbers = named_rows(kitti / "calibration/perspective.txt")
    camera_from_lidar = np.linalg.inv(rigid(np.loadtxt(kitti / "calibration/calib_cam_to_velo.txt")))
    turn = np.eye(4)
    turn[:3, :3] = numbers["R_rect_00"].reshape(3, 3)
    world_from_rectified = named_rows(kitti / "data_poses" / DRIVE / "cam0_to_world.txt")
    frames, truth = label_frames(find(kitti, SEMANTICS_2D), TABLE), drive_points(find(kitti, SEMANTICS_3D), TABLE)
    tree = cKDTree(truth.mesh.vertices)
    for frame in range(4):
        scan = read_points(kitti / "data_3d_raw" / DRIVE / f"velodyne_points/data/{frame:010d}.bin")[:, :3]
        rectified = (turn @ camera_from_lidar @ np.column_stack([scan, np.ones(len(scan))]).T)[:, scan[:, 0] > 3]
        away, nearest = tree.query((rigid(world_from_rectified[str(frame)]) @ rectified)[:3].T)
        assert np.mean(away < 0.1) > 0.9  # the rest moves, or lies far off where the truth's points are sparse
        u, v, depth = numbers["P_rect_00"].reshape(3, 4) @ rectified
        category = frames.read(str(frame)).category
        column, row = np.rint(u / depth).astype(int), np.rint(v / depth).astype(int)
        inside = (column >= 0) & (column < 352) & (row >= 0) & (row < category.shape[0]) & (away < 0.1)
        assert inside.sum() > 300
        same = category[row[inside], column[inside]] == truth.labels.category[nearest][inside]
        assert np.mean(same) > 0.9


def find(root: Path, semantics: str) -> Drive:
    drive = find_drive(root, semantics)
    assert drive is not None and drive.name == DRIVE
    return drive


def test_the_truth_reads_as_kitti_360s(kitti: Path) -> None:
    truth = drive_points(find(kitti, SEMANTICS_3D), TABLE)
    assert (truth.labels.category != VOID).all()
    assert {"road", "building", "car", "vegetation"} <= {TABLE[row].name for row in np.unique(truth.labels.category)}
    seen = drive_points(find(kitti, SEMANTICS_3D), TABLE, visible_only=True)
    assert 0 < (seen.labels.category == VOID).mean() < 1


def test_objects_have_one_number_in_images_and_points(kitti: Path) -> None:
    """Instances that both show have the same class, and things of the drive have numbers from 1."""
    truth = drive_points(find(kitti, SEMANTICS_3D), TABLE).labels
    frames = label_frames(find(kitti, SEMANTICS_2D), TABLE)
    images = [frames.read(name) for name in frames.files]
    assert len(images) == 4
    class_of: dict[int, int] = {}
    for labels in (truth, *images):
        pairs = np.unique(np.stack([labels.instance.ravel(), labels.category.ravel()], axis=1), axis=0)
        for instance, category in pairs[pairs[:, 0] != VOID].tolist():
            assert class_of.setdefault(instance, category) == category
            assert (instance + 1) // 1000 == TABLE[category].raw_ids[0]
    car = TABLE.row_of("car")
    in_points, in_images = (set(labels.instance[labels.category == car].tolist()) for labels in (truth, images[0]))
    assert len(in_points & in_images) >= 2
    assert in_images - in_points  # the cars that drive are in images only


def test_images_have_the_stated_size_and_times_one_line_a_frame(kitti: Path) -> None:
    width, height = named_rows(kitti / "calibration/perspective.txt")["S_rect_00"].astype(int)
    for side in ("image_00", "image_01"):
        folder = kitti / "data_2d_raw" / DRIVE / side
        assert read_color(folder / "data_rect/0000000003.png").shape == (height, width, 3)
        assert len((folder / "timestamps.txt").read_text().splitlines()) == 4
    assert (width, height) == (352, 94)


def test_same_seed_gives_the_same_files_and_another_other_ones(kitti: Path, tmp_path: Path) -> None:
    again, other = simulated(tmp_path / "again"), simulated(tmp_path / "other", "--seed", "6")
    files = sorted(path.relative_to(kitti) for path in kitti.rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(again) for path in again.rglob("*") if path.is_file())
    assert all((kitti / path).read_bytes() == (again / path).read_bytes() for path in files)
    scans = [next(iter(sorted(folder.rglob("*.bin")))).read_bytes() for folder in (kitti, other)]
    assert scans[0] != scans[1]


def test_a_drive_beyond_the_street_is_refused(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["simulate", "street", str(tmp_path / "x"), "--frames", "70"])
    assert result.exit_code == 2
    assert not (tmp_path / "x").exists()
