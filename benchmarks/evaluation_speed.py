"""How fast are labels scored? Strict PQ of points against torchmetrics' PanopticQuality, and of a stacked 2D scene.

Both get the same arrays without void, because torchmetrics ignores void; their scores are compared as well. Every
measurement runs in a process of its own, so that its memory can be measured; code is compiled before the timing.
"""

import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated, Final

import numpy as np
import psutil
import torch
import typer
from torchmetrics.functional.detection import panoptic_quality as torchmetrics_quality

from benchmarks.results import Report, Table, text_of, write_result
from panrecon.datasets.label_images import LabelFrames, label_pairs, read_label_frames
from panrecon.evaluation.metrics.panoptic_quality import panoptic_quality
from panrecon.evaluation.overlap import overlap
from panrecon.evaluation.protocols import parse_protocol
from panrecon.evaluation.scene_matching import match_scene
from panrecon.io.images import write_ids, write_instances
from panrecon.structures import Category, CategoryTable, Labels

NAME: Final = "evaluation_speed"
THINGS, STUFF = 18, 2  # as ScanNet's
OBJECTS: Final = 200
WRONG: Final = 0.2  # share of points with another label
TABLE: Final = CategoryTable(tuple(Category(i + 1, f"class {i + 1}", thing=i >= STUFF) for i in range(THINGS + STUFF)))
HEIGHT, WIDTH = 480, 640
STRICT: Final = parse_protocol("strict")


@dataclass(frozen=True)
class Measured:
    """The median wall time (s) of the repeats, the memory beyond the input (MB) and the PQ in [0, 1]."""

    what: str
    points: int
    seconds: float
    extra_memory_mb: int
    pq: float


def main(
    repeats: Annotated[int, typer.Option(min=1, help="of which the median counts")] = 5,
) -> None:
    """Strict PQ of 1 and 10 million points, torchmetrics' of 1 million, and 50 to 200 frames read from PNGs."""
    rows = [
        alone(points_by_panrecon, 1_000_000, repeats),
        alone(points_by_torchmetrics, 1_000_000, repeats),
        alone(points_by_panrecon, 10_000_000, repeats),
    ]
    with tempfile.TemporaryDirectory() as folder:
        write_frames(Path(folder), 200)
        rows += [alone(frames_by_panrecon, count, min(repeats, 3), Path(folder)) for count in (50, 100, 200)]
    ratio = rows[1].seconds / rows[0].seconds
    cells = [
        [row.what, f"{row.points:,}", f"{row.seconds:.3f}", str(row.extra_memory_mb), f"{100 * row.pq:.4f}"]
        for row in rows
    ]
    report: Report = [
        Table(["what", "points", "seconds", "memory beyond the input, MB", "PQ"], cells),
        f"torchmetrics / panrecon at 1,000,000 points: {ratio:.0f} times the time.",
    ]
    write_result(NAME, report, {"repeats": repeats, "ratio": ratio, "rows": [asdict(row) for row in rows]})
    print(text_of(report))


def alone(measure: Callable[..., Measured], *arguments: object) -> Measured:
    """The result of a measurement in a new process."""
    with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")) as pool:
        return pool.submit(measure, *arguments).result()


def points_by_panrecon(count: int, repeats: int) -> Measured:
    """Our strict PQ of `count` points."""
    prediction, truth = labelled_points(count)
    strict_pq(*labelled_points(1000))  # loads what is compiled
    return measured("panrecon, strict", count, repeats, lambda: strict_pq(prediction, truth))


def points_by_torchmetrics(count: int, repeats: int) -> Measured:
    """torchmetrics' PQ of the same points."""
    things = set(range(STUFF, THINGS + STUFF))
    stuff = set(range(STUFF))
    stacked = [
        torch.from_numpy(np.stack([side.category, side.instance + 1], axis=-1).astype(np.int64))[None]
        for side in labelled_points(count)
    ]

    def run() -> float:
        return float(torchmetrics_quality(stacked[0].clone(), stacked[1].clone(), things=things, stuffs=stuff))

    return measured("torchmetrics PanopticQuality", count, repeats, run)


def frames_by_panrecon(count: int, repeats: int, folder: Path) -> Measured:
    """Our strict PQ of `count` label images, read from files and scored as one stacked scene."""
    prediction, truth = (first(read_label_frames(folder / side, TABLE), count) for side in ("prediction", "truth"))

    def run() -> float:
        scans = [overlap(predicted, true) for predicted, true in label_pairs(prediction, truth)]
        return panoptic_quality(match_scene(scans, TABLE, [STRICT]).statistics(STRICT)).mean()["pq"]

    strict_pq(*labelled_points(1000))
    return measured(f"panrecon, {count} frames from PNGs", count * HEIGHT * WIDTH, repeats, run)


def first(frames: LabelFrames, count: int) -> LabelFrames:
    """The first `count` label images."""
    return replace(frames, files=dict(list(frames.files.items())[:count]))


def measured(what: str, points: int, repeats: int, run: Callable[[], float]) -> Measured:
    """The cost and the result of `run`, which returns a PQ."""
    seconds = []
    pq = 0.0
    for _ in range(repeats):
        started = time.perf_counter()
        pq = run()
        seconds.append(time.perf_counter() - started)
    return Measured(what, points, statistics.median(seconds), extra_memory(run) >> 20, pq)


def extra_memory(run: Callable[[], float]) -> int:
    """The peak memory of a run beyond that of the process before it (bytes), sampled every millisecond."""
    process = psutil.Process()
    stop = threading.Event()
    before = peak = process.memory_info().rss

    def watch() -> None:
        nonlocal peak
        while not stop.wait(0.001):
            peak = max(peak, process.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    run()
    stop.set()
    watcher.join()
    return peak - before


def strict_pq(prediction: Labels, truth: Labels) -> float:
    """The mean PQ of all classes by the strict protocol, in [0, 1]."""
    return panoptic_quality(STRICT.match(overlap(prediction, truth), TABLE).statistics).mean()["pq"]


def labelled_points(count: int, seed: int = 0) -> tuple[Labels, Labels]:
    """Predicted and true labels of points of randomly sized objects; a fifth of the points have another object's."""
    rng = np.random.default_rng(seed)
    category_of_object = rng.integers(0, THINGS + STUFF, OBJECTS).astype(np.int32)
    true = (OBJECTS * rng.random(count) ** 2).astype(np.int32)
    wrong = rng.random(count) < WRONG
    predicted = np.where(wrong, rng.integers(0, OBJECTS, count), true).astype(np.int32)
    sides = (Labels(category_of_object[object_of_point], object_of_point) for object_of_point in (predicted, true))
    prediction, truth = (Labels(s.category, np.where(s.category < STUFF, -1, s.instance)) for s in sides)
    return prediction, truth


def write_frames(folder: Path, count: int) -> None:
    """Writes label images of discs that move over a floor, the predicted ones shifted by 3 pixels."""
    rng = np.random.default_rng(0)
    centres = rng.uniform((0, 0), (HEIGHT, WIDTH), (60, 2))
    rows, columns = np.indices((HEIGHT, WIDTH))
    for frame in range(count):
        for side, shift in (("prediction", 3), ("truth", 0)):
            instance = np.full((HEIGHT, WIDTH), -1, np.int32)
            for disc, (y, x) in enumerate(centres):
                near = (rows - y) ** 2 + (columns - (x + 4 * frame) % WIDTH - shift) ** 2 < 30**2
                instance[near] = disc
            category = np.where(instance < 0, 1, 3 + instance % THINGS)
            write_ids(folder / side / "semantic" / f"{frame}.png", category.astype(np.int32))
            write_instances(folder / side / "instance" / f"{frame}.png", instance)


if __name__ == "__main__":
    typer.run(main)
