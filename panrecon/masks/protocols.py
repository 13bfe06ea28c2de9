"""The two networks of Grounded-SAM as the pipeline sees them, whoever implements them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from panrecon.masks.prompt import Prompt
from panrecon.networks.inference import Precision, autocast, require_finite

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True)
class Queries:
    """What GroundingDINO says of one image.

    `box` is x0, y0, x1, y1 in shares of the image; `token_score` is how well it agrees with a token, in [0, 1].
    """

    box: Float[np.ndarray, "Q 4"]
    token_score: Float[np.ndarray, "Q T"]


@runtime_checkable
class Detector(Protocol):
    """GroundingDINO."""

    @property
    def device(self) -> "torch.device":
        """Where it wants its images."""

    def detect(self, pixels: 'Float[Tensor, "b 3 h w"]', prompt: Prompt) -> list[Queries]:
        """Its queries for every image of a batch; `pixels` as `as_pixels` gives them."""


@runtime_checkable
class Masker(Protocol):
    """SAM with boxes as prompts."""

    @property
    def device(self) -> "torch.device":
        """Where it wants its images."""

    @property
    def side(self) -> int:
        """Of the square that it sees, pixels."""

    def embed(self, pixels: 'Float[Tensor, "b 3 side side"]') -> 'Float[Tensor, "b c e e"]':
        """The embeddings of images, normalised and then padded with zeros at the right and at the bottom."""

    def decode(
        self, embedding: 'Float[Tensor, "c e e"]', box: Float[np.ndarray, "n 4"]
    ) -> Float[np.ndarray, "n low low"]:
        """The single mask of every box (x0, y0, x1, y1 in pixels of the square), as logits on a coarser square."""


def corners(box: Float[np.ndarray, "*n 4"]) -> Float[np.ndarray, "*n 4"]:
    """x0, y0, x1, y1 of boxes given as centre x, centre y, width and height."""
    centre, half = box[..., :2], box[..., 2:] / 2
    return np.concatenate([centre - half, centre + half], axis=-1)


def embedded(
    encode: "Callable[[Tensor], Tensor]", pixels: 'Float[Tensor, "b 3 side side"]', precision: Precision
) -> 'Float[Tensor, "b c e e"]':
    """SAM's embeddings of images in float32, whatever precision its encoder computes in."""
    import torch

    with torch.inference_mode(), autocast(pixels.device, precision):
        embeddings = encode(pixels)
    require_finite(embeddings, "SAM", precision)
    return embeddings.float()


def queries(boxes: 'Float[Tensor, "b Q 4"]', logits: 'Float[Tensor, "b Q T"]', precision: Precision) -> list[Queries]:
    """GroundingDINO's output (boxes as centre and size), image by image."""
    require_finite(boxes, "GroundingDINO", precision)
    require_finite(logits, "GroundingDINO", precision)
    box, score = corners(boxes.float().cpu().numpy()), logits.float().sigmoid().cpu().numpy()
    return [Queries(*one) for one in zip(box, score, strict=True)]
