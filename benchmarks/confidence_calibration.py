"""Is the confidence of objects calibrated? A reliability diagram and the calibration error (Guo et al. 2017).

The weights behind the confidence were fitted on the built-in rooms; the rendered scenes and their masks were not used.
An object is correct if the strict protocol matches it.
"""

from pathlib import Path
from typing import Any, Final

import numpy as np
import typer

from benchmarks.association import CONSENSUS, SETTINGS_OF_RULE, build_scene, labels_of_vertices, read_masks
from benchmarks.association_ablation import mask_files
from benchmarks.results import RESULTS, Table, text_of, write_result
from benchmarks.scenes import BenchScene
from benchmarks.study import SharedOption, in_processes, study_scenes
from panrecon.evaluation.metrics.calibration import Calibration, expected_calibration_error, object_outcomes
from panrecon.evaluation.overlap import overlap
from panrecon.evaluation.protocols import parse_protocol
from panrecon.io.mesh import read_mesh
from panrecon.io.scan import read_scan, read_views

NAME: Final = "confidence_calibration"
BINS: Final = 10
Outcome = tuple[str, float, bool]  # group of masks, confidence, whether correct


def main(shared: SharedOption = None) -> None:
    """For every group of masks a table of bins and the calibration error; a plot of all."""
    outcomes_of_scene = in_processes([(measure, scene) for scene in study_scenes(shared)], NAME)
    outcomes: list[Outcome] = [outcome for scene_outcomes in outcomes_of_scene for outcome in scene_outcomes]
    groups: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        groups.setdefault(outcome[0], []).append(outcome)
    calibration_of_group = {group: calibration(group_outcomes) for group, group_outcomes in groups.items()}
    report = [
        part
        for group, result in calibration_of_group.items()
        for part in (group_summary(group, groups[group], result), bin_table(result))
    ]
    plot(calibration_of_group, RESULTS / f"{NAME}.png")
    write_result(NAME, report, {"outcomes": outcomes}, pictures=[f"{NAME}.png"])
    print(text_of(report))


def measure(scene: BenchScene, run: Path) -> list[Outcome]:
    """The objects of one scene."""
    scan = read_scan(run / "scan")
    mesh = read_mesh(run / "mesh" / "mesh.ply")
    built = build_scene(scene.raw, scan, mesh, read_views(scan))
    result = []
    for group, path in mask_files(scene):
        inferred = built.infer(read_masks(path, scan, built.table), SETTINGS_OF_RULE[CONSENSUS])
        confidence = {instance: detected.confidence for instance, detected in enumerate(inferred.instances.objects)}
        labels = built.transfer_labels(labels_of_vertices(inferred))
        matching = parse_protocol("strict").match(overlap(labels, built.truth.labels), built.table)
        for object_confidence, is_correct in zip(*object_outcomes(matching, confidence), strict=True):
            result.append((group, float(object_confidence), bool(is_correct)))
    return result


def calibration(outcomes: list[Outcome]) -> Calibration:
    """The calibration of these objects in `BINS` bins."""
    confidence = np.array([outcome[1] for outcome in outcomes])
    is_correct = np.array([outcome[2] for outcome in outcomes])
    return expected_calibration_error(confidence, is_correct, BINS)


def group_summary(group: str, outcomes: list[Outcome], result: Calibration) -> str:
    """A line with the calibration error of a group of masks."""
    share = float(np.mean([outcome[2] for outcome in outcomes]))
    return f"{group}: {len(outcomes)} objects, {100 * share:.0f} % correct, ECE {result.ece:.3f}"


def bin_table(result: Calibration) -> Table:
    """A table of the bins that hold objects."""
    bins = zip(result.counts, result.confidence, result.accuracy, strict=True)
    rows = [
        [f"{index / BINS:.1f} .. {(index + 1) / BINS:.1f}", str(count), f"{confidence:.2f}", f"{accuracy:.2f}"]
        for index, (count, confidence, accuracy) in enumerate(bins)
        if count
    ]
    return Table(["confidence", "objects", "mean confidence", "share correct"], rows)


def plot(calibration_of_group: dict[str, Calibration], path: Path) -> None:
    """Plots the share of correct objects against the confidence; the areas of the dots grow with the objects."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, panel = pyplot.subplots(figsize=(4.6, 4.2))
    panel.plot([0, 1], [0, 1], color="0.7", linewidth=1)
    for group, result in calibration_of_group.items():
        occupied: Any = result.counts > 0
        panel.scatter(
            result.confidence[occupied],
            result.accuracy[occupied],
            s=6 + 2 * result.counts[occupied],
            alpha=0.7,
            label=f"{group}: ECE {result.ece:.3f}",
        )
    panel.set_xlabel("confidence of objects")
    panel.set_ylabel("share correct")
    panel.set_xlim(0, 1.02)
    panel.set_ylim(-0.02, 1.05)
    panel.grid(alpha=0.3)
    panel.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=130)
    pyplot.close(figure)


if __name__ == "__main__":
    typer.run(main)
