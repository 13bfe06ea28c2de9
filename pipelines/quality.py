"""Score the labels of every step against the true mesh; the only stage that reads annotations."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from panrecon.datasets.base import dataset
from panrecon.datasets.ground_truth import LabelledShare, labelled_share
from panrecon.errors import InputError
from panrecon.evaluation.metrics.views import mean_view_quality, view_quality
from panrecon.evaluation.protocols import parse_protocol
from panrecon.evaluation.report.html import report_page
from panrecon.evaluation.report.markdown import STEPS, quality_tables
from panrecon.evaluation.report.record import BootstrapSettings, protocols_record, semantic_record
from panrecon.evaluation.scene import EvaluationSettings, SceneResult, evaluate_mesh, quality_record
from panrecon.evaluation.scene_matching import match_scene
from panrecon.evaluation.transfer import transfer_labels
from panrecon.geometry.projective import transform, up_direction
from panrecon.io.categories import read_categories
from panrecon.io.files import read_json, write_json, write_text
from panrecon.io.graph import read_instances_found, read_object_confidences, read_superfaces
from panrecon.io.images import read_color, read_depth, write_image
from panrecon.io.mesh import panoptic_digest, read_mesh, read_panoptic_mesh
from panrecon.io.scan import read_scan, read_view
from panrecon.io.semantics import read_superface_labels
from panrecon.structures import CategoryTable, PanopticMesh
from panrecon.visualization import contact_sheet
from panrecon.workflow.script import Stage, run_stage
from panrecon.workflow.stages import STAGES


def main(stage: Stage) -> None:
    settings = stage.settings.quality
    table = read_categories(stage.folder("scan") / "classes.csv")
    protocols = tuple(parse_protocol(name) for name in settings.protocols)
    evaluation = EvaluationSettings(
        table, protocols, settings.radius, settings.by_area, bootstrap=BootstrapSettings(seed=settings.seed)
    )
    truth = annotation(stage, table)
    labelled = labelled_share(truth.labels.category, table, "vertices")
    stage.say(f"truth: {labelled}")
    if not labelled.evaluated:
        raise InputError("No vertex of the truth is of an evaluated class; compare its ids with the class table's.")
    predictions = labelled_steps(stage, table)
    final, up = predictions[STEPS[-1]], up_direction(read_scan(stage.folder("scan")).poses)
    confidences = read_object_confidences(stage.folder("panoptic") / "objects.json")
    result = evaluate_mesh(final, truth, evaluation, confidences, up)
    scene = {
        **origin(stage, final, truth, labelled),
        **result.record,
        "steps": {step: step_record(mesh, truth, evaluation) for step, mesh in predictions.items()},
        "views": rendered_quality(stage),
        "stages": [],
    }
    write(stage, replace(result, record=scene), evaluation)


def annotation(stage: Stage, table: CategoryTable) -> PanopticMesh:
    if stage.settings.quality.ground_truth is not None:
        return read_panoptic_mesh(stage.settings.quality.ground_truth, table)
    reader = dataset(stage.scene.dataset)
    if not reader.annotation_files(stage.scene.raw):
        raise InputError(
            f"{stage.scene.raw} has no annotation to score against; set quality.ground_truth to a labelled PLY."
        )
    truth = reader.annotation(stage.scene.raw, table, stage.settings.quality.visible_only)
    if not stage.settings.scan.axis_alignment:
        return truth
    vertices = transform(reader.alignment(stage.scene.raw, stage.settings.scan), truth.mesh.vertices)
    return replace(truth, mesh=replace(truth.mesh, vertices=vertices))


def labelled_steps(stage: Stage, table: CategoryTable) -> dict[str, PanopticMesh]:
    """What was known after the graph, after semantics, and at the end."""
    mesh = read_mesh(stage.folder("mesh") / "mesh.ply")
    superface_of_vertex = read_superfaces(stage.folder("graph"))
    after_graph = read_instances_found(stage.folder("graph"), table).of_superface
    after_semantics = read_superface_labels(stage.folder("semantics"))
    final = read_panoptic_mesh(stage.folder("panoptic") / "panoptic.ply", table)
    steps = (PanopticMesh(mesh, labels.at(superface_of_vertex)) for labels in (after_graph, after_semantics))
    return dict(zip(STEPS, (*steps, final), strict=True))


def step_record(prediction: PanopticMesh, truth: PanopticMesh, evaluation: EvaluationSettings) -> dict[str, Any]:
    """The headline protocol and class quality of one step's labels."""
    found = match_scene(
        [transfer_labels(prediction, truth, evaluation.radius, evaluation.weight_of(truth)).overlap],
        evaluation.table,
        evaluation.protocols[:1],
    )
    protocols = protocols_record(found, evaluation.table, evaluation.bootstrap)
    return {
        "protocols": protocols,
        "semantic": semantic_record(found, evaluation.table),
    }


def rendered_quality(stage: Stage) -> dict[str, Any] | None:
    """How the field's images of the frames that it was not taught resemble them."""
    scan, rendered = read_scan(stage.folder("scan")), stage.folder("panoptic") / "rendered"
    found = []
    for frame in scan.frames:
        if (rendered / "color" / f"{frame.name}.png").is_file():
            view, color = read_view(scan, frame), read_color(rendered / "color" / f"{frame.name}.png")
            depth = read_depth(rendered / "depth" / f"{frame.name}.png", depth_scale=1000.0)
            found.append(view_quality(color, view.color, depth, view.depth))
    return {**asdict(mean_view_quality(found)), "frames": len(found)} if found else None


def origin(stage: Stage, final: PanopticMesh, truth: PanopticMesh, labelled: LabelledShare) -> dict[str, Any]:
    """Which files were held against each other."""
    true_path = stage.settings.quality.ground_truth or stage.scene.raw.name
    return {
        "prediction": {"path": "panoptic/panoptic.ply", "sha256": panoptic_digest(final)},
        "ground_truth": {"path": str(true_path), "sha256": panoptic_digest(truth)},
        "truth": labelled.counts,
        "sources": [],
    }


def write(stage: Stage, result: SceneResult, evaluation: EvaluationSettings) -> None:
    """The record and its tables; the report shows besides what the stages cost, which differs from run to run."""
    scene = stage.scene.name
    record = quality_record({scene: result}, evaluation, is_mesh=True)
    write_json(stage.output / "quality.json", record)
    write_text(stage.output / "quality.md", quality_tables(record))
    write_image(stage.output / "quality.png", contact_sheet(list(result.images.values()), columns=2))
    shown = {**record, "scenes": {scene: {**record["scenes"][scene], "stages": costs(stage)}}}
    page = report_page(f"Panoptic quality of {scene}", shown, {scene: result.images})
    write_text(stage.output / "report.html", page)


def costs(stage: Stage) -> list[Mapping[str, Any]]:
    """Wall time (s) and peak memory (bytes) of every stage before this one."""
    files = {name: stage.scene.run / name / "settings.json" for name in STAGES if name != stage.name}
    records = {name: read_json(file) for name, file in files.items() if file.is_file()}
    return [
        {"stage": name, "seconds": record["seconds"], "peak_memory": record["peak_memory_mb"] << 20}
        for name, record in records.items()
    ]


if __name__ == "__main__":
    run_stage(main)
