"""Whether objects are as often right as they say: confidence against outcome."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Int

from panrecon.evaluation.metrics.panoptic_quality import Matching
from panrecon.evaluation.segments import Segments
from panrecon.structures import VOID

CERTAIN: Final = 1.0  # an object of no known confidence


@dataclass(frozen=True)
class Calibration:
    """Expected calibration error in [0, 1] (nan without objects), and what every bin of confidence holds.

    `confidence` and `right` are a bin's mean confidence and its share of right objects; nan where it is empty.
    """

    ece: float
    counts: Int[np.ndarray, " B"]
    confidence: Float[np.ndarray, " B"]
    right: Float[np.ndarray, " B"]


def expected_calibration_error(
    confidence: Float[np.ndarray, " N"], is_right: Bool[np.ndarray, " N"], bins: int = 10
) -> Calibration:
    """Mean distance between confidence and share right, over objects (Guo et al., ICML 2017).

    Bins of equal width over [0, 1]; a confidence on an edge lies in the lower one.
    """
    if not ((confidence >= 0) & (confidence <= 1)).all():
        raise ValueError(f"Confidences must lie in [0, 1], not in [{confidence.min():g}, {confidence.max():g}].")
    of_object = np.searchsorted(np.arange(1, bins) / bins, confidence, side="left")
    counts = np.bincount(of_object, minlength=bins)
    sums = (np.bincount(of_object, values, minlength=bins) for values in (confidence, is_right))
    mean, right = (np.divide(one, counts, out=np.full(bins, np.nan), where=counts > 0) for one in sums)
    ece = float(np.nansum(counts * np.abs(mean - right)) / len(confidence)) if len(confidence) else float("nan")
    return Calibration(ece, counts, mean, right)


def object_outcomes(
    matching: Matching, confidence: Mapping[int, float]
) -> tuple[Float[np.ndarray, " N"], Bool[np.ndarray, " N"]]:
    """Confidence of every predicted object that states one, and whether a true object matches it.

    Objects that are excused, neither matched nor false, are left out.
    """
    predicted = matching.crossing.predicted
    is_right = np.zeros(len(predicted), dtype=bool)
    is_right[matching.matched.prediction] = True
    stated = np.isin(predicted.instance, list(confidence))
    counted = (is_right | matching.is_false) & (predicted.instance != VOID) & stated
    return object_confidence(predicted, confidence)[counted], is_right[counted]


def object_confidence(segments: Segments, confidence: Mapping[int, float]) -> Float[np.ndarray, " S"]:
    """The confidence of every segment by its instance number; 1 where none is given."""
    return np.array([confidence.get(int(instance), CERTAIN) for instance in segments.instance], dtype=np.float64)
