"""Optimise one neural field that knows distance, colour, class and instance at every point."""

from functools import partial

import numpy as np

from panrecon.field.inference import render_view
from panrecon.io.categories import read_categories
from panrecon.io.features import read_features
from panrecon.io.field import read_checkpoint, remove_checkpoint, write_checkpoint, write_field
from panrecon.io.graph import read_labels_of_surfaces, read_objects, read_superfaces
from panrecon.io.images import write_image
from panrecon.io.mesh import read_mesh
from panrecon.io.scan import read_scan, scan_views
from panrecon.io.semantics import read_point_semantics, read_superface_labels
from panrecon.pipeline import FieldSupervision, field_stage
from panrecon.structures import Labels
from panrecon.visualization import contact_sheet, depth_image, evenly_spaced, label_colors
from panrecon.workflow.script import Stage, run_stage


def main(stage: Stage) -> None:
    views, mesh = scan_views(read_scan(stage.folder("scan"))), read_mesh(stage.folder("mesh") / "mesh.ply")
    table = read_categories(stage.folder("scan") / "classes.csv")
    objects = read_objects(stage.folder("semantics") / "objects.json", table)
    labels = read_superface_labels(stage.folder("semantics")).at(read_superfaces(stage.folder("graph")))
    confidence = read_point_semantics(stage.folder("semantics")).confidence
    masks = partial(read_labels_of_surfaces, stage.folder("graph") / "labels", objects=objects, table=table)
    supervision = FieldSupervision(mesh, labels, confidence, masks, partial(read_features, stage.folder("features")))
    resume = read_checkpoint(stage.output)
    if resume is not None:
        stage.say(f"resumes at step {int(resume['step'])}")
    result = field_stage(
        views,
        supervision,
        table,
        objects,
        stage.settings.field,
        stage.progress,
        resume,
        lambda _, state: write_checkpoint(stage.output, state),
    )
    write_field(stage.output, result.fitted, result.data, stage.settings.field, result.held_out)

    data, rows = result.data, []
    for index in evenly_spaced(len(data.color), 4):
        pose, depth = data.world_from_camera[index], data.depth[index]
        rendered = render_view(result.fitted.field, data.box, data.camera, pose, depth)
        colors = label_colors(Labels(rendered.category, rendered.instance), table)
        rows += [data.color[index], rendered.color, depth_image(rendered.depth), colors]
    write_image(stage.output / "field.jpg", contact_sheet(rows, columns=4))
    remove_checkpoint(stage.output)
    losses = {name: values[-1] for name, values in result.fitted.losses.items() if len(values)}
    stage.say(", ".join(f"{name} {loss:.3g}" for name, loss in losses.items() if np.isfinite(loss)))


if __name__ == "__main__":
    run_stage(main)
