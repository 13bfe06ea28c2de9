"""Learn class from features where masks gave labels, and label the points where they gave none."""

from panrecon.io.features import read_all_features
from panrecon.io.graph import write_objects
from panrecon.io.images import write_image
from panrecon.io.scan import read_scan, scan_views
from panrecon.io.scene import read_segmented_scene
from panrecon.io.semantics import write_classifier, write_point_semantics, write_superface_labels
from panrecon.layout.gravity import estimate_gravity
from panrecon.pipeline import semantics_stage
from panrecon.structures import VOID
from panrecon.threads import do_at_once
from panrecon.visualization import isometric_view, labelled_image
from panrecon.workflow.script import Stage, run_stage


def main(stage: Stage) -> None:
    scan = read_scan(stage.folder("scan"))
    scene = read_segmented_scene(stage.folder)
    features = read_all_features(stage.folder("features"), scan)
    result = semantics_stage(scan_views(scan), scene, features, stage.settings.semantics, stage.progress)
    write_superface_labels(stage.output, result.of_superface)
    write_objects(stage.output / "objects.json", dict(enumerate(result.objects)), scene.table)
    write_classifier(stage.output, result.classifier)
    labels = result.of_superface.at(scene.superface_of_vertex)
    up = estimate_gravity(scene.mesh, scan.poses).up
    picture = stage.output / "semantics.png"
    do_at_once(
        lambda: write_point_semantics(stage.output, scene.mesh, result.points),
        lambda: write_image(picture, labelled_image(isometric_view(scene.mesh, up), labels, scene.table)),
    )
    before = scene.instances.objects
    renamed = sum(new.category != old.category for new, old in zip(result.objects, before, strict=True))
    stage.say(f"{renamed} of {len(result.objects)} objects renamed after objects of similar appearance")
    void_before = (result.before.at(scene.superface_of_vertex).category == VOID).mean()
    void_after = (labels.category == VOID).mean()
    accuracy = result.classifier.held_out_accuracy
    stage.say(f"void {void_before:.1%} -> {void_after:.1%}; accuracy on held-out superfaces {accuracy:.1%}")


if __name__ == "__main__":
    run_stage(main)
