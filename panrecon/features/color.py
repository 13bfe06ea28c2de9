"""Colour statistics as features, for runs without a network."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from jaxtyping import UInt8

from panrecon.structures import FeatureMap, Frame, Scan

CELL: Final = 16  # pixels along an edge


@dataclass(frozen=True)
class ColorExtractor:
    """Extracts colour statistics of every frame's RGB image; they separate materials, not classes."""

    read: Callable[[Frame], UInt8[np.ndarray, "h w 3"]]

    def extract(self, scan: Scan) -> Iterator[FeatureMap]:
        """The feature map of every frame, in the scan's order."""
        return (color_statistics(self.read(frame)) for frame in scan.frames)


def color_statistics(rgb: UInt8[np.ndarray, "h w 3"]) -> FeatureMap:
    """Mean and deviation of the CIELAB channels in cells of 16 pixels; 6 dimensions, in hundreds of CIELAB units."""
    lab = cv2.cvtColor(rgb.astype(np.float32) / 255, cv2.COLOR_RGB2LAB) / 100
    size = (max(1, rgb.shape[1] // CELL), max(1, rgb.shape[0] // CELL))
    mean = cv2.resize(lab, size, interpolation=cv2.INTER_AREA)
    square = cv2.resize(lab**2, size, interpolation=cv2.INTER_AREA)
    return FeatureMap(np.concatenate([mean, np.sqrt(np.maximum(square - mean**2, 0))], axis=2))
