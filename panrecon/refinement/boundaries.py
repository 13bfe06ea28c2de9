"""Vertices near boundaries between segments, and their appearance.

Masks are reliable inside an object and unreliable where it ends. But a vertex near a boundary is similar to the
interior of its own segment: the same colour on a surface of the same orientation, a few voxels away.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.spatial import cKDTree

from panrecon.geometry.mesh import mesh_edges, smoothed_normals
from panrecon.refinement.parameters import EnergyParameters
from panrecon.structures import VOID, TriangleMesh

NEIGHBORS: Final = 15  # most similar interior vertices that a vertex is compared with
MAX_DISTANCE: Final = 4.0  # units of appearance distance: what differs more has next to no similarity
SMOOTHING_ROUNDS: Final = 3  # of normals over neighbours on the mesh; those of a fused mesh are rough
MIN_INTERIOR_SHARE: Final = 0.5  # what is mostly boundary (a cup, a cable) has no appearance of its own


@dataclass(frozen=True)
class BoundaryVertices:
    """n vertices near a boundary, the segments of the N interior vertices most similar to each, and those of L segments
    that have an interior.

    Similarities lie in [0, 1]; `VOID` stands where there are fewer.
    """

    vertex: Int[np.ndarray, " n"]
    similar_segment: Int[np.ndarray, "n N"]
    similarity: Float[np.ndarray, "n N"]
    has_interior: Bool[np.ndarray, " L"]

    def similarity_to(self, segment: Int[np.ndarray, "n K"]) -> Float[np.ndarray, "n K"]:
        """The summed similarity of every vertex to the interior of each of the K segments given for it.

        To a segment without an interior it is that to the most similar one: nothing is said against it.
        """
        similarity = self._summed(segment)
        most_similar = self._summed(self.similar_segment).max(axis=1, keepdims=True)
        has_interior = np.append(self.has_interior, False)[segment]  # the last is read by VOID
        return np.where(has_interior, similarity, most_similar)

    def _summed(self, segment: Int[np.ndarray, "n K"]) -> Float[np.ndarray, "n K"]:
        columns = [((self.similar_segment == column[:, None]) * self.similarity).sum(axis=1) for column in segment.T]
        return np.stack(columns, axis=1)


def appearance_descriptor(
    mesh: TriangleMesh, voxel_size: float, parameters: EnergyParameters
) -> Float[np.ndarray, "V 9"]:
    """Position, colour and normal of every vertex, scaled so that vertices at distance 1 may be of one surface."""
    normals = smoothed_normals(mesh.vertices, mesh.faces, SMOOTHING_ROUNDS)
    return np.concatenate(
        [
            mesh.vertices / (parameters.appearance_distance * voxel_size),
            mesh.colors / (255 * parameters.color_scale),
            normals / parameters.normal_scale,
        ],
        axis=1,
    ).astype(np.float32)


def boundary_vertices(
    mesh: TriangleMesh,
    descriptor: Float[np.ndarray, "V 9"],
    segment: Int[np.ndarray, " V"],
    segment_count: int,
    radius: float,
) -> BoundaryVertices:
    """The vertices within `radius` (m) of a change of segment; no `segment` is void."""
    is_near = within_boundary_distance(mesh, segment, radius)
    vertex = np.flatnonzero(is_near)
    interior = np.flatnonzero(~is_near)
    size = np.bincount(segment, minlength=segment_count)
    interior_size = np.bincount(segment[interior], minlength=segment_count)
    if not len(vertex) or not len(interior):
        nothing = np.zeros((0, NEIGHBORS))
        return BoundaryVertices(vertex[:0], nothing.astype(np.int64), nothing, np.zeros(segment_count, bool))
    distance, similar = cKDTree(descriptor[interior]).query(
        descriptor[vertex], k=NEIGHBORS, distance_upper_bound=MAX_DISTANCE, workers=-1
    )
    return BoundaryVertices(
        vertex,
        np.append(segment[interior], VOID)[similar],
        np.exp(-(distance**2) / 2),
        interior_size > MIN_INTERIOR_SHARE * size,
    )


def within_boundary_distance(
    mesh: TriangleMesh, segment: Int[np.ndarray, " V"], radius: float
) -> Bool[np.ndarray, " V"]:
    """Whether a vertex lies within `radius` (m) of one that has a neighbour on the mesh of another segment."""
    start, end = mesh_edges(mesh.faces).T
    changes = segment[start] != segment[end]
    at_boundary = np.unique(np.concatenate([start[changes], end[changes]]))
    if not len(at_boundary):
        return np.zeros(len(segment), dtype=bool)
    distance, _ = cKDTree(mesh.vertices[at_boundary]).query(mesh.vertices, distance_upper_bound=radius, workers=-1)
    return np.isfinite(distance)
