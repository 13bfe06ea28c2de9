"""CLIP (Radford et al., ICML 2021): words, and features of patches of images, after MaskCLIP (Zhou et al., ECCV 2022).

Where CLIP pools an image by one attention, every patch keeps its own value instead: value and output projection of the
last block's attention, then the final layer norm and the projection into the space of words. The last block's residual
and MLP, which MaskCLIP's code keeps for a ViT, are left out: ClearCLIP (Lan et al., ECCV 2024) found most of the noise
of such features to come from the residual.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8

from panrecon.errors import InputError
from panrecon.features.base import unit
from panrecon.networks.inference import Batches, as_pixels, fitting_memory, out_of_memory, require_finite, resized
from panrecon.networks.pretrained import read_folder, summary
from panrecon.networks.torchvision_ops import ensure_torchvision
from panrecon.structures import FeatureMap, LidarImage, normalised

PROMPT: Final = "a {} in a scene"  # OpenScene's (Peng et al., CVPR 2023)
MEAN: Final = (122.7709383, 116.7460125, 104.09373615)  # of RGB in 0..255, as CLIP was trained on
DEVIATION: Final = (68.5005327, 66.6321579, 70.32316305)
SIDE: Final = 448  # px of the square windows; the released networks have patches of 14, 16 or 32

Image = UInt8[np.ndarray, "h w 3"]


@dataclass(frozen=True)
class ClipPixels:
    """Features of the patches of square windows, averaged where windows overlap.

    The image is resized so that its shorter edge is `side` pixels. Windows are squares, for CLIP saw no others: over a
    whole image of a road, 3.3 times as wide as high, its position embeddings would be stretched as much.
    """

    network: Any
    side: int
    read: Callable[[LidarImage], Image]
    where: torch.device
    batches: Batches

    def encode(self, image: LidarImage) -> FeatureMap:
        """The map of unit vectors over the whole image, one for every patch of the resized image."""
        rgb = self.read(image)
        patch = self.network.config.vision_config.patch_size
        window = self.side // patch
        rows, columns = grid(rgb.shape[0], rgb.shape[1], window)
        whole = resized(rgb, rows * patch, columns * patch)
        corners = [(top, left) for top in starts(rows, window).tolist() for left in starts(columns, window).tolist()]
        cut = [whole[top * patch :, left * patch :][: self.side, : self.side] for top, left in corners]
        total = np.zeros((rows, columns, self.network.config.projection_dim), np.float32)
        for (top, left), features in zip(corners, self.batches.run(self._patches, cut), strict=True):
            total[top : top + window, left : left + window] += unit(features)
        return FeatureMap(unit(total))

    def _patches(self, windows: Sequence[Image]) -> list[Float[np.ndarray, "rows columns D"]]:
        vision = self.network.vision_model
        rows = self.side // self.network.config.vision_config.patch_size
        with torch.inference_mode():
            pixels = as_pixels(windows, self.where, mean=MEAN, deviation=DEVIATION)
            tokens = vision.pre_layrnorm(vision.embeddings(pixels, interpolate_pos_encoding=True))
            *before, last = vision.encoder.layers
            for layer in before:
                tokens = layer(tokens, None, None)[0]
            values = last.self_attn.v_proj(last.layer_norm1(tokens[:, 1:]))  # the class token comes first
            projected = self.network.visual_projection(vision.post_layernorm(last.self_attn.out_proj(values)))
        require_finite(projected, "CLIP", "float32")
        return list(projected.reshape(len(windows), rows, rows, -1).cpu().numpy())


@dataclass(frozen=True)
class PromptedWords:
    """Words in the prompt, one at a time: their vectors depend on nothing else, bit for bit."""

    embedding: Callable[[str], Float[np.ndarray, " D"]]

    def embed(self, words: Sequence[str]) -> Float[np.ndarray, "n D"]:
        """The unit vector of every word in the prompt."""
        return unit(np.stack([self.embedding(PROMPT.format(normalised(word))) for word in words]))


def grid(height: int, width: int, window: int) -> tuple[int, int]:
    """Rows and columns of patches over an image whose shorter edge has `window` of them."""
    rows = max(window, round(height * window / min(height, width)))
    columns = max(window, round(width * window / min(height, width)))
    return rows, columns


def starts(cells: int, window: int) -> Int[np.ndarray, " n"]:
    """Where windows begin, so that they cover it from end to end and neighbours overlap by about half."""
    count = 1 + math.ceil(2 * (cells - window) / window)
    return np.unique(np.rint(np.linspace(0, cells - window, count)).astype(np.int64))


def load_clip(folder: Path, where: torch.device) -> Any:
    """transformers' CLIPModel of a Hugging Face folder, float32.

    Raises:
        InputError: there is no such folder, it is damaged or of another model.
    """
    ensure_torchvision()
    import transformers

    with fitting_memory("CLIP"):
        return read_folder(folder, "CLIP", {"clip": transformers.CLIPModel.from_pretrained}).to(where)


def pixels_of(
    network: Any, side: int, read: Callable[[LidarImage], Image], where: torch.device, batches: Batches
) -> ClipPixels:
    """Its encoder of pixels.

    Raises:
        InputError: windows of this side are no whole number of patches.
    """
    patch = network.config.vision_config.patch_size
    if side < patch or side % patch:
        raise InputError(f"Windows of {side} pixels are no whole number of CLIP's patches of {patch}; set --side.")
    return ClipPixels(network, side, read, where, batches)


def words_of(network: Any, folder: Path, where: torch.device) -> PromptedWords:
    """Its encoder of words, with the tokenizer of the folder (tokenizer.json, or vocab.json and merges.txt).

    Raises:
        InputError: the tokenizer is not there, damaged, or of another network.
    """
    ensure_torchvision()
    from transformers import CLIPTokenizerFast

    try:
        tokenizer = CLIPTokenizerFast.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # the reader of tokenizers meets foreign files with nearly any of them
        if out_of_memory(error):
            raise
        raise InputError(
            f"CLIP's tokenizer in {folder} cannot be read ({summary(error)}); download tokenizer.json, or vocab.json "
            "and merges.txt, beside its weights."
        ) from error
    known = network.config.text_config.vocab_size
    if len(tokenizer) > known:
        raise InputError(
            f"The tokenizer in {folder} has {len(tokenizer)} tokens, the network beside it knows {known}; download "
            "both from one model."
        )

    def embedding(text: str) -> Float[np.ndarray, " D"]:
        with torch.inference_mode():
            tokens = tokenizer(text, return_tensors="pt").to(where)
            return np.asarray(network.get_text_features(**tokens)[0].cpu().numpy())

    return PromptedWords(embedding)
