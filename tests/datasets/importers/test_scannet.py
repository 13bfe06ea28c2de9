"""Laws of importing a scan that lies in ScanNet's export layout already."""

import filecmp
import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from typer.testing import CliRunner

from panrecon.cli import app
from panrecon.config import ScanSettings
from panrecon.datasets.base import dataset
from panrecon.datasets.importers.base import Importer
from panrecon.datasets.importers.scannet import ScanNetExport
from panrecon.datasets.scannet.dataset import ScanNet
from panrecon.errors import InputError
from panrecon.io.categories import read_categories
from panrecon.io.files import read_json
from panrecon.io.images import read_color, read_depth
from tests.datasets.importers.scenes import LAYOUTS, touch_layout

FRAMES = ("0", "1", "2")


@pytest.fixture
def room(raw_scenes: Path, tmp_path: Path) -> Path:
    """Three frames of the built-in room, with masks, class table and annotation."""
    folder = Path(shutil.copytree(raw_scenes / "room", tmp_path / "raw" / "room"))
    for path in folder.rglob("*"):
        if path.parent.name in ("color", "depth", "pose", "features") and path.stem not in FRAMES:
            path.unlink()
    return folder


def imported(room: Path, out: Path, *options: str) -> str:
    result = CliRunner().invoke(app, ["import", str(room), "--out", str(out), *options])
    assert result.exit_code == 0, result.stderr
    return result.stderr


def test_it_is_an_importer_of_its_own_folders_only(room: Path, tmp_path: Path) -> None:
    assert isinstance(ScanNetExport(), Importer)
    assert ScanNetExport().recognise(room) is not None
    (room / "scan.yaml").touch()
    others = [touch_layout(tmp_path / name, name) for name in LAYOUTS if name != "scannet"]
    for folder in [*others, room, tmp_path, tmp_path / "absent"]:
        assert ScanNetExport().recognise(folder) is None


def test_the_scan_comes_back_with_all_that_lies_beside_under_its_new_name(room: Path, tmp_path: Path) -> None:
    out = tmp_path / "own" / "den"
    printed = imported(room, out)
    assert "is read as scannet: " in printed and "detections.json" in printed
    before = ScanNet().scan(room, ScanSettings())
    after = dataset("own").scan(out, ScanSettings())
    assert (after.camera, after.source_camera) == (before.camera, before.source_camera)
    assert [frame.name for frame in after.frames] == [frame.name for frame in before.frames] == list(FRAMES)
    for old, new in zip(before.frames, after.frames, strict=True):
        assert_allclose(new.world_from_camera, old.world_from_camera, atol=1e-7)
        assert_array_equal(read_depth(new.depth, 1000.0), read_depth(old.depth, 1000.0))
        assert_array_equal(read_color(new.color), read_color(old.color))
    for name in ("detections.json", "classes.csv", "features/1.npy", "label-filt/1.png", "instance-filt/1.png"):
        assert filecmp.cmp(room / name, out / name, shallow=False)
    table = read_categories(room / "classes.csv")
    truth, same = ScanNet().annotation(room, table), ScanNet().annotation(out, table)
    assert_array_equal(same.labels.category, truth.labels.category)
    assert_array_equal(same.labels.instance, truth.labels.instance)


def test_what_is_changed_in_the_import_is_not_changed_in_the_scan(room: Path, tmp_path: Path) -> None:
    before = (room / "classes.csv").read_bytes()
    imported(room, tmp_path / "own")
    with (tmp_path / "own" / "classes.csv").open("a") as file:
        file.write("\n")
    assert (room / "classes.csv").read_bytes() == before


def test_an_import_imported_again_is_the_same(room: Path, tmp_path: Path) -> None:
    once, twice = tmp_path / "a" / "den", tmp_path / "b" / "den"
    imported(room, once)
    imported(once, twice)
    files = {path.relative_to(once) for path in once.rglob("*") if path.is_file()}
    assert files == {path.relative_to(twice) for path in twice.rglob("*") if path.is_file()}
    files.remove(Path("import.json"))  # which tells the names that files had
    assert all(filecmp.cmp(once / file, twice / file, shallow=False) for file in files)


def test_frames_that_are_left_out_keep_nothing_but_what_is_beside(room: Path, tmp_path: Path) -> None:
    imported(room, tmp_path / "own", "--stride", "2")
    scan = dataset("own").scan(tmp_path / "own", ScanSettings())
    assert [frame.name for frame in scan.frames] == ["0", "2"]
    assert read_json(tmp_path / "own" / "import.json")["frames"] == 2


def test_extrinsics_of_two_cameras_are_taken_along(room: Path, tmp_path: Path) -> None:
    beside = np.eye(4)
    beside[0, 3] = 0.05
    np.savetxt(room / "intrinsic" / "extrinsic_color.txt", beside)
    imported(room, tmp_path / "own")
    before, after = (dataset("own").scan(folder, ScanSettings()) for folder in (room, tmp_path / "own"))
    assert before.source_from_camera is not None and after.source_from_camera is not None
    assert_allclose(after.source_from_camera, before.source_from_camera)


def test_a_missing_part_is_named(room: Path) -> None:
    (room / "depth" / "1.png").unlink()
    with pytest.raises(InputError, match=r"Frame 1 has no depth image .*1\.png"):
        ScanNetExport().read(room)
    for path in (room / "color").iterdir():
        path.unlink()
    with pytest.raises(InputError, match="no image in"):
        ScanNetExport().read(room)
