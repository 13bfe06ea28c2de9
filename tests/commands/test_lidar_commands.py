"""`panrecon lidar` as a user runs it, on small simulated streets."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from typer.testing import CliRunner, Result

from panrecon.cli import app
from panrecon.datasets.lidar import LABELLED, lidar_dataset, read_sample
from panrecon.datasets.lidar_base import LidarDataset
from panrecon.errors import InputError
from panrecon.io.images import read_size
from panrecon.io.lidar import read_network
from panrecon.io.tensors import write_tensors
from panrecon.lidar import settings as network_settings
from panrecon.lidar import train as training
from panrecon.lidar.settings import small_training
from panrecon.structures import VOID, Labels

STREET = ["--length", "20", "--frames", "2", "--width", "96", "--beams", "16", "--columns", "128", "--features"]


def panrecon(*arguments: str) -> Result:
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, arguments)


@pytest.fixture(scope="module", params=LABELLED)
def street(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A layout and a street in it; never to be changed."""
    folder = tmp_path_factory.mktemp("street") / request.param
    done = panrecon("simulate", "street", str(folder), "--layout", request.param, *STREET)
    assert done.exit_code == 0, done.stderr
    return request.param, folder


def test_a_data_set_counts_the_points_that_the_benchmark_scores(street: tuple[str, Path]) -> None:
    data = lidar_dataset(*street)
    assert isinstance(data, LidarDataset)
    assert len(data.scans()) == 2
    scan, part = read_sample(data, data.scans()[0], "simulated_features")
    assert part.labels is not None
    assert scan.labels is not None
    whole = part.on_scan(part.labels)
    assert (whole.category[part.is_scored] == scan.labels.category[part.is_scored]).all()
    assert (whole.category[~part.is_scored] == VOID).all()
    assert part.is_scored.all() == (not data.visible_only)


def test_predictions_come_back_as_they_were_written(street: tuple[str, Path], tmp_path: Path) -> None:
    data = lidar_dataset(*street)
    reference = data.scans()[0]
    scan = data.read(reference)
    rng = np.random.default_rng(0)
    category = rng.integers(VOID, len(data.table), len(scan.points))
    thing = np.append(data.table.is_thing, False)[category]
    labels = Labels(category, np.where(thing, rng.integers(0, 9, len(category)), VOID))
    data.write_prediction(tmp_path, reference, scan, labels)
    found = data.read_prediction(tmp_path, reference, scan)
    assert (found.category == category).all()
    pairs = set(zip(category.tolist(), labels.instance.tolist(), found.instance.tolist(), strict=True))
    assert len(pairs) == len({pair[:2] for pair in pairs}) == len({(a, c) for a, _, c in pairs})
    assert ((found.instance == VOID) == (labels.instance == VOID)).all()


def test_train_infer_evaluate(street: tuple[str, Path], tmp_path: Path) -> None:
    layout, folder = street
    network, out, record = tmp_path / "network", tmp_path / "prediction", tmp_path / "scores.json"
    trained = panrecon("lidar", "train", str(folder), "--layout", layout, "--out", str(network), "--steps", "2")
    assert trained.exit_code == 0, trained.stderr
    assert len((network / "losses.csv").read_text().splitlines()) == 3
    assert read_network(network)[1].layout == layout
    infer = ["lidar", "infer", str(folder), "--network", str(network), "--out", str(out), "--pictures", "1"]
    inferred = panrecon(*infer)
    assert inferred.exit_code == 0, inferred.stderr
    pictures = list(out.rglob("pictures/*/*.png"))
    assert len(pictures) == 1
    predictions = [path for path in out.rglob("*") if path.is_file() and path not in pictures]
    assert len(predictions) == 2
    assert any(path.name.startswith(pictures[0].stem) for path in predictions)
    evaluate = ["lidar", "evaluate", str(folder), "--layout", layout, "--prediction", str(out), "--json", str(record)]
    evaluated = panrecon(*evaluate, "--pictures-to", str(tmp_path / "compared"), "--pictures", "1")
    assert evaluated.exit_code == 0, evaluated.stderr
    assert "novel things" in evaluated.stdout
    assert json.loads(record.read_text())["scans"] == 2
    (comparison,) = (tmp_path / "compared").rglob("*.png")
    assert comparison.name == pictures[0].name
    assert read_size(comparison)[0] > 3 * read_size(pictures[0])[0]


def test_the_truth_scores_100(street: tuple[str, Path], tmp_path: Path) -> None:
    layout, folder = street
    data = lidar_dataset(layout, folder)
    for reference in data.scans():
        scan = data.read(reference)
        assert scan.labels is not None
        data.write_prediction(tmp_path, reference, scan, scan.labels)
    record = tmp_path / "scores.json"
    evaluate = [
        "lidar",
        "evaluate",
        str(folder),
        "--layout",
        layout,
        "--prediction",
        str(tmp_path),
        "--json",
        str(record),
    ]
    evaluated = panrecon(*evaluate)
    assert evaluated.exit_code == 0, evaluated.stderr
    content = json.loads(record.read_text())
    assert content["groups"]["all"]["pq"] == pytest.approx(1.0)
    assert content["miou"] == pytest.approx(1.0)


def test_wrong_input_is_refused_in_a_sentence(street: tuple[str, Path], tmp_path: Path) -> None:
    layout, folder = street
    with pytest.raises(InputError, match="no layout"):
        lidar_dataset("waymo", folder)
    common = ["--layout", layout, "--out", str(tmp_path / "n"), "--steps", "1"]
    for wrong in (["--variant", "odd"], ["--novel", "zebra"], ["--features", "nothing"]):
        done = panrecon("lidar", "train", str(folder), *common, *wrong)
        assert done.exit_code == 2, done.stdout + done.stderr
        assert "error:" in done.stderr
        assert not (tmp_path / "n").exists()
    nothing = panrecon("lidar", "train", str(tmp_path), *common)
    assert nothing.exit_code == 2
    assert "in " + str(tmp_path) in nothing.stderr.replace("\n", " ")
    assert not (tmp_path / "n").exists()
    missing = panrecon("lidar", "infer", str(folder), "--network", str(tmp_path / "n"), "--out", str(tmp_path / "o"))
    assert missing.exit_code == 2
    assert "There is no network.json in" in missing.stderr


def test_weights_that_are_damaged_or_of_another_network_are_one_sentence(
    street: tuple[str, Path], tmp_path: Path
) -> None:
    layout, folder = street
    network, weights = tmp_path / "network", tmp_path / "network" / "network.safetensors"
    train = ["lidar", "train", str(folder), "--layout", layout, "--out", str(network), "--steps", "1"]
    assert panrecon(*train).exit_code == 0
    infer = ["lidar", "infer", str(folder), "--network", str(network), "--out", str(tmp_path / "out")]
    content = weights.read_bytes()
    weights.write_bytes(content[: len(content) // 2])
    damaged = panrecon(*infer)
    write_tensors(weights, {"weight": torch.zeros(3)})
    foreign = panrecon(*infer)
    for done, words in ((damaged, "cannot be read as safetensors"), (foreign, "holds no weights of the network of")):
        assert done.exit_code == 2, done.exception
        assert f"{weights} {words}" in " ".join(done.stderr.split())
    assert not (tmp_path / "out").exists()


def test_scans_of_a_drive_are_labelled_in_its_own_classes_and_become_masks(
    street: tuple[str, Path], tmp_path: Path
) -> None:
    """Some of its classes are not among those of training."""
    layout, folder = street
    network, drive, out = tmp_path / "network", tmp_path / "drive", tmp_path / "prediction"
    assert panrecon("simulate", "street", str(drive), "--layout", "kitti360", *STREET).exit_code == 0
    train = ["lidar", "train", str(folder), "--layout", layout, "--out", str(network), "--steps", "1"]
    assert panrecon(*train).exit_code == 0
    infer = ["lidar", "infer", str(drive), "--layout", "kitti360", "--network", str(network), "--out", str(out)]
    done = panrecon(*infer, "--threshold", "0")
    assert done.exit_code == 0, done.stderr
    data = lidar_dataset("kitti360", drive)
    assert isinstance(data, LidarDataset)
    assert [path.stem for path in sorted(out.glob("*.label"))] == [reference.key for reference in data.scans()]
    for reference in data.scans():
        scan = data.read(reference)
        labels = data.read_prediction(out, reference, scan)
        assert len(labels.category) == len(scan.points)
    masks = ["lidar", "masks", str(drive), "--prediction", str(out), "--out", str(tmp_path / "detections.json")]
    done = panrecon(*masks)
    assert done.exit_code == 0, done.stderr
    assert {record["image_id"] for record in json.loads((tmp_path / "detections.json").read_text())} <= {
        reference.key for reference in data.scans()
    }


def test_tensorboard_shows_the_losses_also_of_a_training_that_was_stopped(
    street: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout, folder = street
    settings = replace(small_training(5, 0), checkpoint_every=2)
    monkeypatch.setattr(network_settings, "small_training", lambda steps, seed: settings)
    train = ["lidar", "train", str(folder), "--layout", layout, "--out", str(tmp_path), "--steps", "5", "--tensorboard"]
    with monkeypatch.context() as power:
        whole = training.Trainer.step
        power.setattr(training.Trainer, "step", lambda self, step: whole(self, step) if step < 3 else 1 / 0)
        assert isinstance(panrecon(*train).exception, ZeroDivisionError)
    other = panrecon(*train, "--every", "2")
    assert other.exit_code == 2
    assert f"The half-finished training in {tmp_path} is of other scans or settings" in " ".join(other.stderr.split())
    resumed = panrecon(*train)
    assert resumed.exit_code == 0, resumed.stderr
    assert "resumes after step 2" in resumed.stderr
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    names, *rows = (line.split(",") for line in (tmp_path / "losses.csv").read_text().splitlines())
    table = np.array(rows, np.float64).T
    logged = {
        name: np.array([(event.step, event.value) for event in events.Scalars(name)]).T
        for name in events.Tags()["scalars"]
    }
    assert logged.keys() == {*(f"loss/{name}" for name in names[1:]), "loss/total", "rate"}
    assert all(steps.tolist() == [0, 1, 2, 3, 4] for steps, _ in logged.values())
    for name, values in zip(names[1:], table[1:], strict=True):
        np.testing.assert_allclose(logged[f"loss/{name}"][1], values, rtol=1e-5)
    total = sum(settings.weights[name] * values for name, values in zip(names[1:], table[1:], strict=True))
    np.testing.assert_allclose(logged["loss/total"][1], total, rtol=1e-5)
    np.testing.assert_allclose(logged["rate"][1], [settings.rate_at(step) for step in range(5)], rtol=1e-6)


def test_a_missing_tensorboard_is_refused_before_anything_is_read(
    street: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    layout, folder = street
    train = ["lidar", "train", str(folder / "nowhere"), "--layout", layout, "--out", str(tmp_path), "--tensorboard"]
    done = panrecon(*train)
    assert done.exit_code == 2
    assert "TensorBoard is not installed" in done.stderr
