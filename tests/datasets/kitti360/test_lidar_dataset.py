"""The images of a drive's scans: from where they were taken, by KITTI-360's calibration."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose
from typer.testing import CliRunner

from panrecon.cli import app
from panrecon.config import Settings
from panrecon.datasets.kitti360.dataset import KITTI360
from panrecon.datasets.lidar import lidar_dataset
from panrecon.geometry.projective import nearest_pixel, project, transform
from panrecon.io.categories import read_categories
from panrecon.io.images import read_size
from panrecon.structures import VOID
from panrecon.workflow.sources import class_table

STREET = ["--length", "20", "--frames", "2", "--width", "352", "--beams", "32", "--columns", "512"]


@pytest.fixture(scope="module")
def drive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kitti360") / "street"
    assert CliRunner().invoke(app, ["simulate", "street", str(folder), *STREET]).exit_code == 0
    return folder


def test_a_scan_has_both_images_a_baseline_apart_and_their_size(drive: Path) -> None:
    data = lidar_dataset("kitti360", drive)
    for reference in data.scans():
        left, right = data.read(reference).images
        assert (left.name, right.name) == ("image_00", "image_01")
        assert read_size(left.path) == (left.camera.width, left.camera.height)
        assert_allclose(right.camera_from_lidar[:3, :3], left.camera_from_lidar[:3, :3], atol=1e-6)
        assert_allclose((left.camera_from_lidar - right.camera_from_lidar)[:3, 3], [0.6, 0, 0], atol=0.02)
        assert left.path.stem == right.path.stem == reference.key


def test_a_scan_has_the_images_that_are_there(drive: Path, tmp_path: Path) -> None:
    data = lidar_dataset("kitti360", shutil.copytree(drive, tmp_path / "drive"))
    reference = data.scans()[0]
    data.read(reference).images[1].path.unlink()
    assert [image.name for image in data.read(reference).images] == ["image_00"]


def test_what_lies_ahead_of_the_lidar_lies_ahead_of_the_camera_and_on_its_labels(drive: Path) -> None:
    """Points of the road lie below the horizon, where the label images show ground."""
    data, table = lidar_dataset("kitti360", drive), read_categories(class_table("kitti360", drive, Settings()))
    scan = data.read(data.scans()[0])
    points = scan.points[:, :3].astype(np.float64)
    ground = points[(points[:, 2] < -1.6) & (points[:, 0] > 4)]
    camera = scan.images[0].camera
    column, row, inside = nearest_pixel(camera, project(camera, transform(scan.images[0].camera_from_lidar, ground))[0])
    category = KITTI360().label_frames(drive, table).read("0").category[row[inside], column[inside]]
    assert np.count_nonzero(inside) > 100
    flat = [table.index_of(name) for name in ("road", "sidewalk", "parking", "terrain")]
    assert np.isin(category[category != VOID], flat).mean() > 0.9
