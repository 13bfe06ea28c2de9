"""`panrecon simulate room` and `detections` as a user runs them, on a room of a few small images."""

import json
import re
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.testing import assert_allclose

from panrecon.commands.simulate_positions import positions_reader
from panrecon.config import ScanSettings
from panrecon.datasets.scannet.dataset import ScanNet
from panrecon.datasets.scannet.format import read_truth
from panrecon.io.categories import read_categories
from panrecon.io.images import read_ids, write_ids
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


def test_a_percentage_of_confused_stuff_is_refused(room: Path, tmp_path: Path) -> None:
    out = tmp_path / "detections.json"
    done = panrecon("simulate", "detections", str(room), "--out", str(out), "--fault", "confused_stuff=25", cwd=room)
    assert done.returncode == 2
    assert "The fault confused_stuff is 25; give a share of stuff, 0 to 1." in done.stderr
    assert not out.exists()


def test_classes_left_out_of_the_prompts_are_never_detected(room: Path, tmp_path: Path) -> None:
    out = tmp_path / "without.json"
    options = ["--out", str(out), "--without", "Wall", "--without", "couch"]
    done = panrecon("simulate", "detections", str(room), *options, cwd=room)
    assert done.returncode == 0, done.stderr
    words = {detection["category"] for detection in json.loads(out.read_text())}
    assert "floor" in words
    assert not words & {"wall", "sofa"}


def test_a_left_out_class_must_be_of_the_table(room: Path, tmp_path: Path) -> None:
    out = tmp_path / "without.json"
    done = panrecon("simulate", "detections", str(room), "--out", str(out), "--without", "spaceship", cwd=room)
    assert done.returncode == 2
    assert "'spaceship'" in done.stderr
    assert not out.exists()


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


def test_positions_lie_on_the_pixels_of_colour_images_of_another_size(room: Path, tmp_path: Path) -> None:
    """Colour and label images of three times the size, as ScanNet's are larger than its depth."""
    enlarged = Path(shutil.copytree(room, tmp_path / "enlarged"))
    for path in [*enlarged.glob("color/*"), *enlarged.glob("*-filt/*")]:
        image = np.asarray(cv2.imread(str(path), cv2.IMREAD_UNCHANGED))
        cv2.imwrite(str(path), np.repeat(np.repeat(image, 3, axis=0), 3, axis=1))
    camera = ScanNet().scan(room, ScanSettings()).camera.scaled(3.0)
    matrix = np.eye(4)
    matrix[:3, :3] = camera.matrix
    np.savetxt(enlarged / "intrinsic" / "intrinsic_color.txt", matrix)
    positions = positions_reader(room)("1", (72, 96))
    large = positions_reader(enlarged)("1", (216, 288))
    assert np.isfinite(positions).mean() > 0.5
    assert_allclose(large[1::3, 1::3], positions, atol=1e-5)
    simulated_detections(enlarged, tmp_path / "enlarged.json", "--fault", "confused_stuff=0.5")


def test_label_images_of_another_size_than_colour_are_refused(room: Path, tmp_path: Path) -> None:
    damaged = Path(shutil.copytree(room, tmp_path / "damaged"))
    for path in damaged.glob("*-filt/1.png"):
        write_ids(path, read_ids(path)[:50])
    out = tmp_path / "detections.json"
    options = ("--out", str(out), "--fault", "confused_stuff=0.5")
    done = panrecon("simulate", "detections", str(damaged), *options, cwd=tmp_path)
    assert done.returncode == 2
    sentence = f"The label image of frame 1 of {damaged} is (50, 96), its colour image (72, 96)"
    assert sentence in done.stderr.replace("\n", " ")
    assert not out.exists()
