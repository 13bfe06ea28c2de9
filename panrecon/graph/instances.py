"""From the evidence to objects by one of two rules, with the labels of every superface and each object's evidence."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import assert_never

import numpy as np
from jaxtyping import Int

from panrecon.config import GraphSettings
from panrecon.graph.adjacency import SuperfaceAdjacency
from panrecon.graph.association import Association
from panrecon.graph.consensus import MergeRule, consensus
from panrecon.graph.evidence import Evidence
from panrecon.graph.labelling import refine_to_vertices, superface_labelling
from panrecon.graph.objects import scene_objects, without_improbable
from panrecon.graph.observation import FrameObservation, aggregate_observations
from panrecon.graph.panopticrecon import centroid_votes, sign_cut
from panrecon.graph.parameters import GraphParameters
from panrecon.graph.votes import VertexVotes
from panrecon.graph.voting import PairVotes, membership, vote
from panrecon.structures import VOID, CategoryTable, Instances, Labels, SuperfaceGraph


@dataclass(frozen=True)
class GraphResult:
    """The superface of every vertex, the votes between superfaces, the objects with their labels, and vertices' votes.

    `objects_of_frame` is, by frame name, the object of every detection (`VOID` = none).
    """

    superface_of_vertex: Int[np.ndarray, " V"]
    graph: SuperfaceGraph
    instances: Instances
    votes: VertexVotes
    objects_of_frame: Mapping[str, Int[np.ndarray, " D"]]


def infer_instances(
    observations: Sequence[FrameObservation],
    superface_of_vertex: Int[np.ndarray, " V"],
    adjacency: SuperfaceAdjacency,
    table: CategoryTable,
    settings: GraphSettings,
    parameters: GraphParameters = GraphParameters(),
    merge_rule: MergeRule = MergeRule(),
) -> GraphResult:
    """The objects by `settings.rule`; each has the class of the greatest sum of score x area of its masks.

    The superfaces of the result may be finer than those given: `consensus` splits them where the labels of their
    vertices differ. Yu et al. (IROS 2024) give every pixel to its most certain mask; `consensus` resolves overlaps of
    things and of stuff separately.
    """
    count = int(superface_of_vertex.max(initial=VOID)) + 1
    match settings.rule:
        case "panopticrecon":
            exclusive = [observation.exclusive for observation in observations]
            on_vertices = aggregate_observations(exclusive, table, len(superface_of_vertex), parameters)
            evidence = on_vertices.grouped(superface_of_vertex, count)
            association = sign_cut(evidence, settings.overlap, parameters).compact(evidence, settings.min_frames)
            labelling = superface_labelling(on_vertices, evidence, superface_of_vertex, association, table, parameters)
            votes = labelling.votes
        case "consensus":
            on_vertices = aggregate_observations(observations, table, len(superface_of_vertex), parameters)
            evidence = on_vertices.grouped(superface_of_vertex, count)
            association = consensus(evidence, adjacency, settings.overlap, settings.min_frames, parameters, merge_rule)
            association = without_improbable(evidence, association, parameters)
            labelling = refine_to_vertices(on_vertices, evidence, superface_of_vertex, association, table, parameters)
            evidence = on_vertices.grouped(labelling.superface_of_vertex, len(labelling.object_of_superface))
            refined = Association(labelling.object_of_superface, association.object_of_mask, association.count)
            retained = refined.retained(evidence)
            association = refined.of_retained(retained)
            votes = labelling.votes.of_retained(retained)
        case _:
            assert_never(settings.rule)
    graph = _superface_graph(evidence, settings, parameters)
    objects = scene_objects(evidence, graph, association, parameters)
    category_of_object = np.array([scene_object.category for scene_object in objects] + [VOID])
    is_object = association.object_of_superface != VOID
    object_category = category_of_object[association.object_of_superface]
    category = np.where(is_object, object_category, labelling.stuff_of_superface)
    labels = Labels(category.astype(np.int32), association.object_of_superface)
    objects_of_frame = {
        frame: association.object_of_mask[evidence.frame_of_mask == frame_index]
        for frame_index, frame in enumerate(evidence.frames)
    }
    return GraphResult(labelling.superface_of_vertex, graph, Instances(labels, objects), votes, objects_of_frame)


def _superface_graph(evidence: Evidence, settings: GraphSettings, parameters: GraphParameters) -> SuperfaceGraph:
    """The votes between the superfaces, as the rule counts them."""
    members = membership(evidence, settings.overlap, parameters)
    votes: PairVotes
    match settings.rule:
        case "panopticrecon":
            votes = centroid_votes(evidence, members)
        case "consensus":
            votes = vote(evidence, members)
        case _:
            assert_never(settings.rule)
    return SuperfaceGraph(votes.first, votes.second, votes.together, votes.apart + votes.stuff)
