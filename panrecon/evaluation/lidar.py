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
    """The groups of classes that are told apart."""
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
    """Of every scan's overlap of prediction and truth: `groups`, `classes`, `miou`; None where nothing is counted."""
    rule = parse_protocol("lidar", min_points)
    quality = panoptic_quality(sum_statistics([rule.match(one, table).statistics for one in scans]))
    groups = {name: quality.mean(chosen) for name, chosen in class_groups(table, is_base).items()}
    classes = {
        category.name: {"pq": quality.pq[row], "sq": quality.sq[row], "rq": quality.rq[row]}
        for row, category in enumerate(table)
        if not np.isnan(quality.pq[row])
    }
    miou = semantic_quality(confusion(merge_overlaps(scans), table)).miou
    return nan_to_null(
        {"scans": len(scans), "min_points": min_points, "miou": miou, "groups": groups, "classes": classes}
    )


class Verdict(IntEnum):
    """Of a point: its truth is not scored; class and object are right; they are not; its object was not found.

    `MISSED` are points on which nothing is said, and those of true segments without a match that lie in no false one.
    """

    UNSCORED = 0
    RIGHT = 1
    FALSE = 2
    MISSED = 3


def verdicts(prediction: Labels, truth: Labels, table: CategoryTable, min_points: int) -> Int[np.ndarray, " n"]:
    """The `Verdict` on every point of a scan, by protocol `lidar`."""
    pairs, row = overlap_and_rows(prediction, truth)
    matching = parse_protocol("lidar", min_points).match(pairs, table)
    crossing = matching.crossing
    silent = crossing.predicted.of_row == VOID
    lost = np.append(matching.is_missed, False)[crossing.true.of_row]
    false = np.append(matching.is_false, False)[crossing.predicted.of_row]
    choices = [(crossing.true.of_row == VOID, Verdict.UNSCORED), (matching.is_right, Verdict.RIGHT)]
    choices += [(silent | (lost & ~false), Verdict.MISSED)]
    found = np.select([chosen for chosen, _ in choices], [verdict for _, verdict in choices], Verdict.FALSE)
    return found[row]
