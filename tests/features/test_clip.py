"""Laws of CLIP's features of patches and of words, on tiny networks with random weights in the released format."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from jaxtyping import Float, UInt8
from numpy.testing import assert_allclose, assert_array_equal

from panrecon.errors import InputError
from panrecon.features.base import PixelEncoder, TextEncoder, unit
from panrecon.features.clip import (
    DEVIATION,
    MEAN,
    ClipPixels,
    PromptedWords,
    grid,
    load_clip,
    pixels_of,
    starts,
    words_of,
)
from panrecon.features.precomputed import PrecomputedPixels, PrecomputedWords
from panrecon.networks.inference import Batches, as_pixels
from panrecon.structures import Camera, FeatureMap, LidarImage
from tests.features import tiny_clip
from tests.features.tiny_clip import GRID, PATCH, SPACE

CPU = torch.device("cpu")
SIDE = GRID * PATCH


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_clip.save(tmp_path_factory.mktemp("clip"), tiny_clip.clip())


@pytest.fixture(scope="module")
def network(folder: Path) -> Any:
    return load_clip(folder, CPU)


@pytest.fixture(scope="module")
def words(network: Any, folder: Path) -> PromptedWords:
    return words_of(network, folder, CPU)


def picture(height: int, width: int, seed: int = 0) -> UInt8[np.ndarray, "h w 3"]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def encoder(network: Any, rgb: UInt8[np.ndarray, "h w 3"], side: int = SIDE, batch: int = 4) -> ClipPixels:
    return pixels_of(network, side, lambda image: rgb, CPU, Batches(batch, lambda text: None, "window"))


def encoded(network: Any, rgb: UInt8[np.ndarray, "h w 3"], side: int = SIDE, batch: int = 4) -> FeatureMap:
    height, width = rgb.shape[:2]
    image = LidarImage("camera", Path(), Camera(width, height, 1.0, 1.0, 0.0, 0.0), np.eye(4))
    return encoder(network, rgb, side, batch).encode(image)


def by_transformers(network: Any, rgb: UInt8[np.ndarray, "h w 3"]) -> Float[np.ndarray, "rows columns D"]:
    """Of transformers' own last attention, where every token is made to attend to itself alone."""
    vision, pixels = network.vision_model, as_pixels([rgb], CPU, mean=MEAN, deviation=DEVIATION)
    with torch.inference_mode():
        tokens = vision(pixels, output_hidden_states=True, interpolate_pos_encoding=True).hidden_states[-2]
        last = vision.encoder.layers[-1]
        alone = torch.full((tokens.shape[1],) * 2, -torch.inf).fill_diagonal_(0.0)[None, None]
        values, _ = last.self_attn(last.layer_norm1(tokens), attention_mask=alone)
        found = network.visual_projection(vision.post_layernorm(values[:, 1:]))[0].numpy()
    return unit(found).reshape(rgb.shape[0] // PATCH, rgb.shape[1] // PATCH, -1)


@pytest.mark.parametrize("side", [SIDE, 2 * SIDE, PATCH])
def test_patches_are_what_transformers_own_attention_gives_each_alone(network: Any, side: int) -> None:
    """On the grid of training, on a finer one, and on a single patch."""
    rgb = picture(side, side)
    found = encoded(network, rgb, side)
    assert found.values.shape == (side // PATCH, side // PATCH, SPACE)
    assert_allclose(found.values, by_transformers(network, rgb), atol=1e-5)


def test_pixels_are_normalised_as_clips_own_processor_does() -> None:
    mean, deviation = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
    rgb = picture(5, 7)
    expected = (rgb / 255 - mean) / deviation
    found = as_pixels([rgb], CPU, mean=MEAN, deviation=DEVIATION)[0].permute(1, 2, 0)
    assert_allclose(found.numpy(), expected, atol=1e-5)


@pytest.mark.parametrize(("height", "width"), [(12, 60), (60, 12), (37, 123), (12, 13), (5, 5)])
def test_any_image_gives_unit_vectors_over_all_of_it(network: Any, height: int, width: int) -> None:
    found = encoded(network, picture(height, width)).values
    assert found.shape == (*grid(height, width, GRID), SPACE)
    assert min(found.shape[:2]) == GRID
    assert_allclose(np.linalg.norm(found, axis=-1), 1, atol=1e-5)


def test_windows_that_overlap_are_averaged(network: Any) -> None:
    rgb = picture(SIDE, SIDE + PATCH)
    left, right = (by_transformers(network, rgb[:, start : start + SIDE]) for start in (0, PATCH))
    found = encoded(network, rgb).values
    assert_allclose(found[:, 0], left[:, 0], atol=1e-5)
    assert_allclose(found[:, GRID], right[:, -1], atol=1e-5)
    assert_allclose(found[:, 1], unit(left[:, 1] + right[:, 0]), atol=1e-5)


def test_how_many_windows_there_are_at_once_changes_nothing_to_see(network: Any) -> None:
    rgb = picture(SIDE, 5 * SIDE)
    assert_allclose(encoded(network, rgb, batch=1).values, encoded(network, rgb, batch=8).values, atol=1e-5)
    assert_array_equal(encoded(network, rgb).values, encoded(network, rgb).values)


@pytest.mark.parametrize(("cells", "window"), [(3, 3), (4, 3), (106, 32), (57, 32), (32, 32), (33, 32), (7, 1)])
def test_windows_reach_from_end_to_end_and_overlap(cells: int, window: int) -> None:
    found = starts(cells, window)
    assert (found[0], found[-1]) == (0, cells - window)
    assert (np.diff(found) <= max(1, window // 2 + 1)).all()
    assert len(np.unique(found)) == len(found)


# Words.


def test_words_are_unit_vectors_that_depend_on_nothing_but_the_word(words: PromptedWords) -> None:
    some = words.embed(["car", "traffic sign", "person"])
    others = words.embed(["person", "tree", "car"])
    assert_allclose(np.linalg.norm(some, axis=1), 1, atol=1e-6)
    assert_array_equal(some[[2, 0]], others[[0, 2]])
    assert_array_equal(words.embed(["Traffic_sign"])[0], some[1])
    assert np.linalg.norm(some[0] - some[2]) > 0.05


def test_words_are_what_transformers_gives_of_the_prompt(network: Any, words: PromptedWords, folder: Path) -> None:
    from transformers import CLIPTokenizerFast

    tokenizer = CLIPTokenizerFast.from_pretrained(folder)
    with torch.inference_mode():
        tokens = tokenizer(["a car in a scene", "a traffic light in a scene"], padding=True, return_tensors="pt")
        expected = network.get_text_features(**tokens).numpy()
    assert_allclose(words.embed(["car", "traffic light"]), unit(expected), atol=1e-5)


def test_a_release_needs_three_files_and_may_name_another_end_of_text(
    words: PromptedWords, folder: Path, tmp_path: Path
) -> None:
    """OpenAI's config.json says 2, which is no end of theirs: the highest token is."""
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    config = json.loads((folder / "config.json").read_text())
    config["text_config"]["eos_token_id"] = 2
    (tmp_path / "config.json").write_text(json.dumps(config))
    released = words_of(load_clip(tmp_path, CPU), tmp_path, CPU)
    assert_array_equal(released.embed(["car", "tree trunk"]), words.embed(["car", "tree trunk"]))


def test_all_encoders_keep_the_contract(network: Any, words: PromptedWords) -> None:
    maps = PrecomputedPixels(lambda image: FeatureMap(np.array([[[3.0, 4.0], [0.0, 0.0]]], np.float32)))
    known = PrecomputedWords({"car": np.array([0.0, 2.0], np.float32)})
    assert isinstance(encoder(network, picture(9, 9)), PixelEncoder) and isinstance(maps, PixelEncoder)
    assert isinstance(words, TextEncoder) and isinstance(known, TextEncoder)
    image = LidarImage("camera", Path(), Camera(2, 1, 1.0, 1.0, 0.0, 0.0), np.eye(4))
    assert_allclose(maps.encode(image).values, [[[0.6, 0.8], [0.0, 0.0]]], atol=1e-6)
    assert_allclose(known.embed(["car"]), [[0.0, 1.0]])
    with pytest.raises(InputError, match="no text embedding of 'bus'"):
        known.embed(["car", "bus"])


# What is no checkpoint.


def test_windows_are_whole_patches(network: Any) -> None:
    for side in (PATCH + 1, PATCH - 1):
        with pytest.raises(InputError, match="no whole number of CLIP's patches of 4"):
            encoder(network, picture(9, 9), side)


def copied(folder: Path, to: Path) -> Path:
    for file in folder.iterdir():
        (to / file.name).write_bytes(file.read_bytes())
    return to


def test_another_model_or_cut_weights_are_refused(folder: Path, tmp_path: Path) -> None:
    mine = copied(folder, tmp_path)
    whole = (mine / "model.safetensors").read_bytes()
    (mine / "model.safetensors").write_bytes(whole[:4000])
    with pytest.raises(InputError, match=r"CLIP in .* cannot be read"):
        load_clip(mine, CPU)
    (mine / "config.json").write_text(json.dumps({"model_type": "dinov2"}))
    with pytest.raises(InputError, match="'dinov2', not CLIP"):
        load_clip(mine, CPU)


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: [(folder / name).unlink() for name in ("tokenizer.json", "vocab.json", "merges.txt")],
        lambda folder: (folder / "tokenizer.json").write_text("<html>"),
    ],
)
def test_no_tokenizer_is_told(network: Any, folder: Path, tmp_path: Path, damage: Callable[[Path], object]) -> None:
    mine = copied(folder, tmp_path)
    damage(mine)
    with pytest.raises(InputError, match=r"tokenizer in .* cannot be read"):
        words_of(network, mine, CPU)


def test_a_tokenizer_of_another_model_is_told(folder: Path) -> None:
    smaller = tiny_clip.clip()
    smaller.config.text_config.vocab_size = 20
    with pytest.raises(InputError, match="knows 20"):
        words_of(smaller, folder, CPU)
