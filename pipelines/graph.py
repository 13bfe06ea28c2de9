"""Let all masks vote on superfaces: one id for every object, across all frames."""

from panrecon.io.categories import read_categories
from panrecon.io.detections import read_detections
from panrecon.io.graph import read_frame_labels, write_graph_result, write_labels_of_frames
from panrecon.io.images import write_image
from panrecon.io.mesh import read_mesh
from panrecon.io.scan import read_image, read_scan, scan_views
from panrecon.layout.gravity import estimate_gravity
from panrecon.pipeline import frame_labels, graph_stage
from panrecon.visualization import contact_sheet, evenly_spaced, isometric_view, labelled_image, overlay, palette
from panrecon.workflow.script import Stage, run_stage


def main(stage: Stage) -> None:
    scan = read_scan(stage.folder("scan"))
    mesh = read_mesh(stage.folder("mesh") / "mesh.ply")
    table = read_categories(stage.folder("scan") / "classes.csv")
    detections = read_detections(stage.folder("masks") / "detections.json", table)
    result = graph_stage(scan_views(scan), mesh, detections, table, stage.settings.graph, stage.progress)
    write_graph_result(stage.output, result, table)
    folder = stage.output / "labels"
    write_labels_of_frames(folder, frame_labels(result, detections, table, stage.progress), table)

    view = isometric_view(mesh, estimate_gravity(mesh, scan.poses).up)
    pieces = palette(len(result.instances.of_superface.category))[result.superface_of_vertex]
    write_image(stage.output / "superfaces.png", view.paint(pieces))
    labels = result.instances.of_superface.at(result.superface_of_vertex)
    write_image(stage.output / "instances.png", labelled_image(view, labels, table))
    detected = [frame for frame in scan.frames if frame.name in result.objects_of_frame]
    shown = [detected[index] for index in evenly_spaced(len(detected), 8)]
    overlays = [
        overlay(read_image(scan, frame), read_frame_labels(folder, frame.name, table), table) for frame in shown
    ]
    if overlays:
        write_image(stage.output / "labels.jpg", contact_sheet(overlays, columns=4))
    counts = len(result.instances.of_superface.category), len(result.graph.first), len(result.instances.objects)
    stage.say("{} superfaces, {} edges, {} objects".format(*counts))


if __name__ == "__main__":
    run_stage(main)
