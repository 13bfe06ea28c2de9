"""Features that were extracted elsewhere, brought onto the scan's camera."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from panrecon.features.sampling import on_camera
from panrecon.structures import FeatureMap, Scan


@dataclass(frozen=True)
class PrecomputedExtractor:
    """Reads each frame's map by its name; the maps cover the scan's raw colour images."""

    read: Callable[[str], FeatureMap]

    def extract(self, scan: Scan) -> Iterator[FeatureMap]:
        return (on_camera(self.read(frame.name), scan.source_camera, scan.camera) for frame in scan.frames)
