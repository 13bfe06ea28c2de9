"""How far the masks of all frames give every vertex to every object, to every class of stuff, and to nothing.

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
from panrecon.graph.evidence import Evidence, sums_by
from panrecon.graph.parameters import GraphParameters
from panrecon.graph.rivals import share_among_rivals
from panrecon.structures import CategoryTable

CHUNK: Final = 1 << 16  # vertices whose shares are held densely at once
NEGLIGIBLE: Final = 0.01  # share that is left out of what is kept


@dataclass(frozen=True)
class VertexVotes:
    """Shares of views in [0, 1], of V vertices for O objects and C classes (things are 0); negligible ones left out.

    An object's share is of the frames that detect it, a class's of all frames, weighted by score. `unmasked` is the
    share of all frames in which the vertex lies in no mask; 0 where no frame sees it.
    """

    of_objects: csr_array  # V x O
    of_stuff: csr_array  # V x C
    unmasked: Float[np.ndarray, " V"]

    def at(self, vertex: Int[np.ndarray, " n"]) -> "VertexVotes":
        """Those of the vertices `vertex`."""
        return VertexVotes(self.of_objects[vertex], self.of_stuff[vertex], self.unmasked[vertex])

    def of_retained(self, objects: Int[np.ndarray, " o"]) -> "VertexVotes":
        """With the columns of these objects alone, in this order."""
        return VertexVotes(csr_array(self.of_objects[:, objects]), self.of_stuff, self.unmasked)


@dataclass(frozen=True)
class ShareChunk:
    """Dense shares of the vertices of a slice."""

    vertices: slice
    of_objects: Float[np.ndarray, "n O"]
    of_stuff: Float[np.ndarray, "n C"]
    unmasked: Float[np.ndarray, " n"]

    @property
    def votes(self) -> VertexVotes:
        """The shares as they are kept."""
        return VertexVotes(_without_negligible(self.of_objects), _without_negligible(self.of_stuff), self.unmasked)


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
    unmasked, vertex_views = unmasked_evidence(on_vertices)
    superface_count = len(stuff_views)
    unmasked_prior = sums_by(superface_of_vertex, unmasked, superface_count)
    unmasked_prior /= np.maximum(sums_by(superface_of_vertex, vertex_views, superface_count), 1e-9)
    object_hits, object_views = on_vertices.on_objects(association.object_of_mask, association.count)
    stuff_hits, stuff_views = stuff_evidence(on_vertices, table)
    for start in range(0, len(superface_of_vertex), CHUNK):
        chunk = slice(start, min(start + CHUNK, len(superface_of_vertex)))
        superface = superface_of_vertex[chunk]
        views = object_views[chunk].toarray() + prior_frames
        of_objects = (object_hits[chunk].toarray() + prior_frames * object_prior[superface]) / views
        views = stuff_views[chunk, None] + prior_frames
        of_stuff = (stuff_hits[chunk].toarray() + prior_frames * stuff_prior[superface]) / views
        in_no_mask = (unmasked[chunk] + prior_frames * unmasked_prior[superface]) / views[:, 0]
        yield ShareChunk(chunk, of_objects, of_stuff, in_no_mask)


def stuff_evidence(evidence: Evidence, table: CategoryTable) -> tuple[csr_array, Float[np.ndarray, " U"]]:
    """Score-weighted vertices (U x C) in masks of every stuff class, and the weighted visible vertices."""
    mask = np.flatnonzero(~evidence.thing_mask)
    weight = (evidence.score_of_mask * evidence.weight_of_mask)[mask]
    mask_in_class = csr_array((weight, (mask, evidence.category_of_mask[mask])), (evidence.mask_count, len(table)))
    return csr_array(evidence.covered.tocsr() @ mask_in_class), evidence.visible.tocsr() @ evidence.weight_of_frame


def unmasked_evidence(evidence: Evidence) -> tuple[Float[np.ndarray, " V"], Float[np.ndarray, " V"]]:
    """The weighted frames that see every vertex and have it in no mask, and those that see it; units are vertices."""
    of_frame = (np.ones(evidence.mask_count), (np.arange(evidence.mask_count), evidence.frame_of_mask))
    masks_at = evidence.covered.tocsr() @ csr_array(of_frame, (evidence.mask_count, len(evidence.frames)))
    views = evidence.visible.tocsr() @ evidence.weight_of_frame
    return views - (masks_at > 0) @ evidence.weight_of_frame, views


def joined_votes(parts: Sequence[VertexVotes]) -> VertexVotes:
    """The votes of all vertices from those of successive ones."""
    return VertexVotes(
        csr_array(vstack([part.of_objects for part in parts], format="csr")),
        csr_array(vstack([part.of_stuff for part in parts], format="csr")),
        np.concatenate([part.unmasked for part in parts]),
    )


def _without_negligible(share: Float[np.ndarray, "n k"]) -> csr_array:
    """The shares that are kept, in half precision's values."""
    return csr_array(np.where(share > NEGLIGIBLE, share, 0).astype(np.float16).astype(np.float32))
