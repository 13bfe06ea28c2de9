"""CLIP of random weights and a reduced size, in the format of the releases: weights, and a tokenizer of letters."""

import json
from pathlib import Path
from typing import Any, Final

import torch

from panrecon.networks.torchvision_ops import ensure_torchvision

ensure_torchvision()

from transformers import CLIPConfig, CLIPModel, CLIPTextConfig, CLIPTokenizerFast, CLIPVisionConfig  # noqa: E402

WIDTH: Final = 32
SPACE: Final = 24  # dimensions that images and words share
PATCH: Final = 4
GRID: Final = 3  # patches a side of what it was trained on
LETTERS: Final = [*"abcdefghijklmnopqrstuvwxyz_-"]
VOCABULARY: Final = [*LETTERS, *(f"{letter}</w>" for letter in LETTERS), "<|startoftext|>", "<|endoftext|>"]


def clip(seed: int = 0, grid: int = GRID, space: int = SPACE) -> Any:
    """Two layers a side; every number drawn anew: a fresh network has zeros where a trained one has not."""
    layers = {"hidden_size": WIDTH, "intermediate_size": 2 * WIDTH, "num_hidden_layers": 2, "num_attention_heads": 4}
    end = len(VOCABULARY) - 1
    text = CLIPTextConfig(
        **layers, vocab_size=len(VOCABULARY), projection_dim=space, bos_token_id=end - 1, eos_token_id=end
    )
    vision = CLIPVisionConfig(**layers, image_size=grid * PATCH, patch_size=PATCH, projection_dim=space)
    network = CLIPModel(CLIPConfig(text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=space))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.15 * torch.randn(parameter.shape, generator=generator))
    return network.eval()


def save(folder: Path, network: Any) -> Path:
    """A folder as Hugging Face's hub has it."""
    network.save_pretrained(folder, safe_serialization=True)
    (folder / "vocab.json").write_text(json.dumps({token: number for number, token in enumerate(VOCABULARY)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    CLIPTokenizerFast(str(folder / "vocab.json"), str(folder / "merges.txt")).save_pretrained(folder)
    return folder
