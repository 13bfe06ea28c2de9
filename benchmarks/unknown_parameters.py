"""The numbers of objects without a name, fitted on simulated rooms that no other benchmark reports.

Rooms 100 to 102, one each at mask faults 0.5, 1 and 2, their prompts without a third of the classes. Which vertices no
segment explains is a logistic model: those of the classes left out against all others, every true segment counting by
the root of its vertices. Which pieces of them are objects is another: those with an IoU above 0.5 with a true thing
against all others. Left out: what the pieces of each room become by the numbers fitted on the others.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final

import numpy as np
import typer
from jaxtyping import Bool, Float, Int
from scipy.optimize import minimize

from benchmarks.label_parameters import TrainingRun, TrainingScene, read_training_scene, sampled_vertices
from benchmarks.left_out import LeftOut
from benchmarks.results import Report, Table, text_of, write_result
from benchmarks.scenes import DATASET, room
from benchmarks.study import ROOMS
from panrecon.config import Settings
from panrecon.datasets.base import dataset
from panrecon.refinement.energy import final_labels
from panrecon.refinement.parameters import RefinementParameters, UnknownParameters
from panrecon.refinement.unknown import Pieces, unexplained_pieces, vertex_evidence
from panrecon.structures import VOID, Labels
from panrecon.terminal import exit_on_input_error

NAME: Final = "unknown_parameters"
RUNS_FITTED: Final = ((100, 0.5), (101, 1.0), (102, 2.0))  # room and mask faults
REGULARISATION: Final = 1e-5  # of squared weights
MIN_IOU: Final = 0.5
VOXEL_SIZE: Final = Settings().mesh.voxel_size
OF_VERTICES: Final = ("unmasked", "share", "bias")
OF_PIECES: Final = ("contrast", "log_area", "standing", "object_bias")


@dataclass(frozen=True)
class FittedRun:
    """A run without a third of the classes, finished up to the field, and the truth with all of them."""

    left_out: LeftOut
    training: TrainingScene
    truth: Labels  # of the fused mesh, by the complete table

    @property
    def name(self) -> str:
        return f"{self.left_out.scene.name}, faults {self.left_out.level:g}"

    @cached_property
    def labels(self) -> Labels:
        """The final labels before objects without a name."""
        scene = self.training.scene
        energy = RefinementParameters(VOXEL_SIZE).energy
        evidence = self.training.evidence
        return final_labels(scene.mesh, evidence, scene.objects, scene.table, VOXEL_SIZE, energy).labels

    @cached_property
    def object_of_vertex(self) -> Int[np.ndarray, " V"]:
        """The true thing of every vertex."""
        is_thing = np.append(self.left_out.table.is_thing, False)
        return np.where(is_thing[self.truth.category], self.truth.instance, VOID)

    @cached_property
    def is_left_out(self) -> Bool[np.ndarray, " V"]:
        """Which vertices are of a class that was left out."""
        named = [category.name in self.left_out.names for category in self.left_out.table]
        return np.append(named, False)[self.truth.category]

    def sample(self) -> tuple[Int[np.ndarray, " n"], Float[np.ndarray, " n"]]:
        """Vertices of every true segment, and their weights, whose sum is 1."""
        segment = np.unique(np.stack([self.truth.category, self.object_of_vertex]), axis=1, return_inverse=True)[1]
        return sampled_vertices(np.where(self.truth.category == VOID, VOID, segment.reshape(-1)))

    def pieces(self, parameters: UnknownParameters) -> Pieces:
        """The pieces that no segment explains."""
        evidence = self.training.evidence
        settings = RefinementParameters(VOXEL_SIZE, unknown=parameters)
        return unexplained_pieces(self.training.scene.mesh, evidence.votes, evidence.layout, self.labels, settings)

    def true_things(self, pieces: Pieces) -> Int[np.ndarray, " N"]:
        """The true thing that every piece has an IoU above 0.5 with, `VOID` = none."""
        piece = pieces.of_vertex
        size = np.bincount(self.object_of_vertex[self.object_of_vertex != VOID])
        things = np.full(len(pieces.area), VOID)
        for index in range(len(pieces.area)):
            inside = self.object_of_vertex[piece == index]
            common = np.bincount(inside[inside != VOID], minlength=len(size))
            iou = common / (len(inside) + size - common).clip(1)
            if iou.max(initial=0) > MIN_IOU:
                things[index] = int(iou.argmax())
        return things


@dataclass(frozen=True)
class Outcome:
    """Counts: true objects of classes left out, those found, objects without a name, and the false among them."""

    left_out: int
    found: int
    predicted: int
    false: int

    @classmethod
    def of(cls, run: FittedRun, pieces: Pieces, parameters: UnknownParameters) -> "Outcome":
        is_object = pieces.probability(parameters) > 0.5
        things = run.true_things(pieces)[is_object]
        left_out = np.unique(run.object_of_vertex[run.is_left_out & (run.object_of_vertex != VOID)])
        found = np.isin(left_out, things)
        return cls(len(left_out), int(found.sum()), len(things), int(np.sum(things == VOID)))

    def __add__(self, other: "Outcome") -> "Outcome":
        return Outcome(*(one + another for one, another in zip(vars(self).values(), vars(other).values(), strict=True)))

    @property
    def cells(self) -> list[str]:
        """Cells of a table."""
        return [f"{self.found} of {self.left_out}", f"{self.false} of {self.predicted}"]


def fitted_runs() -> Iterator[FittedRun]:
    """The runs, made unless they are up to date; every one lacks other classes."""
    for seed, level in RUNS_FITTED:
        left_out = LeftOut.of(room(seed, ROOMS), seed + round(10 * level), level)
        left_out.run_until("field")
        training = read_training_scene(TrainingRun(left_out.scene.name, left_out.scene.raw, left_out.run))
        complete = dataset(DATASET).annotation(left_out.scene.raw, left_out.table)
        on_vertices = replace(training, truth=complete).true_labels
        yield FittedRun(left_out, training, on_vertices)


def logistic(
    features: Float[np.ndarray, "n k"], is_positive: Bool[np.ndarray, " n"], weight: Float[np.ndarray, " n"]
) -> Float[np.ndarray, " k+1"]:
    """The weights of the features and the bias, of the greatest likelihood."""
    columns = np.column_stack([features, np.ones(len(features))])
    sign = np.where(is_positive, 1.0, -1.0)
    share = weight / weight.sum()

    def loss(values: Float[np.ndarray, " k"]) -> tuple[float, Float[np.ndarray, " k"]]:
        margin = sign * (columns @ values)
        gradient = -(columns * (share * sign / (1 + np.exp(margin)))[:, None]).sum(axis=0)
        penalty = REGULARISATION * values**2
        penalty[-1] = 0
        slope = 2 * REGULARISATION * values
        slope[-1] = 0
        return float(share @ np.logaddexp(0, -margin) + penalty.sum()), gradient + slope

    return np.asarray(minimize(loss, np.zeros(columns.shape[1]), jac=True, method="L-BFGS-B").x)


def fit(runs: Sequence[FittedRun]) -> UnknownParameters:
    """Both models, the second on the pieces of the first; rounded."""
    parameters = UnknownParameters()
    evidence = []
    targets = []
    weights = []
    for run in runs:
        vertex, weight = run.sample()
        is_open = run.labels.instance[vertex] == VOID
        vertex = vertex[is_open]
        weight = weight[is_open]
        evidence.append(vertex_evidence(run.training.evidence.votes, run.labels, parameters)[vertex])
        targets.append(run.is_left_out[vertex])
        weights.append(weight)
    of_vertices = logistic(np.concatenate(evidence), np.concatenate(targets), np.concatenate(weights))
    parameters = with_values(parameters, OF_VERTICES, of_vertices)
    pieces = [run.pieces(parameters) for run in runs]
    is_candidate = [~part.is_wall(parameters) for part in pieces]
    features = np.concatenate([part.evidence[chosen] for part, chosen in zip(pieces, is_candidate, strict=True)])
    is_object = np.concatenate(
        [run.true_things(part)[chosen] != VOID for run, part, chosen in zip(runs, pieces, is_candidate, strict=True)]
    )
    of_pieces = logistic(features, is_object, np.ones(len(is_object)))
    return with_values(parameters, OF_PIECES, of_pieces)


def with_values(
    parameters: UnknownParameters, names: Sequence[str], values: Float[np.ndarray, " k"]
) -> UnknownParameters:
    """The parameters with other values of these, to three digits."""
    changed: dict[str, Any] = {name: float(f"{value:.3g}") for name, value in zip(names, values, strict=True)}
    return replace(parameters, **changed)


def main() -> None:
    """Prints and writes the fitted numbers, and what the pieces become by them and by those of the package."""
    with exit_on_input_error():
        runs = list(fitted_runs())
        fitted = fit(runs)
        package = UnknownParameters()
        values = [[name, f"{getattr(package, name):g}", f"{getattr(fitted, name):g}"] for name in vars(package)]
        rows = []
        total = {"package": Outcome(0, 0, 0, 0), "fitted": Outcome(0, 0, 0, 0), "left out": Outcome(0, 0, 0, 0)}
        for run in runs:
            others = fit([other for other in runs if other is not run])
            outcomes = {
                name: Outcome.of(run, run.pieces(parameters), parameters)
                for name, parameters in (("package", package), ("fitted", fitted), ("left out", others))
            }
            total = {name: total[name] + outcome for name, outcome in outcomes.items()}
            rows += [[run.name, name, *outcome.cells] for name, outcome in outcomes.items()]
        rows += [["all", name, *outcome.cells] for name, outcome in total.items()]
        report: Report = [
            Table(["parameter", "package", "fitted"], values),
            Table(["run", "numbers", "left-out objects found", "false objects"], rows),
        ]
        write_result(NAME, report, {"fitted": vars(fitted), "outcomes": {k: vars(v) for k, v in total.items()}})
        print(text_of(report))


if __name__ == "__main__":
    typer.run(main)
