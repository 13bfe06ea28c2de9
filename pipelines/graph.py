"""Let all masks vote on superfaces: one id for every object, across all frames."""

from collections.abc import Iterator

import numpy as np

from panrecon.geometry import up_direction
from panrecon.graph.correction import corrected_labels
from panrecon.graph.evidence import FrameOverlap, frame_overlap, gather
from panrecon.graph.instances import infer_instances
from panrecon.graph.superfaces import superfaces
from panrecon.graph.voting import membership, vote
from panrecon.io import graph as artifact
from panrecon.io.categories import read_categories
from panrecon.io.detections import DetectionFile, read_detections
from panrecon.io.images import write_image
from panrecon.io.mesh import read_mesh
from panrecon.io.scan import read_scan, read_view, read_views
from panrecon.pictures import label_colors, overlay, overview, palette, sheet, spread, with_legend
from panrecon.raycasting import Raycaster, confirmed_faces
from panrecon.stage import Stage, run_stage
from panrecon.structures import VOID, CategoryTable, Instances, Scan, TriangleMesh


def main(stage: Stage) -> None:
    settings = stage.settings.graph
    scan, mesh = read_scan(stage.folder("scan")), read_mesh(stage.folder("mesh") / "mesh.ply")
    table = read_categories(stage.folder("scan") / "classes.csv")
    detections = read_detections(stage.folder("masks") / "detections.json", table)
    superface_of_vertex = superfaces(mesh, settings)
    count = int(superface_of_vertex.max()) + 1
    overlaps = project(stage, scan, mesh, superface_of_vertex, detections)
    evidence = gather(stage.track(overlaps, "frames", len(scan.frames)), table, count)
    members = membership(evidence, settings.overlap)
    graph = vote(evidence, members)
    instances, object_of_mask = infer_instances(evidence, members, graph, table, settings)

    artifact.write_superfaces(stage.output, superface_of_vertex)
    artifact.write_graph(stage.output, graph)
    artifact.write_instances_found(stage.output, instances, table)
    artifact.write_object_graph(stage.output, artifact.object_graph(instances, graph, table))
    for number, frame in enumerate(evidence.frames):
        if frame in detections:
            mine = object_of_mask[evidence.frame_of_mask == number]
            labels = corrected_labels(detections[frame], mine, instances.objects, table)
            artifact.write_frame_labels(stage.output / "labels", frame, labels, table)
    draw(stage, scan, mesh, superface_of_vertex, instances, table)
    stage.say(f"{count} superfaces, {len(graph.first)} edges, {len(instances.objects)} objects")


def project(
    stage: Stage, scan: Scan, mesh: TriangleMesh, superface_of_vertex: np.ndarray, detections: DetectionFile
) -> Iterator[FrameOverlap]:
    """What every frame's masks cover of the superfaces that it sees."""
    raycaster, count = Raycaster(mesh), int(superface_of_vertex.max()) + 1
    superface_of_face = superface_of_vertex[mesh.faces[:, 0]]
    for view in read_views(scan):
        if view.name in detections:
            surface = raycaster.cast(view.camera, view.world_from_camera)
            face = confirmed_faces(surface, view, stage.settings.graph.depth_tolerance)
            superface = np.where(face == VOID, VOID, superface_of_face[face])
            yield frame_overlap(view.name, superface, detections[view.name], detections.table, count)


def draw(
    stage: Stage,
    scan: Scan,
    mesh: TriangleMesh,
    superface_of_vertex: np.ndarray,
    instances: Instances,
    table: CategoryTable,
) -> None:
    """Superfaces, objects, and the corrected masks of some frames."""
    view_of_mesh = overview(mesh, up_direction(scan.poses))
    labels = instances.of_superface.at(superface_of_vertex)
    pieces = palette(int(superface_of_vertex.max()) + 1)[superface_of_vertex]
    write_image(stage.output / "superfaces.png", view_of_mesh.paint(pieces))
    objects = with_legend(view_of_mesh.paint(label_colors(labels, table)), labels, table)
    write_image(stage.output / "instances.png", objects)
    labelled = [frame for frame in scan.frames if artifact.has_frame_labels(stage.output / "labels", frame.name)]
    overlays = []
    for number in spread(len(labelled), 8):
        corrected = artifact.read_frame_labels(stage.output / "labels", labelled[number].name, table)
        overlays.append(overlay(read_view(scan, labelled[number]).color, corrected, table))
    if overlays:
        write_image(stage.output / "labels.jpg", sheet(overlays, columns=4))


if __name__ == "__main__":
    run_stage(main)
