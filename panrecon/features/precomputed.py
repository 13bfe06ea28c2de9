"""Features that were extracted elsewhere, brought onto the scan's camera."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from panrecon.errors import InputError
from panrecon.features.sampling import on_camera
from panrecon.structures import FeatureMap, Scan


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
