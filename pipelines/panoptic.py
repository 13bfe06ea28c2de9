"""Give every vertex its class and its object, and render both at poses that the field was not taught."""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Int

from panrecon.field.field import PanopticField, SceneBox
from panrecon.field.inference import query, surface
from panrecon.field.scene_renderer import SceneRenderer
from panrecon.fusion.cleaning import keep_faces
from panrecon.geometry.mesh import nearest_vertex, vertex_normals
from panrecon.geometry.projective import up_direction
from panrecon.io import graph as artifact
from panrecon.io.categories import read_categories
from panrecon.io.field import read_field, read_held_out
from panrecon.io.images import write_image
from panrecon.io.mesh import read_mesh, write_panoptic_mesh
from panrecon.io.rendered import write_images
from panrecon.io.scan import read_scan, read_view, scan_views
from panrecon.io.semantics import read_superface_labels
from panrecon.progress import track
from panrecon.refinement.parameters import RefinementParameters
from panrecon.refinement.refine import refine
from panrecon.structures import VOID, CategoryTable, Labels, PanopticMesh, Scan, SceneObject, TriangleMesh, View
from panrecon.visualization import contact_sheet, depth_image, isometric_view, label_colors, with_legend
from panrecon.workflow.script import Stage, run_stage

SURFACE_REACH = 3.0  # voxels between the field's surface and the fused mesh


def main(stage: Stage) -> None:
    scan, mesh = read_scan(stage.folder("scan")), read_mesh(stage.folder("mesh") / "mesh.ply")
    table = read_categories(stage.folder("scan") / "classes.csv")
    field, box = read_field(stage.folder("field"))
    objects = artifact.read_objects(stage.folder("semantics") / "objects.json", table)
    superface_of_vertex = artifact.read_superfaces(stage.folder("graph"))
    known = read_superface_labels(stage.folder("semantics")).at(superface_of_vertex)
    if stage.settings.panoptic.surface == "field":
        mesh, nearest = field_surface(field, box, mesh, stage.settings.mesh.voxel_size)
        known = known.at(nearest)
    seen = query(field, mesh.vertices, vertex_normals(mesh.vertices, mesh.faces))
    settings = stage.settings.panoptic
    refined = refine(
        mesh,
        seen.category_probability,
        seen.instance_probability,
        known,
        objects,
        table,
        scan_views(scan),
        labels_of_view(stage, objects, table),
        RefinementParameters(stage.settings.mesh.voxel_size),
        boundary_projection=settings.boundary_projection,
        fine_structures=settings.fine_structures,
        thin_structures=settings.thin_structures,
        progress=stage.progress,
    )
    panoptic, rejected = refined.panoptic, refined.rejected_objects
    write_panoptic_mesh(stage.output / "panoptic.ply", panoptic, table)
    artifact.write_objects(stage.output / "objects.json", objects, table, without=rejected)
    picture = isometric_view(panoptic.mesh, up_direction(scan.poses)).paint(label_colors(panoptic.labels, table))
    write_image(stage.output / "panoptic.png", with_legend(picture, panoptic.labels, table))
    render(stage, scan, panoptic, field, box, table)
    stage.say(f"{len(panoptic.mesh.vertices)} vertices, {len(objects) - len(rejected)} objects")
    if len(rejected):
        numbers = ", ".join(str(number - VOID) for number in rejected)
        stage.say(f"rejected objects, by most frames that see them and by the field: {numbers}")
    if refined.thin_piece_count:
        stage.say(f"pieces of thin structures that the fused surface lacks: {refined.thin_piece_count}")


def labels_of_view(stage: Stage, objects: Sequence[SceneObject], table: CategoryTable) -> Callable[[View], Labels]:
    """The labels that the graph made of a view's masks."""
    folder = stage.folder("graph") / "labels"
    return lambda view: artifact.read_labels_of_surfaces(folder, view, objects, table)


def field_surface(
    field: PanopticField, box: SceneBox, mesh: TriangleMesh, cell: float
) -> tuple[TriangleMesh, Int[np.ndarray, " V"]]:
    """The field's zero level where the fused mesh vouches for it, and the fused vertex next to each of its vertices."""
    found = surface(field, box, cell)
    nearest = nearest_vertex(found.vertices, mesh.vertices, SURFACE_REACH * cell)
    kept = keep_faces(found, (nearest[found.faces] != VOID).all(axis=1))
    return kept, nearest_vertex(kept.vertices, mesh.vertices, SURFACE_REACH * cell)


def render(
    stage: Stage, scan: Scan, panoptic: PanopticMesh, field: PanopticField, box: SceneBox, table: CategoryTable
) -> None:
    """Colour and depth of the field, normals, class and instance of the mesh, where the field was not taught."""
    renderer, rows = SceneRenderer(field, box, panoptic, table.background), []
    names = read_held_out(stage.folder("field"))
    frames = [frame for frame in scan.frames if frame.name in names]
    for frame in track(frames, stage.progress, "render", len(frames)):
        view = read_view(scan, frame)
        images = renderer.images(view.camera, view.world_from_camera)
        write_images(stage.output / "rendered", view.name, images, table)
        rows += [view.color, images.color, depth_image(images.depth), label_colors(images.labels, table)]
    if rows:
        write_image(stage.output / "rendered.jpg", contact_sheet(rows, columns=4))


if __name__ == "__main__":
    run_stage(main)
