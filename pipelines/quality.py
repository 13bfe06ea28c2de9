"""Score the labels of every step against the true mesh; the only stage that reads annotations."""

from dataclasses import replace

from panrecon.datasets.ground_truth import complete_truth, require_evaluated, scene_annotation
from panrecon.evaluation.scene import EvaluationSettings
from panrecon.io.categories import read_categories
from panrecon.io.graph import read_object_confidences
from panrecon.io.mesh import panoptic_digest
from panrecon.io.quality import read_labelled_steps, write_quality
from panrecon.io.rendered import read_rendered_pairs
from panrecon.io.scan import read_scan
from panrecon.layout.gravity import estimate_gravity
from panrecon.pipeline import quality_stage
from panrecon.workflow.script import Stage, run_stage, stage_costs


def main(stage: Stage) -> None:
    scene = stage.scene
    settings = stage.settings.quality
    scan = read_scan(stage.folder("scan"))
    table = read_categories(stage.folder("panoptic") / "classes.csv")
    truth = scene_annotation(scene.dataset, scene.raw, table, stage.settings)
    labelled = require_evaluated(truth, table)
    stage.say(f"truth: {labelled}")
    steps = read_labelled_steps(stage.folder, table)
    confidences = read_object_confidences(stage.folder("panoptic") / "objects.json")
    rendered = read_rendered_pairs(stage.folder("panoptic") / "rendered", scan)
    evaluation = EvaluationSettings.of(table, settings)
    up = estimate_gravity(truth.mesh, scan.poses).up
    complete = complete_truth(scene.dataset, scene.raw, stage.settings)
    result = quality_stage(steps, truth, evaluation, confidences, up, rendered, complete)

    prediction = {"path": "panoptic/panoptic.ply", "sha256": panoptic_digest(list(steps.values())[-1])}
    ground_truth = {"path": str(settings.ground_truth or scene.raw.name), "sha256": panoptic_digest(truth)}
    compared = {"prediction": prediction, "ground_truth": ground_truth, "truth": labelled.counts, "sources": []}
    result = replace(result, record={**compared, **result.record, "stages": []})
    write_quality(stage.output, scene.name, result, evaluation, stage_costs(scene.run, before=stage.name))


if __name__ == "__main__":
    run_stage(main)
