"""Panoptic quality (Kirillov et al., CVPR 2019) from matched, false and missed segments, whoever matched them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
from jaxtyping import Bool, Float, Int

from panrecon.evaluation.matching import Crossing, Pairs
from panrecon.structures import VOID


@dataclass(frozen=True)
class PanopticStatistics:
    """Sufficient statistics of every class; those of several scenes add.

    `counted` tells the classes that a mean is taken over, with a quality of 0 where they have no segment.
    """

    iou_sum: Float[np.ndarray, " C"]
    true_positives: Int[np.ndarray, " C"]
    false_positives: Int[np.ndarray, " C"]
    false_negatives: Int[np.ndarray, " C"]
    counted: Bool[np.ndarray, " C"]

    def __add__(self, other: "PanopticStatistics") -> "PanopticStatistics":
        return PanopticStatistics(
            self.iou_sum + other.iou_sum,
            self.true_positives + other.true_positives,
            self.false_positives + other.false_positives,
            self.false_negatives + other.false_negatives,
            self.counted | other.counted,
        )


@dataclass(frozen=True)
class PanopticQuality:
    """Segmentation, recognition and panoptic quality of every class in [0, 1]; nan where a class is not counted."""

    sq: Float[np.ndarray, " C"]
    rq: Float[np.ndarray, " C"]
    pq: Float[np.ndarray, " C"]

    def mean(self, chosen: Bool[np.ndarray, " C"] | None = None) -> dict[str, float]:
        """`pq`, `sq`, `rq` over the chosen classes that are counted; nan where none is."""
        used = ~np.isnan(self.pq) & (True if chosen is None else chosen)
        values = {"pq": self.pq, "sq": self.sq, "rq": self.rq}
        return {name: float(value[used].mean()) if used.any() else float("nan") for name, value in values.items()}


@dataclass(frozen=True)
class Matching:
    """The segments of both sides of an overlap, matched: what is right, what is false, what is missed."""

    crossing: Crossing
    matched: Pairs
    is_false: Bool[np.ndarray, " P"]
    is_missed: Bool[np.ndarray, " T"]
    counted: Bool[np.ndarray, " C"]

    @property
    def statistics(self) -> PanopticStatistics:
        count = len(self.counted)
        category = self.crossing.true.category[self.matched.truth]
        return PanopticStatistics(
            np.bincount(category, self.matched.iou, minlength=count).astype(np.float64),
            np.bincount(category, minlength=count),
            np.bincount(self.crossing.predicted.category[self.is_false], minlength=count),
            np.bincount(self.crossing.true.category[self.is_missed], minlength=count),
            self.counted,
        )

    @property
    def is_right(self) -> Bool[np.ndarray, " N"]:
        """Rows of the overlap that lie in both segments of a matched pair."""
        predicted, true = self.crossing.predicted.of_row, self.crossing.true.of_row
        partners = np.zeros((len(self.matched), 2), dtype=np.int64)
        partners[:, 0], partners[:, 1] = self.matched.prediction, self.matched.truth
        span = len(self.crossing.true) + 1
        found = np.isin(predicted * span + true, partners[:, 0] * span + partners[:, 1])
        return found & (predicted != VOID) & (true != VOID)


def panoptic_quality(statistics: PanopticStatistics) -> PanopticQuality:
    """SQ = sum IoU / TP, RQ = TP / (TP + FP/2 + FN/2), PQ = SQ x RQ."""
    matches, iou_sum = statistics.true_positives, statistics.iou_sum
    weight = matches + 0.5 * statistics.false_positives + 0.5 * statistics.false_negatives
    ratios = ((iou_sum, matches), (matches, weight), (iou_sum, weight))
    values = (np.where(below > 0, over / np.maximum(below, 0.5), 0.0) for over, below in ratios)
    sq, rq, pq = (np.where(statistics.counted, value, np.nan) for value in values)
    return PanopticQuality(sq, rq, pq)


def sum_statistics(statistics: Sequence[PanopticStatistics]) -> PanopticStatistics:
    """The statistics of several scenes together."""
    return reduce(PanopticStatistics.__add__, statistics)
