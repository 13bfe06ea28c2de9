"""Estimator of how much of the depth images is measured."""

from dataclasses import dataclass

import numpy as np

from panrecon.diagnosis.parameters import ValidDepthParameters
from panrecon.diagnosis.sample import Sample


@dataclass(frozen=True)
class ValidDepth:
    """Shares of pixels with depth in [0, 1] over all frames, and the indices of frames with far less than others."""

    median: float
    minimum: float
    empty: tuple[int, ...]


def valid_depth(sample: Sample, parameters: ValidDepthParameters = ValidDepthParameters()) -> ValidDepth:
    """How much depth is measured in all frames, and which have nearly none."""
    valid = np.array([frame.valid for frame in sample.frames])
    median = float(np.median(valid))
    empty = np.flatnonzero(valid < min(parameters.min_frame, parameters.min_frame_to_median * median))
    return ValidDepth(median, float(valid.min()), tuple(empty.tolist()))
