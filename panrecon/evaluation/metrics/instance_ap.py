"""Average precision of instances, as ScanNet's benchmark script computes it (Dai et al., CVPR 2017)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Int

from panrecon.evaluation.matching import Crossing, Pairs, above, cross, pairs_of_one_class
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
    """What is scored: `is_true`, `is_predicted` tell the objects of either side, `pairs` those of one class that meet.

    `ignored` is the share of every predicted segment on void and on true regions that are no objects.
    """

    crossing: Crossing
    pairs: Pairs
    confidence: Float[np.ndarray, " P"]
    ignored: Float[np.ndarray, " P"]
    is_predicted: Bool[np.ndarray, " P"]
    is_true: Bool[np.ndarray, " T"]


@dataclass(frozen=True)
class _Outcomes:
    """Class, confidence and verdict of everything predicted that counts, and the class of every true object missed."""

    category: Int[np.ndarray, " N"]
    confidence: Float[np.ndarray, " N"]
    is_right: Bool[np.ndarray, " N"]
    missed: Int[np.ndarray, " M"]


def average_precision(overlap: Overlap, table: CategoryTable, confidence: Mapping[int, float]) -> AveragePrecision:
    """AP of the evaluated thing classes; `confidence` by the prediction's instance numbers, 1 where it has none.

    The overlap counts points. Void is every point whose truth is no evaluated thing, stuff too; it stays in the union,
    but a prediction is not false if more of it than the IoU threshold lies on void, on regions under `MIN_REGION`
    points of its class or on points of its class without instance. Below 0.5 the script's greedy matching heeds the
    order of instance numbers.
    """
    objects = _objects(overlap, table, confidence)
    has_truth = np.bincount(objects.crossing.true.category[objects.is_true], minlength=len(table)) > 0
    precision = {
        threshold: np.where(has_truth, _precision_of_classes(_outcomes(objects, threshold), len(table)), np.nan)
        for threshold in (*THRESHOLDS, 0.25)
    }
    mean = np.stack([precision[threshold] for threshold in THRESHOLDS]).mean(axis=0)
    return AveragePrecision(mean, precision[0.5], precision[0.25])


def _objects(overlap: Overlap, table: CategoryTable, confidence: Mapping[int, float]) -> _Objects:
    scored = table.is_thing & table.is_evaluated
    predicted, true = (
        panoptic_segments(side.keeping(scored), table) for side in (predicted_side(overlap), true_side(overlap))
    )
    crossing = cross(overlap, predicted, true)
    is_predicted, is_true = _is_object(predicted, crossing.predicted_area), _is_object(true, crossing.true_area)
    pairs = pairs_of_one_class(crossing, np.zeros(len(predicted)), np.zeros(len(true)))
    return _Objects(
        crossing=crossing,
        pairs=pairs.where(is_predicted[pairs.prediction] & is_true[pairs.truth]),
        confidence=object_confidence(predicted, confidence),
        ignored=_ignored_area(crossing, is_true) / crossing.predicted_area,
        is_predicted=is_predicted,
        is_true=is_true,
    )


def _is_object(segments: Segments, area: Float[np.ndarray, " S"]) -> Bool[np.ndarray, " S"]:
    return (segments.instance != VOID) & (area >= MIN_REGION)


def _ignored_area(crossing: Crossing, is_true: Bool[np.ndarray, " T"]) -> Float[np.ndarray, " P"]:
    """Of every predicted segment what lies on void or on regions of its class that are no objects."""
    found = crossing.prediction != VOID
    p, t, area = crossing.prediction[found], crossing.truth[found], crossing.area[found]
    same_class = np.append(crossing.true.category, VOID)[t] == crossing.predicted.category[p]
    ignored = (t == VOID) | (same_class & ~np.append(is_true, False)[t])
    return np.bincount(p[ignored], area[ignored], minlength=len(crossing.predicted)).astype(np.float64)


def _outcomes(objects: _Objects, threshold: float) -> _Outcomes:
    pairs = above(objects.pairs, threshold)
    best, surplus = _claims(pairs, objects.confidence)
    is_false = objects.is_predicted & (objects.ignored <= threshold)
    is_false[pairs.prediction] = False
    is_missed = objects.is_true.copy()
    is_missed[list(best)] = False
    claims = [*best.items(), *surplus]
    true_category = objects.crossing.true.category
    category = true_category[np.array([truth for truth, _ in claims], dtype=np.int64)]
    return _Outcomes(
        category=np.concatenate([category, objects.crossing.predicted.category[is_false]]),
        confidence=np.concatenate([[score for _, score in claims], objects.confidence[is_false]]),
        is_right=np.arange(len(claims) + np.count_nonzero(is_false)) < len(best),
        missed=true_category[is_missed],
    )


def _claims(pairs: Pairs, confidence: Float[np.ndarray, " P"]) -> tuple[dict[int, float], list[tuple[int, float]]]:
    """The confidence that every matched true object is claimed with, and that of every surplus claim on one.

    True objects in turn take the first free prediction; of two on one the greater confidence is right and the lesser is
    false, but the second prediction stays free for a later object, as in the script.
    """
    best: dict[int, float] = {}
    surplus: list[tuple[int, float]] = []
    taken: set[int] = set()
    for pair in np.lexsort((pairs.prediction, pairs.truth)):
        prediction, truth = int(pairs.prediction[pair]), int(pairs.truth[pair])
        score = float(confidence[prediction])
        if prediction in taken:
            continue
        if truth in best:
            surplus.append((truth, min(best[truth], score)))
            best[truth] = max(best[truth], score)
        else:
            best[truth] = score
            taken.add(prediction)
    return best, surplus


def _precision_of_classes(outcomes: _Outcomes, count: int) -> Float[np.ndarray, " C"]:
    areas = np.zeros(count)
    for row in range(count):
        chosen = outcomes.category == row
        missed = int(np.count_nonzero(outcomes.missed == row))
        areas[row] = _area_under_curve(outcomes.confidence[chosen], outcomes.is_right[chosen], missed)
    return areas


def _area_under_curve(confidence: Float[np.ndarray, " N"], is_right: Bool[np.ndarray, " N"], missed: int) -> float:
    """Precision summed over the recall it reaches: each point takes half the step to either neighbour.

    One point per distinct confidence, and a last one of precision 1 and recall 0.
    """
    order = np.argsort(confidence, kind="stable")
    _, first = np.unique(confidence[order], return_index=True)
    right_below = np.append(0, np.cumsum(is_right[order]))
    right = right_below[-1] - right_below[first]
    precision = np.append(right / (len(order) - first), 1.0)
    recall = np.append(right / max(right_below[-1] + missed, 1), 0.0)
    around = np.concatenate([recall[:1], recall, [0.0]])
    return float((precision * (around[:-2] - around[2:]) / 2).sum())
