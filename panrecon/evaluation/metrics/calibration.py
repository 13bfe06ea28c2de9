"""Calibration of objects: their stated confidence against the share of them that is correct."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Int

from panrecon.evaluation.metrics.panoptic_quality import Matching
from panrecon.evaluation.segments import Segments
from panrecon.structures import VOID

DEFAULT_CONFIDENCE: Final = 1.0  # of an object that states none


@dataclass(frozen=True)
class Calibration:
    """Expected calibration error in [0, 1] (nan without objects), and what every bin of confidence holds.

    `confidence` and `accuracy` are a bin's mean confidence and its share of correct objects; nan where it is empty.
    """

    ece: float
    counts: Int[np.ndarray, " B"]
    confidence: Float[np.ndarray, " B"]
    accuracy: Float[np.ndarray, " B"]


def expected_calibration_error(
    confidence: Float[np.ndarray, " N"], is_correct: Bool[np.ndarray, " N"], bins: int = 10
) -> Calibration:
    """Mean absolute difference of confidence and accuracy over objects (Guo et al., ICML 2017), in [0, 1].

    Bins of equal width over [0, 1]; a confidence on an edge lies in the lower one.

    Raises:
        ValueError: a confidence lies outside [0, 1].
    """
    if not ((confidence >= 0) & (confidence <= 1)).all():
        raise ValueError(f"Confidences must lie in [0, 1], not in [{confidence.min():g}, {confidence.max():g}].")
    bin_of_object = np.searchsorted(np.arange(1, bins) / bins, confidence, side="left")
    counts = np.bincount(bin_of_object, minlength=bins)
    sums = (np.bincount(bin_of_object, values, minlength=bins) for values in (confidence, is_correct))
    mean, accuracy = (np.divide(total, counts, out=np.full(bins, np.nan), where=counts > 0) for total in sums)
    ece = float(np.nansum(counts * np.abs(mean - accuracy)) / len(confidence)) if len(confidence) else float("nan")
    return Calibration(ece, counts, mean, accuracy)


def object_outcomes(
    matching: Matching, confidence: Mapping[int, float]
) -> tuple[Float[np.ndarray, " N"], Bool[np.ndarray, " N"]]:
    """Confidence of every predicted object that states one, and whether a true object matches it.

    Objects that are ignored, neither matched nor false, are left out. `confidence` by predicted instance.
    """
    predicted = matching.intersections.predicted
    is_correct = np.zeros(len(predicted), dtype=bool)
    is_correct[matching.matched.predicted_index] = True
    states_confidence = np.isin(predicted.instance, list(confidence))
    is_scored = (is_correct | matching.is_false) & (predicted.instance != VOID) & states_confidence
    return object_confidence(predicted, confidence)[is_scored], is_correct[is_scored]


def object_confidence(segments: Segments, confidence: Mapping[int, float]) -> Float[np.ndarray, " S"]:
    """The confidence of every segment, from `confidence` by instance; 1 where that states none."""
    return np.array(
        [confidence.get(int(instance), DEFAULT_CONFIDENCE) for instance in segments.instance], dtype=np.float64
    )
