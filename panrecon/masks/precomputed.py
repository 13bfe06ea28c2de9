"""Detections that were made elsewhere, checked against the scan."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from panrecon.errors import InputError
from panrecon.geometry.projective import resample
from panrecon.masks.selection import large_enough, nothing
from panrecon.structures import CategoryTable, Detections, Scan


@dataclass(frozen=True)
class PrecomputedSegmenter:
    """Detections by frame name; a frame that has none is a frame in which nothing was found."""

    detections: Mapping[str, Detections]
    min_area: int

    def segment(self, scan: Scan, table: CategoryTable) -> Iterator[Detections]:
        empty = nothing(scan.camera.height, scan.camera.width)
        for frame in scan.frames:
            found = self.detections.get(frame.name)
            yield empty if found is None else self._fitted(frame.name, found, scan)

    def _fitted(self, frame: str, found: Detections, scan: Scan) -> Detections:
        """Masks on the scan's own pixels, tiny ones dropped."""
        size, source = found.mask.shape[1:], scan.source_camera
        if size not in ((source.height, source.width), (scan.camera.height, scan.camera.width)):
            raise InputError(
                f"Masks of frame {frame} are {size} (rows, columns), its image is {(source.height, source.width)}; "
                "detect on the images of this scan."
            )
        mask = found.mask
        if size == (source.height, source.width) and source != scan.camera:
            mask = np.stack([resample(one.astype(np.uint8), source, scan.camera, nearest=True) for one in mask]) > 0
        return large_enough(Detections(found.category, found.score, mask), self.min_area)
