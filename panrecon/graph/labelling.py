"""Labels of superfaces, and their refinement to vertices where the vertices' own evidence differs."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from panrecon.graph.association import Association, likeliest_object
from panrecon.graph.evidence import Evidence
from panrecon.graph.parameters import GraphParameters
from panrecon.graph.votes import VertexVotes, joined_votes, stuff_evidence, vertex_shares
from panrecon.structures import VOID, CategoryTable


@dataclass(frozen=True)
class Labelling:
    """Object and stuff class of every superface, `VOID` = none; an object takes precedence over stuff.

    `votes` are those of the vertices, whatever the labels of their superfaces.
    """

    superface_of_vertex: Int[np.ndarray, " V"]
    object_of_superface: Int[np.ndarray, " S"]
    stuff_of_superface: Int[np.ndarray, " S"]
    votes: VertexVotes


def superface_labelling(
    on_vertices: Evidence,
    on_superfaces: Evidence,
    superface_of_vertex: Int[np.ndarray, " V"],
    association: Association,
    table: CategoryTable,
    parameters: GraphParameters,
) -> Labelling:
    """The labels of the superfaces as they are."""
    hits, views = stuff_evidence(on_superfaces, table)
    stuff = _likeliest_stuff(hits.toarray() / np.maximum(views, 1e-9)[:, None])
    shares = vertex_shares(on_vertices, on_superfaces, superface_of_vertex, association, table, parameters)
    votes = joined_votes([chunk.votes for chunk in shares])
    return Labelling(superface_of_vertex, association.object_of_superface, stuff, votes)


def refine_to_vertices(
    on_vertices: Evidence,
    on_superfaces: Evidence,
    superface_of_vertex: Int[np.ndarray, " V"],
    association: Association,
    table: CategoryTable,
    parameters: GraphParameters,
) -> Labelling:
    """The labels of the vertices by their votes, as those of superfaces split where their vertices differ."""
    object_of_vertex = np.full(len(superface_of_vertex), VOID, dtype=np.int32)
    stuff_of_vertex = np.full(len(superface_of_vertex), VOID, dtype=np.int32)
    votes = []
    for chunk in vertex_shares(on_vertices, on_superfaces, superface_of_vertex, association, table, parameters):
        object_of_vertex[chunk.vertices] = likeliest_object(chunk.of_objects, parameters)
        stuff_of_vertex[chunk.vertices] = _likeliest_stuff(chunk.of_stuff)
        votes.append(chunk.votes)
    split = _split_superfaces(superface_of_vertex, object_of_vertex, stuff_of_vertex)
    return Labelling(*split, joined_votes(votes))


def _split_superfaces(
    superface_of_vertex: Int[np.ndarray, " V"],
    object_of_vertex: Int[np.ndarray, " V"],
    stuff_of_vertex: Int[np.ndarray, " V"],
) -> tuple[Int[np.ndarray, " V"], Int[np.ndarray, " S"], Int[np.ndarray, " S"]]:
    """One superface for every (superface, object, stuff) that occurs, in sorted order; objects have no stuff.

    The superface of every vertex, then the object and the stuff of every superface.
    """
    uncovered_stuff = np.where(object_of_vertex == VOID, stuff_of_vertex, VOID)
    triples = np.stack([superface_of_vertex, object_of_vertex, uncovered_stuff], axis=1)
    unique, piece = np.unique(triples, axis=0, return_inverse=True)
    return piece.reshape(-1).astype(np.int32), unique[:, 1].astype(np.int32), unique[:, 2].astype(np.int32)


def _likeliest_stuff(share: Float[np.ndarray, "U C"]) -> Int[np.ndarray, " U"]:
    """The class of the greatest share, `VOID` where all are 0."""
    return np.where(share.max(axis=1) > 0, share.argmax(axis=1), VOID).astype(np.int32)
