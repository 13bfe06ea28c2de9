"""Laws of the doctor on drives: a sound one is healthy, a broken one is not, and what no setting repairs is said so."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from panrecon.cli import app

FRAMES = 16


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drive") / "street"
    options = ("--frames", str(FRAMES), "--width", "352", "--seed", "3")
    assert CliRunner().invoke(app, ["simulate", "street", str(folder), *options]).exit_code == 0
    return folder


def findings_of(drive: Path, file: Path) -> dict[str, dict[str, object]]:
    result = CliRunner().invoke(app, ["doctor", str(drive), "--json", str(file)])
    assert result.exit_code == 0, result.output
    return {finding["check"]: finding for finding in json.loads(file.read_text())["findings"]}


def test_a_sound_drive_is_healthy(street: Path, tmp_path: Path) -> None:
    findings = findings_of(street, tmp_path / "findings.json")
    assert {check for check, finding in findings.items() if finding["severity"] == "wrong"} == set()
    assert {"pose convention", "time offset", "colour-depth alignment", "gaps"} <= set(findings)


@contextmanager
def changed_poses(street: Path, change: Callable[[np.ndarray], np.ndarray]) -> Iterator[None]:
    """The vehicle's poses, 3 x 4 by frame, replaced by a function of them."""
    (file,) = street.glob("data_poses/*/poses.txt")
    before = file.read_text()
    lines = np.loadtxt(file)
    lines[:, 1:] = change(lines[:, 1:].reshape(-1, 3, 4)).reshape(-1, 12)
    np.savetxt(file, lines, fmt=["%d", *["%.9g"] * 12])
    yield
    file.write_text(before)


def test_poses_of_other_frames_are_suspected_and_no_setting_is_promised(street: Path, tmp_path: Path) -> None:
    with changed_poses(street, lambda poses: np.roll(poses, 2, axis=0)):
        finding = findings_of(street, tmp_path / "findings.json")["time offset"]
    assert "2 frames later" in str(finding["sentence"]) and finding["repair"] is None
    assert finding["severity"] in ("note", "wrong")  # a drive straight on looks alike a frame later


def test_frames_whose_poses_jump_are_left_out(street: Path, tmp_path: Path) -> None:
    def jump(poses: np.ndarray) -> np.ndarray:
        poses[6:8, :, 3] += 1.5
        return poses

    with changed_poses(street, jump):
        finding = findings_of(street, tmp_path / "findings.json")["pose jumps"]
    assert finding["severity"] == "wrong"
    assert finding["repair"] == {"scan.skip_frames": [f"{number:010d}" for number in (6, 7)]}
