"""The interfaces of the two networks of Grounded-SAM, independent of their implementations."""

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
class DetectorOutput:
    """GroundingDINO's Q queries on one image: boxes, and their scores with each of the T tokens of the prompt.

    `box` is x0, y0, x1, y1 in shares of the image; `token_score` lies in [0, 1].
    """

    box: Float[np.ndarray, "Q 4"]
    token_score: Float[np.ndarray, "Q T"]


@runtime_checkable
class Detector(Protocol):
    """GroundingDINO: boxes from an image and a text prompt."""

    @property
    def device(self) -> "torch.device":
        """The device that its inputs must be on."""

    def detect(self, pixels: 'Float[Tensor, "b 3 h w"]', prompt: Prompt) -> list[DetectorOutput]:
        """The output for every image of a batch; `pixels` are normalised as by `as_pixels`."""


@runtime_checkable
class Masker(Protocol):
    """SAM: masks from an image and box prompts."""

    @property
    def device(self) -> "torch.device":
        """The device that its inputs must be on."""

    @property
    def side(self) -> int:
        """The side of its square input, pixels."""

    def embed(self, pixels: 'Float[Tensor, "b 3 side side"]') -> 'Float[Tensor, "b c e e"]':
        """The embeddings of images, normalised and then padded with zeros at the right and at the bottom."""

    def decode(
        self, embedding: 'Float[Tensor, "c e e"]', box: Float[np.ndarray, "n 4"]
    ) -> Float[np.ndarray, "n low low"]:
        """The single mask of every box (x0, y0, x1, y1 in pixels of the square), as logits on a coarser square."""


def box_corners(box: Float[np.ndarray, "*n 4"]) -> Float[np.ndarray, "*n 4"]:
    """x0, y0, x1, y1 of boxes given as centre x, centre y, width and height."""
    centre = box[..., :2]
    half = box[..., 2:] / 2
    return np.concatenate([centre - half, centre + half], axis=-1)


def image_embeddings(
    encode: "Callable[[Tensor], Tensor]", pixels: 'Float[Tensor, "b 3 side side"]', precision: Precision
) -> 'Float[Tensor, "b c e e"]':
    """SAM's embeddings of images in float32, whatever precision its encoder computes in.

    Raises:
        InputError: the encoder overflows in half precision.
    """
    import torch

    with torch.inference_mode(), autocast(pixels.device, precision):
        embeddings = encode(pixels)
    require_finite(embeddings, "SAM", precision)
    return embeddings.float()


def detector_outputs(
    boxes: 'Float[Tensor, "b Q 4"]', logits: 'Float[Tensor, "b Q T"]', precision: Precision
) -> list[DetectorOutput]:
    """GroundingDINO's raw output (boxes as centre and size, logits), image by image.

    Raises:
        InputError: the network overflows in half precision.
    """
    require_finite(boxes, "GroundingDINO", precision)
    require_finite(logits, "GroundingDINO", precision)
    corners = box_corners(boxes.float().cpu().numpy())
    token_score = logits.float().sigmoid().cpu().numpy()
    return [DetectorOutput(box, score) for box, score in zip(corners, token_score, strict=True)]
