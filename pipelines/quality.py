"""Score the labels of every step against the true mesh; the only stage that reads annotations."""

from pathlib import Path

import numpy as np

from panrecon.datasets.base import dataset
from panrecon.errors import InputError
from panrecon.evaluation.report import STEPS, quality_record, quality_table
from panrecon.evaluation.score import Score, score
from panrecon.geometry import up_direction
from panrecon.io.categories import read_categories
from panrecon.io.files import write_json, write_text
from panrecon.io.graph import read_instances_found, read_superfaces
from panrecon.io.images import write_image
from panrecon.io.mesh import read_mesh, read_panoptic_mesh
from panrecon.io.scan import read_scan
from panrecon.io.semantics import read_superface_labels
from panrecon.pictures import error_colors, label_colors, overview, sheet
from panrecon.stage import Stage, run_stage
from panrecon.structures import CategoryTable, PanopticMesh


def main(stage: Stage) -> None:
    settings = stage.settings.quality
    table = read_categories(stage.folder("scan") / "classes.csv")
    truth = annotation(stage, settings.ground_truth, table)
    if not np.append(table.is_evaluated, False)[truth.labels.category].any():
        raise InputError("No vertex of the truth is of an evaluated class; compare its ids with the class table's.")
    predictions = labelled_steps(stage, table)
    scores = {step: score(mesh, truth, table, settings.radius) for step, mesh in predictions.items()}
    record = quality_record(scores, table, settings.protocol, settings.radius)
    text = quality_table(stage.run.name, scores, table, settings.protocol)
    write_json(stage.output / "quality.json", record)
    write_text(stage.output / "quality.md", text)
    draw(stage, predictions["field"], truth, scores["field"], table)


def annotation(stage: Stage, ground_truth: Path | None, table: CategoryTable) -> PanopticMesh:
    if ground_truth is not None:
        return read_panoptic_mesh(ground_truth, table)
    reader = dataset(stage.dataset)
    if not reader.annotation_files(stage.raw):
        raise InputError(f"{stage.raw} has no annotation to score against; set quality.ground_truth to a labelled PLY.")
    return reader.annotation(stage.raw, table)


def labelled_steps(stage: Stage, table: CategoryTable) -> dict[str, PanopticMesh]:
    """What was known after the graph, after semantics, and at the end."""
    mesh = read_mesh(stage.folder("mesh") / "mesh.ply")
    superface_of_vertex = read_superfaces(stage.folder("graph"))
    after_graph = read_instances_found(stage.folder("graph"), table).of_superface
    after_semantics = read_superface_labels(stage.folder("semantics"))
    final = read_panoptic_mesh(stage.folder("panoptic") / "panoptic.ply", table)
    steps = (PanopticMesh(mesh, labels.at(superface_of_vertex)) for labels in (after_graph, after_semantics))
    return dict(zip(STEPS, (*steps, final), strict=True))


def draw(stage: Stage, prediction: PanopticMesh, truth: PanopticMesh, found: Score, table: CategoryTable) -> None:
    """The scan, the truth, the prediction on it and its errors, as `error_colors` paints them."""
    if not len(truth.mesh.faces):
        return  # a labelled point cloud
    up = up_direction(read_scan(stage.folder("scan")).poses)
    view = overview(truth.mesh, up)
    labels = [label_colors(which, table) for which in (truth.labels, found.prediction)]
    colors = [truth.mesh.colors, *labels, error_colors(found.is_right, found.is_evaluated, found.prediction)]
    write_image(stage.output / "quality.png", sheet([view.paint(truth.mesh, color) for color in colors], columns=2))


if __name__ == "__main__":
    run_stage(main)
