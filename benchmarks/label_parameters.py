"""The parameters of the final labels' energy, fitted on simulated rooms that no other benchmark reports.

Rooms 100 to 102 with simulated masks, each at faults 0.5, 1 and 2, and with none, a tenth or a quarter of their stuff
confused. The layout is counted on the true labels. Weights maximise the likelihood of the true segment, every segment
counting by the root of its vertices, without neighbours. What makes neighbours agree maximises the share of vertices
that the solution labels right, weighted alike, one parameter after the other; the temperature its likelihood.
`--sensitivity` halves and doubles every number of the package, and leaves terms out, on the three runs of one room.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import torch
import typer
from jaxtyping import Float, Int

from benchmarks.measure import strict_scores
from benchmarks.results import Report, Table, text_of, write_result
from benchmarks.scenes import DATASET, panrecon, prepare, room, run_pipeline
from benchmarks.study import ROOMS, RUNS
from panrecon.config import Settings
from panrecon.datasets.base import dataset
from panrecon.evaluation.transfer import transfer_labels
from panrecon.field.inference import query
from panrecon.geometry.mesh import nearest_vertex, vertex_normals
from panrecon.io.field import read_field
from panrecon.io.graph import read_votes
from panrecon.io.scan import read_scan, scan_views
from panrecon.io.scene import read_labelled_scene
from panrecon.io.semantics import read_point_semantics
from panrecon.layout.scene import scene_layout
from panrecon.layout.situations import Situation
from panrecon.refinement.energy import CANDIDATES, Candidates, likeliest, solve
from panrecon.refinement.parameters import EnergyParameters, TermWeights
from panrecon.refinement.segments import SegmentTable
from panrecon.refinement.terms import EnergyTerms, LabelEvidence, Term
from panrecon.roles import Role
from panrecon.structures import VOID, LabelledScene, Labels, PanopticMesh
from panrecon.terminal import console, exit_on_input_error
from panrecon.threads import parallel_map

NAME: Final = "label_parameters"
SENSITIVITY: Final = "label_sensitivity"
FAULTS: Final = (0.5, 1.0, 2.0)
CONFUSED: Final = (0.0, 0.1, 0.25)  # shares of stuff with a fixed wrong word; every room has each, at another level
SEEDS: Final = (100, 101, 102)
TRUTH_RADIUS: Final = 0.05  # m, between a vertex and the true one whose label it should have
MIN_IOU: Final = 0.2  # of an object with a true one that it can stand for
SAMPLES: Final = 100  # vertices of a true segment
MAX_SIZE: Final = 3000  # vertices: a larger segment counts no more
REGULARISATION: Final = 1e-3  # of squared weights
TEMPERATURES: Final = (1.0, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0)
FLOOR: Final = 1e-4  # of a probability, in the likelihood of a solved energy
MIN_GAIN: Final = 5e-4  # of log likelihood or share of right vertices, for another value of a parameter
STEP: Final = 1.5  # factor between the values tried of a parameter
START: Final = EnergyParameters(  # of the search, whatever the package has
    contradiction_scale=0.05,
    smoothness=1.5,
    color_scale=0.08,
    normal_scale=0.4,
    temperature=1.0,
    appearance=1.0,
    appearance_distance=7.5,
    boundary_distance=2.5,
)
VOXEL_SIZE: Final = Settings().mesh.voxel_size
SCALE: Final = "contradiction_scale"
NOT_FITTED: Final = "share_floor"
OF_NEIGHBOURS: Final = (
    "smoothness",
    "color_scale",
    "normal_scale",
    "appearance",
    "appearance_distance",
    "boundary_distance",
)


@dataclass(frozen=True)
class TrainingScene:
    """A finished run with what speaks for every segment, the true segment of every vertex, and the true mesh."""

    name: str
    scene: LabelledScene
    evidence: LabelEvidence
    truth: PanopticMesh

    @cached_property
    def segments(self) -> SegmentTable:
        """The segments that a vertex may take."""
        return SegmentTable([scene_object.category for scene_object in self.scene.objects], self.scene.table)

    @cached_property
    def true_labels(self) -> Labels:
        """The true labels at the vertices; void where no true vertex is near."""
        nearest = nearest_vertex(self.scene.mesh.vertices, self.truth.mesh.vertices, TRUTH_RADIUS)
        return self.truth.labels.at(nearest)

    @cached_property
    def target(self) -> Int[np.ndarray, " V"]:
        """The true segment of every vertex; `VOID` where none of the scene's is true."""
        table = self.scene.table
        true = self.true_labels
        is_thing = np.append(table.is_thing, False)[true.category]
        target = np.where(
            is_thing, VOID, self.segments.segment_of(Labels(true.category, np.full_like(true.instance, VOID)))
        )
        objects = self.scene.labels.instance
        for instance in np.unique(true.instance[is_thing & (true.instance != VOID)]):
            inside = is_thing & (true.instance == instance)
            candidates = np.unique(objects[inside & (objects != VOID)])
            iou = [np.sum(inside & (objects == c)) / np.sum(inside | (objects == c)) for c in candidates]
            if len(iou) and max(iou) > MIN_IOU:
                target[inside] = len(self.segments.stuff) + candidates[int(np.argmax(iou))]
        return target

    @cached_property
    def sample(self) -> tuple[Int[np.ndarray, " n"], Float[np.ndarray, " n"]]:
        """Vertices of every true segment, and their weights, whose sum is 1."""
        return sampled_vertices(self.target)

    def terms(self, parameters: EnergyParameters) -> EnergyTerms:
        """The terms of the energy."""
        return EnergyTerms(self.evidence, self.segments, self.scene.table, parameters)

    def candidates(self, parameters: EnergyParameters) -> Candidates:
        """The likeliest segments of every vertex, before neighbours have spoken."""
        chunks = [likeliest(score, CANDIDATES) for score in self.terms(parameters).scores()]
        return Candidates(
            *(np.concatenate(parts) for parts in zip(*((c.segment, c.score) for c in chunks), strict=True))
        )

    def solved(self, parameters: EnergyParameters) -> Candidates:
        """The solution of the energy."""
        return solve(self.scene.mesh, self.candidates(parameters), len(self.segments), VOXEL_SIZE, parameters)

    def log_likelihoods(self, solved: Candidates) -> Float[np.ndarray, " T"]:
        """The weighted mean of the log probability that a solution gives to the true segments, by temperature."""
        vertex, weight = self.sample
        sampled = solved.at(vertex)
        is_true = sampled.segment == self.target[vertex][:, None]
        probabilities = (Candidates(sampled.segment, sampled.score / t).probability for t in TEMPERATURES)
        return np.array([weight @ np.log((values * is_true).sum(axis=1) + FLOOR) for values in probabilities])

    def accuracy(self, solved: Candidates) -> float:
        """The share of the vertices that have their true segment, in [0, 1], weighted as those of the sample."""
        has_target = np.flatnonzero(self.target != VOID)
        target = self.target[has_target]
        size = np.bincount(target, minlength=len(self.segments))
        right = np.bincount(target, solved.best[has_target] == target, minlength=len(self.segments))
        weight = np.sqrt(np.minimum(size, MAX_SIZE))
        return float(weight @ (right / size.clip(1)) / weight.sum())

    def quality(self, labels: Labels) -> float:
        """Strict PQ of labels of the vertices, in per cent."""
        prediction = PanopticMesh(self.scene.mesh, labels)
        transferred = transfer_labels(prediction, self.truth, Settings().quality.radius)
        return 100 * strict_scores(transferred.labels, self.truth.labels, self.scene.table)["pq"]


def sampled_vertices(segment: Int[np.ndarray, " V"]) -> tuple[Int[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Vertices of every segment (`VOID` = of none), each counting by the root of its size; weights have the sum 1."""
    generator = np.random.default_rng(0)
    vertices = []
    weights = []
    for index in np.unique(segment[segment != VOID]):
        members = np.flatnonzero(segment == index)
        count = min(SAMPLES, len(members))
        vertices.append(generator.choice(members, count, replace=False))
        weights.append(np.full(count, np.sqrt(min(len(members), MAX_SIZE)) / count))
    weight = np.concatenate(weights)
    return np.concatenate(vertices), weight / weight.sum()


def solved_quality(scene: TrainingScene, parameters: EnergyParameters) -> float:
    """Strict PQ of the solution, in per cent."""
    return scene.quality(scene.segments.labels_of(scene.solved(parameters).best))


@dataclass(frozen=True)
class TrainingRun:
    """The run of a simulated room under one set of simulated masks."""

    name: str
    raw: Path
    folder: Path


def training_runs() -> Iterator[TrainingRun]:
    """The rooms, simulated and run up to the field unless they are up to date."""
    for level_index, level in enumerate(FAULTS):
        for seed_index, seed in enumerate(SEEDS):
            confused = CONFUSED[(seed_index + level_index) % len(CONFUSED)]
            scene = room(seed, ROOMS)
            prepare(scene, RUNS)
            detections = RUNS.parent / "fit" / f"room{seed}_{level:g}.json"
            if not detections.is_file():
                options = ["--level", str(level), "--seed", str(seed), "--fault", f"confused_stuff={confused}"]
                panrecon("simulate", "detections", str(scene.raw), "--out", str(detections), *options)
            run = f"fit{level:g}"
            run_pipeline(scene, RUNS, run, "field", [f"masks.detections={detections}"])
            name = f"room{seed}, faults {level:g}, confused {confused:g}"
            yield TrainingRun(name, scene.raw, RUNS / run / DATASET / scene.name)


def read_training_scene(run: TrainingRun) -> TrainingScene:
    """A run that is finished up to the field, and the annotation of its scene."""
    views = scan_views(read_scan(run.folder / "scan"))
    scene = read_labelled_scene(run.folder.joinpath)
    mesh = scene.mesh
    network, _ = read_field(run.folder / "field")
    answer = query(network, mesh.vertices, vertex_normals(mesh.vertices, mesh.faces))
    evidence = LabelEvidence(
        read_votes(run.folder / "graph"),
        answer.category_probability.astype(np.float16),
        answer.instance_probability.astype(np.float16),
        read_point_semantics(run.folder / "semantics").probability.astype(np.float16),
        scene.labels,
        scene_layout(mesh, views.poses, VOXEL_SIZE),
    )
    return TrainingScene(run.name, scene, evidence, dataset(DATASET).annotation(run.raw, scene.table))


def shares_of_roles(scenes: Sequence[TrainingScene]) -> tuple[dict[Role, list[float]], list[float]]:
    """Shares of the situations of every role's true surface, and of all surface; every scene counts alike."""
    counts = {role: np.zeros(len(Situation)) for role in Role}
    for scene in scenes:
        category = scene.true_labels.category
        situation = scene.evidence.layout.situation
        for index, entry in enumerate(scene.scene.table.categories):
            in_class = np.bincount(situation[category == index], minlength=len(Situation))
            counts[entry.role] += in_class / np.sum(category != VOID)
    total = sum(counts.values(), start=np.zeros(len(Situation)))
    of_role: dict[Role, list[float]] = {
        role: (count / count.sum()).round(3).tolist()
        for role, count in counts.items()
        if role != Role.ANY and count.sum() > 0
    }
    return of_role, (total / total.sum()).round(3).tolist()


def fitted_weights(scenes: Sequence[TrainingScene], parameters: EnergyParameters) -> tuple[TermWeights, float]:
    """The weights of the greatest likelihood (L-BFGS, Liu and Nocedal 1989), rounded, and its mean logarithm."""
    stacked = []
    for scene in scenes:
        vertex, weight = scene.sample
        terms = scene.terms(parameters).of(vertex)
        values = np.stack([terms[term] for term in Term], axis=2)
        stacked.append([torch.as_tensor(array) for array in (values, scene.target[vertex], weight.astype(np.float32))])
    weights = torch.full((len(Term),), 0.3, requires_grad=True)
    optimiser = torch.optim.LBFGS([weights], max_iter=300, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        entropies = [
            (weight * torch.nn.functional.cross_entropy(values.float() @ weights, target, reduction="none")).sum()
            for values, target, weight in stacked
        ]
        return torch.stack(entropies).mean() + REGULARISATION * (weights**2).sum()

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        value = loss()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimiser.step(closure)  # type: ignore[no-untyped-call]
    rounded = {str(term): round(float(value), 2) for term, value in zip(Term, weights.detach(), strict=True)}
    return TermWeights(**rounded), -float(loss().detach())


def with_value(parameters: EnergyParameters, name: str, value: float) -> EnergyParameters:
    """The parameters with another value of one that is no weight of a term."""
    changed: dict[str, Any] = {name: value}
    return replace(parameters, **changed)


def search(
    start: EnergyParameters, names: Sequence[str], objective: Callable[[EnergyParameters], float]
) -> EnergyParameters:
    """The parameters after each of `names` was multiplied by powers of `STEP` as long as the objective rises."""
    best = start
    best_value = objective(start)
    for name in names:
        for factor in (STEP, 1 / STEP):
            while True:
                changed = with_value(best, name, float(f"{getattr(best, name) * factor:.2g}"))
                value = objective(changed)
                if value <= best_value + MIN_GAIN:
                    break
                best, best_value = changed, value
                console.print(f"{name} {getattr(best, name):g}: {best_value:.4f}", highlight=False)
    return best


def fit(scenes: Sequence[TrainingScene]) -> EnergyParameters:
    """All parameters; scales of the terms by the likelihood of the weights fitted with them."""

    def without_neighbours(parameters: EnergyParameters) -> float:
        return fitted_weights(scenes, parameters)[1]

    def solutions(parameters: EnergyParameters) -> list[Candidates]:
        return list(parallel_map(lambda scene: scene.solved(parameters), scenes))

    def accuracy(parameters: EnergyParameters) -> float:
        return float(np.mean([s.accuracy(c) for s, c in zip(scenes, solutions(parameters), strict=True)]))

    scaled = search(START, (SCALE,), without_neighbours)
    weighted = replace(scaled, weights=fitted_weights(scenes, scaled)[0])
    smoothed = search(weighted, OF_NEIGHBOURS, accuracy)
    likelihoods = [s.log_likelihoods(c) for s, c in zip(scenes, solutions(smoothed), strict=True)]
    return replace(smoothed, temperature=TEMPERATURES[int(np.mean(likelihoods, axis=0).argmax())])


def changed_parameters(parameters: EnergyParameters) -> Iterator[tuple[str, float, EnergyParameters]]:
    """Every parameter halved and doubled: its name, the factor, and all parameters."""
    for factor in (0.5, 2.0):
        for weight in fields(TermWeights):
            value = factor * getattr(parameters.weights, weight.name)
            yield weight.name, factor, replace(parameters, weights=replace(parameters.weights, **{weight.name: value}))
        for name in (SCALE, NOT_FITTED, *OF_NEIGHBOURS):
            yield name, factor, with_value(parameters, name, factor * getattr(parameters, name))
    for weight in fields(TermWeights):
        yield weight.name, 0.0, replace(parameters, weights=replace(parameters.weights, **{weight.name: 0.0}))
    for name in ("smoothness", "appearance"):
        yield name, 0.0, with_value(parameters, name, 0.0)


def main(
    sensitivity: Annotated[bool, typer.Option(help="change the package's numbers instead of fitting")] = False,
) -> None:
    """Prints and writes the fitted parameters and what they are worth, or what it costs to change them."""
    with exit_on_input_error():
        scenes = [read_training_scene(run) for run in training_runs()]
        if sensitivity:
            changes = cost_of_changes(scenes[:: len(SEEDS)])
            report: Report = [sensitivity_table(changes)]
            write_result(SENSITIVITY, report, {"changes": changes})
        else:
            report = write_fit(scenes)
        print(text_of(report))


def write_fit(scenes: Sequence[TrainingScene]) -> Report:
    """Fits, and writes and returns the report."""
    of_role, of_all = shares_of_roles(scenes)
    parameters = fit(scenes)
    before = [scene.quality(scene.scene.labels) for scene in scenes]
    after = [solved_quality(scene, parameters) for scene in scenes]
    quality = {s.name: {"semantics": b, "energy": a} for s, b, a in zip(scenes, before, after, strict=True)}
    report: Report = [
        Table(["role", *(s.name.lower() for s in Situation)], [[r, *map(str, v)] for r, v in of_role.items()]),
        f"All surface: {', '.join(map(str, of_all))}.",
        Table(
            ["run", "after semantics", "energy"],
            [[name, *(f"{value:.1f}" for value in values.values())] for name, values in quality.items()],
        ),
    ]
    record: Mapping[str, Any] = {
        "parameters": asdict(parameters),
        "shares_of_role": {str(role): shares for role, shares in of_role.items()},
        "shares_of_all": of_all,
        "pq": quality,
    }
    write_result(NAME, report, record)
    return report


def cost_of_changes(scenes: Sequence[TrainingScene]) -> dict[str, dict[str, float]]:
    """The change of mean strict PQ, in points, when a parameter of the package is multiplied by a factor."""
    parameters = EnergyParameters()
    unchanged = np.mean([solved_quality(scene, parameters) for scene in scenes])
    changes: dict[str, dict[str, float]] = {}
    for name, factor, changed in changed_parameters(parameters):
        qualities = parallel_map(partial(solved_quality, parameters=changed), scenes)
        difference = float(np.mean(list(qualities)) - unchanged)
        changes.setdefault(name, {})[f"{factor:g}"] = difference
        console.print(f"{name} x {factor:g}: {difference:+.2f}", highlight=False)
    return changes


def sensitivity_table(changes: Mapping[str, Mapping[str, float]]) -> Table:
    """A row a parameter."""
    values = {**asdict(EnergyParameters()), **asdict(TermWeights())}
    rows = [
        [name, f"{values[name]:g}", *(f"{of_factor[f]:+.2f}" if f in of_factor else "" for f in ("0.5", "2", "0"))]
        for name, of_factor in changes.items()
    ]
    return Table(["parameter", "value", "halved: PQ", "doubled: PQ", "left out: PQ"], rows)


if __name__ == "__main__":
    typer.run(main)
