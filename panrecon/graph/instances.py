"""Objects from votes: connected components, the masks that belong to each, and what class it is."""

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import connected_components

from panrecon.config import GraphSettings
from panrecon.graph.evidence import Evidence
from panrecon.graph.voting import Membership
from panrecon.structures import VOID, CategoryTable, Instances, Labels, SceneObject, SuperfaceGraph


def infer_instances(
    evidence: Evidence, members: Membership, graph: SuperfaceGraph, table: CategoryTable, settings: GraphSettings
) -> tuple[Instances, Int[np.ndarray, " M"]]:
    """Labels of every superface with the objects behind them, and the object of every mask (`VOID` = none).

    Edges without enough votes are cut, the connected components are the objects (Yu et al., IROS 2024), kept where
    masks of at least `min_frames` frames belong to them. Each mask belongs to the object that covers most of it; pieces
    that no edge reached join the object whose masks hold them.
    """
    component = components(members, graph, settings)
    component_of_mask = associate(evidence, component)
    kept = [
        number
        for number in range(component.max(initial=VOID) + 1)
        if len(np.unique(evidence.frame_of_mask[component_of_mask == number])) >= settings.min_frames
    ]
    object_of_component = np.full(component.max(initial=VOID) + 2, VOID, dtype=np.int32)
    object_of_component[kept] = np.arange(len(kept), dtype=np.int32)
    object_of_mask = object_of_component[component_of_mask]
    object_of_superface = adopt(evidence, object_of_component[component], object_of_mask, len(kept), settings.overlap)
    support = _category_support(evidence, object_of_mask, len(kept), len(table))
    objects = tuple(
        _scene_object(evidence, graph, object_of_superface, object_of_mask, number, support[number])
        for number in range(len(kept))
    )
    category = stuff_of_superface(evidence, table)
    is_object = object_of_superface != VOID
    category[is_object] = support.argmax(axis=1)[object_of_superface[is_object]]
    return Instances(Labels(category, object_of_superface), objects), object_of_mask


def components(members: Membership, graph: SuperfaceGraph, settings: GraphSettings) -> Int[np.ndarray, " S"]:
    """The connected component of every node over edges with enough votes, `VOID` for no node.

    The paper cuts edges with votes <= 0. One mask more is no consensus, though, and a single leak then joins two
    objects for good: by default votes against count 1.5 and an edge needs more than 1 vote.
    """
    held = graph.votes_for - settings.against_weight * graph.votes_against > settings.min_votes
    size = len(members.is_node)
    links = coo_array((np.ones(held.sum(), bool), (graph.first[held], graph.second[held])), shape=(size, size))
    found = np.where(members.is_node, connected_components(links, directed=False)[1], VOID)
    names, renumbered = np.unique(found[members.is_node], return_inverse=True)
    component = np.full(size, VOID, dtype=np.int32)
    component[members.is_node] = renumbered
    assert len(names) == component.max(initial=VOID) + 1
    return component


def associate(evidence: Evidence, component: Int[np.ndarray, " S"]) -> Int[np.ndarray, " M"]:
    """The component that covers most of every thing mask; `VOID` for stuff, and where most is of no component."""
    count = component.max(initial=VOID) + 2  # the last row: no component
    rows = np.where(component == VOID, count - 1, component)
    grouping = csr_array((np.ones(len(rows)), (rows, np.arange(len(rows)))), (count, len(rows)))
    covered = np.asarray((grouping @ evidence.covered).todense())
    best = covered.argmax(axis=0)
    belongs = (best < count - 1) & evidence.thing_mask & (covered.max(axis=0) > 0)
    return np.where(belongs, best, VOID).astype(np.int32)


def adopt(
    evidence: Evidence,
    object_of_superface: Int[np.ndarray, " S"],
    object_of_mask: Int[np.ndarray, " M"],
    object_count: int,
    overlap: float,
) -> Int[np.ndarray, " S"]:
    """The object of every superface, those of none joined to the one whose masks cover more than `overlap` of them.

    The share is taken over the frames in which the object was detected at all: what was missed is no evidence against.
    """
    if not object_count:
        return object_of_superface
    belongs = np.flatnonzero(object_of_mask != VOID)
    shape = (len(object_of_mask), object_count)
    is_of = csr_array((np.ones(len(belongs)), (belongs, object_of_mask[belongs])), shape)
    frames = (evidence.frame_of_mask[belongs], object_of_mask[belongs])
    detected = csr_array((np.ones(len(belongs)), frames), (len(evidence.frames), object_count)).minimum(1)
    covered = np.asarray((evidence.covered @ is_of).todense())
    share = covered / np.maximum(np.asarray((evidence.visible @ detected).todense()), 1)
    orphan = (object_of_superface == VOID) & (share.max(axis=1) > overlap)
    return np.where(orphan, share.argmax(axis=1), object_of_superface).astype(np.int32)


def stuff_of_superface(evidence: Evidence, table: CategoryTable) -> Int[np.ndarray, " S"]:
    """The stuff class with most score-weighted pixels on every superface, `VOID` where no stuff mask lies."""
    pixels = evidence.covered @ csr_array(
        (
            np.where(evidence.thing_mask, 0.0, evidence.score_of_mask),
            (np.arange(len(evidence.category_of_mask)), evidence.category_of_mask),
        ),
        (len(evidence.category_of_mask), len(table)),
    )
    dense = np.asarray(pixels.todense())
    return np.where(dense.max(axis=1) > 0, dense.argmax(axis=1), VOID).astype(np.int32)


def _category_support(
    evidence: Evidence, object_of_mask: Int[np.ndarray, " M"], object_count: int, category_count: int
) -> Float[np.ndarray, "O C"]:
    """Score x area of the masks of every class that belong to every object."""
    area = np.asarray(evidence.covered.sum(axis=0)).ravel()
    support = np.zeros((object_count, category_count))
    belongs = object_of_mask != VOID
    index = object_of_mask[belongs], evidence.category_of_mask[belongs]
    np.add.at(support, index, (evidence.score_of_mask * area)[belongs])
    return support


def _scene_object(
    evidence: Evidence,
    graph: SuperfaceGraph,
    object_of_superface: Int[np.ndarray, " S"],
    object_of_mask: Int[np.ndarray, " M"],
    number: int,
    support: Float[np.ndarray, " C"],
) -> SceneObject:
    inner = (object_of_superface[graph.first] == number) & (object_of_superface[graph.second] == number)
    votes_for, votes_against = float(graph.votes_for[inner].sum()), float(graph.votes_against[inner].sum())
    mine = object_of_mask == number
    seen_in = np.unique(evidence.visible[object_of_superface == number].tocoo().col)
    frames = np.unique(evidence.frame_of_mask[mine])
    agreement = support.max() / support.sum()
    detection_rate = len(frames) / max(len(np.union1d(frames, seen_in)), 1)
    return SceneObject(
        category=int(support.argmax()),
        confidence=float(agreement * np.sqrt(detection_rate)),
        votes_for=votes_for,
        votes_against=votes_against,
        frames=tuple(evidence.frames[frame] for frame in frames),
    )
