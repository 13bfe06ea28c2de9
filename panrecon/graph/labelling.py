"""Labels of superfaces, and their refinement to vertices where the vertices' own evidence differs."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import csr_array

from panrecon.graph.association import Association, detection_share, likeliest_object
from panrecon.graph.evidence import Evidence
from panrecon.graph.parameters import GraphParameters
from panrecon.structures import VOID, CategoryTable

CHUNK: Final = 1 << 16  # vertices whose evidence is held densely at once


@dataclass(frozen=True)
class Labelling:
    """Object and stuff class of every superface, `VOID` = none; an object takes precedence over stuff."""

    superface_of_vertex: Int[np.ndarray, " V"]
    object_of_superface: Int[np.ndarray, " S"]
    stuff_of_superface: Int[np.ndarray, " S"]


def stuff_share(evidence: Evidence, table: CategoryTable) -> Float[np.ndarray, "U C"]:
    """The score-weighted share of a unit's visible vertices in masks of every stuff class, in [0, 1]."""
    covered, visible = _stuff_evidence(evidence, table)
    return covered.toarray() / np.maximum(visible, 1e-9)[:, None]


def superface_labelling(
    evidence: Evidence, superface_of_vertex: Int[np.ndarray, " V"], association: Association, table: CategoryTable
) -> Labelling:
    """The labels of the superfaces as they are."""
    stuff = _likeliest_stuff(stuff_share(evidence, table))
    return Labelling(superface_of_vertex, association.object_of_superface, stuff)


def refine_to_vertices(
    on_vertices: Evidence,
    on_superfaces: Evidence,
    superface_of_vertex: Int[np.ndarray, " V"],
    association: Association,
    table: CategoryTable,
    parameters: GraphParameters,
) -> Labelling:
    """The labels of the vertices, as those of superfaces split where their vertices differ.

    The share of a vertex's views in an object's masks is (hits + p x share of its superface) / (views + p), where
    p = `superface_prior_frames` is the weight of the prior: many consistent masks define the boundary, few or
    inconsistent ones leave it to the superface.
    """
    prior_frames = parameters.superface_prior_frames
    object_share = detection_share(on_superfaces, association.object_of_mask, association.count)
    stuff = stuff_share(on_superfaces, table)
    object_hits, object_views = on_vertices.on_objects(association.object_of_mask, association.count)
    stuff_hits, stuff_views = _stuff_evidence(on_vertices, table)
    object_of_vertex = np.full(len(superface_of_vertex), VOID, dtype=np.int32)
    stuff_of_vertex = np.full(len(superface_of_vertex), VOID, dtype=np.int32)
    for start in range(0, len(superface_of_vertex), CHUNK):
        chunk = slice(start, start + CHUNK)
        superface = superface_of_vertex[chunk]
        if association.count:
            views = object_views[chunk].toarray() + prior_frames
            share = (object_hits[chunk].toarray() + prior_frames * object_share[superface]) / views
            object_of_vertex[chunk] = likeliest_object(share, parameters)
        views = stuff_views[chunk, None] + prior_frames
        share = (stuff_hits[chunk].toarray() + prior_frames * stuff[superface]) / views
        stuff_of_vertex[chunk] = _likeliest_stuff(share)
    return _split_superfaces(superface_of_vertex, object_of_vertex, stuff_of_vertex)


def _split_superfaces(
    superface_of_vertex: Int[np.ndarray, " V"],
    object_of_vertex: Int[np.ndarray, " V"],
    stuff_of_vertex: Int[np.ndarray, " V"],
) -> Labelling:
    """One superface for every (superface, object, stuff) that occurs, in sorted order; objects have no stuff."""
    uncovered_stuff = np.where(object_of_vertex == VOID, stuff_of_vertex, VOID)
    triples = np.stack([superface_of_vertex, object_of_vertex, uncovered_stuff], axis=1)
    unique, piece = np.unique(triples, axis=0, return_inverse=True)
    return Labelling(piece.reshape(-1).astype(np.int32), unique[:, 1].astype(np.int32), unique[:, 2].astype(np.int32))


def _stuff_evidence(evidence: Evidence, table: CategoryTable) -> tuple[csr_array, Float[np.ndarray, " U"]]:
    """Score-weighted vertices (U x C) in masks of every stuff class, and the weighted visible vertices."""
    mask = np.flatnonzero(~evidence.thing_mask)
    weight = (evidence.score_of_mask * evidence.weight_of_mask)[mask]
    mask_in_class = csr_array((weight, (mask, evidence.category_of_mask[mask])), (evidence.mask_count, len(table)))
    return csr_array(evidence.covered.tocsr() @ mask_in_class), evidence.visible.tocsr() @ evidence.weight_of_frame


def _likeliest_stuff(share: Float[np.ndarray, "U C"]) -> Int[np.ndarray, " U"]:
    """The class of the greatest share, `VOID` where all are 0."""
    return np.where(share.max(axis=1) > 0, share.argmax(axis=1), VOID).astype(np.int32)
