"""Does `panrecon estimate` tell what a run takes? Both in one go, from nothing, on a machine that should be idle."""

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
from benchmarks.provenance import provenance
from benchmarks.scenes import DATASET, BenchScene, find_scenes, prepare, run_pipeline
from benchmarks.study import RESULTS, ROOMS, RUNS, SharedOption
from benchmarks.tables import table_of
from panrecon.io.files import write_json, write_text
from panrecon.profiling.stages import Profiler
from panrecon.terminal import exit_on_input_error
from panrecon.workflow.scenes import settings_of
from panrecon.workflow.script import PICTURES
from panrecon.workflow.stages import STAGES

RUN = "estimated"
NAME = "estimate_accuracy"
FEATURES = RUNS / "bench" / "features"


@dataclass(frozen=True)
class Taken:
    """Wall time (s), largest memory of a stage and size of what is left (bytes), pictures and linked images apart."""

    seconds: float
    memory: float
    disk: float


def main(
    seeds: Annotated[str, typer.Option(help="seeds of the simulated rooms, joined by commas")] = "0,1",
    shared: SharedOption = None,
) -> None:
    """Told against taken: prints a table, writes it and JSON."""
    with exit_on_input_error():
        rows = {}
        for scene in find_scenes(seeds, ROOMS, shared, FEATURES):
            prepare(scene, FEATURES)
            rows[scene.name] = told(scene), taken(scene)
        text = table(rows)
        write_json(RESULTS / f"{NAME}.json", {**provenance(), "scenes": {n: [vars(r) for r in rows[n]] for n in rows}})
        write_text(RESULTS / f"{NAME}.md", text)
        print(text)


def told(scene: BenchScene) -> Taken:
    """In a process of its own: what it tells of memory starts from its own."""
    with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_told, scene).result()


def _told(scene: BenchScene) -> Taken:
    with tempfile.TemporaryDirectory() as folder:
        settings = settings_of(DATASET, [], scene.overrides)
        found = Profiler(DATASET, scene.raw, settings, Path(folder)).estimate(lambda _: None)
    costs = found.costs.values()
    return Taken(sum(cost.seconds for cost in costs), found.memory, sum(cost.disk for cost in costs))


def taken(scene: BenchScene) -> Taken:
    folder = RUNS / RUN / DATASET / scene.name
    shutil.rmtree(folder, ignore_errors=True)
    started = time.perf_counter()
    run_pipeline(scene, RUNS, RUN, "quality", ())
    seconds = time.perf_counter() - started
    memory = max(cost.peak_memory_mb for cost in stage_costs(folder, "quality").values())
    stages = [folder / stage for stage in STAGES if stage != "scan"]
    files = [file for stage in stages for file in stage.rglob("*.*") if not is_stages_picture(file, stage)]
    return Taken(seconds, memory * 2.0**20, float(sum(file.stat().st_size for file in files)))


def is_stages_picture(file: Path, stage: Path) -> bool:
    return file.parent == stage and file.suffix in PICTURES


def table(rows: dict[str, tuple[Taken, Taken]]) -> str:
    lines = []
    for name, (before, after) in rows.items():
        ratios = (getattr(before, key) / getattr(after, key) for key in ("seconds", "memory", "disk"))
        lines.append([name, *_cells(before), *_cells(after), *(f"{ratio:.2f}" for ratio in ratios)])
    sides = [f"{what}, {side}" for side in ("told", "taken") for what in ("s", "GB of memory", "MB on disk")]
    return table_of(["scene", *sides, "ratio of time", "of memory", "of disk"], lines)


def _cells(cost: Taken) -> Sequence[str]:
    return f"{cost.seconds:.0f}", f"{cost.memory / 1e9:.1f}", f"{cost.disk / 1e6:.0f}"


if __name__ == "__main__":
    typer.run(main)
