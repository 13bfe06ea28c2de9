"""The effect of the last stage on boundaries and surface: quality near true boundaries, distances from the true mesh.

Compares, in finished runs of `labels_against_baseline`, the labels after semantics on the fused mesh with the final
ones on the refined mesh.
"""

from pathlib import Path
from typing import Annotated, Final

import typer

from benchmarks.labels_against_baseline import RUN, choose
from benchmarks.measure import pipeline_steps, strict_scores
from benchmarks.results import Table, text_of, write_result
from benchmarks.scenes import DATASET, BenchScene, find_scenes, prepare, run_pipeline
from benchmarks.study import ROOMS, RUNS, SharedOption
from panrecon.datasets.base import dataset
from panrecon.evaluation.metrics.boundary import near_boundary
from panrecon.evaluation.metrics.geometric import surface_quality
from panrecon.evaluation.report.record import nan_to_null
from panrecon.evaluation.transfer import transfer_labels
from panrecon.io.categories import read_categories
from panrecon.structures import CategoryTable, Labels, PanopticMesh
from panrecon.terminal import exit_on_input_error

NAME: Final = "final_surface"
STEPS: Final = ("after semantics", "after field")
RADIUS: Final = 0.05  # m, between true vertices and labels
FINE: Final = 0.02  # m, threshold of the F-score
Scores = dict[str, float]


def main(
    scenes: Annotated[str, typer.Option(help="names of scenes, joined by commas; default all there are")] = "",
    seeds: Annotated[str, typer.Option(help="seeds of the simulated rooms, joined by commas")] = "0,1,2",
    shared: SharedOption = None,
) -> None:
    """A table with a row for every scene and step."""
    features = RUNS / RUN / "features"
    rows: dict[str, dict[str, Scores]] = {}
    with exit_on_input_error():
        for scene in choose(scenes, find_scenes(seeds, ROOMS, shared, features)):
            prepare(scene, features)
            run_pipeline(scene, RUNS, RUN, "panoptic", [])
            rows[scene.name] = measured(scene, RUNS / RUN / DATASET / scene.name)
        lines = [
            [
                scene,
                step,
                *(f"{100 * row[key]:.1f}" for key in ("boundary_sq", "f_score")),
                f"{1000 * row['accuracy']:.1f}",
            ]
            for scene, row_of_step in rows.items()
            for step, row in row_of_step.items()
        ]
        head = ["scene", "labels", "SQ within 5 cm of boundaries", "F-score at 2 cm", "accuracy, mm"]
        report = [Table(head, lines)]
        record = {scene: {step: nan_to_null(row) for step, row in steps.items()} for scene, steps in rows.items()}
        write_result(NAME, report, {"scenes": record})
        print(text_of(report))


def measured(scene: BenchScene, run: Path) -> dict[str, Scores]:
    """The scores of the labels after each step, by the step's name."""
    table = read_categories(run / "scan" / "classes.csv")
    truth = dataset(DATASET).annotation(scene.raw, table)
    meshes = pipeline_steps(run, table, "quality")
    return {step: scores_of(meshes[step], truth, table) for step in STEPS}


def scores_of(prediction: PanopticMesh, truth: PanopticMesh, table: CategoryTable) -> Scores:
    """SQ near true boundaries and F-score in [0, 1], accuracy (m)."""
    surface = surface_quality(prediction.mesh, truth.mesh)
    return {
        "boundary_sq": boundary_scores(prediction, truth, table)["sq"],
        "f_score": surface.f_score[FINE],
        "accuracy": surface.accuracy,
    }


def boundary_scores(prediction: PanopticMesh, truth: PanopticMesh, table: CategoryTable) -> Scores:
    """The means by the strict protocol over the true vertices near a true boundary."""
    near = near_boundary(truth.mesh.vertices, truth.labels, table)
    predicted, true = (
        Labels(labels.category[near], labels.instance[near])
        for labels in (transfer_labels(prediction, truth, RADIUS).labels, truth.labels)
    )
    return strict_scores(predicted, true, table)


if __name__ == "__main__":
    typer.run(main)
