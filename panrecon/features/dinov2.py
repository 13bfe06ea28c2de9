"""DINOv2: dense features of patches (Oquab et al., TMLR 2024), with registers if wanted (Darcet et al., ICLR 2024)."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from panrecon.config import FeaturesSettings
from panrecon.errors import InputError
from panrecon.networks.inference import (
    Batches,
    Precision,
    ahead,
    as_pixels,
    autocast,
    batch_on,
    fitting_memory,
    in_batches,
    out_of_memory,
    require_finite,
    resized,
    torch_device,
)
from panrecon.networks.pretrained import read_folder, read_state, summary
from panrecon.networks.torchvision_ops import ensure_torchvision
from panrecon.structures import Camera, FeatureMap, Frame, Scan

HEAD_WIDTH: Final = 64  # of every released model
REGISTERS: Final = "dinov2_with_registers"  # transformers' name of the architecture
PLAIN: Final = "dinov2"
RENAMED: Final = (  # from the original's names of weights to transformers'
    ("cls_token", "embeddings.cls_token"),
    ("mask_token", "embeddings.mask_token"),
    ("register_tokens", "embeddings.register_tokens"),
    ("pos_embed", "embeddings.position_embeddings"),
    ("patch_embed.proj.", "embeddings.patch_embeddings.projection."),
    ("blocks.", "encoder.layer."),
    (".attn.proj.", ".attention.output.dense."),
    (".ls1.gamma", ".layer_scale1.lambda1"),
    (".ls2.gamma", ".layer_scale2.lambda1"),
)


@dataclass(frozen=True)
class Dinov2:
    """The network on its device; a patch is `patch` pixels wide and high."""

    network: nn.Module
    patch: int
    where: torch.device
    precision: Precision

    def __call__(self, images: Sequence[UInt8[np.ndarray, "h w 3"]]) -> list[Float[np.ndarray, "rows columns D"]]:
        """The patch tokens of every image after the last layernorm; all images of one size, a multiple of `patch`.

        Raises:
            InputError: half precision overflows.
        """
        rows, columns = (edge // self.patch for edge in images[0].shape[:2])
        with torch.inference_mode(), autocast(self.where, self.precision):
            tokens = self.network(pixel_values=as_pixels(images, self.where)).last_hidden_state
        patches = tokens[:, -rows * columns :].float()  # the class token and registers come first
        require_finite(patches, "DINOv2", self.precision)
        return list(patches.reshape(len(images), rows, columns, -1).cpu().numpy())


@dataclass(frozen=True)
class Dinov2Extractor:
    """Reads each frame's RGB image and resizes it, so that one patch covers about `pixels_per_feature` pixels of it.

    Memory does not grow with the scan: two batches of resized images (uint8), the network at work on one, and the maps
    of one. For an image of 640 x 480 pixels and a feature every 8 that is 4800 patches, for which ViT-S takes 0.15 GB
    on the CPU and ViT-L 0.3 GB, beside its weights.
    """

    model: Dinov2
    read: Callable[[Frame], UInt8[np.ndarray, "h w 3"]]
    pixels_per_feature: float
    batches: Batches

    def extract(self, scan: Scan) -> Iterator[FeatureMap]:
        """One map a frame, float32; frames are batched from the first on, whatever memory allows at once."""
        size = self.batches.size
        height, width = (cells * self.model.patch for cells in grid(scan.camera, self.pixels_per_feature))
        images = ahead(lambda frame: resized(self.read(frame), height, width), scan.frames, depth=size)
        for batch in in_batches(images, size):
            yield from map(FeatureMap, self.batches.run(self.model, batch))


def grid(camera: Camera, pixels_per_feature: float) -> tuple[int, int]:
    """Rows and columns of a map over the camera's image; at least one."""
    rows = round(camera.height / pixels_per_feature)
    columns = round(camera.width / pixels_per_feature)
    return max(1, rows), max(1, columns)


def load_extractor(
    settings: FeaturesSettings,
    weights: Path,
    read: Callable[[Frame], UInt8[np.ndarray, "h w 3"]],
    say: Callable[[str], None],
) -> Dinov2Extractor:
    """The extractor of `features:` in the settings, with the network of this checkpoint on its device.

    Raises:
        InputError: as `load_dinov2`, or there is no such device.
    """
    where = torch_device(settings.device)
    batches = Batches(batch_on(where, settings.batch_size), say)
    return Dinov2Extractor(load_dinov2(weights, where, settings.precision), read, settings.pixels_per_feature, batches)


def load_dinov2(path: Path, where: torch.device, precision: Precision) -> Dinov2:
    """DINOv2 from a Hugging Face folder, or from a checkpoint of the original, `dinov2_vit*14*_pretrain.pth`.

    Raises:
        InputError: there is no such file, it is damaged or of another model, or the device lacks the precision.
    """
    autocast(where, precision)  # refuses before a gigabyte is read
    with fitting_memory("DINOv2"):
        network = _from_folder(path) if path.is_dir() else _from_original(path)
        _interpolate_as_original(network)
        network = network.eval().requires_grad_(False).to(where)
    return Dinov2(network, network.config.patch_size, where, precision)


def position_embeddings(
    learned: Float[Tensor, "1 positions D"], rows: int, columns: int, *, offset: float, antialias: bool
) -> Float[Tensor, "1 tokens D"]:
    """The learned embeddings (the class token's, then a square grid's, row by row) on another grid, bicubic."""
    side = math.isqrt(learned.shape[1] - 1)
    if rows == columns == side:
        return learned
    square = learned[:, 1:].reshape(1, side, side, -1).permute(0, 3, 1, 2)
    size = None if offset else (rows, columns)
    scale = [(rows + offset) / side, (columns + offset) / side] if offset else None
    other = nn.functional.interpolate(square, size, scale, mode="bicubic", antialias=antialias)
    return torch.cat([learned[:, :1], other.flatten(2).transpose(1, 2)], dim=1)


def _interpolate_as_original(network: Any) -> None:
    """Position embeddings on other grids as DINOv2's own code makes them; the last grid's are kept."""
    # facebookresearch/dinov2, models/vision_transformer.py, interpolate_pos_encoding: it adds 0.1 to the grid's size
    # and gives the operator the ratio, which moves every sample; hub/backbones.py releases the models with registers
    # with 0.0 and antialiasing instead. transformers does the same for the latter, but leaves out 0.1 for the former.
    registers = network.config.model_type == REGISTERS
    embeddings = network.embeddings
    patch = network.config.patch_size

    @lru_cache(maxsize=1)
    def interpolated(rows: int, columns: int) -> Tensor:
        learned = embeddings.position_embeddings
        return position_embeddings(learned, rows, columns, offset=0.0 if registers else 0.1, antialias=registers)

    embeddings.interpolate_pos_encoding = lambda _, height, width: interpolated(height // patch, width // patch)


def _from_folder(folder: Path) -> Any:
    """transformers' model of a folder with `config.json` and `model.safetensors`, float32, on the CPU."""
    models = {kind: _architecture(kind)[1].from_pretrained for kind in (PLAIN, REGISTERS)}
    return read_folder(folder, "DINOv2", models, surplus=False)  # else registers could be left out


def _architecture(kind: str) -> tuple[Any, Any]:
    """transformers' configuration and model of this name."""
    ensure_torchvision()
    import transformers

    if kind == REGISTERS:
        return transformers.Dinov2WithRegistersConfig, transformers.Dinov2WithRegistersModel
    return transformers.Dinov2Config, transformers.Dinov2Model


def _from_original(path: Path) -> Any:
    """transformers' model with the weights of an original checkpoint, which is what its shapes say."""
    original = read_state(path, "DINOv2")
    try:
        kind, shape = _shape(original)
        configuration, model = _architecture(kind)
        with torch.device("meta"):
            network = model(configuration(**shape))
        network.load_state_dict(_as_transformers(original), assign=True)
    except (KeyError, RuntimeError, ValueError) as error:
        if out_of_memory(error):
            raise
        raise InputError(
            f"The checkpoint {path} is not a DINOv2 of size S, B or L ({summary(error)}); "
            "download dinov2_vits14_pretrain.pth or its like again."
        ) from error
    return network


def _shape(original: Mapping[str, Tensor]) -> tuple[str, dict[str, int]]:
    """transformers' name of the architecture and the fields of its configuration, read from the shapes of weights."""
    width = original["cls_token"].shape[-1]
    patch = original["patch_embed.proj.weight"].shape[-1]
    shape = {
        "hidden_size": width,
        "num_attention_heads": width // HEAD_WIDTH,
        "num_hidden_layers": len({name.split(".")[1] for name in original if name.startswith("blocks.")}),
        "mlp_ratio": original["blocks.0.mlp.fc1.weight"].shape[0] // width,
        "patch_size": patch,
        "image_size": patch * math.isqrt(original["pos_embed"].shape[1] - 1),
    }
    if "register_tokens" in original:
        return REGISTERS, shape | {"num_register_tokens": original["register_tokens"].shape[1]}
    return PLAIN, shape


def _as_transformers(original: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same weights, float32, under transformers' names; queries, keys and values apart."""
    weights = {}
    for name, value in original.items():
        renamed = _renamed(name)
        if ".attn.qkv." in renamed:
            for part, share in zip(("query", "key", "value"), value.float().chunk(3), strict=True):
                weights[renamed.replace(".attn.qkv.", f".attention.attention.{part}.")] = share
        else:
            weights[renamed] = value.float()
    return weights


def _renamed(name: str) -> str:
    for old, new in RENAMED:
        name = name.replace(old, new)
    return f"layer{name}" if name.startswith("norm.") else name
