"""Measurements of a finished run: the scores of the pipeline's steps and of the baseline, and their cost."""

import resource
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Final

from benchmarks.plain_fusion import LabelFusion, frame_votes, surface_voxels
from panrecon.config import MeshSettings
from panrecon.errors import InputError
from panrecon.evaluation.metrics.semantic import confusion, semantic_quality
from panrecon.evaluation.metrics.void_rates import void_rate
from panrecon.evaluation.overlap import overlap
from panrecon.evaluation.protocols import parse_protocol
from panrecon.evaluation.report.markdown import STEPS
from panrecon.evaluation.report.record import class_means
from panrecon.evaluation.scene_matching import match_scene
from panrecon.evaluation.transfer import transfer_labels
from panrecon.io.categories import read_categories
from panrecon.io.detections import read_detections
from panrecon.io.files import read_json
from panrecon.io.graph import read_instances_found, read_superfaces
from panrecon.io.mesh import read_mesh, read_panoptic_mesh
from panrecon.io.scan import read_scan, read_views
from panrecon.io.semantics import read_superface_labels
from panrecon.structures import CategoryTable, Labels, PanopticMesh, TriangleMesh
from panrecon.workflow.stages import STAGES

BASELINE: Final = "plain fusion"
MIN_FRAMES: Final = {BASELINE: 1, f"{BASELINE}, >= 3 frames": 3}  # both variants of the baseline
STAGE_OF_STEP: Final = dict(zip(STEPS, ("graph", "semantics", "panoptic"), strict=True))


@dataclass(frozen=True)
class ProcessCost:
    """The wall time (s) and the peak resident memory (MB) of a process."""

    seconds: float
    peak_memory_mb: int


@dataclass(frozen=True)
class Baseline:
    """The labelled mesh of every variant by its name, and the cost of all together."""

    meshes: Mapping[str, PanopticMesh]
    cost: ProcessCost


def stages_until(until: str) -> list[str]:
    """The stages of a run whose last one is `until`.

    Raises:
        InputError: there is no such stage.
    """
    names = list(STAGES)
    if until not in names:
        raise InputError(f"There is no stage {until!r}; there are {', '.join(names)}.")
    return names[: names.index(until) + 1]


def stage_costs(run: Path, until: str) -> dict[str, ProcessCost]:
    """The cost of each stage as recorded in its `settings.json`; stages that did not run are left out."""
    files = {stage: run / stage / "settings.json" for stage in stages_until(until)}
    records = {stage: read_json(file) for stage, file in files.items() if file.is_file()}
    return {stage: ProcessCost(record["seconds"], record["peak_memory_mb"]) for stage, record in records.items()}


def run_baseline(run: Path, settings: MeshSettings) -> Baseline:
    """The plain fusion of a run's scan, mesh and masks, in a process of its own so that its memory can be measured."""
    with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_fuse, run, settings).result()


def pipeline_steps(run: Path, table: CategoryTable, until: str) -> dict[str, PanopticMesh]:
    """The pipeline's labels after each step of a run up to the stage `until`, by the name of their row."""
    mesh = read_mesh(run / "mesh" / "mesh.ply")
    steps = [step for step in STEPS if STAGE_OF_STEP[step] in stages_until(until)]
    return {f"after {step}": _after(step, run, mesh, table) for step in steps}


def scores(
    predictions: Mapping[str, PanopticMesh], truth: PanopticMesh, table: CategoryTable, radius: float
) -> dict[str, dict[str, float]]:
    """The means by the strict protocol of every prediction, each in [0, 1]; `radius` (m) as in evaluation."""
    return {method: _score(mesh, truth, table, radius) for method, mesh in predictions.items()}


def _score(prediction: PanopticMesh, truth: PanopticMesh, table: CategoryTable, radius: float) -> dict[str, float]:
    return strict_scores(transfer_labels(prediction, truth, radius).labels, truth.labels, table)


def strict_scores(prediction: Labels, truth: Labels, table: CategoryTable) -> dict[str, float]:
    """The means by the strict protocol of labels of the same points, each in [0, 1], with mIoU and the void rate."""
    strict = parse_protocol("strict")
    scene_match = match_scene([overlap(prediction, truth)], table, [strict])
    semantic = semantic_quality(confusion(scene_match.overlap, table))
    return class_means(scene_match.statistics(strict), table) | {
        "miou": semantic.miou,
        "void": void_rate(scene_match.overlap, table),
    }


def _after(step: str, run: Path, mesh: TriangleMesh, table: CategoryTable) -> PanopticMesh:
    match step:
        case "graph":
            of_superface = read_instances_found(run / "graph", table).of_superface
        case "semantics":
            of_superface = read_superface_labels(run / "semantics")
        case "field":
            return read_panoptic_mesh(run / "panoptic" / "panoptic.ply", table)
        case _:
            raise ValueError(f"There is no step {step!r}; there are {', '.join(STEPS)}.")
    return PanopticMesh(mesh, of_superface.at(read_superfaces(run / "graph")))


def _fuse(run: Path, settings: MeshSettings) -> Baseline:
    started = time.perf_counter()
    scan = read_scan(run / "scan")
    mesh = read_mesh(run / "mesh" / "mesh.ply")
    table = read_categories(run / "scan" / "classes.csv")
    detections = read_detections(run / "masks" / "detections.json", table)
    voxels = surface_voxels(mesh.vertices, settings.voxel_size)
    fusion = LabelFusion(table, len(voxels.points))
    for votes in frame_votes(read_views(scan), detections, voxels, settings.truncation * settings.voxel_size):
        fusion.add(votes)
    labels = {variant: fusion.labels(min_frames).at(voxels.of_vertex) for variant, min_frames in MIN_FRAMES.items()}
    seconds = round(time.perf_counter() - started, 2)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    meshes = {variant: PanopticMesh(mesh, variant_labels) for variant, variant_labels in labels.items()}
    return Baseline(meshes, ProcessCost(seconds, peak))
