"""What a dense feature extractor gives, and what encoders of images and words do whose space is one."""

from collections.abc import Iterator, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from panrecon.structures import FeatureMap, LidarImage, Scan


@runtime_checkable
class FeatureExtractor(Protocol):
    """Dense features of every frame, over the image of the scan's `camera`."""

    def extract(self, scan: Scan) -> Iterator[FeatureMap]:
        """One map a frame, in the scan's order."""


@runtime_checkable
class PixelEncoder(Protocol):
    """Dense features of images in a space that words share, such as CLIP's."""

    def encode(self, image: LidarImage) -> FeatureMap:
        """Cells over the whole image: unit vectors, or zero where nothing is known."""


@runtime_checkable
class TextEncoder(Protocol):
    """Words in a space that images share."""

    def embed(self, words: Sequence[str]) -> Float[np.ndarray, "n D"]:
        """Unit vectors that depend on the word alone."""


def unit(values: Float[np.ndarray, "*n D"]) -> Float[np.ndarray, "*n D"]:
    """The vectors at length 1; zero stays zero."""
    length = np.linalg.norm(values, axis=-1, keepdims=True)
    return np.divide(values, length, out=np.zeros_like(values), where=length > 0)
