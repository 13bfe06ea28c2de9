"""The interfaces of dense feature extractors, and of encoders of images and words into one space."""

from collections.abc import Iterator, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from panrecon.structures import FeatureMap, LidarImage, Scan


@runtime_checkable
class FeatureExtractor(Protocol):
    """Extracts dense features of every frame, over the image of the scan's `camera`."""

    def extract(self, scan: Scan) -> Iterator[FeatureMap]:
        """The feature map of every frame, in the scan's order."""


@runtime_checkable
class PixelEncoder(Protocol):
    """Encodes images densely into a space that they share with words, such as CLIP's."""

    def encode(self, image: LidarImage) -> FeatureMap:
        """A map of unit vectors over the whole image, zero where no feature is known."""


@runtime_checkable
class TextEncoder(Protocol):
    """Embeds words into a space that they share with images."""

    def embed(self, words: Sequence[str]) -> Float[np.ndarray, "n D"]:
        """The unit vector of every word, independent of the other words."""


def unit(values: Float[np.ndarray, "*n D"]) -> Float[np.ndarray, "*n D"]:
    """The vectors normalised to length 1; zero remains zero."""
    length = np.linalg.norm(values, axis=-1, keepdims=True)
    return np.divide(values, length, out=np.zeros_like(values), where=length > 0)
