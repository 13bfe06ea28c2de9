"""Are objects as often right as their confidence says? A reliability plot and the calibration error (Guo et al. 2017).

The weights behind the confidence were fitted on the built-in rooms; the rendered scenes and their masks were not used.
An object is right if the strict rule matches it.
"""

from pathlib import Path
from typing import Any, Final

import numpy as np
import typer

from benchmarks.association import CONSENSUS, SETTINGS_OF_RULE, build_scene, labels_of_vertices, read_masks
from benchmarks.association_ablation import mask_files
from benchmarks.provenance import provenance
from benchmarks.scenes import BenchScene
from benchmarks.study import RESULTS, SharedOption, in_processes, study_scenes
from benchmarks.tables import table_of
from panrecon.evaluation.metrics.calibration import Calibration, expected_calibration_error, object_outcomes
from panrecon.evaluation.overlap import overlap
from panrecon.evaluation.protocols import parse_protocol
from panrecon.io.files import write_json, write_text
from panrecon.io.mesh import read_mesh
from panrecon.io.scan import read_scan, read_views

NAME: Final = "confidence_calibration"
BINS: Final = 10
Outcome = tuple[str, float, bool]  # group of masks, confidence, right


def main(shared: SharedOption = None) -> None:
    """The table of bins, the plot, and one number a group of masks."""
    found = in_processes([(measure, scene) for scene in study_scenes(shared)], NAME)
    outcomes: list[Outcome] = [one for scene in found for one in scene]
    groups: dict[str, list[Outcome]] = {}
    for one in outcomes:
        groups.setdefault(one[0], []).append(one)
    measured = {group: calibration(mine) for group, mine in groups.items()}
    text = "\n".join(group_table(group, groups[group], one) for group, one in measured.items())
    write_json(RESULTS / f"{NAME}.json", {**provenance(), "outcomes": outcomes})
    write_text(RESULTS / f"{NAME}.md", text)
    plot(measured, RESULTS / f"{NAME}.png")
    print(text)


def measure(scene: BenchScene, run: Path) -> list[Outcome]:
    scan = read_scan(run / "scan")
    mesh = read_mesh(run / "mesh" / "mesh.ply")
    built = build_scene(scene.raw, scan, mesh, read_views(scan))
    result = []
    for group, path in mask_files(scene):
        found = built.infer(read_masks(path, scan, built.table), SETTINGS_OF_RULE[CONSENSUS])
        confidence = {number: one.confidence for number, one in enumerate(found.instances.objects)}
        labels = built.transfer_labels(labels_of_vertices(found))
        matching = parse_protocol("strict").match(overlap(labels, built.truth.labels), built.table)
        for said, is_right in zip(*object_outcomes(matching, confidence), strict=True):
            result.append((group, float(said), bool(is_right)))
    return result


def calibration(outcomes: list[Outcome]) -> Calibration:
    said = np.array([one[1] for one in outcomes])
    is_right = np.array([one[2] for one in outcomes])
    return expected_calibration_error(said, is_right, BINS)


def group_table(group: str, outcomes: list[Outcome], found: Calibration) -> str:
    rows = [
        [f"{number / BINS:.1f} .. {(number + 1) / BINS:.1f}", str(count), f"{mean:.2f}", f"{right:.2f}"]
        for number, (count, mean, right) in enumerate(zip(found.counts, found.confidence, found.accuracy, strict=True))
        if count
    ]
    share = float(np.mean([one[2] for one in outcomes]))
    head = f"{group}: {len(outcomes)} objects, {100 * share:.0f} % right, ECE {found.ece:.3f}\n\n"
    return head + table_of(["confidence", "objects", "mean confidence", "share right"], rows)


def plot(measured: dict[str, Calibration], path: Path) -> None:
    """Share right against confidence; the dots' areas are the numbers of objects."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, panel = pyplot.subplots(figsize=(4.6, 4.2))
    panel.plot([0, 1], [0, 1], color="0.7", linewidth=1)
    for group, found in measured.items():
        kept: Any = found.counts > 0
        panel.scatter(
            found.confidence[kept],
            found.accuracy[kept],
            s=6 + 2 * found.counts[kept],
            alpha=0.7,
            label=f"{group}: ECE {found.ece:.3f}",
        )
    panel.set_xlabel("confidence of objects")
    panel.set_ylabel("share right")
    panel.set_xlim(0, 1.02)
    panel.set_ylim(-0.02, 1.05)
    panel.grid(alpha=0.3)
    panel.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=130)
    pyplot.close(figure)


if __name__ == "__main__":
    typer.run(main)
