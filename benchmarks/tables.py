"""Scores and costs of scenes as tables."""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from benchmarks.measure import BASELINE, ProcessCost
from benchmarks.results import Table

COLUMNS: Final = {
    "PQ": "pq",
    "SQ": "sq",
    "RQ": "rq",
    "PQ things": "pq_things",
    "SQ things": "sq_things",
    "RQ things": "rq_things",
    "PQ stuff": "pq_stuff",
    "SQ stuff": "sq_stuff",
    "RQ stuff": "rq_stuff",
    "mIoU": "miou",
    "void": "void",
}
PARTS_OF_PQ: Final = ("pq", "pq_things", "pq_stuff")
Rows = Mapping[str, Mapping[str, float]]  # by method, then by name of the mean


def mean_rows(scenes: Sequence[Rows]) -> dict[str, dict[str, float]]:
    """The mean over scenes of every score; scenes in which it is undefined (nan) are left out."""
    return {
        method: {
            name: float(np.nanmean(values)) if not np.isnan(values).all() else float("nan")
            for name in COLUMNS.values()
            for values in [np.array([rows[method][name] for rows in scenes])]
        }
        for method in scenes[0]
    }


def score_table(scenes: Mapping[str, Rows]) -> Table:
    """A table with a row for every scene and method, in per cent."""
    rows = [
        [scene, method, *(_percent(values[name]) for name in COLUMNS.values())]
        for scene, methods in scenes.items()
        for method, values in methods.items()
    ]
    return Table(["scene", "labels", *COLUMNS], rows)


def cost_table(scenes: Mapping[str, Mapping[str, ProcessCost]]) -> Table:
    """A table with a row for every scene: wall time and peak memory of every stage and of the baseline."""
    stages = next(iter(scenes.values()))
    rows = [
        [scene, *(f"{cost.seconds:.0f} s, {cost.peak_memory_mb} MB" for cost in costs.values())]
        for scene, costs in scenes.items()
    ]
    return Table(["scene", *stages], rows)


def summary_table(scenes: Mapping[str, Rows]) -> Table:
    """A table with a row for every scene, in per cent: PQ / things / stuff of the better variant of the baseline and
    after every step, and SQ, RQ and mIoU after the last step.
    """
    methods = next(iter(scenes.values()))
    baseline = better_baseline(mean_rows(list(scenes.values())))
    steps = [method for method in methods if not method.startswith(BASELINE)]
    rows = [
        [
            scene,
            *(" / ".join(_percent(of_method[name][key]) for key in PARTS_OF_PQ) for name in (baseline, *steps)),
            *(_percent(of_method[steps[-1]][key]) for key in ("sq", "rq", "miou")),
        ]
        for scene, of_method in scenes.items()
    ]
    return Table(["PQ / things / stuff", baseline, *steps, "SQ", "RQ", "mIoU"], rows)


def better_baseline(rows: Rows) -> str:
    """The name of the variant of the baseline that has the greater PQ."""
    return max((name for name in rows if name.startswith(BASELINE)), key=lambda name: rows[name]["pq"])


def margins(rows: Rows) -> str:
    """A sentence: the difference in PQ of the last row from the better variant of the baseline, in points."""
    baseline = better_baseline(rows)
    last = list(rows)[-1]
    names = {"pq": "PQ", "pq_things": "things", "pq_stuff": "stuff"}
    text = ", ".join(f"{100 * (rows[last][key] - rows[baseline][key]):+.1f} {name}" for key, name in names.items())
    return f"Labels {last} against {baseline}, mean of all scenes: {text}."


def _percent(value: float) -> str:
    return "-" if np.isnan(value) else f"{100 * value:.1f}"
