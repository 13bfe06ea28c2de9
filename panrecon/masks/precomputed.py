"""Precomputed detections, checked against the scan."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from panrecon.errors import InputError
from panrecon.geometry.projective import resample
from panrecon.masks.selection import no_detections, without_small_masks
from panrecon.structures import CategoryTable, Detections, Scan


@dataclass(frozen=True)
class PrecomputedSegmenter:
    """A Segmenter of precomputed detections by frame name; a frame without an entry has no detection.

    Raises:
        InputError: masks are neither of the size of the scan's images nor of the source's.
    """

    detections: Mapping[str, Detections]
    min_area: int

    def segment(self, scan: Scan, table: CategoryTable) -> Iterator[Detections]:
        """Detections of every frame, resampled to the scan's `camera` where they lie on the source's pixels."""
        empty = no_detections(scan.camera.height, scan.camera.width)
        for frame in scan.frames:
            detections = self.detections.get(frame.name)
            yield empty if detections is None else self._resampled(frame.name, detections, scan)

    def _resampled(self, frame: str, detections: Detections, scan: Scan) -> Detections:
        """The detections on the scan's own pixels, small ones dropped."""
        size = detections.mask.shape[1:]
        source = scan.source_camera
        if size not in ((source.height, source.width), (scan.camera.height, scan.camera.width)):
            raise InputError(
                f"Masks of frame {frame} are {size} (rows, columns), its image is {(source.height, source.width)}; "
                "detect on the images of this scan."
            )
        mask = detections.mask
        if size == (source.height, source.width) and source != scan.camera:
            mask = np.stack([resample(m.astype(np.uint8), source, scan.camera, nearest=True) for m in mask]) > 0
        return without_small_masks(Detections(detections.category, detections.score, mask), self.min_area)
