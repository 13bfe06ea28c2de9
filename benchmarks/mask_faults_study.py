"""How does quality fall as the masks get worse? Each fault alone, and all together, for both rules and plain fusion.

Masks are simulated from the true label images with seeded faults; all methods read the same ones, on the same mesh.
The built-in rooms count one seed each (another seed is another room), the rendered scenes three.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final

import typer

from benchmarks.association import CONSENSUS, PLAIN, WRITTEN, AssociationScene, Masks, build_scene
from benchmarks.scenes import BenchScene
from benchmarks.study import SharedOption, StudyScore, run_study, seeds_of, study_scenes
from panrecon.datasets.scannet.format import read_truth
from panrecon.io.mesh import read_mesh
from panrecon.io.scan import read_scan, read_views
from panrecon.simulation.predictions.detections import DetectionFaults, simulated_detections
from panrecon.structures import Detections

NAME: Final = "mask_faults_study"
METHODS: Final = (CONSENSUS, WRITTEN, PLAIN)
# Rates of each fault alone; all others are off. 0 is the same for all: exact masks.
LEVELS: Final[Mapping[str, tuple[float, ...]]] = {
    "miss": (0.0, 0.2, 0.4, 0.6, 0.8),
    "split": (0.0, 0.15, 0.3, 0.45, 0.6),
    "merge": (0.0, 0.15, 0.3, 0.45, 0.6),
    "leak": (0.0, 0.2, 0.4, 0.6, 0.8),
    "jitter": (0.0, 0.04, 0.08, 0.12, 0.16),
    "duplicate": (0.0, 0.15, 0.3, 0.45, 0.6),
    "wrong_class": (0.0, 0.15, 0.3, 0.45, 0.6),
    "all together": (0.0, 0.5, 1.0, 1.5, 2.0),  # times the default rates, which are like Grounded-SAM's
}


def main(
    shared: SharedOption = None,
    faults: Annotated[str, typer.Option(help="names of faults, joined by commas; default all")] = "",
    quick: Annotated[bool, typer.Option(help="two levels and one seed")] = False,
) -> None:
    """Strict PQ against every fault's rate: a table, a plot and JSON."""
    names = [name for name in faults.split(",") if name] or list(LEVELS)
    tasks = [(measure, scene, names, quick) for scene in study_scenes(shared)]
    run_study(NAME, tasks, "rate of the fault (all together: times the default rates)")


def measure(scene: BenchScene, run: Path, faults: list[str], quick: bool) -> list[StudyScore]:
    """All scores of one scene."""
    scan = read_scan(run / "scan")
    mesh = read_mesh(run / "mesh" / "mesh.ply")
    built = build_scene(scene.raw, scan, mesh, read_views(scan))
    points: list[StudyScore] = []
    for seed in seeds_of(scene, quick):
        exact = scores(built, masks_of(built, scene, DetectionFaults.at_level(0), seed))
        for fault in faults:
            levels = LEVELS[fault][::4] if quick else LEVELS[fault]
            for level in levels:
                scores_of_method = exact
                if level > 0:
                    scores_of_method = scores(built, masks_of(built, scene, faults_at(fault, level), seed))
                for method, values in scores_of_method.items():
                    points.append(StudyScore(fault, level, method, scene.name, seed, values))
    return points


def faults_at(fault: str, level: float) -> DetectionFaults:
    """The one fault at the rate `level`, all others off; or all of them at `level` times their default rates."""
    if fault == "all together":
        return DetectionFaults.at_level(level)
    return DetectionFaults(**{**vars(DetectionFaults.at_level(0)), fault: level})


def masks_of(built: AssociationScene, scene: BenchScene, faults: DetectionFaults, seed: int) -> Masks:
    """The simulated masks of every frame that has any, by its name."""
    masks: dict[str, Detections] = {}
    for frame_index, frame in enumerate(built.scan.frames):
        truth = read_truth(scene.raw, frame.name, built.table)
        detections = simulated_detections(truth, built.table, faults, seed=seed, frame=frame_index)
        if len(detections):
            masks[frame.name] = detections
    return masks


def scores(built: AssociationScene, masks: Masks) -> dict[str, dict[str, float]]:
    """The scores of every method, by its name."""
    return {method: built.scores_of(method, masks) for method in METHODS}


if __name__ == "__main__":
    typer.run(main)
