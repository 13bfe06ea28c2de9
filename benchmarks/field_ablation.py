"""What is each part of the last three stages worth? Every one left out in turn, on the graphs of finished runs.

Rows: no field at all, by the look of the surface alone, by the field alone; disputed objects kept, edges left round,
slim and small details and thin things left out; every loss, the classifier's labels and the doubt of disputed masks
left out; and the features of the pipeline against colour statistics and none.
"""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Final, Literal, assert_never

import numpy as np
import typer

from benchmarks.labels_against_baseline import RUN, choose
from benchmarks.measure import strict_scores
from benchmarks.provenance import provenance
from benchmarks.scenes import DATASET, BenchScene, find_scenes, prepare, run_pipeline
from benchmarks.study import RESULTS, ROOMS, RUNS, SharedOption
from benchmarks.tables import table_of
from panrecon.config import Settings
from panrecon.datasets.base import dataset
from panrecon.errors import InputError
from panrecon.evaluation.report.record import nan_to_null
from panrecon.evaluation.transfer import transfer_labels
from panrecon.features.color import color_statistics
from panrecon.field.fit import fit
from panrecon.field.inference import PointField, query
from panrecon.field.parameters import FieldParameters, LossWeights
from panrecon.field.supervision import SurfaceSupervision, field_data, scene_box, split_frames
from panrecon.geometry.mesh import vertex_normals
from panrecon.io.categories import read_categories
from panrecon.io.features import read_features
from panrecon.io.files import write_json, write_text
from panrecon.io.graph import read_instances_found, read_labels_of_surfaces, read_superfaces
from panrecon.io.mesh import read_mesh
from panrecon.io.scan import read_scan, read_views, scan_views
from panrecon.refinement.parameters import RefinementParameters
from panrecon.refinement.refine import refine
from panrecon.semantics.classifier import fit_classifier, predict
from panrecon.semantics.lifting import lift_features
from panrecon.semantics.propagation import propagate
from panrecon.semantics.relabelling import relabel_by_similarity
from panrecon.structures import FeatureMap, Labels, PanopticMesh, SceneObject, View, with_categories
from panrecon.terminal import console, exit_on_input_error

NAME: Final = "field_ablation"
WHOLE: Final = "field and look (default)"
FAULTS: Final = {"faults 1": "faults1", "faults 2": "faults2"}
FEATURES: Final = RUNS / RUN / "features"
Scores = dict[str, float]
TRAINING: Final = FieldParameters()
REFINEMENT: Final = RefinementParameters(Settings().mesh.voxel_size)
ALL_OBJECTS: Final = replace(REFINEMENT, min_detection_rate=0.0)  # none is rejected


@dataclass(frozen=True)
class Variant:
    """What is changed of the default: first in the field's training, then in what is made of it."""

    features: Literal["own", "color", "none"] = "own"
    parameters: FieldParameters = TRAINING
    propagation: bool = True
    settings: Mapping[str, int] = field(default_factory=dict)  # of the field
    refinement: RefinementParameters = REFINEMENT
    boundary_projection: bool = True
    fine_structures: bool = True
    thin_structures: bool = True

    @property
    def training(self) -> "Variant":
        """The same field, and the default decision."""
        return replace(
            self,
            refinement=REFINEMENT,
            boundary_projection=True,
            fine_structures=True,
            thin_structures=True,
        )


VARIANTS: Final = {
    WHOLE: Variant(),
    "the field alone": Variant(refinement=replace(REFINEMENT, similarity_floor=1e6)),
    "no object is rejected": Variant(refinement=ALL_OBJECTS),
    "no boundary projection": Variant(boundary_projection=False),
    "no fine structures": Variant(fine_structures=False),
    "no thin structures": Variant(thin_structures=False),
    "boundaries alone": Variant(
        refinement=ALL_OBJECTS, boundary_projection=False, fine_structures=False, thin_structures=False
    ),
    **{
        f"without the loss of {name}": Variant(
            parameters=FieldParameters(loss_weights=LossWeights(**{**LossWeights().by_term(), name: 0.0}))
        )
        for name in LossWeights().by_term()
    },
    "without the classifier's labels": Variant(propagation=False),
    "masks that 3D labels contradict count in full": Variant(parameters=FieldParameters(disagreement_weight=1.0)),
    "35 samples a ray (the paper's)": Variant(settings={"near_samples": 10, "free_samples": 25, "label_samples": 35}),
    "features: colour statistics": Variant(features="color"),
    "features: none": Variant(features="none"),
}


@dataclass(frozen=True)
class Semantics:
    """What the stage before the field gives: objects with their names, labels and their confidence, and the maps."""

    objects: tuple[SceneObject, ...]
    known: Labels
    confidence: np.ndarray
    maps: list[FeatureMap]


class Bench:
    """A finished run up to its graph, and the true labels."""

    def __init__(self, scene: BenchScene, run: Path) -> None:
        self.run = run
        self.table = read_categories(run / "scan" / "classes.csv")
        self.scan, self.mesh = read_scan(run / "scan"), read_mesh(run / "mesh" / "mesh.ply")
        self.views = list(read_views(self.scan))
        self.superface = read_superfaces(run / "graph")
        self.found = read_instances_found(run / "graph", self.table)
        truth = dataset(DATASET).annotation(scene.raw, self.table)
        self.truth = truth
        self._answers: dict[str, PointField] = {}

    def scores(self, final: PanopticMesh) -> Scores:
        return strict_scores(
            transfer_labels(final, self.truth, Settings().quality.radius).labels, self.truth.labels, self.table
        )

    def semantics(self, variant: Variant) -> Semantics:
        """The stage `semantics`, without files."""
        of_superface, objects, settings = self.found.of_superface, self.found.objects, Settings().semantics
        maps = [self._map(view, variant) for view in self.views]
        if variant.features == "none":
            known = of_superface.at(self.superface)
            return Semantics(objects, known, np.zeros(len(self.superface), np.float32), maps)
        points = lift_features(
            self.mesh, self.scan.camera, zip(self.scan.poses, maps, strict=True), settings.depth_tolerance
        )
        objects = relabel_by_similarity(objects, of_superface.instance[self.superface], points, len(self.table))
        named = with_categories(of_superface, objects)
        category = named.category[self.superface]
        classifier = fit_classifier(points, category, self.superface, len(self.table), settings)
        told = predict(classifier, points)
        filled = propagate(self.mesh, self.superface, named, told, self.table, settings.min_confidence)
        labels = filled if variant.propagation else named
        return Semantics(objects, labels.at(self.superface), told.confidence * variant.propagation, maps)

    def asked(self, variant: Variant, before: Semantics) -> PointField:
        """The stage `field`, without files: the field so trained at every vertex. One is trained once."""
        key = repr(variant.training)
        if key not in self._answers:
            self._answers[key] = self._fitted(variant, before)
        return self._answers[key]

    def _fitted(self, variant: Variant, before: Semantics) -> PointField:
        truncation, parameters = Settings().field.truncation, variant.parameters
        surface = SurfaceSupervision(self.mesh, before.known, before.confidence, truncation, parameters)
        training, _ = split_frames(len(self.scan.frames), Settings().field.held_out_frames)
        frames = [self.scan.frames[index] for index in training]
        names = {frame.name for frame in frames}
        pairs = [pair for pair in zip(self.views, before.maps, strict=True) if pair[0].name in names]
        views = [surface.training_view(view, self._masks(view, before.objects), values) for view, values in pairs]
        box = scene_box(self.mesh.vertices, truncation, parameters)
        data = field_data(views, box, len(self.table), len(before.objects))
        settings = Settings().field.model_copy(update=dict(variant.settings))
        fitted = fit(data if variant.features != "none" else replace(data, features=None), settings, parameters)
        return query(fitted.field, self.mesh.vertices, vertex_normals(self.mesh.vertices, self.mesh.faces))

    def knows_nothing(self, before: Semantics) -> PointField:
        count, columns = len(self.superface), (len(self.table), len(before.objects) + 1)
        category, instance = (np.full((count, width), 1 / width, np.float32) for width in columns)
        return PointField(category, instance, np.zeros(count, np.float32), self.mesh.colors)

    def decided(self, seen: PointField, before: Semantics, variant: Variant) -> PanopticMesh:
        """The stage `panoptic`, without files."""
        return refine(
            self.mesh,
            seen.category_probability,
            seen.instance_probability,
            before.known,
            before.objects,
            self.table,
            scan_views(self.scan),
            lambda view: self._masks(view, before.objects),
            variant.refinement,
            boundary_projection=variant.boundary_projection,
            fine_structures=variant.fine_structures,
            thin_structures=variant.thin_structures,
        ).panoptic

    def _map(self, view: View, variant: Variant) -> FeatureMap:
        match variant.features:
            case "own":
                return read_features(self.run / "features", view.name)
            case "color" | "none":
                return color_statistics(view.color)
            case _:
                assert_never(variant.features)

    def _masks(self, view: View, objects: tuple[SceneObject, ...]) -> Labels:
        return read_labels_of_surfaces(self.run / "graph" / "labels", view, objects, self.table)


def ablation(bench: Bench, wanted: list[str]) -> Iterator[tuple[str, Scores]]:
    usual = bench.semantics(Variant())
    yield "after semantics: no field", bench.scores(PanopticMesh(bench.mesh, usual.known)) | {"seconds": 0.0}
    started = time.perf_counter()
    by_look = bench.decided(bench.knows_nothing(usual), usual, Variant())
    yield (
        "no field: look; edges; details; thin things",
        bench.scores(by_look) | {"seconds": time.perf_counter() - started},
    )
    for name in wanted:
        variant = VARIANTS[name]
        same = (variant.features, variant.propagation) == ("own", True)
        before = usual if same else bench.semantics(variant)
        started = time.perf_counter()
        final = bench.decided(bench.asked(variant, before), before, variant)
        yield name, bench.scores(final) | {"seconds": time.perf_counter() - started}


def main(
    scenes: Annotated[str, typer.Option(help="names of scenes, joined by commas; default all there are")] = "",
    rows: Annotated[str, typer.Option(help="rows of the table, joined by commas; default all")] = "",
    seeds: Annotated[str, typer.Option(help="seeds of the simulated rooms, joined by commas")] = "0,1,2",
    shared: SharedOption = None,
) -> None:
    """The table of parts, in PQ and mIoU: of every scene, and the mean."""
    with exit_on_input_error():
        wanted = list(filter(None, rows.split(","))) or list(VARIANTS)
        unknown = [name for name in wanted if name not in VARIANTS]
        if unknown:
            raise InputError(f"There is no row {unknown[0]!r}; there are {', '.join(VARIANTS)}.")
        found: dict[str, dict[str, Scores]] = {}
        for scene in choose(scenes, find_scenes(seeds, ROOMS, shared, FEATURES)):
            prepare(scene, FEATURES)
            for title, run, overrides in with_faults(scene):
                run_pipeline(scene, RUNS, run, "graph", overrides)
                run_pipeline(scene, RUNS, run, "features", overrides)
                found[title] = {}
                for name, scores in ablation(Bench(scene, RUNS / run / DATASET / scene.name), wanted):
                    found[title][name] = scores
                    line = f"{title}, {name}: PQ {100 * scores['pq']:.1f}, mIoU {100 * scores['miou']:.1f}"
                    console.print(line, highlight=False, soft_wrap=True)
                content = {
                    title: {name: nan_to_null(row) for name, row in rows.items()} for title, rows in found.items()
                }
                write_json(RESULTS / f"{NAME}.json", {**provenance(), "scenes": content})
                write_text(RESULTS / f"{NAME}.md", table(found))
        print(table(found))


def with_faults(scene: BenchScene) -> list[tuple[str, str, list[str]]]:
    """Title, run and settings: rendered scenes with both of their fixed sets of masks, others with their own."""
    if scene.kind != "rendered":
        return [(scene.name, RUN, [])]
    files = {level: scene.raw / "detections" / f"{stem}_seed0.json" for level, stem in FAULTS.items()}
    return [
        (f"{scene.name}, {level}", RUN if level == "faults 1" else "bench_faults2", [f"masks.detections={path}"])
        for level, path in files.items()
    ]


def table(found: Mapping[str, Mapping[str, Scores]]) -> str:
    """A row a variant: PQ / mIoU of every scene and their mean, per cent, and the mean time of field and decision."""
    names = list(next(iter(found.values())))
    lines = []
    for name in names:
        numbers = [(100 * rows[name]["pq"], 100 * rows[name]["miou"]) for rows in found.values()]
        cells = [f"{pq:.1f} / {miou:.1f}" for pq, miou in [*numbers, tuple(np.mean(numbers, axis=0))]]
        seconds = np.mean([rows[name]["seconds"] for rows in found.values()])
        lines.append([name, *cells, f"{seconds:.0f} s"])
    return table_of(["labels, PQ / mIoU", *found, "mean", "field and decision"], lines)


if __name__ == "__main__":
    typer.run(main)
