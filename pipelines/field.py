"""Optimise one neural field that knows distance, colour, class and instance at every point."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from panrecon.field.fit import fit
from panrecon.field.inference import render_view
from panrecon.field.supervision import TaughtFrame, Teacher, field_data, scene_box, taught_and_held_out
from panrecon.io.categories import read_categories
from panrecon.io.features import read_features
from panrecon.io.field import read_checkpoint, remove_checkpoint, write_checkpoint, write_field
from panrecon.io.graph import read_labels_of_surfaces, read_objects, read_superfaces
from panrecon.io.images import write_image
from panrecon.io.mesh import read_mesh
from panrecon.io.scan import read_scan, read_view
from panrecon.io.semantics import read_point_semantics, read_superface_labels
from panrecon.structures import CategoryTable, Labels, SceneObject, TriangleMesh, View
from panrecon.visualization import contact_sheet, depth_image, evenly_spaced, label_colors
from panrecon.workflow.script import Stage, run_stage


def main(stage: Stage) -> None:
    scan, mesh = read_scan(stage.folder("scan")), read_mesh(stage.folder("mesh") / "mesh.ply")
    table = read_categories(stage.folder("scan") / "classes.csv")
    objects = read_objects(stage.folder("semantics") / "objects.json", table)
    settings = stage.settings.field
    taught, held_out = taught_and_held_out(scan.frames, settings.held_out_frames)
    views = (read_view(scan, frame) for frame in taught)
    frames = list(stage.track(taught_frames(stage, views, mesh, table, objects), "labels", len(taught)))
    data = field_data(frames, scene_box(mesh.vertices, settings.reach), len(table), len(objects))
    resume = read_checkpoint(stage.output)
    if resume is not None:
        stage.say(f"resumes at step {int(resume['step'])}")
    with stage.bar("fit", settings.steps) as advance:
        fitted = fit(
            data,
            settings,
            resume=resume,
            on_step=lambda step, _: advance(step + 1),
            on_checkpoint=lambda _, state: write_checkpoint(stage.output, state),
        )
    write_field(stage.output, fitted, data, settings, [frame.name for frame in held_out])
    rows = []
    for number in evenly_spaced(len(frames), 4):
        view = frames[number].view
        seen = render_view(fitted.field, data.box, view.camera, view.world_from_camera, view.depth)
        rendered = label_colors(Labels(seen.category, seen.instance), table)
        rows += [view.color, seen.color, depth_image(seen.depth), rendered]
    write_image(stage.output / "field.jpg", contact_sheet(rows, columns=4))
    remove_checkpoint(stage.output)
    last = {
        name: float(values[-1]) for name, values in fitted.losses.items() if len(values) and np.isfinite(values[-1])
    }
    stage.say(", ".join(f"{name} {value:.3g}" for name, value in last.items()))


def taught_frames(
    stage: Stage, views: Iterable[View], mesh: TriangleMesh, table: CategoryTable, objects: Sequence[SceneObject]
) -> Iterator[TaughtFrame]:
    """Every view at training size with its labels: of its own masks, and of the surface it sees."""
    of_vertex = read_superface_labels(stage.folder("semantics")).at(read_superfaces(stage.folder("graph")))
    teacher = Teacher(
        mesh, of_vertex, read_point_semantics(stage.folder("semantics")).confidence, stage.settings.field.reach
    )
    for view in views:
        of_masks = read_labels_of_surfaces(stage.folder("graph") / "labels", view, objects, table)
        yield teacher.teach(view, of_masks, read_features(stage.folder("features"), view.name))


if __name__ == "__main__":
    run_stage(main)
