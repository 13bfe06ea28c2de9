"""What papers on open-vocabulary LiDAR segmentation report: PQ, SQ and RQ by base and novel things and stuff, mIoU."""

from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from panrecon.evaluation.metrics.panoptic_quality import panoptic_quality, sum_statistics
from panrecon.evaluation.metrics.semantic import confusion, semantic_quality
from panrecon.evaluation.overlap import Overlap, merge_overlaps, overlap_and_rows
from panrecon.evaluation.protocols import parse_protocol
from panrecon.evaluation.report.record import nan_to_null
from panrecon.structures import VOID, CategoryTable, Labels


def class_groups(table: CategoryTable, is_base: Bool[np.ndarray, " C"]) -> Mapping[str, Bool[np.ndarray, " C"]]:
    """The classes of every group that is reported: base (annotated in training) or novel, things or stuff."""
    things = table.is_thing
    return {
        "all": np.ones(len(table), dtype=bool),
        "base": is_base,
        "novel": ~is_base,
        "base things": is_base & things,
        "base stuff": is_base & ~things,
        "novel things": ~is_base & things,
        "novel stuff": ~is_base & ~things,
    }


def lidar_record(
    scans: Sequence[Overlap], table: CategoryTable, is_base: Bool[np.ndarray, " C"], min_points: int
) -> dict[str, Any]:
    """`groups`, `classes` and `miou` in [0, 1], from every scan's overlap of prediction and truth.

    None where no class is counted. Segments of fewer than `min_points` points are neither false nor missed.
    """
    protocol = parse_protocol("lidar", min_points)
    quality = panoptic_quality(sum_statistics([protocol.match(scan, table).statistics for scan in scans]))
    record = {
        "scans": len(scans),
        "min_points": min_points,
        "miou": semantic_quality(confusion(merge_overlaps(scans), table)).miou,
        "groups": {name: quality.mean(in_group) for name, in_group in class_groups(table, is_base).items()},
        "classes": {
            category.name: {"pq": quality.pq[index], "sq": quality.sq[index], "rq": quality.rq[index]}
            for index, category in enumerate(table)
            if not np.isnan(quality.pq[index])
        },
    }
    return nan_to_null(record)


class PointOutcome(IntEnum):
    """What a prediction is at one point of a scan.

    `UNSCORED`: the truth is void or not evaluated. `CORRECT`: the point lies in both segments of a matched pair.
    `MISSED`: the prediction is void, or a true segment without match meets no false one here. `FALSE`: all others.
    """

    UNSCORED = 0
    CORRECT = 1
    FALSE = 2
    MISSED = 3


def point_outcomes(prediction: Labels, truth: Labels, table: CategoryTable, min_points: int) -> Int[np.ndarray, " n"]:
    """The `PointOutcome` at every point of a scan, by protocol `lidar`; `min_points` as in `lidar_record`."""
    overlap, row_of_point = overlap_and_rows(prediction, truth)
    matching = parse_protocol("lidar", min_points).match(overlap, table)
    predicted_of_row = matching.intersections.predicted.of_row
    true_of_row = matching.intersections.true.of_row
    is_missed = np.append(matching.is_missed, False)[true_of_row]
    is_false = np.append(matching.is_false, False)[predicted_of_row]
    outcome_of_row = np.select(
        [true_of_row == VOID, matching.is_correct, (predicted_of_row == VOID) | (is_missed & ~is_false)],
        [PointOutcome.UNSCORED, PointOutcome.CORRECT, PointOutcome.MISSED],
        PointOutcome.FALSE,
    )
    return outcome_of_row[row_of_point]
