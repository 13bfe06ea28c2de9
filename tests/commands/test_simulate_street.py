"""Laws of the data sets that `panrecon simulate street` writes, from their files alone."""

from pathlib import Path

import numpy as np
import pytest
from jaxtyping import Float
from numpy.testing import assert_allclose
from scipy.spatial import cKDTree
from typer.testing import CliRunner

from panrecon.cli import app
from panrecon.commands import simulate_street
from panrecon.datasets.kitti360.format import SEMANTICS_2D, SEMANTICS_3D, Drive
from panrecon.datasets.kitti360.ground_truth import (
    drive_points,
    find_drive,
    label_frames,
)
from panrecon.datasets.nuscenes import format as nuscenes_files
from panrecon.datasets.points import read_points
from panrecon.datasets.semantic_kitti import format as kitti_files
from panrecon.geometry.projective import nearest_pixel, project, transform
from panrecon.io.categories import find_table, read_categories
from panrecon.io.features import read_point_features, read_text_embeddings
from panrecon.io.files import read_json
from panrecon.io.images import read_color
from panrecon.simulation.street.lidar import HDL_32E, LidarModel
from panrecon.simulation.street.sequence import simulated_sequence
from panrecon.simulation.street.street import BENCHMARK_IDS, build_street
from panrecon.simulation.street.vehicle import kitti360_rig, stereo_sensors, surround_sensors
from panrecon.structures import VOID, LidarScan

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
    frames = label_frames(find(kitti, SEMANTICS_2D), TABLE)
    truth = drive_points(find(kitti, SEMANTICS_3D), TABLE)
    tree = cKDTree(truth.mesh.vertices)
    for frame in range(4):
        scan = read_points(kitti / "data_3d_raw" / DRIVE / f"velodyne_points/data/{frame:010d}.bin")[:, :3]
        rectified = (turn @ camera_from_lidar @ np.column_stack([scan, np.ones(len(scan))]).T)[:, scan[:, 0] > 3]
        distance, nearest = tree.query((rigid(world_from_rectified[str(frame)]) @ rectified)[:3].T)
        assert np.mean(distance < 0.1) > 0.9  # the rest moves, or lies far off where the truth's points are sparse
        u, v, depth = numbers["P_rect_00"].reshape(3, 4) @ rectified
        category = frames.read(str(frame)).category
        column = np.rint(u / depth).astype(int)
        row = np.rint(v / depth).astype(int)
        inside = (column >= 0) & (column < 352) & (row >= 0) & (row < category.shape[0]) & (distance < 0.1)
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
    car = TABLE.index_of("car")
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
    again = simulated(tmp_path / "again")
    other = simulated(tmp_path / "other", "--seed", "6")
    files = sorted(path.relative_to(kitti) for path in kitti.rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(again) for path in again.rglob("*") if path.is_file())
    assert all((kitti / path).read_bytes() == (again / path).read_bytes() for path in files)
    scans = [next(iter(sorted(folder.rglob("*.bin")))).read_bytes() for folder in (kitti, other)]
    assert scans[0] != scans[1]


@pytest.fixture(scope="module")
def semantic_kitti(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = simulated(tmp_path_factory.mktemp("semantic_kitti"), "--layout", "semantic_kitti", "--features")
    return kitti_files.sequence_folder(folder, "05")


@pytest.fixture(scope="module")
def nuscenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    options = ("--layout", "nuscenes", "--features", "--width", "160", "--frames", "3")
    return simulated(tmp_path_factory.mktemp("nuscenes"), *options)


def semantic_kitti_scans(sequence: Path) -> list[LidarScan]:
    table = read_categories(find_table("semantic_kitti"))
    return [kitti_files.read_scan(sequence, name, table) for name in kitti_files.scan_names(sequence)]


def nuscenes_scans(root: Path) -> list[LidarScan]:
    tables = nuscenes_files.read_tables(root)
    table = read_categories(find_table("nuscenes"))
    return [nuscenes_files.read_scan(tables, token, table) for token in nuscenes_files.sample_tokens(tables)]


def test_the_same_street_is_written_in_every_layout(kitti: Path, semantic_kitti: Path) -> None:
    for frame, scan in enumerate(semantic_kitti_scans(semantic_kitti)):
        same = read_points(kitti / "data_3d_raw" / DRIVE / f"velodyne_points/data/{frame:010d}.bin")
        assert scan.points.tobytes() == same.tobytes()
        image = kitti / "data_2d_raw" / DRIVE / f"image_00/data_rect/{frame:010d}.png"
        assert scan.images[0].path.read_bytes() == image.read_bytes()


def test_labels_of_semantic_kitti_are_those_of_the_truth(kitti: Path, semantic_kitti: Path) -> None:
    """Where a still point lies beside a true one, both have the same class; things alone have instances."""
    table = read_categories(find_table("semantic_kitti"))
    truth = drive_points(find(kitti, SEMANTICS_3D), TABLE)
    tree = cKDTree(truth.mesh.vertices)
    start = named_rows(kitti / "data_poses" / DRIVE / "poses.txt")["0"]
    mounted = rigid(named_rows(kitti / "calibration/calib_cam_to_pose.txt")["image_00"])
    lidar = rigid(np.loadtxt(kitti / "calibration/calib_cam_to_velo.txt"))
    world_from_first = rigid(start) @ mounted @ np.linalg.inv(lidar)
    for scan, pose in zip(semantic_kitti_scans(semantic_kitti), kitti_files.read_poses(semantic_kitti), strict=True):
        assert scan.labels is not None
        world = transform(world_from_first @ pose, scan.points[:, :3].astype(np.float64))
        distance, nearest = tree.query(world)
        beside = np.flatnonzero((distance < 0.06) & (scan.labels.category != VOID))
        assert len(beside) > 500
        rows = zip(
            scan.labels.category[beside].tolist(),
            truth.labels.category[np.asarray(nearest)[beside]].tolist(),
            strict=True,
        )
        pairs = [(table[category].name, TABLE[true_category].name) for category, true_category in rows]
        equivalent = {("trunk", "vegetation"), ("other vehicle", "bus")}
        assert np.mean([a == b or (a, b) in equivalent for a, b in pairs]) > 0.98
        things = np.append(table.is_thing, False)[scan.labels.category]
        assert (scan.labels.instance[things] != VOID).all()


def test_moving_things_have_moving_ids_and_one_number_in_all_frames(semantic_kitti: Path) -> None:
    names = kitti_files.scan_names(semantic_kitti)
    raw = [kitti_files.read_raw_labels(semantic_kitti / "labels" / f"{name}.label") for name in names]
    assert all(252 in semantic and 10 in semantic for semantic, _ in raw)
    numbers = [set(instance[semantic == 252].tolist()) for semantic, instance in raw]
    assert 0 not in set.union(*numbers)
    assert numbers[0] & numbers[-1]
    for semantic, instance in raw:
        assert not set(instance[semantic == 252].tolist()) & set(instance[semantic == 10].tolist())
        assert (instance[np.isin(semantic, (40, 44, 48, 50, 70, 71, 72, 80, 81))] == 0).all()


@pytest.mark.parametrize("layout", ["semantic_kitti", "nuscenes"])
def test_points_fall_on_pixels_of_their_own_class(layout: str, request: pytest.FixtureRequest) -> None:
    """By what the files say; the pixels' classes, which these layouts lack, come from the simulator."""
    folder = request.getfixturevalue(layout)
    table = read_categories(find_table(layout))
    benchmark_category_of_category = np.array(
        [table.index_of_raw_id.get(getattr(ids, layout), VOID) for ids in BENCHMARK_IDS.values()]
    )
    if layout == "semantic_kitti":
        scans = semantic_kitti_scans(folder)
        sensors = stereo_sensors(kitti360_rig(352))
        model = LidarModel(16, 256)
    else:
        scans = nuscenes_scans(folder)
        sensors = surround_sensors(160)
        model = LidarModel(16, 256, halves_deg=HDL_32E)
    for scan, frame in zip(scans, simulated_sequence(build_street(5), sensors, model, len(scans)), strict=True):
        assert scan.labels is not None
        views = {mounted.name: view for mounted, view in zip(sensors.cameras, frame.views, strict=True)}
        for image in scan.images:
            view = views[image.name.replace("image_2", "image_00").replace("image_3", "image_01")]
            points = transform(image.camera_from_lidar, scan.points[:, :3].astype(np.float64))
            pixels, depth = project(image.camera, points)
            column, row, inside = nearest_pixel(image.camera, pixels)
            unhidden = inside & (np.abs(view.depth[row, column] - depth) < 0.1 * depth)
            assert np.count_nonzero(unhidden) > 200
            shown = benchmark_category_of_category[view.truth.category[row, column]]
            assert np.mean((shown == scan.labels.category)[unhidden]) > 0.93, image.name
            assert np.count_nonzero(unhidden) > 0.7 * np.count_nonzero(inside)


def test_nuscenes_scans_look_ahead_along_y_and_all_cameras_around(nuscenes: Path) -> None:
    scans = nuscenes_scans(nuscenes)
    assert len(scans) == 3
    assert len(scans[0].images) == 6
    tables = nuscenes_files.read_tables(nuscenes)
    poses = [
        tables.world_from_sensor(tables.data_of_sample[token]["LIDAR_TOP"])
        for token in nuscenes_files.sample_tokens(tables)
    ]
    step = np.linalg.inv(poses[0]) @ poses[1]
    assert_allclose(step[:3, 3], [0, 1, 0], atol=0.05)
    ahead = {image.name: image.camera_from_lidar[2, :3] for image in scans[0].images}
    assert_allclose(ahead["CAM_FRONT"], [0, 1, 0], atol=1e-6)
    assert ahead["CAM_FRONT_RIGHT"][0] > 0.5 and ahead["CAM_BACK_LEFT"][0] < -0.5
    assert_allclose(ahead["CAM_BACK"], [0, -1, 0], atol=1e-6)
    scan = next((nuscenes / "samples/LIDAR_TOP").glob("*.pcd.bin"))
    rings = read_points(scan, nuscenes_files.VALUES_PER_POINT)
    elevation = np.arctan2(rings[:, 2], np.hypot(rings[:, 0], rings[:, 1]))
    assert elevation[rings[:, 4] == rings[:, 4].max()].mean() > elevation[rings[:, 4] == rings[:, 4].min()].mean()


def test_frames_of_nuscenes_are_chained(nuscenes: Path) -> None:
    records = read_json(nuscenes / "v1.0-mini/sample_data.json")
    by_token = {record["token"]: record for record in records}
    for record in records:
        if record["next"]:
            after = by_token[record["next"]]
            assert after["prev"] == record["token"] and after["timestamp"] > record["timestamp"]
            assert after["calibrated_sensor_token"] == record["calibrated_sensor_token"]
    assert sum(not record["next"] for record in records) == sum(not record["prev"] for record in records) == 7


@pytest.mark.parametrize("layout", ["semantic_kitti", "nuscenes"])
def test_features_of_points_name_most_of_them(layout: str, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(layout)
    table = read_categories(find_table(layout))
    embeddings = read_text_embeddings(folder / "simulated_features")
    text = np.stack([embeddings[category.name] for category in table])
    for scan in (semantic_kitti_scans if layout == "semantic_kitti" else nuscenes_scans)(folder):
        found = read_point_features(folder / "simulated_features", scan.name)
        assert scan.labels is not None and len(found.values) == len(scan.points)
        known = found.valid & (scan.labels.category != VOID)
        named = (found.values @ text.T).argmax(axis=1)
        assert np.mean((named == scan.labels.category)[known]) > 0.5
    assert read_json(folder / "simulated_features/features.json")["simulated"]


def test_a_drive_beyond_the_street_is_refused(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["simulate", "street", str(tmp_path / "x"), "--frames", "70"])
    assert result.exit_code == 2
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("layout", ["kitti360", "semantic_kitti", "nuscenes"])
def test_frames_of_an_earlier_drive_are_not_mixed_with_new_ones(
    layout: str, request: pytest.FixtureRequest, kitti: Path
) -> None:
    folder = request.getfixturevalue("kitti" if layout == "kitti360" else layout)
    root = folder.parents[1] if layout == "semantic_kitti" else folder
    before = sorted((path, path.stat().st_mtime_ns) for path in root.rglob("*"))
    result = CliRunner().invoke(app, ["simulate", "street", str(root), *SMALL, "--layout", layout])
    assert result.exit_code == 2
    assert before == sorted((path, path.stat().st_mtime_ns) for path in root.rglob("*"))


@pytest.mark.parametrize("layout", ["kitti360", "semantic_kitti", "nuscenes"])
def test_a_street_joins_what_a_folder_holds_whole_or_not_at_all(
    layout: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["simulate", "street", str(tmp_path / "set"), *SMALL, "--frames", "1", "--layout", layout]
    with monkeypatch.context() as power:
        power.setattr(simulate_street.PointFeatureWriter, "add", lambda *_: 1 / 0)
        assert isinstance(CliRunner().invoke(app, command).exception, ZeroDivisionError)
        assert not (tmp_path / "set").exists()
        (tmp_path / "set").mkdir()
        (tmp_path / "set" / "notes.txt").write_text("mine")
        assert isinstance(CliRunner().invoke(app, command).exception, ZeroDivisionError)
        assert [path.name for path in tmp_path.glob("**/*")] == ["set", "notes.txt"]
    assert CliRunner().invoke(app, command).exit_code == 0
    assert (tmp_path / "set" / "notes.txt").read_text() == "mine"
    assert not list(tmp_path.rglob("*.partial*"))


def test_a_street_takes_no_place_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "set").write_text("mine")
    result = CliRunner().invoke(app, ["simulate", "street", str(tmp_path / "set"), *SMALL], env={"COLUMNS": "300"})
    assert result.exit_code == 2
    assert f"{tmp_path / 'set'} cannot be a folder, a file is in its way" in " ".join(result.stderr.split())
    assert (tmp_path / "set").read_text() == "mine"


def test_drives_of_one_data_set_share_their_calibration(tmp_path: Path) -> None:
    options = ["simulate", "street", str(tmp_path), *SMALL, "--frames", "1"]
    assert CliRunner().invoke(app, options).exit_code == 0
    wider = CliRunner().invoke(app, [*options, "--seed", "7", "--width", "400"])
    assert wider.exit_code == 2
    assert CliRunner().invoke(app, [*options, "--seed", "7"]).exit_code == 0
    assert len(list((tmp_path / "data_poses").iterdir())) == 2


def test_features_of_points_are_made_of_a_drives_label_images(kitti: Path, tmp_path: Path) -> None:
    """A point shows the class of its pixel, mostly: blurred over borders, and of what hides it."""
    result = CliRunner().invoke(app, ["simulate", "points", str(kitti), "--out", str(tmp_path)])
    assert result.exit_code == 0, result.output
    names, embedding = zip(*read_text_embeddings(tmp_path).items(), strict=True)
    frames = label_frames(find(kitti, SEMANTICS_2D), TABLE)
    rig = kitti360_rig(352)
    camera_from_lidar = np.linalg.inv(rig.vehicle_from_rectified[0]) @ rig.vehicle_from_lidar
    points = read_points(kitti / "data_3d_raw" / DRIVE / "velodyne_points/data/0000000002.bin")
    found = read_point_features(tmp_path, "0000000002")
    assert len(found.valid) == len(points)
    assert not found.values[~found.valid].any()
    pixels, _ = project(rig.camera, transform(camera_from_lidar, points[found.valid, :3].astype(np.float64)))
    column, row = np.rint(pixels).astype(int).T
    category = frames.read("2").category[row, column]
    known = category != VOID
    words = [TABLE.index_of(names[i]) for i in (found.values[found.valid] @ np.stack(embedding).T).argmax(axis=1)]
    assert np.mean(np.array(words)[known] == category[known]) > 0.5
    assert read_json(tmp_path / "features.json")["simulated"] is True
