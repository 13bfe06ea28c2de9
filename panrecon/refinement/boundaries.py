"""Vertices near boundaries between segments, and their appearance.

Masks are reliable inside an object and unreliable where it ends. But a vertex near a boundary is similar to the
interior of its own segment: the same colour on a surface of the same orientation, a few voxels away.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.spatial import cKDTree

from panrecon.geometry.mesh import mesh_edges, vertex_normals
from panrecon.refinement.parameters import RefinementParameters
from panrecon.structures import VOID, TriangleMesh


@dataclass(frozen=True)
class BoundaryVertices:
    """n vertices near a boundary, the segments of the K interior vertices most similar to each, and of the B nearest.

    Similarities lie in [0, 1]; `VOID` stands where there are fewer.
    """

    vertex: Int[np.ndarray, " n"]
    similar_segment: Int[np.ndarray, "n K"]
    similarity: Float[np.ndarray, "n K"]
    adjacent_segment: Int[np.ndarray, "n B"]

    def similarity_to(self, segment: Int[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        """The summed similarity of every vertex to the interior of the segment given for it."""
        return np.asarray(((self.similar_segment == segment[:, None]) * self.similarity).sum(axis=1))

    def is_adjacent(self, segment: Int[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
        """Whether the segment given for every vertex is that of a vertex close to it; false for `VOID`."""
        return np.asarray((segment != VOID) & (self.adjacent_segment == segment[:, None]).any(axis=1))


def boundary_vertices(
    mesh: TriangleMesh, segment: Int[np.ndarray, " V"], parameters: RefinementParameters
) -> BoundaryVertices:
    """The vertices near a change of segment, without those of segments that consist mostly of boundary.

    What has no interior (a cup, a cable) has no appearance of its own by which to tell where it ends.
    """
    radius = parameters.metres(parameters.boundary_distance)
    is_near = within_boundary_distance(mesh, segment, radius)
    is_interior = ~is_near & (segment != VOID)
    count = int(segment.max(initial=VOID)) + 1
    size = np.bincount(segment[segment != VOID], minlength=count)
    interior_size = np.bincount(segment[is_interior], minlength=count)
    has_interior = np.append(interior_size > parameters.min_interior_share * size, False)  # the last is read by VOID
    vertex = np.flatnonzero(is_near & has_interior[segment])
    descriptor = appearance_descriptor(mesh, parameters)
    distance, similar = cKDTree(descriptor[is_interior]).query(
        descriptor[vertex],
        k=parameters.appearance_neighbors,
        distance_upper_bound=parameters.max_appearance_distance,
        workers=-1,
    )
    _, adjacent = cKDTree(mesh.vertices).query(
        mesh.vertices[vertex], k=parameters.adjacent_vertices, distance_upper_bound=radius, workers=-1
    )
    return BoundaryVertices(
        vertex,
        np.append(segment[is_interior], VOID)[similar],
        np.exp(-(distance**2) / 2),
        np.append(segment, VOID)[adjacent],
    )


def appearance_descriptor(mesh: TriangleMesh, parameters: RefinementParameters) -> Float[np.ndarray, "V 9"]:
    """Position, colour and normal of every vertex, scaled so that vertices at distance 1 may be of one surface."""
    return np.concatenate(
        [
            mesh.vertices / parameters.metres(parameters.appearance_distance),
            mesh.colors / (255 * parameters.appearance_color),
            vertex_normals(mesh.vertices, mesh.faces) / parameters.appearance_normal,
        ],
        axis=1,
    ).astype(np.float32)


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
