"""What is each decision of the consensus rule worth? Every row changes one thing and leaves the rest as it is.

Strict PQ after the graph on the built-in rooms, and on the rendered scenes with their fixed detections.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import numpy as np
import typer
from jaxtyping import Int

from benchmarks.association import AssociationScene, build_scene, labels_of_vertices, read_masks
from benchmarks.results import Report, Table, text_of, write_result
from benchmarks.scenes import BenchScene
from benchmarks.study import SEEDS, SharedOption, in_processes, study_scenes
from panrecon.config import GraphSettings
from panrecon.geometry.mesh import mesh_edges
from panrecon.graph.adjacency import superface_adjacency
from panrecon.graph.consensus import MergeRule
from panrecon.graph.evidence import Evidence
from panrecon.graph.instances import infer_instances
from panrecon.graph.kernels import felzenszwalb_huttenlocher
from panrecon.graph.observation import FrameObservation
from panrecon.graph.parameters import GraphParameters
from panrecon.graph.superfaces import color_step, dihedral_weight, superfaces
from panrecon.graph.voting import Membership, PairVotes, vote
from panrecon.io.mesh import read_mesh
from panrecon.io.scan import read_scan, read_views

NAME: Final = "association_ablation"


@dataclass(frozen=True)
class Variant:
    """Parameters, settings and the merge rule of the graph to change, and observations to alter."""

    parameters: GraphParameters = field(default_factory=GraphParameters)
    settings: GraphSettings = field(default_factory=GraphSettings)
    merge_rule: MergeRule = field(default_factory=MergeRule)
    altered: Callable[[FrameObservation], FrameObservation] = lambda observation: observation
    depth_edges: float = 0.0  # weight of a depth discontinuity between superfaces

    def superfaces(self, built: AssociationScene) -> Int[np.ndarray, " V"]:
        """As the graph cuts them, by default; with depth edges, or settings that cut otherwise."""
        mesh, settings = built.mesh, self.settings
        if self.depth_edges:
            edges = mesh_edges(mesh.faces)
            steps = self.depth_edges * built.depth_step[edges].mean(axis=1)
            weight = dihedral_weight(mesh, edges) + settings.color_weight * color_step(mesh, edges) + steps
            threshold, smallest = settings.superface_threshold, settings.superface_min_vertices
            return felzenszwalb_huttenlocher(edges, weight, len(mesh.vertices), threshold, smallest)
        same = settings.color_weight == GraphSettings().color_weight
        return built.superface_of_vertex if same else superfaces(mesh, settings)


def votes_for_and_against(votes: PairVotes, parameters: GraphParameters) -> np.ndarray:
    """The sign of the votes, as in the paper's rule: not normalised by how often a pair was seen."""
    against = votes.apart + votes.stuff + parameters.unlabelled_weight * votes.unlabelled
    return (votes.together > against).astype(np.float64)


def vote_by_class(evidence: Evidence, members: Membership) -> PairVotes:
    """A pair whose masks say different classes has so many of its votes against it, too."""
    votes = vote(evidence, members)
    classes = int(evidence.category_of_mask.max(initial=0)) + 1
    of_class = np.eye(classes)[evidence.category_of_mask] * (evidence.score_of_mask * evidence.weight_of_mask)[:, None]
    histogram = members.in_thing_mask @ of_class
    histogram = histogram / histogram.sum(axis=1, keepdims=True).clip(1e-9)
    agreement = np.minimum(histogram[votes.first], histogram[votes.second]).sum(axis=1)
    return replace(votes, apart=votes.apart + 0.5 * (1 - agreement) * votes.together)


def exclusive(observation: FrameObservation) -> FrameObservation:
    return observation.exclusive


VARIANTS: Final[Mapping[str, Variant]] = {
    "as it is": Variant(),
    "superfaces by normals alone": Variant(settings=GraphSettings(color_weight=0.0)),
    "superfaces end at depth edges, weight 0.03": Variant(depth_edges=0.03),
    "superfaces end at depth edges, weight 0.1": Variant(depth_edges=0.1),
    "a pixel has one mask, thing or stuff": Variant(altered=exclusive),
    "frames from one pose count each": Variant(GraphParameters(same_position=-1.0)),
    "stuff masks are no evidence": Variant(GraphParameters(stuff_weight=0.0)),
    "views without label are no evidence": Variant(GraphParameters(unlabelled_weight=0.0)),
    "votes by sign, not by share of views": Variant(merge_rule=MergeRule(affinity=votes_for_and_against)),
    "no prior on the affinity": Variant(GraphParameters(prior_frames=0.0)),
    "walls may seed objects": Variant(GraphParameters(min_thing_share=0.0)),
    "merges on to 0.35": Variant(GraphParameters(merge_affinity=0.35)),
    "merges end at 0.65": Variant(GraphParameters(merge_affinity=0.65)),
    "class is evidence against merges, too": Variant(merge_rule=MergeRule(vote=vote_by_class)),
    "masks join objects whatever their class": Variant(GraphParameters(class_penalty=0.0)),
    "fragments never seen together stay apart": Variant(GraphParameters(min_smooth_share=np.inf)),
    "unassigned masks are dropped": Variant(GraphParameters(min_unassigned_frames=np.inf)),
    "no refinement of masks and superfaces": Variant(GraphParameters(refinement_rounds=0)),
    "rarely detected objects are kept": Variant(GraphParameters(min_detection_rate=0.0)),
    "superfaces are not split": Variant(GraphParameters(superface_prior_frames=1e9)),
    "vertices without their superface": Variant(GraphParameters(superface_prior_frames=1e-3)),
}


def main(shared: SharedOption = None) -> None:
    """One table: PQ of all and of things for every variant, and what it loses against the rule as it is."""
    found = in_processes([(measure, scene) for scene in study_scenes(shared)], NAME)
    rows = [row for scene in found for row in scene]
    groups = list(dict.fromkeys(group for _, group, _ in rows))
    table, record = [], {}
    for name in VARIANTS:
        means = {group: _means(rows, name, group) for group in groups}
        base = {group: _means(rows, "as it is", group) for group in groups}
        record[name] = means
        cells = [f"{100 * pq:.1f} / {100 * things:.1f}" for pq, things in means.values()]
        change = np.mean([100 * (means[group][0] - base[group][0]) for group in groups])
        table.append([name, *cells, f"{change:+.1f}"])
    report: Report = [Table(["variant", *(f"{group}: PQ / things" for group in groups), "mean change of PQ"], table)]
    write_result(NAME, report, {"variants": record})
    print(text_of(report))


def measure(scene: BenchScene, run: Path) -> list[tuple[str, str, dict[str, float]]]:
    """Variant, group and scores, for all variants and all masks of one scene."""
    scan, mesh = read_scan(run / "scan"), read_mesh(run / "mesh" / "mesh.ply")
    built = build_scene(scene.raw, scan, mesh, read_views(scan))
    seen = [(group, built.observations(read_masks(path, scan, built.table))) for group, path in mask_files(scene)]
    if scene.kind == "room":
        seen += [("rooms in halves", in_halves(built, observations)) for _, observations in seen]
    result = []
    for name, variant in VARIANTS.items():
        superface = variant.superfaces(built)
        adjacency = superface_adjacency(mesh, superface)
        for group, observations in seen:
            altered = [variant.altered(observation) for observation in observations]
            inputs = (altered, superface, adjacency, built.table)
            inferred = infer_instances(*inputs, variant.settings, variant.parameters, variant.merge_rule)
            result.append((name, group, built.scores(labels_of_vertices(inferred))))
    return result


def in_halves(built: AssociationScene, observations: Sequence[FrameObservation]) -> list[FrameObservation]:
    """What frames show if each sees only one side of a plane through the middle of the room, the one it sees more of.

    So no frame shows both halves of what stands across the plane.
    """
    x = built.mesh.vertices[:, 0]
    is_left = x < np.median(x)
    result = []
    for seen in observations:
        left = is_left[seen.visible]
        kept = left == (left.mean() > 0.5)
        result.append(replace(seen, visible=seen.visible[kept], thing=seen.thing[kept], stuff=seen.stuff[kept]))
    return result


def mask_files(scene: BenchScene) -> list[tuple[str, Path]]:
    """A room's own detections, or the fixed ones of a rendered scene, by the group whose mean they enter."""
    if scene.kind == "room":
        return [("rooms", scene.raw / "detections.json")]
    folder = scene.raw / "detections"
    return [(f"rendered, faults {level}", folder / f"faults{level}_seed{s}.json") for level in (1, 2) for s in SEEDS]


def _means(rows: Sequence[tuple[str, str, dict[str, float]]], name: str, group: str) -> tuple[float, float]:
    mine = [scores for variant, place, scores in rows if (variant, place) == (name, group)]
    return float(np.mean([scores["pq"] for scores in mine])), float(np.mean([scores["pq_things"] for scores in mine]))


if __name__ == "__main__":
    typer.run(main)
