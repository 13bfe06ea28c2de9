"""Labels of every vertex: its own evidence, with its superface's as a prior; superfaces are cut where these differ."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import csr_array

from panrecon.graph.association import Association, detection_share, most_likely
from panrecon.graph.evidence import Evidence
from panrecon.structures import VOID, CategoryTable

PRIOR_FRAMES: Final = 10.0  # that a superface's evidence counts at each of its vertices
CHUNK: Final = 1 << 16  # vertices whose evidence is held densely at once


@dataclass(frozen=True)
class Labelling:
    """Object and stuff class of every superface; `VOID` = none. Where there is an object, it lies over the stuff."""

    superface_of_vertex: Int[np.ndarray, " V"]
    object_of_superface: Int[np.ndarray, " S"]
    stuff_of_superface: Int[np.ndarray, " S"]


def stuff_share(evidence: Evidence, table: CategoryTable) -> Float[np.ndarray, "U C"]:
    """Score-weighted share of what frames see of a unit in masks of every stuff class."""
    covered, seen = _stuff(evidence, table)
    return covered.toarray() / np.maximum(seen, 1e-9)[:, None]


def whole_superfaces(
    evidence: Evidence, superface_of_vertex: Int[np.ndarray, " V"], found: Association, table: CategoryTable
) -> Labelling:
    """Every superface as the masks find it, none cut."""
    return Labelling(superface_of_vertex, found.object_of_superface, _first_largest(stuff_share(evidence, table)))


def cut_superfaces(
    on_vertices: Evidence,
    on_superfaces: Evidence,
    superface_of_vertex: Int[np.ndarray, " V"],
    found: Association,
    table: CategoryTable,
) -> Labelling:
    """Superfaces cut along the labels of their vertices.

    The share of a vertex's views in an object's masks is (hits + p x share of its superface) / (views + p), p frames
    being what the superface counts: good masks draw their own borders, few or bad ones keep to the superface's.
    """
    object_share = detection_share(on_superfaces, found.object_of_mask, found.count)
    stuff = stuff_share(on_superfaces, table)
    object_hits, object_views = on_vertices.on_objects(found.object_of_mask, found.count)
    stuff_hits, stuff_views = _stuff(on_vertices, table)
    object_of_vertex = np.full(len(superface_of_vertex), VOID, dtype=np.int32)
    stuff_of_vertex = np.full(len(superface_of_vertex), VOID, dtype=np.int32)
    for start in range(0, len(superface_of_vertex), CHUNK):
        rows = slice(start, start + CHUNK)
        superface = superface_of_vertex[rows]
        if found.count:
            views = object_views[rows].toarray() + PRIOR_FRAMES
            share = (object_hits[rows].toarray() + PRIOR_FRAMES * object_share[superface]) / views
            object_of_vertex[rows] = most_likely(share)
        views = stuff_views[rows, None] + PRIOR_FRAMES
        stuff_of_vertex[rows] = _first_largest((stuff_hits[rows].toarray() + PRIOR_FRAMES * stuff[superface]) / views)
    return _cut(superface_of_vertex, object_of_vertex, stuff_of_vertex)


def _cut(
    superface_of_vertex: Int[np.ndarray, " V"],
    object_of_vertex: Int[np.ndarray, " V"],
    stuff_of_vertex: Int[np.ndarray, " V"],
) -> Labelling:
    """One superface for every triple that occurs, numbered by it; below an object the stuff does not matter."""
    below = np.where(object_of_vertex == VOID, stuff_of_vertex, VOID)
    triples = np.stack([superface_of_vertex, object_of_vertex, below], axis=1)
    names, piece = np.unique(triples, axis=0, return_inverse=True)
    return Labelling(piece.reshape(-1).astype(np.int32), names[:, 1].astype(np.int32), names[:, 2].astype(np.int32))


def _stuff(evidence: Evidence, table: CategoryTable) -> tuple[csr_array, Float[np.ndarray, " U"]]:
    """Score-weighted vertices (U x C) in masks of every stuff class, and all vertices that frames see."""
    mask = np.flatnonzero(~evidence.thing_mask)
    weight = (evidence.score_of_mask * evidence.weight_of_mask)[mask]
    of_class = csr_array((weight, (mask, evidence.category_of_mask[mask])), (evidence.mask_count, len(table)))
    return csr_array(evidence.covered.tocsr() @ of_class), evidence.visible.tocsr() @ evidence.weight_of_frame


def _first_largest(share: Float[np.ndarray, "U C"]) -> Int[np.ndarray, " U"]:
    """The class of the greatest share, `VOID` where all are 0."""
    return np.where(share.max(axis=1) > 0, share.argmax(axis=1), VOID).astype(np.int32)
