"""Let all masks vote on superfaces: one id for every object, across all frames."""

import numpy as np

from panrecon.geometry.projective import up_direction
from panrecon.graph.adjacency import superface_adjacency
from panrecon.graph.correction import corrected_labels
from panrecon.graph.instances import infer_instances
from panrecon.graph.observation import FrameObservation, observe
from panrecon.graph.superfaces import superfaces
from panrecon.io import graph as artifact
from panrecon.io.categories import read_categories
from panrecon.io.detections import DetectionFile, read_detections
from panrecon.io.images import write_image
from panrecon.io.mesh import read_mesh
from panrecon.io.scan import read_scan, read_view
from panrecon.structures import CategoryTable, Frame, Instances, Scan, TriangleMesh
from panrecon.threads import in_parallel
from panrecon.visualization import (
    contact_sheet,
    evenly_spaced,
    isometric_view,
    label_colors,
    overlay,
    palette,
    with_legend,
)
from panrecon.workflow.script import Stage, run_stage


def main(stage: Stage) -> None:
    settings = stage.settings.graph
    scan, mesh = read_scan(stage.folder("scan")), read_mesh(stage.folder("mesh") / "mesh.ply")
    table = read_categories(stage.folder("scan") / "classes.csv")
    detections = read_detections(stage.folder("masks") / "detections.json", table)
    observations = observe_frames(stage, scan, mesh, detections)
    superface_of_vertex = superfaces(mesh, settings)
    adjacency = superface_adjacency(mesh, superface_of_vertex)
    found = infer_instances(observations, superface_of_vertex, adjacency, table, settings)

    artifact.write_superfaces(stage.output, found.superface_of_vertex)
    artifact.write_graph(stage.output, found.graph)
    artifact.write_instances_found(stage.output, found.instances, table)
    artifact.write_object_graph(stage.output, artifact.object_graph(found.instances, found.graph, table))
    for frame, object_of_detection in found.objects_of_frame.items():
        labels = corrected_labels(detections[frame], object_of_detection, found.instances.objects, table)
        artifact.write_frame_labels(stage.output / "labels", frame, labels, table)
    draw(stage, scan, mesh, found.superface_of_vertex, found.instances, table)
    counts = len(found.instances.of_superface.category), len(found.graph.first), len(found.instances.objects)
    stage.say("{} superfaces, {} edges, {} objects".format(*counts))


def observe_frames(stage: Stage, scan: Scan, mesh: TriangleMesh, detections: DetectionFile) -> list[FrameObservation]:
    """What every frame with detections sees of the mesh; frames run in parallel."""
    frames = [frame for frame in scan.frames if frame.name in detections]
    tolerance = stage.settings.graph.depth_tolerance

    def observed(frame: Frame) -> FrameObservation:
        view = read_view(scan, frame)
        return observe(view, mesh.vertices, detections[frame.name], detections.table, tolerance)

    return list(stage.track(in_parallel(observed, frames), "frames", len(frames)))


def draw(
    stage: Stage,
    scan: Scan,
    mesh: TriangleMesh,
    superface_of_vertex: np.ndarray,
    instances: Instances,
    table: CategoryTable,
) -> None:
    """Superfaces, objects, and the corrected masks of some frames."""
    view_of_mesh = isometric_view(mesh, up_direction(scan.poses))
    labels = instances.of_superface.at(superface_of_vertex)
    pieces = palette(int(superface_of_vertex.max()) + 1)[superface_of_vertex]
    write_image(stage.output / "superfaces.png", view_of_mesh.paint(pieces))
    objects = with_legend(view_of_mesh.paint(label_colors(labels, table)), labels, table)
    write_image(stage.output / "instances.png", objects)
    labelled = [frame for frame in scan.frames if artifact.has_frame_labels(stage.output / "labels", frame.name)]
    overlays = []
    for number in evenly_spaced(len(labelled), 8):
        corrected = artifact.read_frame_labels(stage.output / "labels", labelled[number].name, table)
        overlays.append(overlay(read_view(scan, labelled[number]).color, corrected, table))
    if overlays:
        write_image(stage.output / "labels.jpg", contact_sheet(overlays, columns=4))


if __name__ == "__main__":
    run_stage(main)
