"""From the evidence to objects: one of two rules, the labels of every superface, and what speaks for each object."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import assert_never

import numpy as np
from jaxtyping import Int

from panrecon.config import GraphSettings
from panrecon.graph.adjacency import SuperfaceAdjacency
from panrecon.graph.association import Association
from panrecon.graph.consensus import consensus
from panrecon.graph.evidence import Evidence
from panrecon.graph.labelling import cut_superfaces, whole_superfaces
from panrecon.graph.objects import scene_objects
from panrecon.graph.observation import FrameObservation, aggregate_observations
from panrecon.graph.panopticrecon import centroid_votes, sign_cut
from panrecon.graph.voting import PairVotes, membership, vote
from panrecon.structures import VOID, CategoryTable, Instances, Labels, SuperfaceGraph


@dataclass(frozen=True)
class GraphResult:
    """Superfaces and their labels, the votes between them, and by frame the object of every mask (`VOID` = none)."""

    superface_of_vertex: Int[np.ndarray, " V"]
    graph: SuperfaceGraph
    instances: Instances
    objects_of_frame: Mapping[str, Int[np.ndarray, " D"]]


def infer_instances(
    observations: Sequence[FrameObservation],
    superface_of_vertex: Int[np.ndarray, " V"],
    adjacency: SuperfaceAdjacency,
    table: CategoryTable,
    settings: GraphSettings,
) -> GraphResult:
    """The objects by `settings.rule`; each has one class, the one its masks say most by score x area.

    Yu et al. (IROS 2024) give every pixel to its most certain mask; by consensus things and stuff are resolved apart.
    """
    count = int(superface_of_vertex.max(initial=VOID)) + 1
    match settings.rule:
        case "panopticrecon":
            on_vertices = aggregate_observations(
                [seen.jointly for seen in observations], table, len(superface_of_vertex)
            )
            evidence = on_vertices.grouped(superface_of_vertex, count)
            found = sign_cut(evidence, settings.overlap).compact(evidence, settings.min_frames)
            labelling = whole_superfaces(evidence, superface_of_vertex, found, table)
        case "consensus":
            on_vertices = aggregate_observations(observations, table, len(superface_of_vertex))
            evidence = on_vertices.grouped(superface_of_vertex, count)
            found = consensus(evidence, adjacency, settings.overlap, settings.min_frames)
            labelling = cut_superfaces(on_vertices, evidence, superface_of_vertex, found, table)
            evidence = on_vertices.grouped(labelling.superface_of_vertex, len(labelling.object_of_superface))
            found = Association(labelling.object_of_superface, found.object_of_mask, found.count).compact(evidence)
        case _:
            assert_never(settings.rule)
    graph = _graph(evidence, settings)
    objects = scene_objects(evidence, graph, found)
    category_of_object = np.array([one.category for one in objects] + [VOID])
    is_object = found.object_of_superface != VOID
    category = np.where(is_object, category_of_object[found.object_of_superface], labelling.stuff_of_superface)
    labels = Labels(category.astype(np.int32), found.object_of_superface)
    of_frame = {
        frame: found.object_of_mask[evidence.frame_of_mask == number] for number, frame in enumerate(evidence.frames)
    }
    return GraphResult(labelling.superface_of_vertex, graph, Instances(labels, objects), of_frame)


def _graph(evidence: Evidence, settings: GraphSettings) -> SuperfaceGraph:
    """The votes between the superfaces, as the rule counts them."""
    members = membership(evidence, settings.overlap)
    votes: PairVotes
    match settings.rule:
        case "panopticrecon":
            votes = centroid_votes(evidence, members)
        case "consensus":
            votes = vote(evidence, members)
        case _:
            assert_never(settings.rule)
    return SuperfaceGraph(votes.first, votes.second, votes.together, votes.apart + votes.stuff)
