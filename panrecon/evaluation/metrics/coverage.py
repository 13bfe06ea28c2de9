"""IoU of true objects with the predicted object that overlaps each most (mCov, mWCov: Wang et al., CVPR 2019)."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Int

from panrecon.evaluation.matching import SegmentIntersections, intersect_segments
from panrecon.evaluation.overlap import Overlap
from panrecon.evaluation.segments import (
    instance_segments,
    panoptic_segments,
    predicted_side,
    remapped_segments,
    true_side,
)
from panrecon.structures import VOID, CategoryTable

MAX_VOID_SHARE: Final = 0.5  # a predicted segment of which more than this share lies on void is ignored


@dataclass(frozen=True)
class Coverage:
    """Mean and area-weighted IoU of true objects, precision and recall; in [0, 1], nan where undefined."""

    mean: float
    weighted: float
    precision: float
    recall: float


def coverage(overlap: Overlap, table: CategoryTable, threshold: float) -> Coverage:
    """Coverage of the evaluated true things by predicted things, whatever their class.

    Void (and what is not evaluated) is left out of every union, and predicted segments that lie mostly on it out of
    the precision. A thing without instance is one segment of its class.
    """
    predicted = predicted_side(overlap).restricted_to(table.is_thing)
    true = true_side(overlap).restricted_to(table.is_evaluated)
    intersections = intersect_segments(overlap, panoptic_segments(predicted, table), panoptic_segments(true, table))
    is_object = table.is_thing[intersections.true.category]
    best_prediction, iou = _best_predictions(intersections, intersections.predicted_on_void)
    covers = np.zeros(len(intersections.predicted), dtype=bool)
    covers[best_prediction[is_object & (iou > threshold)]] = True
    is_ignored = intersections.predicted_on_void > MAX_VOID_SHARE * intersections.predicted_area
    return _coverage(intersections, is_object, iou, threshold, precision=_mean(covers[~is_ignored]))


def remapped_coverage(overlap: Overlap, table: CategoryTable, threshold: float, with_none: bool = False) -> Coverage:
    """What the released scripts of PanopticRecon (Yu et al., IROS 2024) and PVLFF (Chen et al., RA-L 2024) print.

    True objects are remapped as for their panoptic quality, predicted ids are taken raw, void is left out nowhere. The
    precision divides the number of covered true objects by that of the ids predicted on true objects (no id is one of
    them), and so exceeds 1 where one id covers several. `with_none`: the points without an id may be the partner of a
    true object as well, as PVLFF has it. Published thresholds: 0.1 (PanopticRecon), 0.5 (PVLFF).
    """
    predicted = instance_segments(predicted_side(overlap), table, with_none)
    true = remapped_segments(true_side(overlap), table)
    intersections = intersect_segments(overlap, predicted, true)
    is_object = table.is_thing[intersections.true.category] & (intersections.true.instance != VOID)
    _, iou = _best_predictions(intersections, np.zeros(len(intersections.predicted)))
    ids_on_objects = np.unique(intersections.predicted_index[np.append(is_object, False)[intersections.true_index]])
    covered = np.count_nonzero(is_object & (iou > threshold))
    precision = covered / len(ids_on_objects) if len(ids_on_objects) else np.nan
    return _coverage(intersections, is_object, iou, threshold, precision)


def _best_predictions(
    intersections: SegmentIntersections, ignored: Float[np.ndarray, " P"]
) -> tuple[Int[np.ndarray, " T"], Float[np.ndarray, " T"]]:
    """Of every true segment the predicted one of greatest common area (of equals the first) and their IoU.

    `VOID` and 0 where no predicted segment intersects it. The ignored area of a predicted segment (m^2 or points) is
    left out of the union.
    """
    between = intersections.between_segments
    p, t = intersections.predicted_index[between], intersections.true_index[between]
    common = intersections.area[between]
    order = np.lexsort((p, -common, t))
    best = order[np.unique(t[order], return_index=True)[1]]
    p = p[best]
    t = t[best]
    common = common[best]
    best_prediction = np.full(len(intersections.true), VOID)
    best_prediction[t] = p
    iou = np.zeros(len(intersections.true))
    union = intersections.predicted_area[p] - ignored[p] + intersections.true_area[t] - common
    iou[t] = common / np.maximum(union, np.finfo(float).tiny)  # 0 where nothing has an area
    return best_prediction, iou


def _coverage(
    intersections: SegmentIntersections,
    is_object: Bool[np.ndarray, " T"],
    iou: Float[np.ndarray, " T"],
    threshold: float,
    precision: float,
) -> Coverage:
    iou = iou[is_object]
    area = intersections.true_area[is_object]
    weighted = float((area * iou).sum() / area.sum()) if len(iou) else float("nan")
    return Coverage(_mean(iou), weighted, float(precision), _mean(iou > threshold))


def _mean(values: Float[np.ndarray, " N"] | Bool[np.ndarray, " N"]) -> float:
    return float(values.mean()) if len(values) else float("nan")
