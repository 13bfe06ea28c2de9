"""Laws of DINOv2's features, on tiny networks with random weights in the formats of the released ones."""

import json
import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from jaxtyping import Float, UInt8
from numpy.testing import assert_allclose, assert_array_equal
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from panrecon import backends
from panrecon.config import load_settings
from panrecon.errors import InputError
from panrecon.features.base import FeatureExtractor
from panrecon.features.dinov2 import Dinov2, Dinov2Extractor, grid, load_dinov2, position_embeddings
from panrecon.features.projection import Projection
from panrecon.io.features import read_features, write_features
from panrecon.io.files import read_arrays
from panrecon.io.images import write_image
from panrecon.io.scan import write_scan
from panrecon.networks.inference import Batches, Precision, as_pixels
from panrecon.networks.torchvision_ops import ensure_torchvision
from panrecon.structures import Camera, FeatureMap, Frame, Scan
from panrecon.workflow.scenes import Scene
from panrecon.workflow.script import Stage, digest
from pipelines import features as script

CPU = torch.device("cpu")
WIDTH, HEADS, DEPTH, PATCH, SIDE = 128, 2, 2, 14, 4  # SIDE: the grid of the learned position embeddings
BY_BLOCK = {  # the original's names in a block, and transformers'; queries, keys and values stand apart there
    "norm1": "norm1",
    "attn.proj": "attention.output.dense",
    "norm2": "norm2",
    "mlp.fc1": "mlp.fc1",
    "mlp.fc2": "mlp.fc2",
}

Weights = dict[str, Tensor]


@pytest.fixture(scope="module", params=["plain", "registers"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Hugging Face folder, of each of the two architectures."""
    ensure_torchvision()
    import transformers as hf

    shape = {"hidden_size": WIDTH, "num_attention_heads": HEADS, "num_hidden_layers": DEPTH, "image_size": SIDE * PATCH}
    registers = request.param == "registers"
    network = (
        hf.Dinov2WithRegistersModel(hf.Dinov2WithRegistersConfig(**shape, patch_size=PATCH, num_register_tokens=3))
        if registers
        else hf.Dinov2Model(hf.Dinov2Config(**shape))
    )
    generator = torch.Generator().manual_seed(0)
    for weights in network.parameters():
        weights.data += 0.1 * torch.randn(weights.shape, generator=generator)
    path = tmp_path_factory.mktemp(request.param)
    network.save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def original(folder: Path) -> Weights:
    """The same weights under the original's names."""
    return original_names(load_file(folder / "model.safetensors"))


@pytest.fixture(scope="module")
def model(folder: Path) -> Dinov2:
    return load_dinov2(folder, CPU, "float32")


def original_names(weights: Weights) -> Weights:
    embeddings = {"cls_token": "cls_token", "mask_token": "mask_token", "pos_embed": "position_embeddings"}
    result = {name: weights[f"embeddings.{mine}"] for name, mine in embeddings.items()}
    if "embeddings.register_tokens" in weights:
        result["register_tokens"] = weights["embeddings.register_tokens"]
    for kind in ("weight", "bias"):
        result[f"patch_embed.proj.{kind}"] = weights[f"embeddings.patch_embeddings.projection.{kind}"]
        result[f"norm.{kind}"] = weights[f"layernorm.{kind}"]
        for block in range(DEPTH):
            theirs, mine = f"blocks.{block}", f"encoder.layer.{block}"
            parts = [weights[f"{mine}.attention.attention.{part}.{kind}"] for part in ("query", "key", "value")]
            result[f"{theirs}.attn.qkv.{kind}"] = torch.cat(parts)
            result |= {f"{theirs}.{old}.{kind}": weights[f"{mine}.{new}.{kind}"] for old, new in BY_BLOCK.items()}
    for block in range(DEPTH):
        for one in (1, 2):
            result[f"blocks.{block}.ls{one}.gamma"] = weights[f"encoder.layer.{block}.layer_scale{one}.lambda1"]
    return result


def picture(height: int, width: int, seed: int = 0) -> UInt8[np.ndarray, "h w 3"]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


# The original, written out plainly: facebookresearch/dinov2, models/vision_transformer.py and layers/.


def bicubic(size: int, wanted: int, ratio: float, antialias: bool) -> Float[np.ndarray, "wanted size"]:
    """Weights of old samples in new ones: Keys's kernel, which antialiasing stretches where samples become fewer."""
    a, stretch = (-0.5, max(1.0, 1 / ratio)) if antialias else (-0.75, 1.0)
    weights = np.zeros((wanted, size))
    for new in range(wanted):
        centre = (new + 0.5) / ratio - 0.5
        for old in range(math.floor(centre - 2 * stretch), math.ceil(centre + 2 * stretch) + 1):
            x = abs(old - centre) / stretch
            near, far = (a + 2) * x**3 - (a + 3) * x**2 + 1, a * (x**3 - 5 * x**2 + 8 * x - 4)
            weight = near if x <= 1 else far if x < 2 else 0.0
            if 0 <= old < size:
                weights[new, old] += weight
            elif not antialias:  # beyond the border lies the border's value
                weights[new, min(max(old, 0), size - 1)] += weight
    return weights / weights.sum(axis=1, keepdims=True)


def original_positions(learned: Tensor, rows: int, columns: int, registers: bool) -> Tensor:
    if rows == columns == SIDE:
        return learned
    offset = 0.0 if registers else 0.1
    by_row = bicubic(SIDE, rows, (rows + offset) / SIDE, registers)
    by_column = bicubic(SIDE, columns, (columns + offset) / SIDE, registers)
    square = learned[0, 1:].numpy().reshape(SIDE, SIDE, -1)
    other = np.einsum("ri,cj,ijd->rcd", by_row, by_column, square).reshape(1, rows * columns, -1)
    return torch.cat([learned[:, :1], torch.from_numpy(other).float()], dim=1)


def original_features(weights: Weights, image: UInt8[np.ndarray, "h w 3"]) -> Float[np.ndarray, "rows columns D"]:
    pixels, (rows, columns) = as_pixels([image], CPU), (edge // PATCH for edge in image.shape[:2])
    patches = functional.conv2d(pixels, weights["patch_embed.proj.weight"], weights["patch_embed.proj.bias"], PATCH)
    tokens = torch.cat([weights["cls_token"], patches.flatten(2).transpose(1, 2)], dim=1)
    registers = weights.get("register_tokens")
    tokens = tokens + original_positions(weights["pos_embed"], rows, columns, registers is not None)
    if registers is not None:
        tokens = torch.cat([tokens[:, :1], registers, tokens[:, 1:]], dim=1)
    for block in range(DEPTH):
        own = {name.split(".", 2)[2]: value for name, value in weights.items() if name.startswith(f"blocks.{block}.")}
        tokens = tokens + own["ls1.gamma"] * attention(own, normed(own, "norm1", tokens))
        hidden = functional.gelu(linear(own, "mlp.fc1", normed(own, "norm2", tokens)))
        tokens = tokens + own["ls2.gamma"] * linear(own, "mlp.fc2", hidden)
    return normed(weights, "norm", tokens)[0, -rows * columns :].reshape(rows, columns, -1).numpy()


def attention(own: Weights, tokens: Tensor) -> Tensor:
    query, key, value = linear(own, "attn.qkv", tokens).reshape(1, -1, 3, HEADS, WIDTH // HEADS).permute(2, 0, 3, 1, 4)
    share = ((query * (WIDTH // HEADS) ** -0.5) @ key.transpose(-2, -1)).softmax(dim=-1)
    return linear(own, "attn.proj", (share @ value).transpose(1, 2).reshape(1, -1, WIDTH))


def linear(own: Weights, name: str, values: Tensor) -> Tensor:
    return functional.linear(values, own[f"{name}.weight"], own[f"{name}.bias"])


def normed(own: Weights, name: str, values: Tensor) -> Tensor:
    return functional.layer_norm(values, (WIDTH,), own[f"{name}.weight"], own[f"{name}.bias"], eps=1e-6)


SIZES = [(4, 4), (1, 1), (3, 4), (4, 3), (2, 8), (9, 5), (1, 7), (6, 6)]


@pytest.mark.parametrize(("rows", "columns"), SIZES)
def test_features_are_the_originals_at_any_size(model: Dinov2, original: Weights, rows: int, columns: int) -> None:
    image = picture(rows * PATCH, columns * PATCH)
    (features,) = model([image])
    assert features.shape == (rows, columns, WIDTH)
    assert features.dtype == np.float32
    assert_allclose(features, original_features(original, image), atol=2e-5)


def test_both_formats_of_a_checkpoint_give_the_same_network(
    folder: Path, model: Dinov2, original: Weights, tmp_path: Path
) -> None:
    torch.save(original, tmp_path / "dinov2_vits14_pretrain.pth")
    other = load_dinov2(tmp_path / "dinov2_vits14_pretrain.pth", CPU, "float32")
    image = picture(3 * PATCH, 5 * PATCH)
    assert_array_equal(other([image])[0], model([image])[0])
    assert (other.patch, type(other.network)) == (model.patch, type(model.network))
    mine, theirs = model.network.state_dict(), other.network.state_dict()
    assert mine.keys() == theirs.keys()
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)


def test_weights_in_half_precision_are_computed_with_in_full(original: Weights, tmp_path: Path) -> None:
    torch.save({name: value.half() for name, value in original.items()}, tmp_path / "half.pth")
    network = load_dinov2(tmp_path / "half.pth", CPU, "float32").network
    assert {weights.dtype for weights in network.parameters()} == {torch.float32}


def test_transformers_interpolates_alike_but_for_the_offset(folder: Path) -> None:
    ensure_torchvision()
    import transformers as hf

    registers = json.loads((folder / "config.json").read_text())["model_type"] == "dinov2_with_registers"
    architecture = hf.Dinov2WithRegistersModel if registers else hf.Dinov2Model
    embeddings = architecture.from_pretrained(folder).embeddings
    learned = embeddings.position_embeddings.detach()
    theirs = embeddings.interpolate_pos_encoding(torch.zeros(1, 1 + 3 * 7, WIDTH), 3 * PATCH, 7 * PATCH).detach()
    assert_allclose(position_embeddings(learned, 3, 7, offset=0.0, antialias=registers), theirs, atol=1e-6)


# A camera's grid, and where things lie on it.


@pytest.mark.parametrize(
    ("width", "height", "pixels", "expected"),
    [
        (640, 480, 8.0, (60, 80)),
        (1408, 376, 8.0, (47, 176)),
        (640, 480, 14.0, (34, 46)),
        (5, 3, 8.0, (1, 1)),
        (3, 900, 9.0, (100, 1)),
        (64, 48, 0.5, (96, 128)),
    ],
)
def test_a_feature_covers_about_the_wanted_pixels(
    width: int, height: int, pixels: float, expected: tuple[int, int]
) -> None:
    assert grid(Camera(width, height, 1.0, 1.0, 0.0, 0.0), pixels) == expected


@pytest.mark.parametrize(("width", "height"), [(100, 60), (60, 100), (33, 20), (7, 90)])
def test_any_image_gives_a_map_of_the_grid(model: Dinov2, width: int, height: int) -> None:
    scan, read = recording(1, width, height)
    (features,) = Dinov2Extractor(model, read, 10.0, batches(1)).extract(scan)
    assert features.values.shape == (*grid(scan.camera, 10.0), WIDTH)
    assert features.values.dtype == np.float32


@pytest.mark.parametrize("cell", [(0, 0), (0, 7), (4, 0), (4, 7), (1, 5), (3, 2)])
def test_a_spot_changes_its_own_cell_most(model: Dinov2, cell: tuple[int, int]) -> None:
    (row, column), camera = cell, Camera(96, 60, 50.0, 50.0, 47.5, 29.5)
    u, v = ((column + 0.5) * camera.width / 8 - 0.5, (row + 0.5) * camera.height / 5 - 0.5)
    spot = np.zeros((camera.height, camera.width, 3), np.uint8)
    spot[round(v) - 2 : round(v) + 3, round(u) - 2 : round(u) + 3] = 255
    before, after = first_map(model, np.zeros_like(spot), 12.0), first_map(model, spot, 12.0)
    change = np.linalg.norm(after.values - before.values, axis=2)
    assert change.shape == (5, 8)
    assert np.unravel_index(change.argmax(), change.shape) == cell


def first_map(model: Dinov2, image: UInt8[np.ndarray, "h w 3"], pixels_per_feature: float) -> FeatureMap:
    scan, _ = recording(1, image.shape[1], image.shape[0])
    return next(iter(Dinov2Extractor(model, lambda frame: image, pixels_per_feature, batches(1)).extract(scan)))


# Frames in batches.


def recording(count: int, width: int = 60, height: int = 45) -> tuple[Scan, Callable[[Frame], Any]]:
    """A scan of `count` frames, and how its images are read."""
    frames = tuple(Frame(f"{number:03d}", Path(), Path(), np.eye(4)) for number in range(count))
    camera = Camera(width, height, 40.0, 40.0, width / 2, height / 2)
    return Scan("scene", camera, camera, 1000.0, frames), lambda frame: picture(height, width, int(frame.name))


def batches(size: int, said: list[str] | None = None) -> Batches:
    return Batches(size, ([] if said is None else said).append)


def extracted(model: Dinov2, count: int, size: int) -> list[FeatureMap]:
    scan, read = recording(count)
    return list(Dinov2Extractor(model, read, 15.0, batches(size)).extract(scan))


def test_it_is_an_extractor(model: Dinov2) -> None:
    assert isinstance(Dinov2Extractor(model, recording(1)[1], 8.0, batches(1)), FeatureExtractor)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 9])
def test_batches_change_neither_features_nor_order(model: Dinov2, size: int) -> None:
    scan, read = recording(5)
    alone = [first_map(model, read(frame), 15.0) for frame in scan.frames]
    together = extracted(model, 5, size)
    assert len(together) == 5
    for one, other in zip(alone, together, strict=True):
        assert_allclose(other.values, one.values, atol=1e-5)
    assert not np.allclose(together[0].values, together[1].values, atol=1e-2)


def test_the_same_images_give_the_same_bits(model: Dinov2) -> None:
    for first, second in zip(extracted(model, 3, 2), extracted(model, 3, 2), strict=True):
        assert_array_equal(first.values, second.values)


def test_no_more_than_two_batches_of_images_are_read_ahead(model: Dinov2) -> None:
    scan, read = recording(20)
    done, threads = [], set()

    def counting(frame: Frame) -> UInt8[np.ndarray, "h w 3"]:
        done.append(frame.name)
        threads.add(threading.current_thread())
        return read(frame)

    maps = Dinov2Extractor(model, counting, 15.0, batches(3)).extract(scan)
    for number in range(1, 21):
        next(maps)
        assert len(done) <= number + 5
    assert done == [frame.name for frame in scan.frames]
    assert threading.current_thread() not in threads


class Scarce(nn.Module):
    """A network that runs out of memory with more than `most` images."""

    def __init__(self, network: nn.Module, most: int) -> None:
        super().__init__()
        self.network, self.most = network, most

    def forward(self, pixel_values: Tensor) -> Any:
        if len(pixel_values) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return self.network(pixel_values=pixel_values)


def test_where_memory_runs_out_batches_are_halved_and_it_is_said(model: Dinov2) -> None:
    said: list[str] = []
    (scan, read), smaller = recording(7), batches(4, said)
    scarce = replace(model, network=Scarce(model.network, 2))
    maps = list(Dinov2Extractor(scarce, read, 15.0, smaller).extract(scan))
    assert smaller.size == 2
    assert len(said) == 1
    for one, other in zip(maps, extracted(model, 7, 2), strict=True):
        assert_allclose(one.values, other.values, atol=1e-5)


def test_where_not_even_one_image_fits_it_is_the_users_to_mend(model: Dinov2) -> None:
    scan, read = recording(2)
    scarce = replace(model, network=Scarce(model.network, 0))
    with pytest.raises(InputError, match="memory"):
        list(Dinov2Extractor(scarce, read, 15.0, batches(4)).extract(scan))


# Precision.


def test_bfloat16_comes_near(folder: Path, model: Dinov2) -> None:
    image = picture(5 * PATCH, 6 * PATCH)
    (half,), (full,) = load_dinov2(folder, CPU, "bfloat16")([image]), model([image])
    assert half.dtype == np.float32
    assert 0 < np.linalg.norm(half - full) < 0.05 * np.linalg.norm(full)


def test_a_cpu_has_no_float16(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="float16 needs a CUDA device"):
        load_dinov2(tmp_path / "absent.pth", CPU, "float16")


@pytest.mark.parametrize(("precision", "fault"), [("float32", ValueError), ("bfloat16", InputError)])
def test_an_overflow_is_no_feature(folder: Path, precision: Precision, fault: type[Exception]) -> None:
    broken = load_dinov2(folder, CPU, precision)
    broken.network.layernorm.bias.data.fill_(np.inf)  # type: ignore[union-attr,operator]
    with pytest.raises(fault, match="DINOv2"):
        broken([picture(PATCH, PATCH)])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-3), ("float16", 2e-2), ("bfloat16", 5e-2)])
def test_a_gpu_gives_what_the_cpu_gives(folder: Path, model: Dinov2, precision: Precision, tolerance: float) -> None:
    images = [picture(5 * PATCH, 6 * PATCH, seed) for seed in range(2)]
    for one, other in zip(load_dinov2(folder, torch.device("cuda"), precision)(images), model(images), strict=True):
        assert np.linalg.norm(one - other) < tolerance * np.linalg.norm(other)


# What is no checkpoint.

Damage = Callable[[Path], object]


def edited(**fields: object) -> Damage:
    def edit(folder: Path) -> None:
        path = folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | fields))

    return edit


def truncated(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:5000])


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda folder: (folder / "config.json").unlink(), "config.json does not exist"),
        (lambda folder: (folder / "config.json").write_text("<html>"), "config.json names no model_type"),
        (lambda folder: (folder / "config.json").write_text("[]"), "config.json names no model_type"),
        (edited(model_type="bert"), "'bert', not DINOv2"),
        (lambda folder: (folder / "model.safetensors").unlink(), "model.safetensors"),
        (truncated, "cannot be read"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"<html>"), "cannot be read"),
        (edited(hidden_size=256), "size mismatch"),
        (edited(num_hidden_layers=3), "do not fit"),
        (edited(num_hidden_layers=1, out_features=None, out_indices=None), "do not fit"),
    ],
)
def test_a_folder_that_is_not_dinov2_is_refused(folder: Path, tmp_path: Path, damage: Damage, sentence: str) -> None:
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    damage(tmp_path)
    assert_refused(tmp_path, sentence)


@pytest.mark.parametrize("folder", ["registers"], indirect=True)
def test_registers_are_not_left_out(folder: Path, tmp_path: Path) -> None:
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    edited(model_type="dinov2")(tmp_path)
    assert_refused(tmp_path, "embeddings.register_tokens")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda weights: {}, "it has no 'cls_token'"),
        (lambda weights: {"image_encoder.pos_embed": torch.zeros(1)}, "it has no 'cls_token'"),
        (lambda weights: {name: value for name, value in weights.items() if ".ls1." not in name}, "layer_scale1"),
        (lambda weights: weights | {"head.weight": torch.zeros(2, 2)}, "head.weight"),
        (lambda weights: weights | {"blocks.1.norm1.bias": torch.zeros(3)}, "size mismatch"),
        (lambda weights: weights | {"pos_embed": torch.zeros(1, 1 + 15, WIDTH)}, "size mismatch"),
        (lambda weights: {"model": weights}, "not hold just weights"),
        (lambda weights: list(weights.values()), "not hold just weights"),
    ],
)
def test_a_checkpoint_of_another_model_is_refused(
    original: Weights, tmp_path: Path, change: Callable[[Weights], object], sentence: str
) -> None:
    torch.save(change(original), tmp_path / "weights.pth")
    assert_refused(tmp_path / "weights.pth", sentence)


@pytest.mark.parametrize("content", [b"", b"PK", b"<html>not found</html>", b"hello, this is text " * 9])
def test_a_damaged_checkpoint_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "weights.pth").write_bytes(content)
    assert_refused(tmp_path / "weights.pth", "damaged")


def test_a_cut_checkpoint_is_refused(original: Weights, tmp_path: Path) -> None:
    torch.save(original, tmp_path / "whole.pth")
    whole = (tmp_path / "whole.pth").read_bytes()
    (tmp_path / "weights.pth").write_bytes(whole[: len(whole) // 2])
    assert_refused(tmp_path / "weights.pth", "damaged")


class Shout:
    """What a pickle could do."""

    def __reduce__(self) -> tuple[Any, ...]:
        return print, ("executed",)


def test_nothing_in_a_checkpoint_is_executed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"cls_token": Shout()}, tmp_path / "weights.pth")
    assert_refused(tmp_path / "weights.pth", "damaged")
    assert "executed" not in capsys.readouterr().out


def test_an_absent_checkpoint_is_refused(tmp_path: Path) -> None:
    assert_refused(tmp_path / "absent.pth", "does not exist")


def assert_refused(path: Path, sentence: str) -> None:
    """In one sentence, which names the path and a way out."""
    with pytest.raises(InputError) as refusal:
        load_dinov2(path, CPU, "float32")
    said = str(refusal.value)
    assert sentence in said
    assert str(path) in said
    assert "\n" not in said
    assert "download" in said or "put" in said


# The stage, which extracts once and can be killed.

FRAMES = 7


@pytest.fixture
def stage(folder: Path, tmp_path: Path) -> Stage:
    """The stage `features` of a scan of seven small frames, with the tiny network."""
    camera = Camera(40, 30, 30.0, 30.0, 19.5, 14.5)
    frames = []
    for number in range(FRAMES):
        frames.append(Frame(f"{number:03d}", tmp_path / f"{number}.png", tmp_path / "depth.png", np.eye(4)))
        write_image(frames[-1].color, picture(30, 40, number))
    depth = np.full((30, 40), 1000, np.uint16)
    assert cv2.imwrite(str(tmp_path / "depth.png"), depth)
    write_scan(tmp_path / "run" / "scan", Scan("room", camera, camera, 1000.0, tuple(frames)), frames)
    (tmp_path / "run" / "scan" / "settings.json").write_text("{}")
    chosen = {"backend": "dinov2", "weights": folder, "batch_size": 2, "dimensions": 5}
    settings = load_settings([], [f"features.{name}={value}" for name, value in chosen.items()])
    scene = Scene("scannet", "run", tmp_path, tmp_path / "run")
    return Stage("features", scene, settings, scene.run / ".features.partial")


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of the batches that the network gets."""
    sizes: list[int] = []
    run = Dinov2.__call__

    def counting(model: Dinov2, images: Sequence[UInt8[np.ndarray, "h w 3"]]) -> list[Float[np.ndarray, "r c D"]]:
        sizes.append(len(images))
        return run(model, images)

    monkeypatch.setattr(Dinov2, "__call__", counting)
    return sizes


def test_the_stage_extracts_every_frame_once_and_names_its_network(stage: Stage, folder: Path, seen: list[int]) -> None:
    facts = script.main(stage)
    assert facts is not None
    assert [model["name"] for model in facts["models"]] == [str(folder)]
    assert seen == [1] * FRAMES  # a CPU gains nothing from batches
    frames = [f"{number:03d}.npy" for number in range(FRAMES)]
    assert sorted(path.name for path in stage.output.iterdir()) == sorted(
        [*frames, "features.jpg", "features.json", "projection.npz"]
    )


def test_every_file_of_the_stage_is_its_frames_projection(stage: Stage, model: Dinov2) -> None:
    script.main(stage)
    projection = Projection(**read_arrays(stage.output / "projection.npz"))
    for number in range(FRAMES):
        expected = projection(first_map(model, picture(30, 40, number), 8.0)).values
        assert expected.shape == (4, 5, 5)
        assert_allclose(read_features(stage.output, f"{number:03d}").values, expected, atol=2e-3)  # of deviation 0.4


@pytest.mark.parametrize("frames", [0, 1, 2, 5, FRAMES])
def test_a_killed_stage_goes_on_and_gives_the_same_bytes(
    stage: Stage, seen: list[int], monkeypatch: pytest.MonkeyPatch, frames: int
) -> None:
    whole = replace(stage, output=stage.output.with_name("whole"))
    script.main(whole)
    with monkeypatch.context() as patched:
        write_until_killed = killed_after(frames, write_features)
        for module in (backends, script):
            patched.setattr(module, "write_features", write_until_killed)
        with pytest.raises(KeyboardInterrupt):
            script.main(stage)
    seen.clear()
    script.main(stage)
    assert sum(seen) == FRAMES - frames
    assert digest(stage.output) == digest(whole.output)


def killed_after(frames: int, write: Callable[..., None]) -> Callable[..., None]:
    left = iter(range(frames))

    def writing(*arguments: Any) -> None:
        if next(left, None) is None:
            raise KeyboardInterrupt
        write(*arguments)

    return writing
