"""Features that were extracted elsewhere: of frames, brought onto the scan's camera, of images and of words."""

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
    """Reads each frame's map by its name; the maps cover the scan's raw colour images."""

    read: Callable[[str], FeatureMap]

    def extract(self, scan: Scan) -> Iterator[FeatureMap]:
        """Raises: InputError where a frame has another number of dimensions than the first."""
        wanted: int | None = None
        for frame in scan.frames:
            features = self.read(frame.name)
            dimensions = features.values.shape[-1]
            wanted = dimensions if wanted is None else wanted
            if dimensions != wanted:
                raise InputError(
                    f"The features of frame {frame.name} have {dimensions} dimensions, those of frame "
                    f"{scan.frames[0].name} have {wanted}; extract all frames with one model."
                )
            yield on_camera(features, scan.source_camera, scan.camera)


@dataclass(frozen=True)
class PrecomputedPixels:
    """Reads the map of every image; it covers the whole of it, in any number of cells."""

    read: Callable[[LidarImage], FeatureMap]

    def encode(self, image: LidarImage) -> FeatureMap:
        return FeatureMap(unit(self.read(image).values))


@dataclass(frozen=True)
class PrecomputedWords:
    """Looks words up."""

    embedding_of_word: Mapping[str, Float[np.ndarray, " D"]]

    def embed(self, words: Sequence[str]) -> Float[np.ndarray, "n D"]:
        """Raises: InputError where a word is not there."""
        missing = [word for word in words if word not in self.embedding_of_word]
        if missing:
            raise InputError(
                f"There is no text embedding of {', '.join(map(repr, missing))}; embed all words of the class table."
            )
        return unit(np.stack([self.embedding_of_word[word] for word in words]))
