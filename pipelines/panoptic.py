"""Give every vertex its class and its object, and render both at poses that the field was not trained on."""

from panrecon.io.field import read_field, read_held_out
from panrecon.io.graph import read_votes
from panrecon.io.images import write_image
from panrecon.io.panoptic import write_result
from panrecon.io.rendered import write_images
from panrecon.io.scan import read_scan, scan_views
from panrecon.io.scene import read_labelled_scene
from panrecon.io.semantics import read_point_semantics
from panrecon.layout.gravity import estimate_gravity
from panrecon.pipeline import EvidenceOnSurface, panoptic_stage, render_views
from panrecon.refinement.parameters import RefinementParameters
from panrecon.visualization import contact_sheet, depth_image, isometric_view, label_colors, labelled_image
from panrecon.workflow.script import Stage, run_stage


def main(stage: Stage) -> None:
    scan = read_scan(stage.folder("scan"))
    views = scan_views(scan)
    scene = read_labelled_scene(stage.folder)
    field, box = read_field(stage.folder("field"))
    parameters = RefinementParameters(stage.settings.mesh.voxel_size)
    on_surface = EvidenceOnSurface(read_votes(stage.folder("graph")), read_point_semantics(stage.folder("semantics")))
    result = panoptic_stage(views, scene, on_surface, field, box, stage.settings.panoptic, parameters, stage.progress)
    panoptic = result.panoptic
    table = result.table
    final_objects = result.final_objects(scene.objects)
    write_result(stage.output, panoptic, final_objects, table)
    overview = isometric_view(panoptic.mesh, estimate_gravity(panoptic.mesh, scan.poses).up)
    write_image(stage.output / "panoptic.png", labelled_image(overview, panoptic.labels, table))
    rows = []
    names = read_held_out(stage.folder("field"))
    for view, images in render_views(views, names, panoptic, field, box, table, stage.progress):
        write_images(stage.output / "rendered", view.name, images, table)
        rows += [view.color, images.color, depth_image(images.depth), label_colors(images.labels, table)]
    if rows:
        write_image(stage.output / "rendered.jpg", contact_sheet(rows, columns=4))
    stage.say(f"{len(panoptic.mesh.vertices)} vertices, {len(final_objects)} objects")
    stage.say(f"{len(result.unknown_objects)} of them unknown, {len(result.rejected_objects)} objects rejected")
    stage.say(f"{result.thin_piece_count} thin pieces added")


if __name__ == "__main__":
    run_stage(main)
