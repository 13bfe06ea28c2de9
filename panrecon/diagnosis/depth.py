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

    `density` is the median share of pixels with depth around pixels with depth: high where what there is is measured
    without holes, however much sky or background has no depth.
    """

    median: float
    density: float
    minimum: float
    empty: tuple[int, ...]


def valid_depth(sample: Sample, parameters: ValidDepthParameters = ValidDepthParameters()) -> ValidDepth:
    """How much depth is measured in all frames, and which have nearly none."""
    valid = np.array([frame.valid for frame in sample.frames])
    median = float(np.median(valid))
    density = np.array([_density(frame.depth, parameters.window) for frame in sample.frames])
    is_empty = valid < min(parameters.min_frame, parameters.min_frame_to_median * median)
    empty = np.flatnonzero(is_empty & (density < parameters.min_density))
    return ValidDepth(median, float(np.median(density)), float(valid.min()), tuple(empty.tolist()))


def _density(depth: Float[np.ndarray, "h w"], window: int) -> float:
    """The mean share of pixels with depth in windows about pixels with depth; 0 without any."""
    is_valid = (depth > 0).astype(np.float32)
    if not is_valid.any():
        return 0.0
    around = cv2.blur(is_valid, (window, window), borderType=cv2.BORDER_REFLECT)
    return float(around[is_valid > 0].mean())
