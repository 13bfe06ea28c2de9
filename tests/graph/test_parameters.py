"""Laws of the parameters: each is obeyed where it is said to decide."""

from dataclasses import replace

import numpy as np
import pytest

from panrecon.config import GraphSettings
from panrecon.graph.consensus import MergeRule, agglomerate
from panrecon.graph.evidence import Evidence
from panrecon.graph.instances import infer_instances
from panrecon.graph.parameters import GraphParameters
from panrecon.graph.voting import Membership, PairVotes, vote
from panrecon.structures import CategoryTable

from .conftest import NO_ADJACENCY, Shot, Tiles, evidence_of, observations


def confidences(tiles: Tiles, walk: list[Shot], table: CategoryTable, parameters: GraphParameters) -> list[float]:
    """Of the objects of the consensus, of which the world has three."""
    seen = observations(walk, table)
    result = infer_instances(seen, tiles.superface_of_vertex, NO_ADJACENCY, table, GraphSettings(), parameters)
    return [scene_object.confidence for scene_object in result.instances.objects]


@pytest.mark.parametrize(
    "parameters",
    [
        GraphParameters(min_visible_vertices=10_000, min_unassigned_frames=np.inf),
        GraphParameters(min_thing_frames=100.0, min_unassigned_frames=np.inf),
        GraphParameters(min_thing_share=1.0, min_unassigned_frames=np.inf),
        GraphParameters(min_seed_iou=1.0, min_unassigned_frames=np.inf),
        GraphParameters(min_mask_iou=1.0),
        GraphParameters(min_object_share=1.0),
        GraphParameters(min_detection_rate=2.0),
        GraphParameters(min_existence=1.0),
    ],
)
def test_a_threshold_that_nothing_passes_leaves_no_object(
    tiles: Tiles, walk: list[Shot], table: CategoryTable, parameters: GraphParameters
) -> None:
    assert len(confidences(tiles, walk, table, GraphParameters())) == 3
    assert not confidences(tiles, walk, table, parameters)


def test_masks_that_seed_no_object_form_one_by_themselves(tiles: Tiles, walk: list[Shot], table: CategoryTable) -> None:
    """Two of the three objects are detected in four frames or more."""
    assert confidences(tiles, walk, table, GraphParameters(min_thing_frames=100.0, min_unassigned_frames=1.0))


def test_affinities_above_one_merge_no_superfaces(tiles: Tiles, walk: list[Shot], table: CategoryTable) -> None:
    cluster, count = agglomerate(
        evidence_of(walk, table, tiles.superface_of_vertex), 0.5, GraphParameters(merge_affinity=1.0)
    )
    assert count == (cluster >= 0).sum() == (tiles.number > 0).sum()


@pytest.mark.parametrize("part", ["vote", "affinity"])
def test_superfaces_stay_apart_by_a_rule_without_affinity(
    tiles: Tiles, walk: list[Shot], table: CategoryTable, part: str
) -> None:
    def opposed(evidence: Evidence, members: Membership) -> PairVotes:
        votes = vote(evidence, members)
        return replace(votes, together=np.zeros_like(votes.together))

    rules = {
        "vote": MergeRule(vote=opposed),
        "affinity": MergeRule(affinity=lambda votes, parameters: np.zeros(len(votes.together))),
    }
    evidence = evidence_of(walk, table, tiles.superface_of_vertex)
    _, count = agglomerate(evidence, 0.5, GraphParameters(), rules[part])
    assert count == (tiles.number > 0).sum()


def test_confidence_follows_its_model(tiles: Tiles, walk: list[Shot], table: CategoryTable) -> None:
    model = GraphParameters().confidence
    certain = GraphParameters(confidence=replace(model, bias=50.0))
    doubtful = GraphParameters(confidence=replace(model, bias=-50.0))
    assert min(confidences(tiles, walk, table, certain)) > 0.99
    assert max(confidences(tiles, walk, table, doubtful)) < 0.01
