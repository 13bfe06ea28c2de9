"""Precomputed features: of frames, resampled to the scan's camera, of LiDAR images, and of words."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from panrecon.errors import InputError
from panrecon.features.base import unit
from panrecon.features.sampling import on_camera
from panrecon.structures import FeatureMap, LidarImage, Scan


@dataclass(frozen=True)
class PrecomputedExtractor:
    """Reads every frame's map by name; maps cover the scan's raw colour images (`source_camera`)."""

    read: Callable[[str], FeatureMap]

    def extract(self, scan: Scan) -> Iterator[FeatureMap]:
        """The feature map of every frame over the image of `camera`, in the scan's order.

        Raises:
            InputError: a frame has another number of dimensions than the first.
        """
        expected: int | None = None
        for frame in scan.frames:
            features = self.read(frame.name)
            dimensions = features.values.shape[-1]
            expected = dimensions if expected is None else expected
            if dimensions != expected:
                raise InputError(
                    f"The features of frame {frame.name} have {dimensions} dimensions, those of frame "
                    f"{scan.frames[0].name} have {expected}; extract all frames with one model."
                )
            yield on_camera(features, scan.source_camera, scan.camera)


@dataclass(frozen=True)
class PrecomputedPixels:
    """Reads the map of every LiDAR image; maps cover the whole image, in any number of cells."""

    read: Callable[[LidarImage], FeatureMap]

    def encode(self, image: LidarImage) -> FeatureMap:
        """The image's map, normalised to unit vectors."""
        return FeatureMap(unit(self.read(image).values))


@dataclass(frozen=True)
class PrecomputedWords:
    """The embeddings of words, from a file."""

    embedding_of_word: Mapping[str, Float[np.ndarray, " D"]]

    def embed(self, words: Sequence[str]) -> Float[np.ndarray, "n D"]:
        """The unit vector of every word.

        Raises:
            InputError: a word has no embedding.
        """
        missing = [word for word in words if word not in self.embedding_of_word]
        if missing:
            raise InputError(
                f"There is no text embedding of {', '.join(map(repr, missing))}; embed all words of the class table."
            )
        return unit(np.stack([self.embedding_of_word[word] for word in words]))
