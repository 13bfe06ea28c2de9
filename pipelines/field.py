"""Optimise one neural field that knows distance, colour, class and instance at every point."""

from functools import partial

from panrecon.io.categories import read_categories
from panrecon.io.features import read_features
from panrecon.io.field import read_checkpoint, remove_checkpoint, write_checkpoint, write_field
from panrecon.io.graph import read_labels_of_surfaces, read_objects, read_superfaces
from panrecon.io.images import write_image
from panrecon.io.mesh import read_mesh
from panrecon.io.scan import read_scan, scan_views
from panrecon.io.semantics import read_point_semantics, read_superface_labels
from panrecon.pipeline import FieldSupervision, field_stage, rendered_training_views
from panrecon.structures import LabelledScene, Labels
from panrecon.visualization import contact_sheet, depth_image, label_colors
from panrecon.workflow.script import Stage, run_stage


def main(stage: Stage) -> None:
    views, mesh = scan_views(read_scan(stage.folder("scan"))), read_mesh(stage.folder("mesh") / "mesh.ply")
    table = read_categories(stage.folder("scan") / "classes.csv")
    objects = read_objects(stage.folder("semantics") / "objects.json", table)
    labels = read_superface_labels(stage.folder("semantics")).at(read_superfaces(stage.folder("graph")))
    confidence = read_point_semantics(stage.folder("semantics")).confidence
    masks = partial(read_labels_of_surfaces, stage.folder("graph") / "labels", objects=objects, table=table)
    scene = LabelledScene(mesh, labels, objects, table, masks)
    supervision = FieldSupervision(scene, confidence, partial(read_features, stage.folder("features")))
    resume = read_checkpoint(stage.output)
    if resume is not None:
        stage.say(f"resumes at step {int(resume['step'])}")
    settings, save = stage.settings.field, partial(write_checkpoint, stage.output)
    result = field_stage(views, supervision, settings, stage.progress, resume, save)
    write_field(stage.output, result.fitted, result.data, settings, result.held_out)
    rows = []
    for color, rendered in rendered_training_views(result, count=4):
        label_image = label_colors(Labels(rendered.category, rendered.instance), table)
        rows += [color, rendered.color, depth_image(rendered.depth), label_image]
    write_image(stage.output / "field.jpg", contact_sheet(rows, columns=4))
    remove_checkpoint(stage.output)
    stage.say(", ".join(f"{name} {loss:.3g}" for name, loss in result.fitted.last_losses.items()))


if __name__ == "__main__":
    run_stage(main)
