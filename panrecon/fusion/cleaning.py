"""Mesh clean-up: small components removed, and one order of vertices and faces for one surface."""

import numpy as np
from jaxtyping import Bool, Int
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from panrecon.structures import TriangleMesh


def without_small_components(mesh: TriangleMesh, min_faces: int) -> TriangleMesh:
    """The mesh without its connected components of fewer than `min_faces` faces."""
    component_of_face = _component_of_vertex(mesh)[mesh.faces[:, 0]]
    size = np.bincount(component_of_face)
    return keep_faces(mesh, size[component_of_face] >= min_faces)


def keep_faces(mesh: TriangleMesh, keep: Bool[np.ndarray, " F"]) -> TriangleMesh:
    """The faces for which `keep` holds, and the vertices that they use."""
    used, corners = np.unique(mesh.faces[keep], return_inverse=True)
    return TriangleMesh(mesh.vertices[used], corners.reshape(-1, 3).astype(np.int32), mesh.colors[used])


def canonical(mesh: TriangleMesh) -> TriangleMesh:
    """The same surface, its vertices sorted by position and its faces by their vertices."""
    order = np.lexsort(mesh.vertices.T)
    rank = np.empty(len(order), dtype=np.int32)
    rank[order] = np.arange(len(order), dtype=np.int32)
    faces = rank[mesh.faces]
    first = faces.argmin(axis=1)[:, None]
    faces = np.take_along_axis(faces, (first + np.arange(3)) % 3, axis=1)
    return TriangleMesh(mesh.vertices[order], faces[np.lexsort(faces.T[::-1])], mesh.colors[order])


def _component_of_vertex(mesh: TriangleMesh) -> Int[np.ndarray, " V"]:
    start = mesh.faces[:, [0, 1]].ravel()
    end = mesh.faces[:, [1, 2]].ravel()
    count = len(mesh.vertices)
    links = coo_array((np.ones(len(start), dtype=bool), (start, end)), shape=(count, count))
    return np.asarray(connected_components(links, directed=False)[1])
