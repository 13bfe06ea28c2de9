"""How far the masks of all frames give every vertex to every object and to every class of stuff.

A vertex alone is seen by few frames, so its superface counts as some more (a Beta prior, whose mean is the superface's
share): many consistent masks decide where an object ends, few or inconsistent ones leave that to the superface.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import csr_array, vstack

from panrecon.graph.association import Association
from panrecon.graph.evidence import Evidence
from panrecon.graph.parameters import GraphParameters
from panrecon.graph.rivals import share_among_rivals
from panrecon.structures import CategoryTable

CHUNK: Final = 1 << 16  # vertices whose shares are held densely at once
NEGLIGIBLE: Final = 0.01  # share that is left out of what is kept


@dataclass(frozen=True)
class VertexVotes:
    """Shares of views in [0, 1], of V vertices for O objects and C classes (things are 0); negligible ones left out.

    An object's share is of the frames that detect it, a class's of all frames, weighted by score.
    """

    of_objects: csr_array  # V x O
    of_stuff: csr_array  # V x C

    def at(self, vertex: Int[np.ndarray, " n"]) -> "VertexVotes":
        """Those of the vertices `vertex`."""
        return VertexVotes(self.of_objects[vertex], self.of_stuff[vertex])

    def of_retained(self, objects: Int[np.ndarray, " o"]) -> "VertexVotes":
        """With the columns of these objects alone, in this order."""
        return VertexVotes(csr_array(self.of_objects[:, objects]), self.of_stuff)


@dataclass(frozen=True)
class ShareChunk:
    """Dense shares of the vertices of a slice."""

    vertices: slice
    of_objects: Float[np.ndarray, "n O"]
    of_stuff: Float[np.ndarray, "n C"]


def vertex_shares(
    on_vertices: Evidence,
    on_superfaces: Evidence,
    superface_of_vertex: Int[np.ndarray, " V"],
    association: Association,
    table: CategoryTable,
    parameters: GraphParameters,
) -> Iterator[ShareChunk]:
    """The shares of all vertices, some at a time: (hits + p x share of the superface) / (views + p).

    p is `superface_prior_frames`, and the share of the superface is that among rivals. `on_superfaces` is the same
    evidence on superfaces, `association` the objects of its masks.
    """
    prior_frames = parameters.superface_prior_frames
    object_prior = share_among_rivals(on_superfaces, association.object_of_mask, association.count, parameters)
    stuff_hits, stuff_views = stuff_evidence(on_superfaces, table)
    stuff_prior = stuff_hits.toarray() / np.maximum(stuff_views, 1e-9)[:, None]
    object_hits, object_views = on_vertices.on_objects(association.object_of_mask, association.count)
    stuff_hits, stuff_views = stuff_evidence(on_vertices, table)
    for start in range(0, len(superface_of_vertex), CHUNK):
        chunk = slice(start, min(start + CHUNK, len(superface_of_vertex)))
        superface = superface_of_vertex[chunk]
        views = object_views[chunk].toarray() + prior_frames
        of_objects = (object_hits[chunk].toarray() + prior_frames * object_prior[superface]) / views
        views = stuff_views[chunk, None] + prior_frames
        of_stuff = (stuff_hits[chunk].toarray() + prior_frames * stuff_prior[superface]) / views
        yield ShareChunk(chunk, of_objects, of_stuff)


def stuff_evidence(evidence: Evidence, table: CategoryTable) -> tuple[csr_array, Float[np.ndarray, " U"]]:
    """Score-weighted vertices (U x C) in masks of every stuff class, and the weighted visible vertices."""
    mask = np.flatnonzero(~evidence.thing_mask)
    weight = (evidence.score_of_mask * evidence.weight_of_mask)[mask]
    mask_in_class = csr_array((weight, (mask, evidence.category_of_mask[mask])), (evidence.mask_count, len(table)))
    return csr_array(evidence.covered.tocsr() @ mask_in_class), evidence.visible.tocsr() @ evidence.weight_of_frame


def joined_votes(chunks: Sequence[tuple[csr_array, csr_array]]) -> VertexVotes:
    """The votes of all vertices from those of successive ones."""
    of_objects, of_stuff = (csr_array(vstack(parts, format="csr")) for parts in zip(*chunks, strict=True))
    return VertexVotes(of_objects, of_stuff)


def without_negligible(share: Float[np.ndarray, "n k"]) -> csr_array:
    """The shares that are kept, in half precision's values."""
    return csr_array(np.where(share > NEGLIGIBLE, share, 0).astype(np.float16).astype(np.float32))
