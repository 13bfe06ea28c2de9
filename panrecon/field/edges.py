"""Edges made sharp again where segments meet: a vertex there returns to the surface of its own segment.

A fused surface is round by a voxel or two where two surfaces meet at an angle, and what lies in the rounding is on
neither. The label of a vertex says of which it is, and the inside of that segment, a hand's breadth away, where that
runs.
"""

from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.sparse import csr_array
from scipy.spatial import cKDTree

from panrecon.field.borders import near_border
from panrecon.geometry import mesh_edges, vertex_normals
from panrecon.structures import VOID, Labels, TriangleMesh

ROUNDED: Final = 0.4  # of the field's reach from a border, that vertices are moved within
INSIDE: Final = 0.3  # of it from a border, that those they are moved after keep
FARTHEST: Final = 1.5  # of it, from a vertex to the inside of its segment
ALIKE: Final = 0.95  # length of their mean normal, from which inner vertices are taken to be of one plane
NEIGHBOURS: Final = 30  # inner vertices
ROUNDS: Final = 2  # in which inner vertices take the mean of their neighbours' places and normals
FEWEST: Final = 10  # inner vertices that a segment needs


def sharpened(mesh: TriangleMesh, labels: Labels, reach: float) -> TriangleMesh:
    """The mesh, its vertices near a change of segment moved along a normal onto their own segment's surface.

    That is the mean plane of the nearest inner vertices of the segment, if these agree on one. Vertices of segments
    that have no inside, and void ones, stay. `reach` is `field.reach` (m).
    """
    segment = _segments(labels)
    moving = near_border(mesh, segment, ROUNDED * reach)
    inner = ~near_border(mesh, segment, INSIDE * reach)
    places, normals = _smoothed(mesh)
    vertices = mesh.vertices.astype(np.float64)
    for vertex, inside in zip(*(_members(segment, chosen) for chosen in (moving, inner)), strict=True):
        if len(vertex) and len(inside) >= FEWEST:
            vertices[vertex] += _to_surface(
                mesh.vertices[vertex], mesh.vertices[inside], places[inside], normals[inside], reach
            )
    return TriangleMesh(vertices.astype(mesh.vertices.dtype), mesh.faces, mesh.colors)


def _to_surface(
    points: Float[np.ndarray, "n 3"],
    inside: Float[np.ndarray, "m 3"],
    places: Float[np.ndarray, "m 3"],
    normals: Float[np.ndarray, "m 3"],
    reach: float,
) -> Float[np.ndarray, "n 3"]:
    """The way (m) of every point onto the plane of the inner vertices next to it; 0 where there is none."""
    count, farthest = min(NEIGHBOURS, len(inside)), FARTHEST * reach
    nearest = cKDTree(inside).query(points, k=count, distance_upper_bound=farthest, workers=-1)
    distance, near = (np.asarray(values) for values in nearest)
    found = np.isfinite(distance)
    share = (found / found.sum(axis=1, keepdims=True).clip(1))[..., None]
    place, normal = ((share * values[np.where(found, near, 0)]).sum(axis=1) for values in (places, normals))
    length: Float[np.ndarray, " n"] = np.linalg.norm(normal, axis=1)
    normal /= length[:, None].clip(1e-12)
    way = np.einsum("nc,nc->n", place - points, normal)
    return np.where(length > ALIKE, way, 0.0)[:, None] * normal


def _smoothed(mesh: TriangleMesh) -> tuple[Float[np.ndarray, "V 3"], Float[np.ndarray, "V 3"]]:
    """Places and unit normals, averaged over neighbours on the mesh."""
    start, end = mesh_edges(mesh.faces).T
    rows, columns = np.concatenate([start, end]), np.concatenate([end, start])
    count = len(mesh.vertices)
    neighbours = csr_array((np.ones(len(rows)), (rows, columns)), shape=(count, count))
    share = 1 / (1 + np.bincount(rows, minlength=count))[:, None]
    values = np.concatenate([mesh.vertices, vertex_normals(mesh.vertices, mesh.faces)], axis=1).astype(np.float64)
    for _ in range(ROUNDS):
        values = (neighbours @ values + values) * share
    length: Float[np.ndarray, " V"] = np.linalg.norm(values[:, 3:], axis=1)
    return values[:, :3], values[:, 3:] / length[:, None].clip(1e-12)


def _segments(labels: Labels) -> Int[np.ndarray, " V"]:
    """A number from 0 for every class and instance that occur together, `VOID` for void."""
    pairs = np.stack([labels.category, labels.instance], axis=1)
    _, segment = np.unique(pairs, axis=0, return_inverse=True)
    return np.where(labels.category == VOID, VOID, segment.reshape(-1))


def _members(segment: Int[np.ndarray, " V"], chosen: Bool[np.ndarray, " V"]) -> list[Int[np.ndarray, " n"]]:
    """The chosen vertices of every segment; void is none."""
    vertex = np.flatnonzero(chosen & (segment != VOID))
    vertex = vertex[np.argsort(segment[vertex], kind="stable")]
    return np.split(vertex, np.searchsorted(segment[vertex], np.arange(1, segment.max(initial=VOID) + 1)))
