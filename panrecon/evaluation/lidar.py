"""What papers on open-vocabulary LiDAR segmentation report: PQ, SQ and RQ by base and novel things and stuff, mIoU."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool

from panrecon.evaluation.overlap import Overlap, total
from panrecon.evaluation.panoptic_quality import added, panoptic_quality
from panrecon.evaluation.protocols import protocol
from panrecon.evaluation.record import finite
from panrecon.evaluation.semantic import confusion, semantic_quality
from panrecon.structures import CategoryTable


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
    rule = protocol("lidar", min_points)
    quality = panoptic_quality(added([rule.match(one, table).statistics for one in scans]))
    groups = {name: quality.mean(chosen) for name, chosen in class_groups(table, is_base).items()}
    classes = {
        category.name: {"pq": quality.pq[row], "sq": quality.sq[row], "rq": quality.rq[row]}
        for row, category in enumerate(table)
        if not np.isnan(quality.pq[row])
    }
    miou = semantic_quality(confusion(total(scans), table)).miou
    return finite({"scans": len(scans), "min_points": min_points, "miou": miou, "groups": groups, "classes": classes})
