"""Scores as a record for machines and as a table for people."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from panrecon.evaluation.panoptic_quality import panoptic_quality
from panrecon.evaluation.score import Score
from panrecon.evaluation.semantic import mean_accuracy, mean_iou
from panrecon.structures import CategoryTable

STEPS: Final = ("graph", "semantics", "field")
TITLES: Final = {"graph": "graph", "semantics": "+ semantics", "field": "+ field"}
FORMAT_VERSION: Final = 1


def summary(score: Score, table: CategoryTable) -> dict[str, float]:
    """The means a paper would print, each in [0, 1]; nan where nothing is defined."""
    quality = panoptic_quality(score.statistics)
    groups = {"": None, "_things": table.is_thing, "_stuff": ~table.is_thing}
    means = {f"{n}{suffix}": v for suffix, chosen in groups.items() for n, v in quality.mean(chosen).items()}
    semantic = {"miou": mean_iou(score.confusion), "macc": mean_accuracy(score.confusion)}
    return means | semantic | {"void": score.void, "uncovered": score.uncovered}


def quality_record(scores: Mapping[str, Score], table: CategoryTable, protocol: str, radius: float) -> dict[str, Any]:
    """Everything in `quality.json`; nan as null."""
    steps = {
        step: {"mean": _finite(summary(score, table)), "classes": _classes(score, table)}
        for step, score in scores.items()
    }
    return {"version": FORMAT_VERSION, "protocol": protocol, "threshold": 0.5, "radius": radius, "steps": steps}


def quality_table(scene: str, scores: Mapping[str, Score], table: CategoryTable, protocol: str) -> str:
    """Markdown: one row for the labels after each step, then one row a class for the last."""
    head = "| labels after | PQ | SQ | RQ | PQ things | SQ | RQ | PQ stuff | SQ | RQ | mIoU | void |"
    keys = [f"{name}{suffix}" for suffix in ("", "_things", "_stuff") for name in ("pq", "sq", "rq")]
    rows = [
        f"| {TITLES[step]} | {_cells(summary(score, table), [*keys, 'miou', 'void'])} |"
        for step, score in scores.items()
    ]
    last = list(scores.values())[-1]
    covered = f"{100 * (1 - last.uncovered):.1f} % of the evaluated truth has predicted surface nearby."
    title = f"Panoptic quality of {scene}, 3D, protocol `{protocol}`, per cent"
    classes = "| class | PQ | SQ | RQ | TP | FP | FN |"
    parts = [title, "", head, _rule(head), *rows, "", classes, _rule(classes), *_class_rows(last, table), "", covered]
    return "\n".join(parts) + "\n"


def _classes(score: Score, table: CategoryTable) -> dict[str, dict[str, float | int | None]]:
    quality, found = panoptic_quality(score.statistics), score.statistics
    return {
        category.name: _finite(
            {
                "pq": float(quality.pq[row]),
                "sq": float(quality.sq[row]),
                "rq": float(quality.rq[row]),
                "iou_sum": float(found.iou_sum[row]),
                "true_positives": int(found.true_positives[row]),
                "false_positives": int(found.false_positives[row]),
                "false_negatives": int(found.false_negatives[row]),
            }
        )
        for row, category in enumerate(table)
        if not np.isnan(quality.pq[row])
    }


def _class_rows(score: Score, table: CategoryTable) -> list[str]:
    rows = []
    for name, values in _classes(score, table).items():
        counts = " | ".join(str(values[key]) for key in ("true_positives", "false_positives", "false_negatives"))
        thing = "*" if table[table.row_of(name)].thing else ""
        rows.append(f"| {name}{thing} | {_cells(values, ['pq', 'sq', 'rq'])} | {counts} |")
    return rows


def _cells(values: Mapping[str, Any], keys: list[str]) -> str:
    return " | ".join(
        "-" if values[key] is None or np.isnan(values[key]) else f"{100 * values[key]:.1f}" for key in keys
    )


def _rule(head: str) -> str:
    return "|" + "---|" * (head.count("|") - 1)


def _finite(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: None if isinstance(value, float) and np.isnan(value) else value for key, value in values.items()}
