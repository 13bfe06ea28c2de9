"""The parameters of the relabelling by similarity, fitted on simulated rooms that no other benchmark reports.

The rooms and masks of `label_parameters`, with the objects of the graph. Simulated features tell classes apart more
cleanly than real ones, so every room counts three times: with all features of an object moved by none, one and two
times the spread of the objects' features, in a random direction. What counts is the mean of strict PQ after
relabelling. Parameters are searched one after the other, twice.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, Final

import numpy as np
import typer
from jaxtyping import Float, Int

from benchmarks.label_parameters import TRUTH_RADIUS, TrainingRun, training_runs
from benchmarks.measure import strict_scores
from benchmarks.results import Report, Table, text_of, write_result
from benchmarks.scenes import DATASET
from panrecon.config import Settings
from panrecon.datasets.base import dataset
from panrecon.geometry.mesh import nearest_vertex
from panrecon.io.features import read_all_features
from panrecon.io.scan import read_scan, scan_views
from panrecon.io.scene import read_segmented_scene
from panrecon.semantics.lifting import LiftedFeatures, lift_features
from panrecon.semantics.parameters import SemanticsParameters
from panrecon.semantics.relabelling import relabel_by_similarity
from panrecon.structures import VOID, Labels, SceneObject, SegmentedScene, with_categories
from panrecon.terminal import console, exit_on_input_error

NAME: Final = "relabelling_parameters"
DISPLACEMENTS: Final = (0.0, 1.0, 2.0)  # of an object's features, in deviations of all objects' features
CANDIDATES: Final = {
    "own_words": (0.25, 0.5, 1.0, 2.0, 4.0),
    "word_floor": (0.0125, 0.025, 0.05, 0.1, 0.2),
    "prior_members": (0.1, 0.3, 1.0, 3.0),
    "prior_pairs": (3.0, 10.0, 30.0, 100.0),
}
START: Final = SemanticsParameters(own_words=1.0, word_floor=0.05, prior_members=1.0, prior_pairs=10.0)
ROUNDS: Final = 2
MIN_GAIN: Final = 0.05  # points of PQ, for another value of a parameter


@dataclass(frozen=True)
class NamedScene:
    """A run up to the graph with its features on the vertices, and the true labels of the vertices of the true mesh."""

    name: str
    scene: SegmentedScene
    points: LiftedFeatures
    truth: Labels
    nearest: Int[np.ndarray, " T"]

    @cached_property
    def instance(self) -> Int[np.ndarray, " V"]:
        """The object of every vertex."""
        return self.scene.instances.of_superface.instance[self.scene.superface_of_vertex]

    @cached_property
    def qualities(self) -> dict[tuple[int, ...], float]:
        """Strict PQ in per cent by the classes of all objects, as far as it was asked for."""
        return {}

    def displaced(self, deviations: float) -> LiftedFeatures:
        """The features with those of every object moved in a direction of its own."""
        count = len(self.scene.instances.objects)
        means = np.stack([self.points.feature[self.instance == index].mean(axis=0) for index in range(count)])
        step = deviations * means.std(axis=0) * np.random.default_rng(count).standard_normal(means.shape)
        steps = np.append(step, np.zeros_like(step[:1]), axis=0)  # the last is read by VOID
        return replace(self.points, feature=self.points.feature + steps[self.instance].astype(np.float32))

    def relabelled(self, points: LiftedFeatures, parameters: SemanticsParameters) -> float:
        """The quality of the graph's labels after relabelling by these features."""
        objects = self.scene.instances.objects
        return self.quality(relabel_by_similarity(objects, self.instance, points, len(self.scene.table), parameters))

    def quality(self, objects: Sequence[SceneObject]) -> float:
        """Strict PQ in per cent of the graph's labels with the classes of these objects."""
        key = tuple(scene_object.category for scene_object in objects)
        if key not in self.qualities:
            named = with_categories(self.scene.instances.of_superface, objects)
            labels = named.at(np.append(self.scene.superface_of_vertex, VOID)[self.nearest])
            self.qualities[key] = 100 * strict_scores(labels, self.truth, self.scene.table)["pq"]
        return self.qualities[key]


def read_named_scene(run: TrainingRun) -> NamedScene:
    """A training run and the annotation of its room."""
    scan = read_scan(run.folder / "scan")
    scene = read_segmented_scene(run.folder.joinpath)
    views = scan_views(scan)
    posed = zip(views.poses, read_all_features(run.folder / "features", scan), strict=True)
    points = lift_features(scene.mesh, views.camera, posed, Settings().semantics.depth_tolerance)
    truth = dataset(DATASET).annotation(run.raw, scene.table)
    nearest = nearest_vertex(truth.mesh.vertices, scene.mesh.vertices, TRUTH_RADIUS)
    return NamedScene(run.name, scene, points, truth.labels, nearest)


def fit(scenes: Sequence[NamedScene]) -> SemanticsParameters:
    """The parameters of the greatest mean quality."""
    cases = [(scene, scene.displaced(deviations)) for scene in scenes for deviations in DISPLACEMENTS]

    def mean_quality(parameters: SemanticsParameters) -> float:
        return float(np.mean([scene.relabelled(points, parameters) for scene, points in cases]))

    best = START
    best_quality = mean_quality(best)
    for name, values in list(CANDIDATES.items()) * ROUNDS:
        for value in values:
            changed: dict[str, Any] = {name: value}
            parameters = replace(best, **changed)
            quality = mean_quality(parameters)
            if quality > best_quality + MIN_GAIN:
                best, best_quality = parameters, quality
                console.print(f"{name} {value:g}: {quality:.2f}", highlight=False)
    return best


def gains(scenes: Sequence[NamedScene], parameters: SemanticsParameters) -> Float[np.ndarray, "n D1"]:
    """The quality of every scene without relabelling, and with it at every displacement."""
    return np.array(
        [
            [scene.quality(scene.scene.instances.objects)]
            + [scene.relabelled(scene.displaced(deviations), parameters) for deviations in DISPLACEMENTS]
            for scene in scenes
        ]
    )


def main() -> None:
    """Prints and writes the fitted parameters, and what relabelling is worth with them."""
    with exit_on_input_error():
        scenes = [read_named_scene(run) for run in training_runs()]
        fitted = fit(scenes)
        values = {name: value for name, value in asdict(fitted).items() if name in CANDIDATES}
        quality = gains(scenes, fitted)
        head = ["strict PQ", "graph", *(f"relabelled, features moved by {d:g}" for d in DISPLACEMENTS)]
        names = [*(scene.name for scene in scenes), "mean"]
        rows = [
            [name, *(f"{value:.1f}" for value in row)]
            for name, row in zip(names, [*quality, quality.mean(axis=0)], strict=True)
        ]
        report: Report = [
            Table(["parameter", "fitted"], [[name, f"{value:g}"] for name, value in values.items()]),
            Table(head, rows),
        ]
        write_result(NAME, report, {"parameters": values, "quality": quality.tolist()})
        print(text_of(report))


if __name__ == "__main__":
    typer.run(main)
