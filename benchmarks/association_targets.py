"""Is the consensus rule better than the written one and plain fusion, on equal masks? Fixed detections, strict PQ.

The rendered scenes with their fixed detections (faults 1 and 2, three seeds each), and the real scans: all their
frames, and five random subsets of 90 % of them, from the mesh on. Without the data folder there is nothing to compare.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import typer

from benchmarks.association import CONSENSUS, METHODS, AssociationScene, build_scene, read_masks
from benchmarks.association_ablation import mask_files
from benchmarks.results import Report, Table, text_of, write_result
from benchmarks.scenes import REAL, BenchScene, find_scenes, run_pipeline
from benchmarks.study import RUN, RUNS, SharedOption, in_processes, study_scenes
from panrecon.config import MeshSettings
from panrecon.errors import InputError
from panrecon.fusion.tsdf import fuse
from panrecon.io.mesh import read_mesh
from panrecon.io.scan import read_scan, read_views, scan_views
from panrecon.terminal import exit_on_input_error

NAME: Final = "association_targets"
SUBSETS, SHARE = 5, 0.9


@dataclass(frozen=True)
class Row:
    """The scores of every method on one set of masks of one scene, and the share of the truth that the mesh covers."""

    scene: str
    masks: str
    covered: float
    scores: Mapping[str, Mapping[str, float]]


def main(shared: SharedOption = None) -> None:
    """A table a group of masks, scene by scene and in the mean; and the margins of the consensus rule."""
    with exit_on_input_error():
        rendered = [scene for scene in study_scenes(shared) if scene.kind == "rendered"]
        if not rendered:
            raise InputError("The fixed detections are not part of this project; name their folder with --shared.")
        real = [scene for scene in find_scenes("0", RUNS, shared, RUNS / RUN / "features") if scene.name in REAL]
        for scene in real:
            run_pipeline(scene, RUNS, RUN, "masks", [])
            run_pipeline(scene, RUNS, RUN, "mesh", [])
        tasks = [*((on_fixed_masks, scene) for scene in rendered), *((on_subsets, scene) for scene in real)]
        rows: list[Row] = [row for found in in_processes(tasks, NAME) for row in found]
    report: Report = [table(rows), *margins(rows)]
    write_result(NAME, report, {"rows": [vars(row) for row in rows]})
    print(text_of(report))


def on_fixed_masks(scene: BenchScene, run: Path) -> list[Row]:
    scan, mesh = read_scan(run / "scan"), read_mesh(run / "mesh" / "mesh.ply")
    built = build_scene(scene.raw, scan, mesh, read_views(scan))
    return [row(built, scene, group, path) for group, path in mask_files(scene)]


def on_subsets(scene: BenchScene, run: Path) -> list[Row]:
    """The whole scan, and random subsets of its frames: their own mesh and masks."""
    scan, path = read_scan(run / "scan"), scene.raw / "detections.json"
    whole = build_scene(scene.raw, scan, read_mesh(run / "mesh" / "mesh.ply"), read_views(scan))
    result = [row(whole, scene, "real, all frames", path)]
    for seed in range(SUBSETS):
        chosen = np.random.default_rng(seed).permutation(len(scan.frames))[: round(SHARE * len(scan.frames))]
        frames = tuple(scan.frames[number] for number in sorted(chosen))
        part = type(scan)(scan.scene, scan.camera, scan.source_camera, scan.depth_scale, frames)
        mesh = fuse(scan_views(part), MeshSettings())
        result.append(row(build_scene(scene.raw, part, mesh, read_views(part)), scene, "real, 90 % of frames", path))
    return result


def row(built: AssociationScene, scene: BenchScene, group: str, path: Path) -> Row:
    masks = read_masks(path, built.scan, built.table)
    return Row(scene.name, group, built.share_covered, {name: built.scores_of(name, masks) for name in METHODS})


def table(rows: Sequence[Row]) -> Table:
    """PQ of all / things / stuff: the mean of every scene over its masks, then of all scenes; and the range of PQ."""
    lines = []
    for group in dict.fromkeys(one.masks for one in rows):
        mine = [one for one in rows if one.masks == group]
        for scene in dict.fromkeys(one.scene for one in mine):
            lines.append(_line(group, scene, [one for one in mine if one.scene == scene]))
        if len({one.scene for one in mine}) > 1:
            lines.append(_line(group, "mean", mine))
    return Table(["masks", "scene", "covered", *(f"{name}: PQ / things / stuff [range]" for name in METHODS)], lines)


def _line(group: str, scene: str, rows: Sequence[Row]) -> list[str]:
    cells = []
    for name in METHODS:
        means = [f"{mean(rows, name, key):.1f}" for key in ("pq", "pq_things", "pq_stuff")]
        pq = [100 * one.scores[name]["pq"] for one in rows]
        cells.append(f"{' / '.join(means)} [{min(pq):.1f} .. {max(pq):.1f}]")
    return [group, scene, f"{100 * np.mean([one.covered for one in rows]):.1f}", *cells]


def mean(rows: Sequence[Row], method: str, key: str) -> float:
    return 100 * float(np.mean([one.scores[method][key] for one in rows]))


def margins(rows: Sequence[Row]) -> list[str]:
    lines = []
    for group in dict.fromkeys(one.masks for one in rows):
        mine = [one for one in rows if one.masks == group]
        for other in METHODS:
            if other != CONSENSUS:
                by = [mean(mine, CONSENSUS, key) - mean(mine, other, key) for key in ("pq", "pq_things")]
                lines.append(f"{group}: consensus over {other} by {by[0]:+.1f} PQ, {by[1]:+.1f} things")
    return lines


if __name__ == "__main__":
    typer.run(main)
