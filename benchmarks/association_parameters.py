"""Fit of the two numbers that tell duplicates of an object from neighbours (`graph/rivals.py`), on simulated rooms.

Homes of seeds 100 to 103 under masks of levels 0.5, 1 and 2 of two seeds, and shops of seeds 110 and 111 with seventy
small things under levels 1 and 2: seeds that no result is reported on. A pair of numbers is as good as the mean of its
strict PQ after the graph over all of them. The first row merges no duplicates.
"""

from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Final

import numpy as np
import typer

from benchmarks.association import CONSENSUS, SETTINGS_OF_RULE, build_scene, labels_of_vertices, read_masks
from benchmarks.results import Report, Table, text_of, write_result
from benchmarks.scenes import BenchScene, panrecon, run_pipeline
from benchmarks.study import ROOMS, RUN, RUNS, in_processes
from panrecon.graph.instances import infer_instances
from panrecon.graph.parameters import GraphParameters
from panrecon.io.mesh import read_mesh
from panrecon.io.scan import read_scan, read_views

NAME: Final = "association_parameters"
HOMES: Final = (100, 101, 102, 103)
SHOPS: Final = (110, 111)
SMALL_THINGS: Final = 70  # of a shop, at least
LEVELS: Final[Mapping[str, tuple[float, ...]]] = {"home": (0.5, 1.0, 2.0), "shop": (1.0, 2.0)}
MASK_SEEDS: Final = (0, 1)
NO_MERGE: Final = GraphParameters(max_duplicate_frames=-1.0)
IOUS: Final = (0.075, 0.15, 0.3)
SHARES_OF_FRAMES: Final = (0.0, 0.175, 0.35, 0.7)
CANDIDATES: Final[Mapping[str, GraphParameters]] = {"none merge": NO_MERGE} | {
    f"IoU > {iou:g}, frames <= {share:g}": GraphParameters(min_duplicate_iou=iou, max_duplicate_frames=share)
    for iou, share in product(IOUS, SHARES_OF_FRAMES)
}
Score = tuple[str, float, str, float]  # kind of scene, level, candidate, PQ


def main() -> None:
    """A table with a row for every pair of numbers, and the best of them."""
    scenes = [BenchScene("home", ROOMS / f"room{seed}") for seed in HOMES]
    scenes += [BenchScene("shop", ROOMS / f"shop{seed}") for seed in SHOPS]
    for scene in scenes:
        prepare(scene)
    scores: list[Score] = [
        score for of_scene in in_processes([(measure, s) for s in scenes], NAME) for score in of_scene
    ]
    groups = list(dict.fromkeys((kind, level) for kind, level, _, _ in scores))
    mean_of_candidate = {name: mean_quality(scores, name) for name in CANDIDATES}
    rows = [
        [name, *(f"{mean_quality([s for s in scores if s[:2] == group], name):.1f}" for group in groups), f"{mean:.2f}"]
        for name, mean in mean_of_candidate.items()
    ]
    best = max(mean_of_candidate, key=lambda name: mean_of_candidate[name])
    head = ["duplicates", *(f"{kind}s, level {level:g}" for kind, level in groups), "mean"]
    report: Report = [Table(head, rows), f"The best: {best}."]
    write_result(NAME, report, {"scores": scores, "mean": mean_of_candidate})
    print(text_of(report))


def prepare(scene: BenchScene) -> None:
    """Simulates the room and its masks, and fuses its mesh, unless they exist."""
    if not scene.raw.exists():
        shop = ["--shop", str(SMALL_THINGS)] if scene.kind == "shop" else []
        panrecon(
            "simulate", "room", str(scene.raw), "--seed", scene.name.removeprefix("room").removeprefix("shop"), *shop
        )
    for level, seed in product(LEVELS[scene.kind], MASK_SEEDS):
        masks = masks_file(scene, level, seed)
        if not masks.is_file():
            panrecon(
                *("simulate", "detections", str(scene.raw), "--out", str(masks)),
                *("--level", str(level), "--seed", str(seed)),
            )
    run_pipeline(scene, RUNS, RUN, "mesh", [])


def masks_file(scene: BenchScene, level: float, seed: int) -> Path:
    """The simulated detections of a scene, beside its own."""
    return scene.raw / f"detections_level{level:g}_seed{seed}.json"


def measure(scene: BenchScene, run: Path) -> list[Score]:
    """The PQ of every candidate under all masks of a scene."""
    scan = read_scan(run / "scan")
    mesh = read_mesh(run / "mesh" / "mesh.ply")
    built = build_scene(scene.raw, scan, mesh, read_views(scan))
    scores = []
    for level, seed in product(LEVELS[scene.kind], MASK_SEEDS):
        observations = built.observations(read_masks(masks_file(scene, level, seed), scan, built.table))
        inputs = (observations, built.superface_of_vertex, built.adjacency, built.table, SETTINGS_OF_RULE[CONSENSUS])
        for name, parameters in CANDIDATES.items():
            quality = built.scores(labels_of_vertices(infer_instances(*inputs, parameters)))["pq"]
            scores.append((scene.kind, level, name, 100 * quality))
    return scores


def mean_quality(scores: list[Score], candidate: str) -> float:
    """The mean PQ of a candidate, in per cent."""
    return float(np.mean([quality for _, _, name, quality in scores if name == candidate]))


if __name__ == "__main__":
    typer.run(main)
