"""Average precision of instances, as ScanNet's benchmark script computes it (Dai et al., CVPR 2017)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Int

from panrecon.evaluation.matching import (
    SegmentIntersections,
    SegmentPairs,
    intersect_segments,
    pairs_above,
    same_class_pairs,
)
from panrecon.evaluation.metrics.calibration import object_confidence
from panrecon.evaluation.overlap import Overlap
from panrecon.evaluation.segments import Segments, panoptic_segments, predicted_side, true_side
from panrecon.structures import VOID, CategoryTable

MIN_REGION: Final = 100  # vertices; smaller regions are ignored on either side
# The script's thresholds of AP: its np.arange(0.5, 0.95, 0.05) ends at 0.90, one short of the 0.5:0.05:0.95 it is
# known for.
THRESHOLDS: Final = tuple(float(threshold) for threshold in np.arange(0.5, 0.95, 0.05))


@dataclass(frozen=True)
class AveragePrecision:
    """Of every class in [0, 1]: `ap` over IoU 0.50, 0.55 .. 0.90, `ap50`, `ap25`; nan without a true instance."""

    ap: Float[np.ndarray, " C"]
    ap50: Float[np.ndarray, " C"]
    ap25: Float[np.ndarray, " C"]

    def mean(self) -> dict[str, float]:
        """`ap`, `ap50`, `ap25` over the classes with a true instance; nan where there is none."""
        used = ~np.isnan(self.ap)
        values = {"ap": self.ap, "ap50": self.ap50, "ap25": self.ap25}
        return {name: float(value[used].mean()) if used.any() else float("nan") for name, value in values.items()}


@dataclass(frozen=True)
class _Objects:
    """What is scored: `is_true`, `is_predicted` mark the objects of either side, `pairs` are those of one class.

    `ignored` is the share of every predicted segment on void and on true regions that are no objects.
    """

    intersections: SegmentIntersections
    pairs: SegmentPairs
    confidence: Float[np.ndarray, " P"]
    ignored: Float[np.ndarray, " P"]
    is_predicted: Bool[np.ndarray, " P"]
    is_true: Bool[np.ndarray, " T"]


@dataclass(frozen=True)
class _ScoredPredictions:
    """Class, confidence and correctness of every prediction that counts, and the class of every true object missed."""

    category: Int[np.ndarray, " N"]
    confidence: Float[np.ndarray, " N"]
    is_correct: Bool[np.ndarray, " N"]
    missed: Int[np.ndarray, " M"]


def average_precision(overlap: Overlap, table: CategoryTable, confidence: Mapping[int, float]) -> AveragePrecision:
    """AP of the evaluated thing classes; `confidence` by predicted instance, 1 where it has none.

    The overlap counts points. Void is every point whose truth is no evaluated thing, stuff too; it stays in the union,
    but a prediction is not false if more of it than the IoU threshold lies on void, on regions under `MIN_REGION`
    points of its class or on points of its class without instance. Below 0.5 the script's greedy matching depends on
    the order of instances.
    """
    objects = _objects(overlap, table, confidence)
    has_truth = np.bincount(objects.intersections.true.category[objects.is_true], minlength=len(table)) > 0
    precision = {
        threshold: np.where(has_truth, _area_of_classes(_scored_predictions(objects, threshold), len(table)), np.nan)
        for threshold in (*THRESHOLDS, 0.25)
    }
    mean = np.stack([precision[threshold] for threshold in THRESHOLDS]).mean(axis=0)
    return AveragePrecision(mean, precision[0.5], precision[0.25])


def _objects(overlap: Overlap, table: CategoryTable, confidence: Mapping[int, float]) -> _Objects:
    scored = table.is_thing & table.is_evaluated
    predicted = panoptic_segments(predicted_side(overlap).restricted_to(scored), table)
    true = panoptic_segments(true_side(overlap).restricted_to(scored), table)
    intersections = intersect_segments(overlap, predicted, true)
    is_predicted = _is_object(predicted, intersections.predicted_area)
    is_true = _is_object(true, intersections.true_area)
    pairs = same_class_pairs(intersections, np.zeros(len(predicted)), np.zeros(len(true)))
    return _Objects(
        intersections=intersections,
        pairs=pairs.where(is_predicted[pairs.predicted_index] & is_true[pairs.true_index]),
        confidence=object_confidence(predicted, confidence),
        ignored=_ignored_area(intersections, is_true) / intersections.predicted_area,
        is_predicted=is_predicted,
        is_true=is_true,
    )


def _is_object(segments: Segments, area: Float[np.ndarray, " S"]) -> Bool[np.ndarray, " S"]:
    return (segments.instance != VOID) & (area >= MIN_REGION)


def _ignored_area(intersections: SegmentIntersections, is_true: Bool[np.ndarray, " T"]) -> Float[np.ndarray, " P"]:
    """Area of every predicted segment on void or on regions of its class that are no objects."""
    is_predicted = intersections.predicted_index != VOID
    p, t = intersections.predicted_index[is_predicted], intersections.true_index[is_predicted]
    area = intersections.area[is_predicted]
    same_class = np.append(intersections.true.category, VOID)[t] == intersections.predicted.category[p]
    ignored = (t == VOID) | (same_class & ~np.append(is_true, False)[t])
    return np.bincount(p[ignored], area[ignored], minlength=len(intersections.predicted)).astype(np.float64)


def _scored_predictions(objects: _Objects, threshold: float) -> _ScoredPredictions:
    pairs = pairs_above(objects.pairs, threshold)
    best, duplicates = _match(pairs, objects.confidence)
    is_false = objects.is_predicted & (objects.ignored <= threshold)
    is_false[pairs.predicted_index] = False
    is_missed = objects.is_true.copy()
    is_missed[list(best)] = False
    matches = [*best.items(), *duplicates]
    true_category = objects.intersections.true.category
    category = true_category[np.array([truth for truth, _ in matches], dtype=np.int64)]
    return _ScoredPredictions(
        category=np.concatenate([category, objects.intersections.predicted.category[is_false]]),
        confidence=np.concatenate([[score for _, score in matches], objects.confidence[is_false]]),
        is_correct=np.arange(len(matches) + np.count_nonzero(is_false)) < len(best),
        missed=true_category[is_missed],
    )


def _match(
    pairs: SegmentPairs, confidence: Float[np.ndarray, " P"]
) -> tuple[dict[int, float], list[tuple[int, float]]]:
    """The confidence of every matched true object, and that of every duplicate prediction of one.

    True objects in turn take the first unmatched prediction; of two of one object the greater confidence is correct and
    the lesser false, but the second prediction may still match a later object, as in the script.
    """
    best: dict[int, float] = {}
    duplicates: list[tuple[int, float]] = []
    matched_predictions: set[int] = set()
    for pair in np.lexsort((pairs.predicted_index, pairs.true_index)):
        prediction = int(pairs.predicted_index[pair])
        truth = int(pairs.true_index[pair])
        score = float(confidence[prediction])
        if prediction in matched_predictions:
            continue
        if truth in best:
            duplicates.append((truth, min(best[truth], score)))
            best[truth] = max(best[truth], score)
        else:
            best[truth] = score
            matched_predictions.add(prediction)
    return best, duplicates


def _area_of_classes(outcomes: _ScoredPredictions, count: int) -> Float[np.ndarray, " C"]:
    areas = np.zeros(count)
    for index in range(count):
        in_class = outcomes.category == index
        missed = int(np.count_nonzero(outcomes.missed == index))
        areas[index] = _area_under_curve(outcomes.confidence[in_class], outcomes.is_correct[in_class], missed)
    return areas


def _area_under_curve(confidence: Float[np.ndarray, " N"], is_correct: Bool[np.ndarray, " N"], missed: int) -> float:
    """Precision summed over the recall it reaches: each point takes half the step to either neighbour.

    One point per distinct confidence, and a last one of precision 1 and recall 0.
    """
    order = np.argsort(confidence, kind="stable")
    _, first = np.unique(confidence[order], return_index=True)
    correct_below = np.append(0, np.cumsum(is_correct[order]))
    correct = correct_below[-1] - correct_below[first]
    precision = np.append(correct / (len(order) - first), 1.0)
    recall = np.append(correct / max(correct_below[-1] + missed, 1), 0.0)
    around = np.concatenate([recall[:1], recall, [0.0]])
    return float((precision * (around[:-2] - around[2:]) / 2).sum())
