"""How accurate is `panrecon estimate`? Estimate and run follow each other, from nothing, on an idle machine."""

import shutil
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.measure import stage_costs
from benchmarks.results import Report, Table, text_of, write_result
from benchmarks.scenes import DATASET, BenchScene, find_scenes, prepare, run_pipeline
from benchmarks.study import ROOMS, RUNS, SharedOption
from panrecon.profiling.stages import Profiler
from panrecon.terminal import exit_on_input_error
from panrecon.workflow.scenes import settings_of
from panrecon.workflow.script import PICTURES
from panrecon.workflow.stages import STAGES

RUN = "estimated"
NAME = "estimate_accuracy"
FEATURES = RUNS / "bench" / "features"


@dataclass(frozen=True)
class RunCost:
    """Wall time (s), peak memory of a stage and size on disk (bytes), without contact sheets and linked images."""

    seconds: float
    memory: float
    disk: float


def main(
    seeds: Annotated[str, typer.Option(help="seeds of the simulated rooms, joined by commas")] = "0,1",
    shared: SharedOption = None,
) -> None:
    """Compares estimated and measured costs: prints a table, writes it and JSON."""
    with exit_on_input_error():
        rows = {}
        for scene in find_scenes(seeds, ROOMS, shared, FEATURES):
            prepare(scene, FEATURES)
            rows[scene.name] = estimated(scene), measured(scene)
        report: Report = [table(rows)]
        costs = {
            scene: {"estimated": vars(estimate), "measured": vars(cost)} for scene, (estimate, cost) in rows.items()
        }
        write_result(NAME, report, {"scenes": costs})
        print(text_of(report))


def estimated(scene: BenchScene) -> RunCost:
    """The estimated cost, computed in a new process, because it counts the memory of its own process."""
    with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_estimated, scene).result()


def _estimated(scene: BenchScene) -> RunCost:
    with tempfile.TemporaryDirectory() as folder:
        settings = settings_of(DATASET, [], scene.overrides)
        estimate = Profiler(DATASET, scene.raw, settings, Path(folder)).estimate(lambda _: None)
    costs = estimate.costs.values()
    return RunCost(sum(cost.seconds for cost in costs), estimate.memory, sum(cost.disk for cost in costs))


def measured(scene: BenchScene) -> RunCost:
    """The cost of a run of all stages."""
    folder = RUNS / RUN / DATASET / scene.name
    shutil.rmtree(folder, ignore_errors=True)
    started = time.perf_counter()
    run_pipeline(scene, RUNS, RUN, "quality", ())
    seconds = time.perf_counter() - started
    memory = max(cost.peak_memory_mb for cost in stage_costs(folder, "quality").values())
    stages = [folder / stage for stage in STAGES if stage != "scan"]
    files = [file for stage in stages for file in stage.rglob("*.*") if not is_stages_picture(file, stage)]
    return RunCost(seconds, memory * 2.0**20, float(sum(file.stat().st_size for file in files)))


def is_stages_picture(file: Path, stage: Path) -> bool:
    """Whether a file is an image that the stage draws for its users."""
    return file.parent == stage and file.suffix in PICTURES


def table(rows: dict[str, tuple[RunCost, RunCost]]) -> Table:
    """A table with a row for every scene: estimated cost, measured cost and their ratios."""
    lines = []
    for name, (estimate, measurement) in rows.items():
        ratios = (getattr(estimate, key) / getattr(measurement, key) for key in ("seconds", "memory", "disk"))
        lines.append([name, *_cells(estimate), *_cells(measurement), *(f"{ratio:.2f}" for ratio in ratios)])
    units = ("s", "GB of memory", "MB on disk")
    columns = [f"{unit}, {kind}" for kind in ("estimated", "measured") for unit in units]
    return Table(["scene", *columns, "ratio of time", "of memory", "of disk"], lines)


def _cells(cost: RunCost) -> Sequence[str]:
    return f"{cost.seconds:.0f}", f"{cost.memory / 1e9:.1f}", f"{cost.disk / 1e6:.0f}"


if __name__ == "__main__":
    typer.run(main)
