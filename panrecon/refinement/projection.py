"""Sharp edges where segments meet: boundary vertices are projected onto the surface of their own segment.

A fused surface is rounded by a voxel or two where two surfaces meet at an angle, and the rounding lies on neither. The
label of a vertex tells which surface it belongs to, and the interior of that segment, a few voxels away, where that
surface runs: a moving-least-squares projection (Alexa et al. 2003) with planes fitted within one segment. And where one
surface lies in relief above another, the depth discontinuity between them is a side of the upper one.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial import cKDTree

from panrecon.geometry.mesh import mesh_edges, neighborhood_means, smoothed_normals
from panrecon.refinement.boundaries import within_boundary_distance
from panrecon.refinement.parameters import RefinementParameters
from panrecon.refinement.segments import indices_by_group, unique_segments
from panrecon.structures import VOID, Labels, PanopticMesh, TriangleMesh


@dataclass(frozen=True)
class _OrientedPoints:
    """Positions (m) and unit normals, 0 where there is none."""

    position: Float[np.ndarray, "n 3"]
    normal: Float[np.ndarray, "n 3"]

    def distance_to(self, points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, " n"]:
        """Signed point-to-plane distance of every point, m; 0 where there is no normal."""
        return np.asarray(np.einsum("nc,nc->n", points - self.position, self.normal))

    def at(self, index: Int[np.ndarray, " m"]) -> "_OrientedPoints":
        return _OrientedPoints(self.position[index], self.normal[index])


def project_boundaries(mesh: TriangleMesh, labels: Labels, parameters: RefinementParameters) -> PanopticMesh:
    """The mesh with vertices near a change of segment moved along a normal onto their own segment's surface.

    That is the mean plane of the nearest interior vertices of the segment, if these are coplanar. Vertices of segments
    without an interior, and void ones, stay. Before, where one segment lies above another, the lower one's vertices at
    the depth discontinuity become the upper one's.
    """
    rounds = parameters.smoothing_iterations
    smoothed = _OrientedPoints(
        neighborhood_means(mesh.vertices.astype(np.float64), mesh.faces, rounds),
        smoothed_normals(mesh.vertices, mesh.faces, rounds),
    )
    labels = _labels_at_discontinuities(mesh, labels, smoothed, parameters)
    segment, _ = unique_segments(labels)
    radius = parameters.metres(parameters.projection_distance)
    moving = np.flatnonzero(within_boundary_distance(mesh, segment, radius))
    planes = _fit_planes(mesh, segment, moving, smoothed, parameters)
    vertices = mesh.vertices.astype(np.float64)
    vertices[moving] -= planes.distance_to(vertices[moving])[:, None] * planes.normal
    return PanopticMesh(TriangleMesh(vertices.astype(mesh.vertices.dtype), mesh.faces, mesh.colors), labels)


def _labels_at_discontinuities(
    mesh: TriangleMesh, labels: Labels, smoothed: _OrientedPoints, parameters: RefinementParameters
) -> Labels:
    """The labels, but a vertex adjacent to a parallel surface in relief above its own takes that one's.

    The upper one is as thick as it is high, and masks, which are drawn from above, are reliable on its top alone. Of
    several such surfaces the highest counts; in a bend, where each lies above the plane of the other, none does.
    """
    segment, _ = unique_segments(labels)
    edges = mesh_edges(mesh.faces)
    edges = edges[segment[edges[:, 0]] != segment[edges[:, 1]]]
    upper, lower = np.concatenate([edges, edges[:, ::-1]]).T
    vertex, plane_of_end = np.unique(np.concatenate([upper, lower]), return_inverse=True)
    planes = _fit_planes(mesh, segment, vertex, smoothed, parameters)
    above, below = (planes.at(index) for index in np.split(plane_of_end.reshape(-1), 2))
    relief = np.minimum(below.distance_to(above.position), -above.distance_to(below.position))
    is_parallel = np.einsum("nc,nc->n", above.normal, below.normal) > parameters.parallel_cosine
    discontinuities = np.flatnonzero(is_parallel & (relief > parameters.metres(parameters.min_relief)))
    rising = discontinuities[np.argsort(relief[discontinuities], kind="stable")]  # the highest is assigned last
    category = labels.category.copy()
    instance = labels.instance.copy()
    category[lower[rising]] = labels.category[upper[rising]]
    instance[lower[rising]] = labels.instance[upper[rising]]
    return Labels(category, instance)


def _fit_planes(
    mesh: TriangleMesh,
    segment: Int[np.ndarray, " V"],
    vertex: Int[np.ndarray, " n"],
    smoothed: _OrientedPoints,
    parameters: RefinementParameters,
) -> _OrientedPoints:
    """The mean plane of the interior vertices of its own segment next to each vertex; no normal where there is none."""
    near_boundary = within_boundary_distance(mesh, segment, parameters.metres(parameters.interior_distance))
    interior = np.flatnonzero(~near_boundary)
    planes = _OrientedPoints(np.zeros((len(vertex), 3)), np.zeros((len(vertex), 3)))
    count = int(segment.max(initial=VOID)) + 1
    queries_of_segment = indices_by_group(segment[vertex], count)
    interior_of_segment = indices_by_group(segment[interior], count)
    for queries, inside in zip(queries_of_segment, interior_of_segment, strict=True):
        if len(queries) and len(inside) >= parameters.min_interior_vertices:
            nearest = cKDTree(mesh.vertices[interior[inside]]).query(
                mesh.vertices[vertex[queries]],
                k=min(parameters.projection_neighbors, len(inside)),
                distance_upper_bound=parameters.metres(parameters.projection_radius),
                workers=-1,
            )
            distance, near = (np.asarray(values) for values in nearest)
            is_near = np.isfinite(distance)
            weight = (is_near / is_near.sum(axis=1, keepdims=True).clip(1))[..., None]
            near = interior[inside][np.where(is_near, near, 0)]
            planes.position[queries] = (weight * smoothed.position[near]).sum(axis=1)
            normal = (weight * smoothed.normal[near]).sum(axis=1)
            length = np.linalg.norm(normal, axis=1, keepdims=True)
            planes.normal[queries] = np.where(length > parameters.min_planarity, normal / length.clip(1e-12), 0.0)
    return planes
