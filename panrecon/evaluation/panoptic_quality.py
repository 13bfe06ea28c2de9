"""Strict panoptic quality (Kirillov et al., CVPR 2019, the rule of panopticapi) of labelled points.

A segment is all points of one thing class and instance, or all points of one stuff class. Two segments of one class
match if their IoU exceeds 0.5. Truth that is void or of a class that is not evaluated is neither a miss nor an error;
what the prediction leaves void is a miss.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from panrecon.structures import VOID, CategoryTable, Labels

THRESHOLD = 0.5


@dataclass(frozen=True)
class PanopticStatistics:
    """Sufficient statistics of every class; those of several scenes add."""

    iou_sum: Float[np.ndarray, " C"]
    true_positives: Int[np.ndarray, " C"]
    false_positives: Int[np.ndarray, " C"]
    false_negatives: Int[np.ndarray, " C"]

    def __add__(self, other: "PanopticStatistics") -> "PanopticStatistics":
        return PanopticStatistics(
            self.iou_sum + other.iou_sum,
            self.true_positives + other.true_positives,
            self.false_positives + other.false_positives,
            self.false_negatives + other.false_negatives,
        )


@dataclass(frozen=True)
class PanopticQuality:
    """Segmentation, recognition and panoptic quality of every class in [0, 1]; nan where a class has no segment."""

    sq: Float[np.ndarray, " C"]
    rq: Float[np.ndarray, " C"]
    pq: Float[np.ndarray, " C"]

    def mean(self, chosen: np.ndarray | None = None) -> dict[str, float]:
        """`pq`, `sq`, `rq` over the chosen classes that have segments; nan where none has."""
        used = ~np.isnan(self.pq) & (True if chosen is None else chosen)
        values = {"pq": self.pq, "sq": self.sq, "rq": self.rq}
        return {name: float(value[used].mean()) if used.any() else float("nan") for name, value in values.items()}


@dataclass(frozen=True)
class Segments:
    """The segments of one labelling: number of every point (`VOID` = none), and category and area of each segment."""

    of_point: Int[np.ndarray, " P"]
    category: Int[np.ndarray, " S"]
    area: Int[np.ndarray, " S"]


@dataclass(frozen=True)
class Matching:
    """The segments of both sides, and the pairs of them that match (one to one)."""

    predicted: Segments
    true: Segments
    void_area: Int[np.ndarray, " S"]
    prediction: Int[np.ndarray, " M"]
    truth: Int[np.ndarray, " M"]
    iou: Float[np.ndarray, " M"]

    @property
    def is_matched(self) -> Bool[np.ndarray, " P"]:
        """Points that lie in both segments of a matched pair."""
        partner = np.full(len(self.predicted.area) + 1, VOID, dtype=np.int64)
        partner[self.prediction] = self.truth
        return (self.true.of_point != VOID) & (partner[self.predicted.of_point] == self.true.of_point)


def match(prediction: Labels, truth: Labels, table: CategoryTable) -> Matching:
    """Pairs of one class whose IoU exceeds the threshold; one pass over the points, however they are ordered.

    Predicted area on void truth is left out of the union.
    """
    evaluated = np.append(table.is_evaluated, False)
    truth_category = np.where(evaluated[truth.category], truth.category, VOID)
    true = _segments(Labels(truth_category, truth.instance), table)
    predicted = _segments(prediction, table)
    pair_prediction, pair_truth, intersection = _contingency(predicted.of_point, true.of_point)
    void_area = np.zeros(len(predicted.area), dtype=np.int64)
    on_void = (pair_truth == VOID) & (pair_prediction != VOID)
    void_area[pair_prediction[on_void]] = intersection[on_void]
    both = (pair_truth != VOID) & (pair_prediction != VOID)
    p, t, common = pair_prediction[both], pair_truth[both], intersection[both]
    iou = common / (predicted.area[p] + true.area[t] - common - void_area[p])
    matched = (iou > THRESHOLD) & (predicted.category[p] == true.category[t])
    return Matching(predicted, true, void_area, p[matched], t[matched], iou[matched])


def panoptic_statistics(matching: Matching, table: CategoryTable) -> PanopticStatistics:
    """Matches, false and missed segments of every class; a prediction more than half on void truth is not false."""
    predicted, true, count = matching.predicted, matching.true, len(table)
    matches = np.bincount(true.category[matching.truth], minlength=count)
    excused = matching.void_area > 0.5 * predicted.area
    excused[matching.prediction] = False
    scored = table.is_evaluated[predicted.category] & ~excused
    return PanopticStatistics(
        np.bincount(true.category[matching.truth], matching.iou, minlength=count).astype(np.float64),
        matches,
        np.bincount(predicted.category[scored], minlength=count) - matches,
        np.bincount(true.category, minlength=count) - matches,
    )


def panoptic_quality(statistics: PanopticStatistics) -> PanopticQuality:
    """SQ = sum IoU / TP, RQ = TP / (TP + FP/2 + FN/2), PQ = SQ x RQ."""
    matches, iou_sum = statistics.true_positives, statistics.iou_sum
    weight = matches + 0.5 * statistics.false_positives + 0.5 * statistics.false_negatives
    with np.errstate(invalid="ignore", divide="ignore"):
        sq = np.where(matches > 0, iou_sum / matches, 0.0)
        return PanopticQuality(np.where(weight > 0, sq, np.nan), matches / weight, iou_sum / weight)


def _segments(labels: Labels, table: CategoryTable) -> Segments:
    category = labels.category.astype(np.int64).ravel()
    is_thing = np.append(table.is_thing, False)[category]
    instance = np.where(is_thing, labels.instance.ravel(), VOID).astype(np.int64)
    key = instance - VOID
    span = int(key.max(initial=0)) + 1
    labelled = category != VOID
    keys, inverse, area = np.unique(category[labelled] * span + key[labelled], return_inverse=True, return_counts=True)
    of_point = np.full(len(category), VOID, dtype=np.int64)
    of_point[labelled] = inverse
    return Segments(of_point, keys // span, area)


def _contingency(
    first: Int[np.ndarray, " P"], second: Int[np.ndarray, " P"]
) -> tuple[Int[np.ndarray, " N"], Int[np.ndarray, " N"], Int[np.ndarray, " N"]]:
    """Every pair of values that occurs together, and at how many points."""
    span = int(second.max(initial=0)) + 2
    keys, count = np.unique((first + 1) * span + (second + 1), return_counts=True)
    return keys // span - 1, keys % span - 1, count
