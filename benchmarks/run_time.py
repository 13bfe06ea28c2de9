"""How long `panrecon run` takes on the built-in room, cold and warm, and how much of it is not a stage's work.

Cold: numba's cache is empty, as after an installation. Warm runs follow, into folders of their own; the median is
given, of every figure by itself. Overhead is what passes outside of stages: the start of Python, imports, what is
stale. Busy is the share of the machine's cores that the run kept at work, compiling processes included.
"""

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Final

import typer

from benchmarks.measure import stage_costs
from benchmarks.results import Report, Table, text_of, write_result
from benchmarks.scenes import prepare, room
from benchmarks.study import ROOMS, RUNS
from panrecon.workflow.stages import STAGES

NAME: Final = "run_time"
UNTIL: Final = "quality"


@dataclass(frozen=True)
class RunTime:
    """The wall time (s) of a run, the CPU time (s) of its processes, and the wall time of every stage (s)."""

    name: str
    wall: float
    cpu: float
    stages: dict[str, float]

    @property
    def overhead(self) -> float:
        """The share of the wall time that passes outside of stages."""
        return 1 - sum(self.stages.values()) / self.wall

    @property
    def busy(self) -> float:
        """The share of the cores' time that the run used."""
        return self.cpu / (self.wall * len(os.sched_getaffinity(0)))


def main(repeats: Annotated[int, typer.Option(min=1, help="warm runs")] = 3) -> None:
    """A table of the cold run and the warm ones, and of the stages, cold and in the median."""
    load = os.getloadavg()[0]
    scene = room(0, ROOMS)
    prepare(scene, RUNS / "bench" / "features")
    RUNS.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=RUNS) as folder:
        names = ["cold", *(f"warm {index + 1}" for index in range(repeats))]
        cold, *warm = [timed_run(scene.raw, Path(folder), name) for name in names]
    median = median_of(warm)
    ratio = cold.wall / median.wall
    comparison = f"Load of the machine before: {load:.1f}. The cold run takes {ratio:.2f} of the median warm one."
    report: Report = [summary([cold, *warm]), comparison, by_stage(cold, median)]
    write_result(NAME, report, {"load_before": load, "runs": [asdict(run) for run in (cold, *warm)]})
    print(text_of(report))


def timed_run(raw: Path, folder: Path, name: str) -> RunTime:
    """A run of all stages in a process of its own, with the cache of kernels that lies in the folder."""
    before = _cpu_of_children()
    started = time.perf_counter()
    command = [sys.executable, "-m", "panrecon.cli", "run", f"scannet/{raw.name}", "--data", str(raw.parent)]
    place = ["--runs", str(folder), "--run", name]
    environment = os.environ | {"NUMBA_CACHE_DIR": str(folder / "kernels")}
    subprocess.run([*command, *place], check=True, capture_output=True, env=environment)
    wall = time.perf_counter() - started
    costs = stage_costs(folder / name / "scannet" / raw.name, UNTIL)
    return RunTime(name, wall, _cpu_of_children() - before, {stage: cost.seconds for stage, cost in costs.items()})


def _cpu_of_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def median_of(runs: Sequence[RunTime]) -> RunTime:
    """The median of every figure by itself; between the two middle ones where their number is even."""
    return RunTime(
        "median of warm",
        statistics.median(run.wall for run in runs),
        statistics.median(run.cpu for run in runs),
        {stage: statistics.median(run.stages[stage] for run in runs) for stage in STAGES},
    )


def summary(runs: Sequence[RunTime]) -> Table:
    rows = [
        [run.name, f"{run.wall:.0f} s", f"{run.cpu:.0f} s", f"{run.overhead:.1%}", f"{run.busy:.0%}"] for run in runs
    ]
    return Table(["run", "wall", "CPU", "overhead", "busy"], rows)


def by_stage(cold: RunTime, median: RunTime) -> Table:
    rows = [[stage, f"{cold.stages[stage]:.1f} s", f"{median.stages[stage]:.1f} s"] for stage in STAGES]
    return Table(["stage", cold.name, median.name], rows)


if __name__ == "__main__":
    typer.run(main)
