"""Which frames of a long sequence are taken."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

import cv2
import numpy as np
from jaxtyping import UInt8

from panrecon.config import ScanSettings
from panrecon.io.images import read_color
from panrecon.structures import Frame
from panrecon.threads import parallel_map

T = TypeVar("T")


def in_groups(items: Sequence[T], settings: ScanSettings) -> Iterator[Sequence[T]]:
    """The items, `frame_stride` at a time; the last group may be smaller."""
    stride = settings.frame_stride
    return (items[start : start + stride] for start in range(0, len(items), stride))


def choose_frames(groups: Iterable[Sequence[Frame]], settings: ScanSettings) -> list[Frame]:
    """The first frame of every group or, of several, the sharpest that has a pose; none of a group without any."""
    if settings.sharpest and settings.frame_stride > 1:
        return [frame for sharpest in parallel_map(_sharpest, groups) for frame in sharpest]
    return [group[0] for group in groups if group]


def sharpness(image: UInt8[np.ndarray, "h w 3"]) -> float:
    """The variance of the image's Laplacian (grey levels squared): the lower, the more blurred."""
    return float(cv2.Laplacian(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.CV_64F).var())


def _sharpest(frames: Sequence[Frame]) -> list[Frame]:
    posed = [frame for frame in frames if np.isfinite(frame.world_from_camera).all()]
    return [max(posed, key=lambda frame: sharpness(read_color(frame.color)))] if posed else []
