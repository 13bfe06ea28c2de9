"""`panrecon simulate room` and `detections` as a user runs them, on a room of a few small images."""

import re
from pathlib import Path

import pytest

from panrecon.datasets.scannet.format import read_truth
from panrecon.io.categories import read_categories
from panrecon.simulation.room.room import build_room
from panrecon.simulation.room.shop import SMALL_THINGS
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


def test_a_shop_is_written_whole_or_refused(tmp_path: Path) -> None:
    done = panrecon("simulate", "room", "shop", "--shop", "70", "--frames", "1", "--width", "96", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    table = read_categories(tmp_path / "shop" / "classes.csv")
    truth = read_truth(tmp_path / "shop", "0", table)
    assert truth.instance.max() > 0
    refused = panrecon("simulate", "room", "full", "--shop", "900", cwd=tmp_path)
    assert refused.returncode == 2
    sentence = re.search(
        r"A shop with 900 small things was not found .* has (\d+); ask for \1 or fewer\.", refused.stderr
    )
    assert sentence
    assert [path.name for path in tmp_path.iterdir()] == ["shop"]
    fullest = build_room(0, int(sentence[1]))
    category = fullest.category_of_instance
    assert sum(fullest.categories[int(index)].name in SMALL_THINGS for index in category) == int(sentence[1])
