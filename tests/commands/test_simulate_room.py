"""`panrecon simulate room` and `detections` as a user runs them, on a room of a few small images."""

from pathlib import Path

import pytest

from tests.command_line import panrecon

SMALL = ("--frames", "3", "--width", "96")


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("raw") / "room"
    done = panrecon("simulate", "room", str(folder), *SMALL, cwd=folder.parent)
    assert done.returncode == 0, done.stderr
    return folder


def simulated_detections(room: Path, out: Path, *options: str) -> bytes:
    done = panrecon("simulate", "detections", str(room), "--out", str(out), *options, cwd=room)
    assert done.returncode == 0, done.stderr
    return out.read_bytes()


def test_detections_differ_by_the_confused_stuff_alone(room: Path, tmp_path: Path) -> None:
    plain = simulated_detections(room, tmp_path / "plain.json")
    assert plain == (room / "detections.json").read_bytes()
    assert plain == simulated_detections(room, tmp_path / "none.json", "--fault", "confused_stuff=0")
    confused = simulated_detections(room, tmp_path / "confused.json", "--fault", "confused_stuff=0.5")
    assert confused != plain
    assert confused == simulated_detections(room, tmp_path / "again.json", "--fault", "confused_stuff=0.5")
