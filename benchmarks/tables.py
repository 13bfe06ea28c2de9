"""Results of the benchmarks as Markdown."""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from benchmarks.measure import BASELINE, ProcessCost

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


def score_table(scenes: Mapping[str, Rows]) -> str:
    """A Markdown table with a row for every scene and method, in per cent."""
    rows = [
        [scene, method, *(_percent(values[name]) for name in COLUMNS.values())]
        for scene, methods in scenes.items()
        for method, values in methods.items()
    ]
    return table_of(["scene", "labels", *COLUMNS], rows)


def cost_table(scenes: Mapping[str, Mapping[str, ProcessCost]]) -> str:
    """A Markdown table with a row for every scene: wall time and peak memory of every stage and of the baseline."""
    stages = next(iter(scenes.values()))
    rows = [
        [scene, *(f"{cost.seconds:.0f} s, {cost.peak_memory_mb} MB" for cost in costs.values())]
        for scene, costs in scenes.items()
    ]
    return table_of(["scene", *stages], rows)


def margins(rows: Rows) -> str:
    """A sentence: the difference in PQ of the last row from the better variant of the baseline, in points."""
    baseline = max((name for name in rows if name.startswith(BASELINE)), key=lambda name: rows[name]["pq"])
    last = list(rows)[-1]
    names = {"pq": "PQ", "pq_things": "things", "pq_stuff": "stuff"}
    text = ", ".join(f"{100 * (rows[last][key] - rows[baseline][key]):+.1f} {name}" for key, name in names.items())
    return f"Labels {last} against {baseline}, mean of all scenes: {text}."


def _percent(value: float) -> str:
    return "-" if np.isnan(value) else f"{100 * value:.1f}"


def table_of(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"
