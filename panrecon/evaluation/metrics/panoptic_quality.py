"""Panoptic quality (Kirillov et al., CVPR 2019) from matched, false and missed segments, however they were matched."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
from jaxtyping import Bool, Float, Int

from panrecon.evaluation.matching import SegmentIntersections, SegmentPairs
from panrecon.structures import VOID


@dataclass(frozen=True)
class PanopticStatistics:
    """Sufficient statistics of every class; those of several scenes add.

    `is_counted` marks the classes that a mean is taken over, with a quality of 0 where they have no segment.
    """

    iou_sum: Float[np.ndarray, " C"]
    true_positives: Int[np.ndarray, " C"]
    false_positives: Int[np.ndarray, " C"]
    false_negatives: Int[np.ndarray, " C"]
    is_counted: Bool[np.ndarray, " C"]

    def __add__(self, other: "PanopticStatistics") -> "PanopticStatistics":
        return PanopticStatistics(
            self.iou_sum + other.iou_sum,
            self.true_positives + other.true_positives,
            self.false_positives + other.false_positives,
            self.false_negatives + other.false_negatives,
            self.is_counted | other.is_counted,
        )


@dataclass(frozen=True)
class PanopticQuality:
    """Segmentation, recognition and panoptic quality of every class in [0, 1]; nan where a class is not counted."""

    sq: Float[np.ndarray, " C"]
    rq: Float[np.ndarray, " C"]
    pq: Float[np.ndarray, " C"]

    def mean(self, in_group: Bool[np.ndarray, " C"] | None = None) -> dict[str, float]:
        """The means `pq`, `sq`, `rq` over the counted classes, of a group or of all; nan where none is counted."""
        used = ~np.isnan(self.pq) & (True if in_group is None else in_group)
        values = {"pq": self.pq, "sq": self.sq, "rq": self.rq}
        return {name: float(value[used].mean()) if used.any() else float("nan") for name, value in values.items()}


@dataclass(frozen=True)
class Matching:
    """The segments of both sides of an overlap, matched: pairs (true positives), false and missed segments.

    `is_false` marks predicted and `is_missed` true segments; what is neither matched nor marked is ignored.
    `is_counted` as in `PanopticStatistics`.
    """

    intersections: SegmentIntersections
    matched: SegmentPairs
    is_false: Bool[np.ndarray, " P"]
    is_missed: Bool[np.ndarray, " T"]
    is_counted: Bool[np.ndarray, " C"]

    @property
    def statistics(self) -> PanopticStatistics:
        """Sums of IoU and counts of matched pairs, false and missed segments by class."""
        count = len(self.is_counted)
        category = self.intersections.true.category[self.matched.true_index]
        return PanopticStatistics(
            np.bincount(category, self.matched.iou, minlength=count).astype(np.float64),
            np.bincount(category, minlength=count),
            np.bincount(self.intersections.predicted.category[self.is_false], minlength=count),
            np.bincount(self.intersections.true.category[self.is_missed], minlength=count),
            self.is_counted,
        )

    @property
    def is_correct(self) -> Bool[np.ndarray, " N"]:
        """Rows of the overlap that lie in both segments of a matched pair."""
        predicted = self.intersections.predicted.of_row
        true = self.intersections.true.of_row
        span = len(self.intersections.true) + 1
        matched_keys = self.matched.predicted_index.astype(np.int64) * span + self.matched.true_index
        return np.isin(predicted * span + true, matched_keys) & (predicted != VOID) & (true != VOID)


def panoptic_quality(statistics: PanopticStatistics) -> PanopticQuality:
    """SQ = sum of IoU / TP, RQ = TP / (TP + FP/2 + FN/2) and PQ = SQ x RQ of every counted class."""
    matches = statistics.true_positives
    iou_sum = statistics.iou_sum
    weight = matches + 0.5 * statistics.false_positives + 0.5 * statistics.false_negatives
    ratios = ((iou_sum, matches), (matches, weight), (iou_sum, weight))
    values = (np.where(below > 0, over / np.maximum(below, 0.5), 0.0) for over, below in ratios)
    sq, rq, pq = (np.where(statistics.is_counted, value, np.nan) for value in values)
    return PanopticQuality(sq, rq, pq)


def sum_statistics(statistics: Sequence[PanopticStatistics]) -> PanopticStatistics:
    """The statistics of several scenes together; at least one is needed."""
    return reduce(PanopticStatistics.__add__, statistics)
