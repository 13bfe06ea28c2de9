"""What the last stage does to borders and surface: quality near true borders, and distances from the true surface.

Of finished runs of `labels_against_baseline`: the labels after semantics on the fused mesh, against the final ones on
the mesh whose edges are sharpened.
"""

from pathlib import Path
from typing import Annotated, Final

import typer

from benchmarks.labels_against_baseline import RUN, choose
from benchmarks.measure import pipeline_steps, strict_scores
from benchmarks.provenance import provenance
from benchmarks.scenes import DATASET, BenchScene, find_scenes, prepare, run_pipeline
from benchmarks.study import RESULTS, ROOMS, RUNS, SharedOption
from benchmarks.tables import table_of
from panrecon.datasets.base import dataset
from panrecon.evaluation.metrics.boundary import near_boundary
from panrecon.evaluation.metrics.geometric import surface_quality
from panrecon.evaluation.report.record import nan_to_null
from panrecon.evaluation.transfer import transfer_labels
from panrecon.io.categories import read_categories
from panrecon.io.files import write_json, write_text
from panrecon.structures import CategoryTable, Labels, PanopticMesh
from panrecon.terminal import exit_on_input_error

NAME: Final = "final_surface"
STEPS: Final = ("after semantics", "after field")
RADIUS: Final = 0.05  # m, between true vertices and labels
FINE: Final = 0.02  # m, of the F-score
Row = dict[str, float]


def main(
    scenes: Annotated[str, typer.Option(help="names of scenes, joined by commas; default all there are")] = "",
    seeds: Annotated[str, typer.Option(help="seeds of the simulated rooms, joined by commas")] = "0,1,2",
    shared: SharedOption = None,
) -> None:
    """A table with a row a scene and step."""
    features = RUNS / RUN / "features"
    rows: dict[str, dict[str, Row]] = {}
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
            for scene, found in rows.items()
            for step, row in found.items()
        ]
        text = table_of(["scene", "labels", "SQ within 5 cm of borders", "F-score at 2 cm", "accuracy, mm"], lines)
        content = {scene: {step: nan_to_null(row) for step, row in found.items()} for scene, found in rows.items()}
        write_json(RESULTS / f"{NAME}.json", {**provenance(), "scenes": content})
        write_text(RESULTS / f"{NAME}.md", text)
        print(text)


def measured(scene: BenchScene, run: Path) -> dict[str, Row]:
    table = read_categories(run / "scan" / "classes.csv")
    truth = dataset(DATASET).annotation(scene.raw, table)
    meshes = pipeline_steps(run, table, "quality")
    return {step: row_of(meshes[step], truth, table) for step in STEPS}


def row_of(prediction: PanopticMesh, truth: PanopticMesh, table: CategoryTable) -> Row:
    surface = surface_quality(prediction.mesh, truth.mesh)
    return {
        "boundary_sq": boundary_scores(prediction, truth, table)["sq"],
        "f_score": surface.f_score[FINE],
        "accuracy": surface.accuracy,
    }


def boundary_scores(prediction: PanopticMesh, truth: PanopticMesh, table: CategoryTable) -> Row:
    """The strict means over the true vertices near a true border."""
    near = near_boundary(truth.mesh.vertices, truth.labels, table)
    found, true = (
        Labels(labels.category[near], labels.instance[near])
        for labels in (transfer_labels(prediction, truth, RADIUS).labels, truth.labels)
    )
    return strict_scores(found, true, table)


if __name__ == "__main__":
    typer.run(main)
