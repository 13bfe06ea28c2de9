"""The interface of 2D instance segmenters, such as Grounded-SAM."""

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

from panrecon.structures import CategoryTable, Detections, Scan


@runtime_checkable
class Segmenter(Protocol):
    """Detects the table's classes in every frame."""

    def segment(self, scan: Scan, table: CategoryTable) -> Iterator[Detections]:
        """Detections of every frame on the pixels of the scan's `camera`, in its order; masks may overlap."""
