"""What is each part of the LiDAR method worth, and how far is it from the baseline of frozen features?

Streets in nuScenes' layout with simulated vision features: 16 scans of eight streets to train on, 12 of four others to
be judged on; bus, pedestrian, motorcycle and vegetation are novel. It tests the mechanism, not the paper's figures.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import typer

from benchmarks.provenance import provenance
from benchmarks.study import RESULTS
from benchmarks.tables import table_of
from panrecon.datasets.lidar import NOVEL, LidarDataset, ScanPlace, lidar_dataset, sample
from panrecon.evaluation.lidar import lidar_record
from panrecon.evaluation.overlap import overlap
from panrecon.io.features import read_text_embeddings
from panrecon.io.files import write_json, write_text
from panrecon.lidar.classify import Vocabulary, vocabulary
from panrecon.lidar.inference import Rule, segment_scan
from panrecon.lidar.pfc import segment_scan_by_ensemble
from panrecon.lidar.settings import SMALL
from panrecon.lidar.train import labelled_scan, scan_input, small_training, train
from panrecon.lidar.variants import CHANGES, Variant, variant
from panrecon.simulate_street import FEATURES, Recording, write_nuscenes
from panrecon.simulation.street import build_street
from panrecon.stage import console, progress_bar
from panrecon.workflow import CHECKOUT

NAME: Final = "lidar_ablation"
STREETS: Final = CHECKOUT / "data" / "raw" / "nuscenes"
TAUGHT, JUDGED = tuple(range(8)), tuple(range(12, 16))  # seeds of streets
TAUGHT_FRAMES, JUDGED_FRAMES = (0, 8), (0, 4, 8)
RULE: Final = Rule(thing_weight=1.0)
COLUMNS: Final = ("all", "base", "base things", "base stuff", "novel things", "novel stuff")
Places = list[tuple[LidarDataset, ScanPlace]]


def main(
    variants: Annotated[str, typer.Option(help="some of them, joined by commas")] = ",".join(CHANGES),
    seeds: Annotated[str, typer.Option(help="of training")] = "0,1,2",
    steps: Annotated[int, typer.Option(min=1, help="of training")] = 800,
    streets: Annotated[Path, typer.Option(help="folder where the streets lie, or are made")] = STREETS,
) -> None:
    taught, judged = _places(streets, TAUGHT, TAUGHT_FRAMES), _places(streets, JUDGED, JUDGED_FRAMES)
    data, place = taught[0]
    words = vocabulary(data.table, read_text_embeddings(place.folder / FEATURES), NOVEL["nuscenes"])
    runs = []
    for name in variants.split(","):
        for seed in map(int, seeds.split(",")):
            content = _run(name, seed, steps, taught, judged, words)
            runs.append({"variant": name, "seed": seed, **content})
            text = _table(runs)
            write_json(RESULTS / f"{NAME}.json", {**provenance(), "steps": steps, "runs": runs})
            write_text(RESULTS / f"{NAME}.md", text)
    console.print(_table(runs), highlight=False)


def _run(name: str, seed: int, steps: int, taught: Places, judged: Places, words: Vocabulary) -> Mapping[str, Any]:
    plan = variant(name, Variant(SMALL, small_training(steps, seed)))
    scans = []
    for data, place in taught:
        _, part = sample(data, place, FEATURES)
        assert part.labels is not None
        scans.append(labelled_scan(part.points, part.features, part.labels, words))
    with progress_bar(f"{name}, seed {seed}", steps) as advance:
        trained = train(scans, words, plan.sizes, plan.settings, on_step=lambda step, values: advance(step + 1))
    segment = segment_scan_by_ensemble if plan.ensemble else segment_scan
    overlaps = []
    for data, place in judged:
        _, part = sample(data, place, FEATURES)
        assert part.labels is not None
        found = segment(trained.network, scan_input(part.points, part.features), words, RULE)
        overlaps.append(overlap(found, part.labels))
    data, _ = judged[0]
    return lidar_record(overlaps, data.table, words.is_base, data.min_points)


def _places(streets: Path, seeds: tuple[int, ...], frames: tuple[int, ...]) -> Places:
    """The frames of the streets, which are made where they are not there."""
    found: Places = []
    for seed in seeds:
        folder = streets / f"street{seed}"
        if not (folder / "v1.0-mini").is_dir():
            recording = Recording(build_street(seed, 24.0), 1 + max(JUDGED_FRAMES), 480, 32, 1024, True)
            write_nuscenes(folder, recording)
        data = lidar_dataset("nuscenes", folder)
        places = data.places()
        found += [(data, places[frame]) for frame in frames]
    return found


def _table(runs: list[dict[str, Any]]) -> str:
    """A row a variant: the mean over seeds and the deviation, per cent."""
    rows = []
    for name in dict.fromkeys(run["variant"] for run in runs):
        mine = [run for run in runs if run["variant"] == name]
        cells = [_spread([run["groups"][group]["pq"] for run in mine]) for group in COLUMNS]
        rows.append([name, *cells, _spread([run["miou"] for run in mine]), str(len(mine))])
    return table_of(["variant", *(f"PQ {group}" for group in COLUMNS), "mIoU", "seeds"], rows)


def _spread(values: list[float | None]) -> str:
    numbers = 100 * np.array([value for value in values if value is not None])
    return f"{numbers.mean():.1f} ± {numbers.std():.1f}" if len(numbers) else "-"


if __name__ == "__main__":
    typer.run(main)
