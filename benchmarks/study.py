"""What the controlled studies share: scenes and seeds, one process a scene, tables of mean and spread, a plot."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import typer

from benchmarks.provenance import CHECKOUT, provenance
from benchmarks.scenes import BenchScene, find_scenes, prepare, run_pipeline
from benchmarks.tables import table_of
from panrecon.io.files import write_json, write_text
from panrecon.terminal import console, track

RESULTS: Final = CHECKOUT / "benchmarks" / "results"
ROOMS: Final = CHECKOUT / "data" / "raw" / "scannet"
RUNS: Final = CHECKOUT / "data" / "runs"
RUN: Final = "bench"
SEEDS: Final = (0, 1, 2)
PROCESSES: Final = 2
SharedOption = Annotated[
    Path | None, typer.Option(envvar="PANRECON_BENCH_DATA", help="folder that holds rendered/ and real/")
]
Task = tuple[Any, ...]  # a function of (scene, run, ...), the scene, and the rest of its arguments


@dataclass(frozen=True)
class Point:
    """One method's scores at one level of one disturbance, on one scene with one seed."""

    disturbance: str
    level: float
    method: str
    scene: str
    seed: int
    scores: Mapping[str, float]


def study_scenes(shared: Path | None) -> list[BenchScene]:
    """The demo rooms and the rendered scenes, scanned and meshed."""
    found = find_scenes(",".join(map(str, SEEDS)), ROOMS, shared, RUNS / RUN / "features")
    scenes = [scene for scene in found if scene.kind in ("room", "rendered")]
    for scene in scenes:
        prepare(scene, RUNS / RUN / "features")
        run_pipeline(scene, RUNS, RUN, "mesh", [])
    return scenes


def run_folder(scene: BenchScene) -> Path:
    return RUNS / RUN / "scannet" / scene.name


def seeds_of(scene: BenchScene, quick: bool) -> tuple[int, ...]:
    """A room's seed is its own; a rendered scene has three."""
    if scene.kind == "room":
        return (int(scene.name.removeprefix("room")),)
    return SEEDS[:1] if quick else SEEDS


def in_processes(tasks: Sequence[Task], what: str, processes: int = PROCESSES) -> list[Any]:
    """What each task's function gives for (scene, its run, the other arguments), a process each, in their order."""
    with ProcessPoolExecutor(processes, get_context("spawn"), max_tasks_per_child=1) as pool:
        waiting = [pool.submit(work, scene, run_folder(scene), *rest) for work, scene, *rest in tasks]
        return [future.result() for future in track(waiting, what, len(waiting))]


def run_study(name: str, tasks: Sequence[Task], axis: str) -> None:
    """Measures, then writes `<name>.json`, `.md` and `.png`, and prints the table."""
    points: list[Point] = [point for found in in_processes(tasks, name) for point in found]
    text = study_table(points)
    write_json(RESULTS / f"{name}.json", {**provenance(), "points": [asdict(point) for point in points]})
    write_text(RESULTS / f"{name}.md", text)
    plot(points, RESULTS / f"{name}.png", axis)
    print(text)
    console.print(f"{RESULTS / name}.png", highlight=False)


def mean_and_spread(points: Sequence[Point], key: str) -> tuple[float, float]:
    """Mean over scenes and seeds, and standard deviation over seeds of the mean over scenes; per cent."""
    values = np.array([point.scores[key] for point in points])
    groups: dict[int, list[float]] = {}
    for rank, point in zip(_ranks(points), points, strict=True):
        groups.setdefault(rank, []).append(point.scores[key])
    return 100 * float(values.mean()), 100 * float(np.std([np.mean(group) for group in groups.values()]))


def _ranks(points: Sequence[Point]) -> list[int]:
    """The seeds; rooms have one each, so that the three rooms are three draws."""
    return [point.seed for point in points]


def chosen(points: Sequence[Point], disturbance: str, level: float, method: str) -> list[Point]:
    return [p for p in points if (p.disturbance, p.level, p.method) == (disturbance, level, method)]


def study_table(points: Sequence[Point]) -> str:
    """A row a disturbance and level; PQ of all and of things, mean +- deviation over seeds."""
    methods = list(dict.fromkeys(point.method for point in points))
    rows = []
    for disturbance, level in dict.fromkeys((point.disturbance, point.level) for point in points):
        cells = []
        for method in methods:
            mine = chosen(points, disturbance, level, method)
            pq, spread = mean_and_spread(mine, "pq")
            things, _ = mean_and_spread(mine, "pq_things")
            cells.append(f"{pq:.1f} ± {spread:.1f} / {things:.1f}")
        rows.append([disturbance, f"{level:g}", *cells])
    return table_of(["disturbance", "level", *(f"{method}: PQ / things" for method in methods)], rows)


def plot(points: Sequence[Point], path: Path, axis: str) -> None:
    """PQ against the level, a panel a disturbance, a band of one deviation over seeds."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    names = list(dict.fromkeys(point.disturbance for point in points))
    columns = min(len(names), 4)
    rows = -(-len(names) // columns)
    figure, axes = pyplot.subplots(rows, columns, figsize=(3.4 * columns, 2.9 * rows), sharey=True, squeeze=False)
    for name, panel in zip(names, axes.flat, strict=False):
        mine = [point for point in points if point.disturbance == name]
        for method in dict.fromkeys(point.method for point in mine):
            levels = sorted({point.level for point in mine})
            found = [mean_and_spread(chosen(mine, name, level, method), "pq") for level in levels]
            mean, spread = np.array(found).T
            (line,) = panel.plot(levels, mean, marker="o", markersize=3, label=method)
            panel.fill_between(levels, mean - spread, mean + spread, color=line.get_color(), alpha=0.2)
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
