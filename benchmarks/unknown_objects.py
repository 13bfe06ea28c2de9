"""Objects without a name: how many are found if the prompts lack a third of the classes, and what named ones lose.

The demo rooms with simulated masks like those measured on real rooms, once with prompts of all classes and once without
a random third of the things and of the stuff; the truth always has all. An object that was left out is found if a
predicted one, whatever its class, has an IoU above 0.5 with it; an object without a name is false if no true thing has.
PQ is that of the named classes. The last stage runs with `panoptic.unknown_objects` and without.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Final

import typer

from benchmarks.left_out import LeftOut
from benchmarks.measure import strict_scores
from benchmarks.results import Table, text_of, write_result
from benchmarks.scenes import DATASET, room
from benchmarks.study import ROOMS
from panrecon.config import PanopticSettings, Settings
from panrecon.datasets.base import dataset
from panrecon.evaluation.metrics.unknown import UnknownQuality, unknown_quality
from panrecon.evaluation.overlap import overlap
from panrecon.evaluation.transfer import transfer_labels
from panrecon.io.field import read_field
from panrecon.io.graph import read_votes
from panrecon.io.scan import read_scan, scan_views
from panrecon.io.scene import read_labelled_scene
from panrecon.io.semantics import read_point_semantics
from panrecon.pipeline import EvidenceOnSurface, panoptic_stage
from panrecon.refinement.parameters import RefinementParameters
from panrecon.terminal import exit_on_input_error

NAME: Final = "unknown_objects"
HEAD: Final = ("scene", "prompts", "step", "left-out objects found", "false unknown objects", "PQ of named classes")


@dataclass(frozen=True)
class Score:
    """PQ of the named classes by `strict`, in [0, 1], and counts of objects."""

    pq: float
    objects: UnknownQuality

    def cells(self) -> list[str]:
        """The cells of a row."""
        counts = self.objects
        judged = counts.predicted - counts.ignored
        return [f"{counts.found} of {counts.left_out}", f"{counts.false} of {judged}", f"{100 * self.pq:.1f}"]


def main(seeds: Annotated[str, typer.Option(help="seeds of demo rooms, joined by commas")] = "0,1,2") -> None:
    """Prints and writes recall, false objects and PQ with the step and without, with all prompts and with fewer."""
    with exit_on_input_error():
        rows = []
        record = {}
        for seed in map(int, seeds.split(",")):
            scene = room(seed, ROOMS)
            fewer = LeftOut.of(scene, seed)
            for prompts, condition in (("all", replace(fewer, names=())), ("two thirds", fewer)):
                by_step = scores(condition)
                rows += [[scene.name, prompts, step, *score.cells()] for step, score in by_step.items()]
                record[f"{scene.name}, {prompts}"] = {
                    step: {"pq": score.pq, **vars(score.objects)} for step, score in by_step.items()
                }
        report = [Table(HEAD, rows)]
        write_result(NAME, report, record)
        print(text_of(report))


def scores(condition: LeftOut) -> Mapping[str, Score]:
    """The scores without the step and with it."""
    condition.run_until("field")
    views = scan_views(read_scan(condition.run / "scan"))
    scene = read_labelled_scene(condition.run.joinpath)
    field, box = read_field(condition.run / "field")
    evidence = EvidenceOnSurface(read_votes(condition.run / "graph"), read_point_semantics(condition.run / "semantics"))
    parameters = RefinementParameters(Settings().mesh.voxel_size)
    reader = dataset(DATASET)
    truth = reader.annotation(condition.scene.raw, scene.table)
    complete = reader.annotation(condition.scene.raw, condition.table).labels

    def score(settings: PanopticSettings) -> Score:
        result = panoptic_stage(views, scene, evidence, field, box, settings, parameters)
        prediction = transfer_labels(result.panoptic, truth, Settings().quality.radius).labels
        pq = strict_scores(prediction, truth.labels, result.table)["pq"]
        return Score(pq, unknown_quality(overlap(prediction, complete), result.table, condition.table))

    return {
        "without": score(PanopticSettings(unknown_objects=False)),
        "with": score(PanopticSettings(unknown_objects=True)),
    }


if __name__ == "__main__":
    typer.run(main)
