"""Optimise one neural field that knows distance, colour, class and instance at every point."""

from functools import partial

from panrecon.io.features import read_features
from panrecon.io.field import read_checkpoint, remove_checkpoint, write_checkpoint, write_field
from panrecon.io.images import write_image
from panrecon.io.scan import read_scan, scan_views
from panrecon.io.scene import read_labelled_scene
from panrecon.io.semantics import read_point_semantics
from panrecon.pipeline import FieldSupervision, field_stage, rendered_training_views
from panrecon.structures import Labels
from panrecon.visualization import contact_sheet, depth_image, label_colors
from panrecon.workflow.script import Stage, run_stage


def main(stage: Stage) -> None:
    views = scan_views(read_scan(stage.folder("scan")))
    scene = read_labelled_scene(stage.folder)
    confidence = read_point_semantics(stage.folder("semantics")).confidence
    supervision = FieldSupervision(scene, confidence, partial(read_features, stage.folder("features")))
    resume = read_checkpoint(stage.output)
    if resume is not None:
        stage.say(f"resumes at step {int(resume['step'])}")
    settings = stage.settings.field
    save = partial(write_checkpoint, stage.output)
    result = field_stage(views, supervision, settings, stage.progress, resume, save)
    write_field(stage.output, result.fitted, result.data, settings, result.held_out)
    rows = []
    for color, rendered in rendered_training_views(result, count=4):
        label_image = label_colors(Labels(rendered.category, rendered.instance), scene.table)
        rows += [color, rendered.color, depth_image(rendered.depth), label_image]
    write_image(stage.output / "field.jpg", contact_sheet(rows, columns=4))
    remove_checkpoint(stage.output)
    stage.say(", ".join(f"{name} {loss:.3g}" for name, loss in result.fitted.last_losses.items()))


if __name__ == "__main__":
    run_stage(main)
