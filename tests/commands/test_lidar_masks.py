"""Labelled scans of a simulated drive as masks of its images."""

from pathlib import Path

import numpy as np
import pytest
import typer
from numpy.testing import assert_array_equal
from scipy.spatial import cKDTree
from typer.testing import CliRunner

from panrecon.cli import app
from panrecon.commands.lidar_masks import masks
from panrecon.config import ScanSettings
from panrecon.datasets.kitti360.dataset import KITTI360, drive_of_scene
from panrecon.datasets.kitti360.format import read_calibration, read_vehicle_poses
from panrecon.datasets.points import read_points
from panrecon.datasets.semantic_kitti.format import write_raw_labels
from panrecon.io.categories import find_table, read_categories
from panrecon.io.detections import read_detections, write_detections
from panrecon.structures import VOID, Detections

TABLE = read_categories(find_table("kitti360"))
OPTIONS = ["--seed", "4", "--frames", "3", "--width", "704", "--beams", "64", "--columns", "900"]


@pytest.fixture(scope="module")
def drive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kitti360") / "street"
    result = CliRunner().invoke(app, ["simulate", "street", str(folder), *OPTIONS])
    assert result.exit_code == 0, result.output
    return folder


@pytest.fixture(scope="module")
def labelled(drive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scans with the labels of the nearest true points; what moves has none."""
    folder = tmp_path_factory.mktemp("labels")
    sequence = drive_of_scene(drive)
    truth = KITTI360().annotation(drive, TABLE)
    tree, ids = cKDTree(truth.mesh.vertices), np.append(TABLE.ids, 0)
    vehicle_from_lidar = read_calibration(drive / "calibration").vehicle_from_lidar
    for number, pose in read_vehicle_poses(sequence.poses).items():
        points = read_points(sequence.scan_file(number))[:, :3].astype(np.float64)
        world = points @ (pose @ vehicle_from_lidar)[:3, :3].T + (pose @ vehicle_from_lidar)[:3, 3]
        distance, nearest = tree.query(world)
        row = np.where(distance < 0.2, truth.labels.category[nearest], VOID)
        instance = np.where(row == VOID, 0, truth.labels.instance[nearest] % 1000 + 1)
        write_raw_labels(folder / f"{number:010d}.label", ids[row], instance)
    return folder


def run(*arguments: object) -> "typer.testing.Result":
    command = typer.Typer()
    command.command()(masks)
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


def test_detections_of_scans_agree_with_the_true_images(drive: Path, labelled: Path, tmp_path: Path) -> None:
    """Where the scan reaches: its uppermost ring is near the horizon."""
    out = tmp_path / "detections.json"
    result = run(drive, "--prediction", labelled, "--out", out)
    assert result.exit_code == 0, result.output
    found, frames = read_detections(out, TABLE), KITTI360().label_frames(drive, TABLE)
    for frame in KITTI360().scan(drive, ScanSettings()).frames:
        truth, detections = frames.read(frame.name), found[frame.name]
        assert_array_equal(detections.score, np.float32(0.6))
        assert {"road", "car", "building"} <= {TABLE[row].name for row in detections.category}
        right = [
            (truth.category[mask] == row).mean() for row, mask in zip(detections.category, detections.mask, strict=True)
        ]
        area = detections.mask.sum(axis=(1, 2))
        assert np.average(right, weights=area) > 0.85


def test_detections_of_the_camera_are_merged_with_them(drive: Path, labelled: Path, tmp_path: Path) -> None:
    """In every frame, also in one whose scan has no labels."""
    mask = np.zeros((1, 188, 704), bool)
    mask[0, 10:20, 30:90] = True
    own = Detections(np.array([TABLE.index_of("car")], np.int32), np.array([0.9], np.float32), mask)
    camera, out = tmp_path / "camera.json", tmp_path / "both.json"
    write_detections(camera, [(f"{number:010d}", own) for number in range(3)], TABLE)
    fewer = tmp_path / "labels"
    fewer.mkdir()
    (fewer / "0000000001.label").write_bytes((labelled / "0000000001.label").read_bytes())
    result = run(drive, "--prediction", fewer, "--out", out, "--camera", camera)
    assert result.exit_code == 0, result.output
    found = read_detections(out, TABLE)
    assert [len(found[f"{number:010d}"]) for number in (0, 2)] == [1, 1]
    assert len(found["0000000001"]) > 5
    assert all((found[f"{number:010d}"].mask[0] == mask[0]).all() for number in range(3))


def test_labels_of_no_frame_are_refused(drive: Path, tmp_path: Path) -> None:
    result = run(drive, "--prediction", tmp_path, "--out", tmp_path / "out.json")
    assert result.exit_code == 2
    assert not (tmp_path / "out.json").exists()


def test_labels_of_another_scan_are_refused(drive: Path, labelled: Path, tmp_path: Path) -> None:
    (tmp_path / "0000000001.label").write_bytes((labelled / "0000000001.label").read_bytes()[:-4])
    result = run(drive, "--prediction", tmp_path, "--out", tmp_path / "out.json")
    assert result.exit_code == 2
    assert not (tmp_path / "out.json").exists()
