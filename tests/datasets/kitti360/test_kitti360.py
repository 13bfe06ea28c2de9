"""Laws of drives of KITTI-360 as scans, on a small simulated street in the data set's own layout."""

import shutil
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from typer.testing import CliRunner

from panrecon.accumulation.deskewing import deskewed
from panrecon.accumulation.parameters import AccumulationParameters, ScanParameters
from panrecon.cli import app
from panrecon.config import ScanSettings, Settings
from panrecon.datasets.kitti360 import depth as accumulated
from panrecon.datasets.kitti360.dataset import KITTI360, drive_of_scene
from panrecon.datasets.kitti360.format import read_calibration, read_vehicle_poses
from panrecon.datasets.points import read_points, write_points
from panrecon.errors import InputError
from panrecon.geometry.projective import project, transform, unproject
from panrecon.io.categories import read_categories
from panrecon.io.images import write_ids
from panrecon.simulation.street.vehicle import kitti360_rig
from panrecon.structures import VOID, Scan
from panrecon.workflow.sources import class_table

FRAMES = 8
DRIVE = "2013_05_28_drive_9003_sync"
OPTIONS = ["--seed", "3", "--frames", str(FRAMES), "--width", "352", "--beams", "48", "--columns", "900"]
DEFAULTS = ScanSettings()
SCANS = f"data_3d_raw/{DRIVE}/velodyne_points/data"


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kitti360") / "street"
    result = CliRunner().invoke(app, ["simulate", "street", str(folder), *OPTIONS])
    assert result.exit_code == 0, result.output
    return folder


@pytest.fixture
def copy(street: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(street, tmp_path / "street"))


@pytest.fixture(scope="module")
def scan(street: Path) -> Scan:
    return KITTI360().scan(street, DEFAULTS)


def test_frames_are_images_with_the_pose_of_their_camera(street: Path, scan: Scan) -> None:
    assert [frame.name for frame in scan.frames] == [f"{number:010d}" for number in range(FRAMES)]
    published = np.loadtxt(street / "data_poses" / DRIVE / "cam0_to_world.txt")[:, 1:].reshape(-1, 4, 4)
    assert_allclose(scan.poses, published, atol=1e-9)
    assert scan.camera.width == 352
    assert scan.camera.fx == pytest.approx(552.554261 / 4)


def test_both_cameras_give_frames_in_the_order_of_the_drive(street: Path, scan: Scan) -> None:
    both = KITTI360().scan(street, ScanSettings(cameras=("image_00", "image_01")))
    assert [frame.name for frame in both.frames[:4]] == ["0000000000", "0000000000_01", "0000000001", "0000000001_01"]
    assert_array_equal(both.poses[::2], scan.poses)
    right = [transform(np.linalg.inv(a), b[:3, 3]) for a, b in zip(both.poses[::2], both.poses[1::2], strict=True)]
    assert_allclose(right, np.tile([0.6, 0, 0], (FRAMES, 1)), atol=0.01)


def test_depth_agrees_with_the_true_surface(street: Path, scan: Scan) -> None:
    """Of what stands still, seen at the pixel: the rest of the points is behind something, or has no depth."""
    reader = KITTI360()
    measure = reader.depths(street, scan, DEFAULTS)
    table = read_categories(class_table("kitti360", street, Settings()))
    truth = reader.annotation(street, table)
    points, color = truth.mesh.vertices.astype(np.float64), reader.label_frames(street, table)
    for frame in scan.frames[::3]:
        depth = measure(frame)
        assert (depth > 0).mean() > 0.3
        pixels, distance = project(scan.camera, transform(np.linalg.inv(frame.world_from_camera), points))
        inside = (pixels >= 0).all(axis=1) & (pixels <= [351, scan.camera.height - 1]).all(axis=1)
        column, row = np.rint(pixels[inside]).astype(int).T
        true, found = distance[inside], depth[row, column]
        same = (color.read(frame.name).category[row, column] == truth.labels.category[inside]) & (found > 0)
        near = same & (true < 15)
        assert np.mean(np.abs(found[near] - true[near]) < 0.03 * true[near] + 0.05) > 0.9
        sky = color.read(frame.name).category == table.index_of("sky")
        assert (depth[sky] > 0).mean() < 0.01


def test_nothing_is_measured_where_something_moves(street: Path, scan: Scan) -> None:
    """Cars of the images that the static truth does not have."""
    reader = KITTI360()
    measure = reader.depths(street, scan, DEFAULTS)
    table = read_categories(class_table("kitti360", street, Settings()))
    frames, truth = reader.label_frames(street, table), reader.annotation(street, table)
    resting = set(np.unique(truth.labels.instance))
    car, middle = table.index_of("car"), scan.frames[FRAMES // 2]
    labels, depth = frames.read(middle.name), measure(middle)
    moving = (labels.category == car) & ~np.isin(labels.instance, list(resting))
    parked = (labels.category == car) & np.isin(labels.instance, list(resting))
    assert moving.sum() > 50
    assert (depth[moving] > 0).mean() < 0.35 < (depth[parked] > 0).mean()


def test_frames_may_be_asked_for_in_any_order(street: Path, scan: Scan) -> None:
    one, other = (KITTI360().depths(street, scan, DEFAULTS) for _ in range(2))
    forward = [one(frame) for frame in scan.frames[:4]]
    backward = [other(frame) for frame in reversed(scan.frames[:4])]
    for a, b in zip(forward, reversed(backward), strict=True):
        assert_array_equal(a, b)


def test_scans_of_a_turning_sensor_give_the_same_depth(copy: Path, street: Path, scan: Scan) -> None:
    """Each scan as a sensor stores it that turns while the vehicle goes on."""
    rig, poses = read_calibration(copy / "calibration"), read_vehicle_poses(copy / "data_poses" / DRIVE / "poses.txt")
    lidars = {number: pose @ rig.vehicle_from_lidar for number, pose in poses.items()}
    for number in lidars:
        path = copy / SCANS / f"{number:010d}.bin"
        points = read_points(path).copy()
        ends = (number, number + 1) if number + 1 in lidars else (number - 1, number)
        now, later = (lidars[end] for end in ends)
        points[:, :3] = deskewed(points[:, :3], np.linalg.inv(now) @ later)  # distorts what deskewing restores
        write_points(path, points)
    frame, reader = scan.frames[3], KITTI360()
    truth = reader.depths(street, scan, DEFAULTS)(frame)
    depth_of = {deskew: reader.depths(copy, scan, ScanSettings(deskew=deskew))(frame) for deskew in (True, False)}
    error = {
        deskew: np.abs(depth - truth)[(depth > 0) & (truth > 0) & (truth < 15)].mean()
        for deskew, depth in depth_of.items()
    }
    assert error[True] < 0.3 * error[False]


def test_a_window_is_part_of_the_drive(street: Path, scan: Scan) -> None:
    """Its depth takes scans beside it, too: they are there."""
    name = street / f"{DRIVE}_0000000002_0000000004"
    window = KITTI360().scan(name, DEFAULTS)
    assert [frame.name for frame in window.frames] == [frame.name for frame in scan.frames[2:5]]
    whole, part = (KITTI360().depths(path, s, DEFAULTS) for path, s in ((street, scan), (name, window)))
    assert_array_equal(part(window.frames[0]), whole(scan.frames[2]))


@pytest.mark.parametrize("name", ["street", f"street/{DRIVE}", "street/drive_9003"])
def test_a_drive_is_found_by_its_data_set_or_its_name(street: Path, name: str) -> None:
    drive = drive_of_scene(street.parent / name)
    assert (drive.root, drive.name) == (street, DRIVE)


def test_the_calibration_reads_back_as_it_was_written(street: Path) -> None:
    found, expected = read_calibration(street / "calibration"), kitti360_rig(352)
    assert found.baseline == pytest.approx(expected.baseline)
    assert_allclose(found.camera.matrix, expected.camera.matrix)
    assert_allclose(found.vehicle_from_lidar, expected.vehicle_from_lidar, atol=1e-9)
    assert_allclose(found.vehicle_from_rectified, expected.vehicle_from_rectified, atol=1e-9)


def test_frames_without_a_pose_are_left_out(copy: Path) -> None:
    poses = copy / "data_poses" / DRIVE / "poses.txt"
    lines = poses.read_text().splitlines(keepends=True)
    poses.write_text("".join(lines[:2] + lines[5:]))
    assert list(read_vehicle_poses(poses)) == [0, 1, 5, 6, 7]
    scan = KITTI360().scan(copy, DEFAULTS)
    assert [int(frame.name) for frame in scan.frames] == [0, 1, 5, 6, 7]
    assert (KITTI360().depths(copy, scan, DEFAULTS)(scan.frames[2]) > 0).mean() > 0.3


def test_one_of_every_few_frames_is_taken_of_each_camera(street: Path) -> None:
    wanted = ScanSettings(cameras=("image_00", "image_01"), frame_stride=3)
    settings = wanted, wanted.model_copy(update={"sharpest": True})
    first, sharpest = ([frame.name for frame in KITTI360().scan(street, chosen).frames] for chosen in settings)
    assert first == ["0000000000", "0000000000_01", "0000000003", "0000000003_01", "0000000006", "0000000006_01"]
    assert [[int(name[:10]) // 3 for name in names] for names in (first, sharpest)] == [[0, 0, 1, 1, 2, 2]] * 2
    assert first != sharpest


def test_frames_are_left_out_by_name(street: Path, scan: Scan) -> None:
    fewer = KITTI360().scan(street, ScanSettings(skip_frames=("0000000000", "0000000003")))
    assert [frame.name for frame in fewer.frames] == [f.name for f in scan.frames if f.name[-1] not in "03"]


def scans_of_depth(street: Path, scan: Scan, frame_index: int) -> list[int]:
    """The indices of the scans, within 2.5 m of the way, that a frame's depth is made of where none tests another."""
    untested = AccumulationParameters(scans=ScanParameters(tested_neighbours=0))
    settings = ScanSettings(accumulate=2.5, deskew=False)
    nowhere = np.zeros((scan.camera.height, scan.camera.width), bool)
    with patch.object(accumulated, "read_points", wraps=read_points) as reading:
        accumulated.AccumulatedDepth(drive_of_scene(street), scan, settings, nowhere, untested)(
            scan.frames[frame_index]
        )
    return sorted(int(call.args[0].stem) for call in reading.call_args_list)


def test_depth_is_made_of_scans_along_the_way_however_long_the_vehicle_rests(copy: Path, scan: Scan) -> None:
    assert scans_of_depth(copy, scan, 4) == [2, 3, 4, 5, 6]
    assert scans_of_depth(copy, scan, 0) == [0, 1, 2]
    poses = copy / "data_poses" / DRIVE / "poses.txt"
    lines = poses.read_text().splitlines()
    rest = [f"{number} {lines[2].split(' ', 1)[1]}" for number in range(3, 7)]
    poses.write_text("\n".join([*lines[:3], *rest, lines[7]]))
    assert scans_of_depth(copy, scan, 5) == [0, 1, 2, 5]


def test_the_vehicle_itself_is_masked(copy: Path, scan: Scan) -> None:
    mask = np.zeros((scan.camera.height, scan.camera.width), np.int32)
    mask[-20:, 100:200] = 1
    write_ids(copy / "ego_mask.png", mask)
    frame = KITTI360().scan(copy, DEFAULTS).frames[2]
    depth = KITTI360().depths(copy, scan, DEFAULTS)(frame)
    assert not depth[mask > 0].any()
    assert (depth[-20:, 210:300] > 0).mean() > 0.5
    assert copy / "ego_mask.png" in KITTI360().files(copy)


def test_annotation_of_the_window_that_has_its_very_name(copy: Path) -> None:
    folder = copy / "data_3d_semantics/train" / DRIVE / "static"
    (whole,) = folder.glob("*.ply")
    shutil.copy(whole, folder / "0000000002_0000000004.ply")
    assert KITTI360().annotation_files(copy / f"{DRIVE}_0000000002_0000000004") == [
        folder / "0000000002_0000000004.ply"
    ]
    assert len(KITTI360().annotation_files(copy)) == 2
    assert KITTI360().annotation_files(copy / f"{DRIVE}_0000000100_0000000200") == []


def test_what_no_camera_saw_is_void_where_it_is_asked_for(street: Path) -> None:
    table = read_categories(class_table("kitti360", street, Settings()))
    every, seen = (KITTI360().annotation(street, table, only) for only in (False, True))
    lost = (every.labels.category != VOID) & (seen.labels.category == VOID)
    assert 0.05 < lost.mean() < 0.95
    kept = seen.labels.category != VOID
    assert_array_equal(seen.labels.category[kept], every.labels.category[kept])


def spoil(path: str, text: str | None) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        target = folder / path
        if text is None:
            target.unlink()
        else:
            target.write_text(text)

    return change


def add_drive(folder: Path) -> None:
    (folder / "data_2d_raw" / "2013_05_28_drive_0000_sync").mkdir()


BAD = {
    "no pose": (spoil(f"data_poses/{DRIVE}/poses.txt", ""), "holds no pose"),
    "no pose of these frames": (
        spoil(f"data_poses/{DRIVE}/poses.txt", "77 1 0 0 0 0 1 0 0 0 0 1 0"),
        "No image of .* has a pose",
    ),
    "a pose of words": (spoil(f"data_poses/{DRIVE}/poses.txt", "0 1 0 0 0 0 1 x"), "frame 0 of .* not 12 numbers"),
    "a pose that shears": (
        spoil(f"data_poses/{DRIVE}/poses.txt", "0 1 1 0 0 0 1 0 0 0 0 1 0"),
        "is no rotation and shift",
    ),
    "a frame of words": (spoil(f"data_poses/{DRIVE}/poses.txt", "frame 1 0"), "Line 1 .* begins with 'frame'"),
    "no calibration of the LiDAR": (spoil("calibration/calib_cam_to_velo.txt", None), "calib_cam_to_velo.txt cannot"),
    "no projection": (spoil("calibration/perspective.txt", "S_rect_00: 1408 376\n"), "P_rect_00 of .* is 'missing'"),
    "no camera": (spoil("calibration/calib_cam_to_pose.txt", "image_01: 1\n"), "image_00 of .* is 'missing'"),
    "a scan missing": (spoil(f"{SCANS}/0000000003.bin", None), "0000000003.bin does not exist"),
    "two drives": (add_drive, "has 2 drives; name one as SCENE with DATA=.*drive_0000_sync"),
}


@pytest.mark.parametrize("case", BAD, ids=str)
def test_bad_input_is_told_in_a_sentence(copy: Path, case: str) -> None:
    change, sentence = BAD[case]
    change(copy)
    with pytest.raises(InputError, match=sentence):
        KITTI360().scan(copy, DEFAULTS)


def test_a_cut_scan_is_told_when_it_is_read(copy: Path, scan: Scan) -> None:
    path = copy / SCANS / "0000000003.bin"
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(InputError, match=r"0000000003.bin has \d+ bytes"):
        KITTI360().depths(copy, scan, DEFAULTS)(scan.frames[2])


def test_a_mask_of_another_size_is_told(copy: Path, scan: Scan) -> None:
    write_ids(copy / "ego_mask.png", np.ones((4, 5), np.int32))
    with pytest.raises(InputError, match=r"ego_mask.png is 5 x 4 pixels, the images are 352 x"):
        KITTI360().depths(copy, scan, DEFAULTS)


def test_a_folder_of_something_else_is_no_drive(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no scene of KITTI-360"):
        KITTI360().check(tmp_path / "nowhere")


def test_points_of_a_depth_image_lie_on_the_truth(street: Path, scan: Scan) -> None:
    from scipy.spatial import cKDTree

    table = read_categories(class_table("kitti360", street, Settings()))
    truth = KITTI360().annotation(street, table)
    frame = scan.frames[3]
    depth = KITTI360().depths(street, scan, DEFAULTS)(frame).astype(np.float64)
    near = (depth > 0) & (depth < 20)
    points = transform(frame.world_from_camera, unproject(scan.camera, depth)[near])
    distance, _ = cKDTree(truth.mesh.vertices).query(points)
    assert np.percentile(distance, 80) < 0.2
