"""Laws of words by open_clip, where it is installed."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from panrecon.errors import InputError
from panrecon.features.base import TextEncoder
from panrecon.features.clip import PromptedWords
from panrecon.features.open_clip import load_open_clip
from panrecon.networks.torchvision_ops import ensure_torchvision

ensure_torchvision()
open_clip = pytest.importorskip("open_clip", reason="open_clip is an extra: pip install open_clip_torch")
CPU = torch.device("cpu")
SHAPE = {
    "embed_dim": 24,
    "vision_cfg": {"image_size": 8, "layers": 1, "width": 16, "patch_size": 4, "head_width": 8},
    "text_cfg": {"context_length": 12, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2},
}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("open_clip")
    for name, shape in {"tiny-test": SHAPE, "tiny-other": SHAPE | {"embed_dim": 16}}.items():
        (folder / f"{name}.json").write_text(json.dumps(shape))
        open_clip.add_model_config(folder / f"{name}.json")
    torch.manual_seed(0)
    torch.save(open_clip.create_model("tiny-test").state_dict(), folder / "weights.pt")
    return folder / "weights.pt"


def test_words_are_open_clips_own_of_the_prompt_and_depend_on_the_word_alone(weights: Path) -> None:
    words = load_open_clip("tiny-test", weights, CPU)
    assert isinstance(words, TextEncoder)
    found = words.embed(["car", "traffic_sign"])
    assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
    assert_array_equal(words.embed(["traffic sign", "car"]), found[::-1])
    network: Any = open_clip.create_model("tiny-test", pretrained=str(weights)).eval()
    text = open_clip.get_tokenizer("tiny-test")(["a car in a scene", "a traffic sign in a scene"])
    with torch.inference_mode():
        assert_allclose(found, network.encode_text(text, normalize=True).numpy(), atol=1e-5)


def test_what_is_not_there_or_of_another_model_is_told(weights: Path, tmp_path: Path) -> None:
    (tmp_path / "cut.pt").write_bytes(weights.read_bytes()[:5000])
    for name, file, sentence in (
        ("no-model", weights, "no model 'no-model'"),
        ("roberta-ViT-B-32", weights, "would download"),
        ("tiny-test", tmp_path / "none.pt", "do not exist"),
        ("tiny-test", tmp_path / "cut.pt", "are not those of"),
        ("tiny-other", weights, "are not those of"),
    ):
        with pytest.raises(InputError, match=sentence):
            load_open_clip(name, file, CPU)
    assert isinstance(load_open_clip("tiny-test", weights, CPU), PromptedWords)
