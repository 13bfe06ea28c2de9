"""What is each part of the LiDAR method worth, and how far is it from the baseline of frozen features?

Streets in nuScenes' layout with simulated vision features, those of `make lidar-demo`: 72 scans of 24 streets to train
on, 24 of eight others to be scored on; bus, pedestrian, motorcycle and vegetation are novel. It tests the mechanism,
not the paper's figures. Runs of the same commit and steps that are in the results already are not repeated.
"""

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import typer

from benchmarks.provenance import CHECKOUT, provenance
from benchmarks.results import RESULTS, Table, read_result, write_result
from benchmarks.study import PROCESSES
from panrecon.commands.simulate_points import FEATURES
from panrecon.commands.simulate_street import StreetRecording, write_nuscenes
from panrecon.datasets.lidar import NOVEL, LidarSample, lidar_dataset, read_sample
from panrecon.evaluation.lidar import class_groups, lidar_record
from panrecon.evaluation.overlap import overlap
from panrecon.io.categories import find_table, read_categories
from panrecon.io.features import read_text_embeddings
from panrecon.lidar.classify import TextEmbeddings, class_text_embeddings
from panrecon.lidar.inference import segment_scan
from panrecon.lidar.pfc import segment_scan_by_ensemble
from panrecon.lidar.settings import SMALL, small_training
from panrecon.lidar.train import labelled_scan, scan_input, train
from panrecon.lidar.variants import VARIANTS, LidarVariant, variant
from panrecon.simulation.street.street import build_street
from panrecon.structures import CategoryTable
from panrecon.terminal import track

NAME: Final = "lidar_ablation"
STREETS: Final = CHECKOUT / "data" / "raw" / "lidar-demo"
TRAIN_STREETS: Final = tuple(range(24))  # seeds
TEST_STREETS: Final = tuple(range(40, 48))
COLUMNS: Final = ("all", "base", "base things", "base stuff", "novel things", "novel stuff")


def main(
    variants: Annotated[str, typer.Option(help="names, joined by commas")] = ",".join(VARIANTS),
    seeds: Annotated[str, typer.Option(help="of training, joined by commas")] = "0,1,2",
    steps: Annotated[int, typer.Option(min=1, help="of training")] = 600,
    streets: Annotated[Path, typer.Option(help="folder where the streets lie, or are made")] = STREETS,
    processes: Annotated[int, typer.Option(min=1, help="trainings at the same time, a core each")] = PROCESSES,
) -> None:
    for seed in track(TRAIN_STREETS + TEST_STREETS, "streets", len(TRAIN_STREETS + TEST_STREETS)):
        _make(streets / f"street{seed}", seed)
    runs = _earlier_runs(steps)
    done = {(run["variant"], run["seed"]) for run in runs}
    tasks = [(name, int(seed)) for seed in seeds.split(",") for name in variants.split(",")]
    with ProcessPoolExecutor(processes, get_context("spawn"), max_tasks_per_child=1) as pool:
        futures = [pool.submit(_run, *task, steps, streets) for task in tasks if task not in done]
        for future in track(as_completed(futures), NAME, len(futures)):
            runs.append(future.result())
            runs.sort(key=lambda run: (list(VARIANTS).index(run["variant"]), run["seed"]))
            write_result(NAME, [_table(runs)], {"steps": steps, "runs": runs})
    print(_table(runs))


def _make(folder: Path, seed: int) -> None:
    """The street as `make lidar-demo` simulates it, unless it exists."""
    if not (folder / "v1.0-mini").is_dir():
        write_nuscenes(folder, StreetRecording(build_street(seed, 24.0), 3, 480, 32, 1024, True, 8.0))


def _earlier_runs(steps: int) -> list[dict[str, Any]]:
    """Earlier runs of this commit."""
    path = RESULTS / f"{NAME}.json"
    if not path.is_file():
        return []
    earlier = read_result(path)
    is_same = earlier.provenance["commit"] == provenance()["commit"] and earlier.measurements["steps"] == steps
    return list(earlier.measurements["runs"]) if is_same else []


def _run(name: str, seed: int, steps: int, streets: Path) -> dict[str, Any]:
    """Trains a variant and scores it on the test streets."""
    method = variant(name, LidarVariant(SMALL, small_training(steps, seed)))
    text_embeddings, table, min_points = _classes(streets / f"street{TRAIN_STREETS[0]}")
    training_scans = [
        labelled_scan(part.points, part.features, part.labels, text_embeddings)
        for part in _samples(streets, TRAIN_STREETS)
        if part.labels
    ]
    network = train(training_scans, text_embeddings, method.network, method.training).network
    segment = segment_scan_by_ensemble if method.ensemble else segment_scan
    overlaps = [
        overlap(segment(network, scan_input(part.points, part.features), text_embeddings), part.labels)
        for part in _samples(streets, TEST_STREETS)
        if part.labels
    ]
    return {"variant": name, "seed": seed, **lidar_record(overlaps, table, text_embeddings.is_base, min_points)}


def _classes(folder: Path) -> tuple[TextEmbeddings, CategoryTable, int]:
    """Text embeddings and table of the classes, and the least number of points that a segment needs to be scored."""
    data = lidar_dataset("nuscenes", folder)
    text_embeddings = class_text_embeddings(data.table, read_text_embeddings(folder / FEATURES), NOVEL["nuscenes"])
    return text_embeddings, data.table, data.min_points


def _samples(streets: Path, seeds: Sequence[int]) -> list[LidarSample]:
    sets = [lidar_dataset("nuscenes", streets / f"street{seed}") for seed in seeds]
    return [read_sample(data, reference, FEATURES)[1] for data in sets for reference in data.scans()]


def _table(runs: list[dict[str, Any]]) -> Table:
    """A row for every variant: mean and standard deviation over seeds, per cent.

    Means are over the classes that all runs were scored on: a class whose objects are all too small to be scored is
    scored only in runs with a false segment of it.
    """
    common = set.intersection(*(set(run["classes"]) for run in runs))
    table = read_categories(find_table("nuscenes"))
    is_base = np.array([category.name not in NOVEL["nuscenes"] for category in table])
    scored = np.array([category.name in common for category in table])
    groups = {
        name: [table[row].name for row in np.flatnonzero(in_group & scored)]
        for name, in_group in class_groups(table, is_base).items()
    }
    rows = []
    for name in dict.fromkeys(run["variant"] for run in runs):
        of_variant = [run for run in runs if run["variant"] == name]
        cells = [_mean_and_deviation([_mean_quality(run, groups[group]) for run in of_variant]) for group in COLUMNS]
        rows.append([name, *cells, _mean_and_deviation([run["miou"] for run in of_variant]), str(len(of_variant))])
    return Table(["variant", *(f"PQ {group}" for group in COLUMNS), "mIoU", "seeds"], rows)


def _mean_quality(run: dict[str, Any], classes: Sequence[str]) -> float:
    return float(np.mean([run["classes"][name]["pq"] for name in classes]))


def _mean_and_deviation(values: list[float]) -> str:
    return f"{100 * np.mean(values):.1f} ± {100 * np.std(values):.1f}"


if __name__ == "__main__":
    typer.run(main)
