"""Shared parts of the controlled studies: scenes and seeds, processes, tables of mean and deviation, a plot."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import typer

from benchmarks.provenance import CHECKOUT
from benchmarks.results import RESULTS, Report, Table, text_of, write_result
from benchmarks.scenes import BenchScene, find_scenes, prepare, run_pipeline
from panrecon.terminal import console, track

ROOMS: Final = CHECKOUT / "data" / "raw" / "scannet"
RUNS: Final = CHECKOUT / "data" / "runs"
RUN: Final = "bench"
SEEDS: Final = (0, 1, 2)
PROCESSES: Final = 2
SharedOption = Annotated[
    Path | None, typer.Option(envvar="PANRECON_BENCH_DATA", help="folder that holds rendered/ and real/")
]
Task = tuple[Any, ...]  # a function of (scene, run, *arguments), the scene, and those arguments


@dataclass(frozen=True)
class StudyScore:
    """The scores of one method at one level of one disturbance, on one scene with one seed."""

    disturbance: str
    level: float
    method: str
    scene: str
    seed: int
    scores: Mapping[str, float]


def study_scenes(shared: Path | None) -> list[BenchScene]:
    """The demo rooms and the rendered scenes, scanned and meshed."""
    all_scenes = find_scenes(",".join(map(str, SEEDS)), ROOMS, shared, RUNS / RUN / "features")
    scenes = [scene for scene in all_scenes if scene.kind in ("room", "rendered")]
    for scene in scenes:
        prepare(scene, RUNS / RUN / "features")
        run_pipeline(scene, RUNS, RUN, "mesh", [])
    return scenes


def run_folder(scene: BenchScene) -> Path:
    """The folder of a scene's run."""
    return RUNS / RUN / "scannet" / scene.name


def seeds_of(scene: BenchScene, quick: bool) -> tuple[int, ...]:
    """The seeds of a scene's simulated masks: a room has the one it was built with, a rendered scene has three."""
    if scene.kind == "room":
        return (int(scene.name.removeprefix("room")),)
    return SEEDS[:1] if quick else SEEDS


def in_processes(tasks: Sequence[Task], title: str, processes: int = PROCESSES) -> list[Any]:
    """The results of the tasks' functions in order, each computed in a new process."""
    with ProcessPoolExecutor(processes, get_context("spawn"), max_tasks_per_child=1) as pool:
        futures = [pool.submit(work, scene, run_folder(scene), *arguments) for work, scene, *arguments in tasks]
        return [future.result() for future in track(futures, title, len(futures))]


def run_study(name: str, tasks: Sequence[Task], axis: str) -> None:
    """Runs the tasks, which return lists of scores, writes `<name>.json` and `.png`, and prints the table."""
    points: list[StudyScore] = [point for points_of_task in in_processes(tasks, name) for point in points_of_task]
    report: Report = [study_table(points)]
    plot(points, RESULTS / f"{name}.png", axis)
    write_result(name, report, {"points": [asdict(point) for point in points]}, pictures=[f"{name}.png"])
    print(text_of(report))
    console.print(f"{RESULTS / name}.png", highlight=False)


def mean_and_deviation(points: Sequence[StudyScore], key: str) -> tuple[float, float]:
    """The mean over scenes and seeds, and the standard deviation over seeds of the mean over scenes; per cent.

    A room has a single seed of its own, so that three rooms count as three draws.
    """
    values = np.array([point.scores[key] for point in points])
    values_of_seed: dict[int, list[float]] = {}
    for point in points:
        values_of_seed.setdefault(point.seed, []).append(point.scores[key])
    deviation = float(np.std([np.mean(seed_values) for seed_values in values_of_seed.values()]))
    return 100 * float(values.mean()), 100 * deviation


def points_of(points: Sequence[StudyScore], disturbance: str, level: float, method: str) -> list[StudyScore]:
    """The scores of one method at one level of one disturbance."""
    return [p for p in points if (p.disturbance, p.level, p.method) == (disturbance, level, method)]


def study_table(points: Sequence[StudyScore]) -> Table:
    """A table with a row for every disturbance and level: PQ of all (mean ± deviation) and of things."""
    methods = list(dict.fromkeys(point.method for point in points))
    rows = []
    for disturbance, level in dict.fromkeys((point.disturbance, point.level) for point in points):
        cells = []
        for method in methods:
            cell_points = points_of(points, disturbance, level, method)
            pq, deviation = mean_and_deviation(cell_points, "pq")
            pq_things, _ = mean_and_deviation(cell_points, "pq_things")
            cells.append(f"{pq:.1f} ± {deviation:.1f} / {pq_things:.1f}")
        rows.append([disturbance, f"{level:g}", *cells])
    return Table(["disturbance", "level", *(f"{method}: PQ / things" for method in methods)], rows)


def plot(points: Sequence[StudyScore], path: Path, axis: str) -> None:
    """Plots PQ against the level, one panel for every disturbance, with a band of one deviation over seeds."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    names = list(dict.fromkeys(point.disturbance for point in points))
    columns = min(len(names), 4)
    rows = -(-len(names) // columns)
    figure, axes = pyplot.subplots(rows, columns, figsize=(3.4 * columns, 2.9 * rows), sharey=True, squeeze=False)
    for name, panel in zip(names, axes.flat, strict=False):
        panel_points = [point for point in points if point.disturbance == name]
        for method in dict.fromkeys(point.method for point in panel_points):
            levels = sorted({point.level for point in panel_points})
            pq = [mean_and_deviation(points_of(panel_points, name, level, method), "pq") for level in levels]
            mean, deviation = np.array(pq).T
            (line,) = panel.plot(levels, mean, marker="o", markersize=3, label=method)
            panel.fill_between(levels, mean - deviation, mean + deviation, color=line.get_color(), alpha=0.2)
        panel.set_title(name, fontsize=10)
        panel.set_ylim(0, 100)
        panel.grid(alpha=0.3)
    for panel in list(axes.flat)[len(names) :]:
        panel.set_axis_off()
    for panel in axes[:, 0]:
        panel.set_ylabel("strict PQ")
    axes.flat[0].legend(fontsize=8)
    figure.supxlabel(axis, fontsize=9)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
    pyplot.close(figure)
