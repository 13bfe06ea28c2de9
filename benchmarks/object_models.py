"""The models of an object's confidence and existence, fitted on simulated rooms that no other benchmark reports.

The objects of rooms 100 to 102 under the masks of `label_parameters`: faults 0.5, 1 and 2, and none, a tenth or a
quarter of the stuff called by a wrong word in most of its views. Logistic regressions of whether an object is right
(the strict protocol matches it), and of whether it is any true object with an IoU above 0.5. Calibration is that of
rooms left out of the fit. The least existence of an object is the greatest tried at which no run loses more than 2 PQ.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Final

import numpy as np
import typer
from jaxtyping import Bool, Float, Int
from scipy.optimize import minimize

from benchmarks.association import (
    CONSENSUS,
    SETTINGS_OF_RULE,
    AssociationScene,
    build_scene,
    labels_of_vertices,
    read_masks,
)
from benchmarks.label_parameters import TrainingRun, training_runs
from benchmarks.results import Report, Table, text_of, write_result
from panrecon.evaluation.metrics.calibration import expected_calibration_error, object_outcomes
from panrecon.evaluation.overlap import overlap
from panrecon.evaluation.protocols import parse_protocol
from panrecon.geometry.mesh import nearest_vertex
from panrecon.graph.association import Association
from panrecon.graph.instances import GraphResult, infer_instances
from panrecon.graph.objects import object_features, probabilities
from panrecon.graph.observation import FrameObservation, aggregate_observations
from panrecon.graph.parameters import GraphParameters, ObjectModel
from panrecon.io.mesh import read_mesh
from panrecon.io.scan import read_scan, read_views
from panrecon.structures import VOID, only_things

NAME: Final = "object_models"
REGULARISATION: Final = 0.05  # of squared weights of standardised features, against the sum over objects
THRESHOLDS: Final = (0.0, 0.05, 0.1, 0.2, 0.3, 0.4)  # of existence
MAX_LOSS: Final = 2.0  # PQ of any run
MIN_IOU: Final = 0.5  # of an object that exists with a true one
TRUTH_RADIUS: Final = 0.05  # m, between a vertex and the true one whose label it should have


@dataclass(frozen=True)
class Outcomes:
    """Features of n objects, and whether each is what a model says."""

    features: Float[np.ndarray, "n 5"]
    is_so: Bool[np.ndarray, " n"]

    @classmethod
    def joined(cls, parts: Sequence["Outcomes"]) -> "Outcomes":
        """Those of several runs."""
        return cls(np.concatenate([p.features for p in parts]), np.concatenate([p.is_so for p in parts]))


Fit = Callable[[Sequence[Outcomes]], ObjectModel]


@dataclass(frozen=True)
class RunOutcomes:
    """What became of the objects of a run: whether they are right, and whether they exist."""

    room: str
    right: Outcomes
    existing: Outcomes


def main() -> None:
    """Both models with their calibration on rooms left out, and PQ by the least existence of an object."""
    runs = list(training_runs())
    print(text_of(fitted(runs)))


def fitted(runs: Sequence[TrainingRun]) -> Report:
    """The fit on these runs, written as a result."""
    outcomes = [run_outcomes(run) for run in runs]
    right = [o.right for o in outcomes]
    existing = [o.existing for o in outcomes]
    rooms = [o.room for o in outcomes]
    models = {"confidence": logistic(Outcomes.joined(right)), "existence": without_class(existing)}
    errors = {
        "confidence": calibration_error(right, rooms, lambda parts: logistic(Outcomes.joined(parts))),
        "existence": calibration_error(existing, rooms, without_class),
    }
    quality = {run.name: qualities(run, models["existence"]) for run in runs}
    losses = np.max([[values[0] - value for value in values] for values in quality.values()], axis=0)
    threshold = max(t for t, loss in zip(THRESHOLDS, losses, strict=True) if loss <= MAX_LOSS)
    names = list(asdict(models["confidence"]))
    report: Report = [
        Table(
            ["model", *names, "calibration error on rooms left out"],
            [
                [name, *(f"{value:.2f}" for value in asdict(model).values()), f"{errors[name]:.3f}"]
                for name, model in models.items()
            ],
        ),
        Table(
            ["PQ after the graph, by least existence", *(f"{t:g}" for t in THRESHOLDS)],
            [
                *([name, *(f"{value:.1f}" for value in values)] for name, values in quality.items()),
                ["mean", *(f"{value:.2f}" for value in np.mean(list(quality.values()), axis=0))],
            ],
        ),
        f"No run loses more than {MAX_LOSS:g} PQ up to a least existence of {threshold:g}.",
    ]
    record = {"models": {name: asdict(model) for name, model in models.items()}, "errors": errors, "quality": quality}
    write_result(NAME, report, record)
    return report


def read_run(run: TrainingRun) -> tuple[AssociationScene, list[FrameObservation]]:
    """The scene of a run, and what its frames say of the mesh."""
    scan = read_scan(run.folder / "scan")
    scene = build_scene(run.raw, scan, read_mesh(run.folder / "mesh" / "mesh.ply"), read_views(scan))
    return scene, scene.observations(read_masks(run.folder / "masks" / "detections.json", scan, scene.table))


def inferred(
    scene: AssociationScene, observations: Sequence[FrameObservation], parameters: GraphParameters
) -> GraphResult:
    """The objects of a scene."""
    settings = SETTINGS_OF_RULE[CONSENSUS]
    inputs = (scene.superface_of_vertex, scene.adjacency, scene.table, settings)
    return infer_instances(observations, *inputs, parameters)


def run_outcomes(run: TrainingRun) -> RunOutcomes:
    """What became of all objects of a run, however improbable."""
    scene, observations = read_run(run)
    parameters = GraphParameters(min_existence=0.0)
    result = inferred(scene, observations, parameters)
    labels = labels_of_vertices(result)
    features = features_of(result, observations, scene, parameters)
    matching = parse_protocol("strict").match(overlap(scene.transfer_labels(labels), scene.truth.labels), scene.table)
    object_index, is_right = object_outcomes(matching, {index: index for index in range(len(features))})
    true = scene.truth.labels.at(nearest_vertex(scene.mesh.vertices, scene.truth.mesh.vertices, TRUTH_RADIUS))
    is_known = true.category != VOID
    iou = best_iou(labels.instance[is_known], only_things(true, scene.table).instance[is_known], len(features))
    right = Outcomes(features[object_index.astype(np.int64)], is_right)
    return RunOutcomes(run.name.split(",")[0], right, Outcomes(features, iou > MIN_IOU))


def features_of(
    result: GraphResult,
    observations: Sequence[FrameObservation],
    scene: AssociationScene,
    parameters: GraphParameters,
) -> Float[np.ndarray, "O 5"]:
    """What the models weigh of the objects of a result."""
    on_vertices = aggregate_observations(observations, scene.table, len(scene.mesh.vertices), parameters)
    of_superface = result.instances.of_superface.instance
    evidence = on_vertices.grouped(result.superface_of_vertex, len(of_superface))
    object_of_mask = np.concatenate([result.objects_of_frame[frame] for frame in evidence.frames])
    return object_features(
        evidence, Association(of_superface, object_of_mask, len(result.instances.objects)), parameters
    )


def best_iou(
    instance: Int[np.ndarray, " V"], true_instance: Int[np.ndarray, " V"], count: int
) -> Float[np.ndarray, " O"]:
    """The greatest IoU of each of `count` objects with a true one, whatever their classes."""
    _, compact = np.unique(true_instance, return_inverse=True)
    true = np.where(true_instance == VOID, 0, compact + 1)
    joint = np.zeros((count + 1, int(true.max(initial=0)) + 1))
    np.add.at(joint, (instance, true), 1)  # an instance of `VOID` counts in the last row
    union = joint.sum(axis=1, keepdims=True) + joint.sum(axis=0) - joint
    return np.asarray((joint / union.clip(1))[:count, 1:].max(axis=1, initial=0))


def logistic(outcomes: Outcomes) -> ObjectModel:
    """The model of the greatest likelihood, rounded; weights of standardised features are regularised."""
    mean = outcomes.features.mean(axis=0)
    scale = outcomes.features.std(axis=0) + 1e-9
    standard = (outcomes.features - mean) / scale
    sign = np.where(outcomes.is_so, 1.0, -1.0)

    def loss(values: Float[np.ndarray, "6"]) -> float:
        margin = sign * (values[0] + standard @ values[1:])
        return float(np.logaddexp(0, -margin).sum() + REGULARISATION * (values[1:] ** 2).sum())

    solution = minimize(loss, np.zeros(6)).x
    weights = solution[1:] / scale
    return ObjectModel(*(round(float(value), 2) for value in (solution[0] - weights @ mean, *weights)))


def without_class(parts: Sequence[Outcomes]) -> ObjectModel:
    """The model of the greatest likelihood that does not ask for the class."""
    joined = Outcomes.joined(parts)
    features = joined.features.copy()
    features[:, 0] = 0
    return replace(logistic(Outcomes(features, joined.is_so)), class_agreement=0.0)


def calibration_error(parts: Sequence[Outcomes], rooms: Sequence[str], fit: Fit) -> float:
    """The expected calibration error of objects of rooms left out of the fit, in [0, 1]."""
    stated = []
    is_so = []
    for room in sorted(set(rooms)):
        model = fit([part for part, other in zip(parts, rooms, strict=True) if other != room])
        left_out = Outcomes.joined([part for part, other in zip(parts, rooms, strict=True) if other == room])
        stated.append(probabilities(left_out.features, model))
        is_so.append(left_out.is_so)
    return expected_calibration_error(np.concatenate(stated), np.concatenate(is_so)).ece


def qualities(run: TrainingRun, existence: ObjectModel) -> list[float]:
    """Strict PQ after the graph, in per cent, at every threshold."""
    scene, observations = read_run(run)
    candidates = [GraphParameters(existence=existence, min_existence=threshold) for threshold in THRESHOLDS]
    results = [inferred(scene, observations, parameters) for parameters in candidates]
    return [100 * scene.scores(labels_of_vertices(result))["pq"] for result in results]


if __name__ == "__main__":
    typer.run(main)
