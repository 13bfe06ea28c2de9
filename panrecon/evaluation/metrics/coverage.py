"""How well the predicted object that meets a true one most covers it (mCov, mWCov: Wang et al., CVPR 2019)."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Int

from panrecon.evaluation.matching import Crossing, cross
from panrecon.evaluation.overlap import Overlap
from panrecon.evaluation.segments import (
    instance_segments,
    panoptic_segments,
    predicted_side,
    remapped_segments,
    true_side,
)
from panrecon.structures import VOID, CategoryTable

EXCUSED: Final = 0.5  # a predicted segment of which more than this share lies on void is not counted


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
    predicted = predicted_side(overlap).keeping(table.is_thing)
    true = true_side(overlap).keeping(table.is_evaluated)
    crossing = cross(overlap, panoptic_segments(predicted, table), panoptic_segments(true, table))
    is_object = table.is_thing[crossing.true.category]
    partner, iou = _best_partners(crossing, crossing.predicted_on_void)
    covers = np.zeros(len(crossing.predicted), dtype=bool)
    covers[partner[is_object & (iou > threshold)]] = True
    counted = crossing.predicted_on_void <= EXCUSED * crossing.predicted_area
    return _coverage(crossing, is_object, iou, threshold, precision=_mean(covers[counted]))


def remapped_coverage(overlap: Overlap, table: CategoryTable, threshold: float) -> Coverage:
    """What the released scripts of PanopticRecon (Yu et al., IROS 2024) and PVLFF (Chen et al., RA-L 2024) print.

    True objects are remapped as for their panoptic quality, predicted ids are taken raw, void is left out nowhere. The
    precision divides the number of covered true objects by that of the ids predicted on true objects (no id is one of
    them), and so exceeds 1 where one id covers several. Published thresholds: 0.1 (PanopticRecon), 0.5 (PVLFF).
    """
    predicted, true = instance_segments(predicted_side(overlap)), remapped_segments(true_side(overlap), table)
    crossing = cross(overlap, predicted, true)
    is_object = table.is_thing[crossing.true.category] & (crossing.true.instance != VOID)
    _, iou = _best_partners(crossing, np.zeros(len(crossing.predicted)))
    ids_met = np.unique(crossing.prediction[np.append(is_object, False)[crossing.truth]])
    covered = np.count_nonzero(is_object & (iou > threshold))
    return _coverage(crossing, is_object, iou, threshold, precision=covered / len(ids_met) if len(ids_met) else np.nan)


def _best_partners(
    crossing: Crossing, excused: Float[np.ndarray, " P"]
) -> tuple[Int[np.ndarray, " T"], Float[np.ndarray, " T"]]:
    """Of every true segment the predicted one of greatest common area (of equals the first) and their IoU.

    `VOID` and 0 where none meets it. What is excused of a predicted segment (m^2 or points) is left out of the union.
    """
    both = (crossing.prediction != VOID) & (crossing.truth != VOID)
    p, t, common = crossing.prediction[both], crossing.truth[both], crossing.area[both]
    order = np.lexsort((p, -common, t))
    best = order[np.unique(t[order], return_index=True)[1]]
    p, t, common = p[best], t[best], common[best]
    partner, iou = np.full(len(crossing.true), VOID), np.zeros(len(crossing.true))
    partner[t] = p
    union = crossing.predicted_area[p] - excused[p] + crossing.true_area[t] - common
    iou[t] = common / np.maximum(union, np.finfo(float).tiny)  # 0 where nothing has an area
    return partner, iou


def _coverage(
    crossing: Crossing,
    is_object: Bool[np.ndarray, " T"],
    iou: Float[np.ndarray, " T"],
    threshold: float,
    precision: float,
) -> Coverage:
    iou, area = iou[is_object], crossing.true_area[is_object]
    weighted = float((area * iou).sum() / area.sum()) if len(iou) else float("nan")
    return Coverage(_mean(iou), weighted, float(precision), _mean(iou > threshold))


def _mean(values: Float[np.ndarray, " N"] | Bool[np.ndarray, " N"]) -> float:
    return float(values.mean()) if len(values) else float("nan")
