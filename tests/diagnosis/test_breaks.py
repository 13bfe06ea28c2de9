"""Laws of the doctor: it finds nothing in a sound scan, and every way in which it was broken, and repairs it."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from benchmarks.breaks import BREAKS, Break, rescale_depth
from benchmarks.doctor_scenes import simulate
from panrecon.cli import app
from panrecon.commands.doctor import diagnose, repaired
from panrecon.config import ScanSettings, load_settings
from panrecon.datasets.scannet.dataset import ScanNet
from panrecon.io.files import write_text
from panrecon.simulation.room.sensor import SensorNoise

SETTINGS = ScanSettings()


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["doctor", *arguments])
    return result.exit_code, result.output


def test_nothing_is_wrong_with_the_sound_room(room: Path) -> None:
    assert [finding for finding in diagnose(room, SETTINGS) if finding.severity == "wrong"] == []


@pytest.mark.parametrize("place", ["corridor", "one_wall", "turntable", "staircase"])
def test_nothing_is_wrong_in_places_that_are_no_room(place: str, tmp_path: Path) -> None:
    """Half a metre a frame, nothing but a wall, nothing behind a thing, stairs: exact poses and depth."""
    simulate(place, tmp_path / place, 0, SensorNoise.none())
    findings = diagnose(tmp_path / place, SETTINGS)
    assert [finding for finding in findings if finding.severity == "wrong"] == []


# One of a kind; the benchmark doctor_breaks tries all, on larger scans.
TRIED = (
    *("both of these", "poses 1 frame late", "depth said to be metres", "colour's focal length 12 % off"),
    *("colour shifted (8, -6)", "other sizes stated", "2 images of half the size", "4 poses stuck"),
    *("3 poses jump by 0.5 m", "second half moved by 0.6 m", "3 frames blurred", "3 frames at 0.3 of the light"),
    *("quaternions begin with w", "poses in millimetres", "depth along the ray", "colour upside down"),
    *("depth camera 4 cm beside",),
    *("3 frames almost without depth", "80 % of all depth lost", "every 6th frame only"),
)


@pytest.mark.parametrize("change", [change for change in BREAKS if change.name in TRIED], ids=lambda one: one.name)
def test_every_break_is_found_and_repaired(change: Break, room: Path) -> None:
    change.apply(room)
    settings = SETTINGS.model_copy(update=dict(change.settings))
    findings = diagnose(room, settings)
    assert change.check in {finding.check for finding in findings if finding.severity in ("wrong", change.severity)}
    if change.has_repair:
        after = diagnose(room, repaired(settings, findings))
        assert [finding for finding in after if finding.severity == "wrong"] == []


@pytest.mark.parametrize("name", ["both of these", "depth in 1/5000 m"])
def test_a_repaired_scan_is_the_sound_one(name: str, room: Path, raw_scenes: Path) -> None:
    """The same poses and cameras; depth in its own units."""
    sound = ScanNet().scan(raw_scenes / "room", SETTINGS)
    next(change for change in BREAKS if change.name == name).apply(room)
    assert run(str(room), "--fix")[0] == 0
    repaired_scan = ScanNet().scan(room, load_settings([room / "settings.yaml"]).scan)
    assert (repaired_scan.camera, repaired_scan.source_camera) == (sound.camera, sound.source_camera)
    assert abs(repaired_scan.poses - sound.poses).max() < 1e-6
    assert repaired_scan.depth_scale == (5000.0 if "5000" in name else 1000.0)


def test_fixing_twice_changes_nothing_more_and_keeps_what_was_there(room: Path) -> None:
    write_text(room / "settings.yaml", "mesh: {voxel_size: 0.03}\nscan: {frame_stride: 1}\n")
    rescale_depth(room, 5.0)
    code, output = run(str(room), "--fix")
    assert code == 0 and "depth scale" in output
    after_once = (room / "settings.yaml").read_text()
    loaded = load_settings([room / "settings.yaml"])
    assert (loaded.mesh.voxel_size, loaded.scan.depth_scale) == (0.03, 5000.0)
    code, output = run(str(room), "--fix", "--strict")
    assert code == 0 and "is healthy" in output
    assert (room / "settings.yaml").read_text() == after_once


def test_without_fix_nothing_is_written_and_strict_exits_with_2(room: Path, tmp_path: Path) -> None:
    rescale_depth(room, 5.0)
    before = sorted(path.name for path in room.iterdir())
    assert run(str(room))[0] == 0
    code, _ = run(str(room), "--strict", "--json", str(tmp_path / "findings.json"))
    assert code == 2
    assert sorted(path.name for path in room.iterdir()) == before
    findings = json.loads((tmp_path / "findings.json").read_text())["findings"]
    assert {"scan.depth_scale": 5000.0} in [finding["repair"] for finding in findings]


def test_a_folder_that_is_no_scan_is_an_error(tmp_path: Path) -> None:
    code, output = run(str(tmp_path / "nowhere"))
    assert code == 2 and "nowhere" in output
