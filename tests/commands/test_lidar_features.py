"""`panrecon lidar features` as a user runs it, on small simulated streets, with a tiny CLIP and with files."""

import json
import shutil
from dataclasses import astuple
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from typer.testing import CliRunner, Result

from panrecon.cli import app
from panrecon.commands.lidar_features import FeatureSources
from panrecon.datasets.lidar import LAYOUTS, lidar_dataset, read_sample
from panrecon.datasets.lidar_base import LidarDataset
from panrecon.features.points import visible
from panrecon.io.features import read_point_features, read_text_embeddings, write_text_embeddings
from panrecon.structures import LidarScan
from tests.features import tiny_clip

STREET = ["--length", "20", "--frames", "2", "--width", "96", "--beams", "16", "--columns", "128"]


def panrecon(*arguments: object) -> Result:
    return CliRunner(env={"COLUMNS": "300"}).invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_clip.save(tmp_path_factory.mktemp("clip"), tiny_clip.clip())


@pytest.fixture(scope="module")
def streets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A street in every layout; never to be changed."""
    folder = tmp_path_factory.mktemp("streets")
    for layout in LAYOUTS:
        assert panrecon("simulate", "street", folder / layout, "--layout", layout, *STREET).exit_code == 0
    return folder


@pytest.fixture
def street(streets: Path, tmp_path: Path) -> Path:
    """KITTI's street, of one's own."""
    return shutil.copytree(streets / "semantic_kitti", tmp_path / "street")


def features(folder: Path, *options: object, layout: str = "semantic_kitti") -> Result:
    return panrecon("lidar", "features", folder, "--layout", layout, *options)


def done(folder: Path, *options: object, layout: str = "semantic_kitti") -> None:
    result = features(folder, *options, layout=layout)
    assert result.exit_code == 0, result.stderr


def scans_of(data: LidarDataset) -> list[LidarScan]:
    return [data.read(reference) for reference in data.scans()]


def files(folder: Path) -> dict[Path, bytes]:
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def write_coordinates(maps: Path, data: LidarDataset, dimensions: int = 3) -> None:
    """Writes a feature map of every image whose features are the pixel's own coordinates, as two small angles."""
    for scan in scans_of(data):
        for image in scan.images:
            u, v = np.meshgrid(np.arange(image.camera.width) / 300, np.arange(image.camera.height) / 300)
            values = np.stack([u, v, np.ones_like(u)] + [np.zeros_like(u)] * (dimensions - 3), axis=-1)
            path = maps / image.path.relative_to(data.root).with_suffix(".npy")
            path.parent.mkdir(parents=True, exist_ok=True)
            np.save(path, values.astype(np.float16))


def write_text(folder: Path, data: LidarDataset, dimensions: int = 3) -> None:
    names = [name for category in data.table for name in (category.name, *category.synonyms)]
    rng = np.random.default_rng(0)
    write_text_embeddings(folder, names, 2 * rng.standard_normal((len(names), dimensions)))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_features_are_those_of_the_pixels_that_points_fall_on(layout: str, streets: Path, tmp_path: Path) -> None:
    """For points in one image, by each layout's calibration, from precomputed maps."""
    folder = shutil.copytree(streets / layout, tmp_path / "street")
    data = lidar_dataset(layout, folder)
    write_coordinates(tmp_path / "maps", data)
    write_text(tmp_path / "text", data)
    done(folder, "--maps", tmp_path / "maps", "--text", tmp_path / "text", layout=layout)
    for reference in data.scans():
        scan, part = read_sample(data, reference, "vision_features")
        found = read_point_features(reference.folder / "vision_features", data.scan_name(reference))
        points = scan.points[:, :3].astype(np.float64)
        seen = [visible(points, image.camera, image.camera_from_lidar) for image in scan.images]
        count = np.bincount(np.concatenate([point for point, _ in seen]), minlength=len(points))
        assert_array_equal(found.valid, count > 0)
        assert found.valid.sum() > 100 and len(part.points) > 100
        for point, pixels in seen:
            alone = count[point] == 1
            read = found.values[point[alone]]
            assert_allclose(300 * read[:, :2] / read[:, 2:], pixels[alone], atol=1.0)
    text_embeddings = read_text_embeddings(data.scans()[0].folder / "vision_features")
    assert_allclose(np.linalg.norm(list(text_embeddings.values()), axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("layout", ["semantic_kitti", "nuscenes"])
def test_clips_features_are_what_training_reads(layout: str, streets: Path, clip: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(streets / layout, tmp_path / "street")
    done(folder, "--clip", clip, "--side", 12, layout=layout)
    target = lidar_dataset(layout, folder).scans()[0].folder / "vision_features"
    record = json.loads((target / "features.json").read_text())
    assert record["simulated"] is False and record["dimensions"] == tiny_clip.SPACE
    assert set(record["pixels"]["files"]) == {"config.json", "model.safetensors"}
    train = ["lidar", "train", folder, "--layout", layout, "--features", "vision_features", "--steps", 1]
    result = panrecon(*train, "--out", tmp_path / "network")
    assert result.exit_code == 0, result.stderr
    result = panrecon("lidar", "infer", folder, "--network", tmp_path / "network", "--out", tmp_path / "labels")
    assert result.exit_code == 0, result.stderr


def test_it_resumes_to_the_same_bytes_and_repeats_nothing(street: Path, clip: Path) -> None:
    done(street, "--clip", clip, "--side", 12)
    target = street / "sequences/00/vision_features"
    whole = files(target)
    (target / "000001.npz").unlink()
    result = features(street, "--clip", clip, "--side", 12)
    assert "1 exist, 1 scans x" in result.stderr
    assert files(target) == whole
    times = [path.stat().st_mtime_ns for path in sorted(target.iterdir())]
    assert "all 2 scans have vision_features already" in features(street, "--clip", clip, "--side", 12).stderr
    assert times == [path.stat().st_mtime_ns for path in sorted(target.iterdir())]


def test_features_of_other_settings_are_refused(street: Path, clip: Path, tmp_path: Path) -> None:
    done(street, "--clip", clip, "--side", 12, "--every", 2)
    before = files(street)
    other = tiny_clip.save(tmp_path / "other", tiny_clip.clip(seed=1))
    for options, named in (
        (["--clip", clip, "--side", 16], "(pixels)"),
        (["--clip", clip, "--side", 12, "--occlusion"], "(occlusion)"),
        (["--clip", other, "--side", 12], "(pixels, words)"),
    ):
        result = features(street, *options)
        assert result.exit_code == 2 and f"of other settings {named}" in result.stderr
    (street / "sequences/00/vision_features/features.json").unlink()
    result = features(street, "--clip", clip, "--side", 12)
    assert result.exit_code == 2 and "without a features.json" in result.stderr
    done(street, "--clip", clip, "--side", 12, "--name", "others")
    assert (
        before.items() - {entry for entry in before.items() if entry[0].name == "features.json"}
        <= files(street).items()
    )


def test_occluded_points_have_no_feature_if_asked(street: Path, clip: Path) -> None:
    done(street, "--clip", clip, "--side", 12, "--name", "all")
    done(street, "--clip", clip, "--side", 12, "--name", "visible", "--occlusion")
    valid = {
        name: np.concatenate(
            [read_point_features(street / "sequences/00" / name, frame).valid for frame in ("000000", "000001")]
        )
        for name in ("all", "visible")
    }
    assert not (valid["visible"] & ~valid["all"]).any()
    assert 0 < valid["visible"].sum() < valid["all"].sum()


def refused(street: Path, sentence: str, *options: object) -> None:
    """With exit code 2 and nothing written."""
    before = sorted(street.rglob("*"))
    result = features(street, *options)
    assert result.exit_code == 2, result.stderr
    assert sentence in result.stderr
    assert sorted(street.rglob("*")) == before


def test_missing_or_unfitting_input_is_refused_and_nothing_is_written(street: Path, clip: Path, tmp_path: Path) -> None:
    data = lidar_dataset("semantic_kitti", street)
    maps, text, narrow = (tmp_path / name for name in ("maps", "text", "narrow"))
    write_coordinates(maps, data)
    write_text(text, data)
    write_text(narrow, data, 2)
    refused(street, "have 3 dimensions, the text embeddings 24; take both", "--maps", maps, "--clip", clip)
    refused(
        street, "have 24 dimensions, the text embeddings 3; take both", "--clip", clip, "--text", text, "--side", 12
    )
    refused(street, "have 3 dimensions, the text embeddings 2", "--maps", maps, "--text", narrow)
    refused(street, "has no features", "--maps", tmp_path, "--text", text)
    refused(street, "do not exist", "--maps", maps, "--text", tmp_path)
    refused(street, "do not exist", "--clip", tmp_path)
    refused(street, "no whole number of CLIP's patches", "--clip", clip, "--side", 13)
    refused(street, "takes <model>=<file", "--maps", maps, "--open-clip", "ViT-L-14")
    refused(street, "a plain name", "--clip", clip, "--name", "../features")
    write_text_embeddings(text, ["car"], np.ones((1, 3)))
    refused(street, "There is no text embedding of 'bicycle'", "--maps", maps, "--text", text)
    for image in street.rglob("image_*/*.png"):
        image.unlink()
    refused(street, "has no image", "--clip", clip, "--side", 12)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({}, "image features; name --clip, or --maps"),
        ({"text": "t"}, "image features; name --clip, or --maps"),
        ({"maps": "m"}, "text embeddings; name --clip, --open-clip, or --text"),
        ({"maps": "m", "text": "t", "open_clip": "o=f"}, "asked for twice"),
        ({"clip": "c", "maps": "m", "text": "t"}, "c is not used"),
        ({"clip": "c", "open_clip": "o=f"}, "no common space"),
    ],
)
def test_image_features_and_text_embeddings_need_one_source_each(
    given: dict[str, str], sentence: str, street: Path
) -> None:
    refused(street, sentence, *[word for key, value in given.items() for word in (f"--{key.replace('_', '-')}", value)])


def test_a_disk_that_is_too_small_is_refused_before_the_start(
    street: Path, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage: Any = shutil.disk_usage(street)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    refused(street, "are needed; make room", "--clip", clip, "--side", 12)


def test_an_image_of_another_size_is_refused(streets: Path, clip: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(streets / "nuscenes", tmp_path / "street")
    table = folder / "v1.0-mini/sample_data.json"
    table.write_text(table.read_text().replace('"width": 96', '"width": 97'))
    result = features(folder, "--clip", clip, "--side", 12, layout="nuscenes")
    assert result.exit_code == 2 and "pixels, its camera 97 x" in result.stderr
    assert not (folder / "vision_features").exists()


def test_one_source_each_is_accepted() -> None:
    here = Path()
    for given in (
        (here, None, None, None),
        (here, here, None, None),
        (here, None, here, None),
        (None, here, here, None),
        (None, here, None, "model=file"),
    ):
        assert astuple(FeatureSources(*given)) == given
