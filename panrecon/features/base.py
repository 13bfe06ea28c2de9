"""What a dense feature extractor gives."""

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

from panrecon.structures import FeatureMap, Scan


@runtime_checkable
class FeatureExtractor(Protocol):
    """Dense features of every frame, over the image of the scan's `camera`."""

    def extract(self, scan: Scan) -> Iterator[FeatureMap]:
        """One map a frame, in the scan's order."""
