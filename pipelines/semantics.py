"""Learn class from features where masks gave labels, and label the points where they gave none."""

from panrecon.geometry.projective import up_direction
from panrecon.io.categories import read_categories
from panrecon.io.features import read_all_features
from panrecon.io.graph import read_instances_found, read_superfaces, write_objects
from panrecon.io.images import write_image
from panrecon.io.mesh import read_mesh
from panrecon.io.scan import read_scan
from panrecon.io.semantics import write_classifier, write_point_semantics, write_superface_labels
from panrecon.semantics.classifier import fit_classifier, predict
from panrecon.semantics.lifting import lift_features
from panrecon.semantics.propagation import propagate
from panrecon.semantics.relabelling import relabel_by_similarity
from panrecon.structures import VOID, with_categories
from panrecon.visualization import isometric_view, label_colors, with_legend
from panrecon.workflow.script import Stage, run_stage


def main(stage: Stage) -> None:
    settings = stage.settings.semantics
    scan, mesh = read_scan(stage.folder("scan")), read_mesh(stage.folder("mesh") / "mesh.ply")
    table = read_categories(stage.folder("scan") / "classes.csv")
    superface_of_vertex = read_superfaces(stage.folder("graph"))
    instances = read_instances_found(stage.folder("graph"), table)
    features = read_all_features(stage.folder("features"), scan)
    frames = stage.track(zip(scan.frames, features, strict=True), "frames", len(scan.frames))
    points = lift_features(mesh, scan.camera, frames, settings.depth_tolerance)
    objects = instances.objects
    if settings.similarity_relabelling:
        objects = relabel_by_similarity(
            objects, instances.of_superface.instance[superface_of_vertex], points, len(table)
        )
    of_superface = with_categories(instances.of_superface, objects)
    category = of_superface.category[superface_of_vertex]
    classifier = fit_classifier(points, category, superface_of_vertex, len(table), settings)
    semantics = predict(classifier, points)
    completed = propagate(mesh, superface_of_vertex, of_superface, semantics, table, settings.min_confidence)

    write_point_semantics(stage.output, mesh, semantics)
    write_superface_labels(stage.output, completed)
    write_objects(stage.output / "objects.json", objects, table)
    write_classifier(stage.output, classifier)
    labels = completed.at(superface_of_vertex)
    picture = isometric_view(mesh, up_direction(scan.poses)).paint(label_colors(labels, table))
    write_image(stage.output / "semantics.png", with_legend(picture, labels, table))
    before, after = (float((c == VOID).mean()) for c in (category, labels.category))
    renamed = sum(new.category != old.category for new, old in zip(objects, instances.objects, strict=True))
    stage.say(f"{renamed} of {len(objects)} objects renamed after what looks like them")
    stage.say(f"void {before:.1%} -> {after:.1%}; accuracy on held-out superfaces {classifier.held_out_accuracy:.1%}")


if __name__ == "__main__":
    run_stage(main)
