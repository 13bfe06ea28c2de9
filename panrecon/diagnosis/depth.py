"""Estimator of how much of the depth images is measured."""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float

from panrecon.diagnosis.parameters import ValidDepthParameters
from panrecon.diagnosis.sample import Sample


@dataclass(frozen=True)
class ValidDepth:
    """Shares of pixels with depth in [0, 1] over all frames, and the indices of frames with far less than others.

    `fragmentation` is the median of the squared length of the outline of what has depth over its area: 16 of a square,
    n times as much of n of them. It tells holes from sky or background, which leave what has depth whole.
    """

    median: float
    fragmentation: float
    minimum: float
    empty: tuple[int, ...]


def valid_depth(sample: Sample, parameters: ValidDepthParameters = ValidDepthParameters()) -> ValidDepth:
    """How much depth is measured in all frames, and which have nearly none."""
    valid = np.array([frame.valid for frame in sample.frames])
    median = float(np.median(valid))
    is_empty = valid < min(parameters.min_frame, parameters.min_frame_to_median * median)
    fragmentation = float(np.median([_fragmentation(frame.depth) for frame in sample.frames]))
    return ValidDepth(median, fragmentation, float(valid.min()), tuple(np.flatnonzero(is_empty).tolist()))


def _fragmentation(depth: Float[np.ndarray, "h w"]) -> float:
    """Squared outline over area of the pixels with depth, single pixels aside; 0 without outline."""
    is_valid = cv2.medianBlur((depth > 0).astype(np.uint8), 3).astype(np.int64)
    outline = np.abs(np.diff(is_valid, axis=0)).sum() + np.abs(np.diff(is_valid, axis=1)).sum()
    return float(outline**2 / max(is_valid.sum(), 1))
