"""What is each part of the last three stages worth? Every one left out in turn, on the graphs of finished runs.

Rows: no field; every term of the energy left out, the field alone; boundaries not projected, thin structures left out;
every loss, the classifier's labels and the doubt of contradicted masks left out; and the features of the pipeline
against colour statistics and none.
"""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Final, Literal, assert_never

import numpy as np
import typer

from benchmarks.labels_against_baseline import RUN, choose
from benchmarks.measure import strict_scores
from benchmarks.results import Table, write_result
from benchmarks.scenes import DATASET, BenchScene, find_scenes, prepare, run_pipeline
from benchmarks.study import ROOMS, RUNS, SharedOption
from panrecon.config import PanopticSettings, Settings
from panrecon.datasets.base import dataset
from panrecon.errors import InputError
from panrecon.evaluation.report.record import nan_to_null
from panrecon.evaluation.transfer import transfer_labels
from panrecon.features.color import color_statistics
from panrecon.field.parameters import FieldParameters, LossWeights
from panrecon.io.features import read_features
from panrecon.io.graph import read_labels_of_surfaces, read_votes
from panrecon.io.scan import read_scan, scan_views
from panrecon.io.scene import read_segmented_scene
from panrecon.pipeline import (
    EvidenceOnSurface,
    FieldResult,
    FieldSupervision,
    field_stage,
    panoptic_stage,
    semantics_stage,
)
from panrecon.refinement.parameters import RefinementParameters
from panrecon.refinement.terms import Term
from panrecon.structures import FeatureMap, LabelledScene, Labels, PanopticMesh, PointSemantics, SceneObject
from panrecon.terminal import console, exit_on_input_error

NAME: Final = "field_ablation"
WHOLE: Final = "all terms (default)"
FAULTS: Final = {"faults 1": "faults1", "faults 2": "faults2"}
FEATURES: Final = RUNS / RUN / "features"
Scores = dict[str, float]
TRAINING: Final = FieldParameters()
REFINEMENT: Final = RefinementParameters(Settings().mesh.voxel_size)
PANOPTIC: Final = PanopticSettings()
ENERGY: Final = REFINEMENT.energy


@dataclass(frozen=True)
class Variant:
    """What is changed of the default: first in the field's training, then in what is made of it."""

    features: Literal["own", "color", "none"] = "own"
    parameters: FieldParameters = TRAINING
    propagation: bool = True
    settings: Mapping[str, int] = field(default_factory=dict)  # of the field
    refinement: RefinementParameters = REFINEMENT
    panoptic: PanopticSettings = PANOPTIC

    @property
    def training(self) -> "Variant":
        """The same field, and the default decision."""
        return replace(self, refinement=REFINEMENT, panoptic=PANOPTIC)


def without_loss(name: str) -> FieldParameters:
    """The field's parameters with one loss left out."""
    return FieldParameters(loss_weights=LossWeights(**{**LossWeights().by_term(), name: 0.0}))


def without_terms(*terms: Term) -> RefinementParameters:
    """The energy with the weights of these terms 0."""
    weights = replace(ENERGY.weights, **{str(term): 0.0 for term in terms})
    return replace(REFINEMENT, energy=replace(ENERGY, weights=weights))


LAYOUT: Final = (Term.LAYOUT, Term.CONTRADICTED_LAYOUT)
TERMS: Final[Mapping[str, RefinementParameters]] = {
    "without votes": without_terms(Term.OBJECT_VOTES, Term.STUFF_VOTES),
    "without the field": without_terms(Term.FIELD),
    "without features": without_terms(Term.FEATURES),
    "without layout": without_terms(*LAYOUT),
    "layout whatever the masks": without_terms(Term.CONTRADICTED_LAYOUT),
    "without neighbours": replace(REFINEMENT, energy=replace(ENERGY, smoothness=0.0)),
    "without appearance": replace(REFINEMENT, energy=replace(ENERGY, appearance=0.0)),
    "the field alone": without_terms(Term.OBJECT_VOTES, Term.STUFF_VOTES, Term.FEATURES, *LAYOUT),
}
ENERGY_ALONE: Final = PanopticSettings(boundary_projection=False, thin_structures=False)
VARIANTS: Final = {
    WHOLE: Variant(),
    **{name: Variant(refinement=refinement) for name, refinement in TERMS.items()},
    "no boundary projection": Variant(panoptic=PanopticSettings(boundary_projection=False)),
    "no thin structures": Variant(panoptic=PanopticSettings(thin_structures=False)),
    "the energy alone": Variant(panoptic=ENERGY_ALONE),
    **{f"without the loss of {name}": Variant(parameters=without_loss(name)) for name in LossWeights().by_term()},
    "without the classifier's labels": Variant(propagation=False),
    "masks that 3D labels contradict count in full": Variant(parameters=FieldParameters(disagreement_weight=1.0)),
    "35 samples a ray (the paper's)": Variant(settings={"near_samples": 10, "free_samples": 25, "label_samples": 35}),
    "features: colour statistics": Variant(features="color"),
    "features: none": Variant(features="none", parameters=without_loss("feature")),
}


@dataclass(frozen=True)
class LabelsBeforeField:
    """What the stage before the field gives: objects with their classes, labels and class probabilities of vertices."""

    objects: tuple[SceneObject, ...]
    prior: Labels
    points: PointSemantics
    maps: list[FeatureMap]


class Bench:
    """A finished run up to its graph, and the true labels; its methods are the pipeline's stages, without files."""

    def __init__(self, scene: BenchScene, run: Path) -> None:
        self.run = run
        self.views = scan_views(read_scan(run / "scan"))
        self.segmented = read_segmented_scene(run.joinpath)
        self.mesh = self.segmented.mesh
        self.table = self.segmented.table
        self.votes = read_votes(run / "graph")
        self.truth = dataset(DATASET).annotation(scene.raw, self.table)
        self._fields: dict[str, FieldResult] = {}

    def scores(self, final: PanopticMesh) -> Scores:
        """Strict panoptic quality and mIoU of the final labels."""
        transferred = transfer_labels(final, self.truth, Settings().quality.radius)
        return strict_scores(transferred.labels, self.truth.labels, self.table)

    def semantics(self, variant: Variant) -> LabelsBeforeField:
        """The labels of the stage `semantics`; those of the graph where there are no features."""
        maps = [self._map(index, variant) for index in range(len(self.views.names))]
        if variant.features == "none":
            instances = self.segmented.instances
            prior = instances.of_superface.at(self.segmented.superface_of_vertex)
            nothing = PointSemantics(np.zeros((len(prior.category), len(self.table)), np.float32))
            return LabelsBeforeField(instances.objects, prior, nothing, maps)
        result = semantics_stage(self.views, self.segmented, maps, Settings().semantics)
        of_superface = result.of_superface if variant.propagation else result.before
        points = PointSemantics(result.points.probability * variant.propagation)
        return LabelsBeforeField(result.objects, of_superface.at(self.segmented.superface_of_vertex), points, maps)

    def field(self, variant: Variant, before: LabelsBeforeField) -> FieldResult:
        """The field so trained; one is trained once."""
        key = repr(variant.training)
        if key not in self._fields:
            map_of_frame = dict(zip(self.views.names, before.maps, strict=True))
            supervision = FieldSupervision(self._scene(before), before.points.confidence, map_of_frame.__getitem__)
            settings = Settings().field.model_copy(update=dict(variant.settings))
            self._fields[key] = field_stage(self.views, supervision, settings, parameters=variant.parameters)
        return self._fields[key]

    def panoptic(self, variant: Variant, before: LabelsBeforeField, result: FieldResult) -> PanopticMesh:
        """The final labels."""
        field, box = result.fitted.field, result.data.box
        scene = self._scene(before)
        on_surface = EvidenceOnSurface(self.votes, before.points)
        return panoptic_stage(self.views, scene, on_surface, field, box, variant.panoptic, variant.refinement).panoptic

    def _map(self, index: int, variant: Variant) -> FeatureMap:
        match variant.features:
            case "own":
                return read_features(self.run / "features", self.views.names[index])
            case "color" | "none":
                return color_statistics(self.views.read(index).color)
            case _:
                assert_never(variant.features)

    def _scene(self, before: LabelsBeforeField) -> LabelledScene:
        folder = self.run / "graph" / "labels"
        masks = partial(read_labels_of_surfaces, folder, objects=before.objects, table=self.table)
        return LabelledScene(self.mesh, before.prior, before.objects, self.table, masks)


def ablation(bench: Bench, names: list[str]) -> Iterator[tuple[str, Scores]]:
    """The scores of every row, and the seconds of field and decision."""
    default = bench.semantics(Variant())
    yield "after semantics: no field", bench.scores(PanopticMesh(bench.mesh, default.prior)) | {"seconds": 0.0}
    for name in names:
        variant = VARIANTS[name]
        has_default_labels = (variant.features, variant.propagation) == ("own", True)
        before = default if has_default_labels else bench.semantics(variant)
        started = time.perf_counter()
        final = bench.panoptic(variant, before, bench.field(variant, before))
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
                write_result(NAME, [table(found)], {"scenes": content})
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


def table(found: Mapping[str, Mapping[str, Scores]]) -> Table:
    """A row a variant: PQ / mIoU of every scene and their mean, per cent, and the mean time of field and decision."""
    names = list(next(iter(found.values())))
    lines = []
    for name in names:
        numbers = [(100 * rows[name]["pq"], 100 * rows[name]["miou"]) for rows in found.values()]
        cells = [f"{pq:.1f} / {miou:.1f}" for pq, miou in [*numbers, tuple(np.mean(numbers, axis=0))]]
        seconds = np.mean([rows[name]["seconds"] for rows in found.values()])
        lines.append([name, *cells, f"{seconds:.0f} s"])
    return Table(["labels, PQ / mIoU", *found, "mean", "field and decision"], lines)


if __name__ == "__main__":
    typer.run(main)
