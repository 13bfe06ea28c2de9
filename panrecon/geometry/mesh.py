"""Geometry of triangle meshes: normals, areas, edges, nearest vertices (units as in `panrecon.structures`)."""

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import csr_array
from scipy.spatial import cKDTree

from panrecon.structures import VOID


def face_normals(vertices: Float[np.ndarray, "V 3"], faces: Int[np.ndarray, "F 3"]) -> Float[np.ndarray, "F 3"]:
    """Normals of faces, of a length of twice the face's area (m^2)."""
    a, b, c = (vertices[faces[:, i]].astype(np.float64) for i in range(3))
    return np.cross(b - a, c - a)


def vertex_normals(vertices: Float[np.ndarray, "V 3"], faces: Int[np.ndarray, "F 3"]) -> Float[np.ndarray, "V 3"]:
    """Unit normals, area-weighted means of those of the adjacent faces; zero at vertices without a face."""
    weighted = face_normals(vertices, faces)
    corners = faces.ravel()
    columns = [np.bincount(corners, np.repeat(column, 3), minlength=len(vertices)) for column in weighted.T]
    sums = np.stack(columns, axis=1).astype(np.float64)  # numpy counts no faces at all in integers
    length = np.linalg.norm(sums, axis=1, keepdims=True)
    return np.divide(sums, length, out=np.zeros_like(sums), where=length > 0)


def vertex_areas(vertices: Float[np.ndarray, "V 3"], faces: Int[np.ndarray, "F 3"]) -> Float[np.ndarray, " V"]:
    """A third of the area of the faces at every vertex (m^2); their sum is the area of the mesh."""
    area = np.linalg.norm(face_normals(vertices, faces), axis=1) / 2
    return np.bincount(faces.ravel(), np.repeat(area / 3, 3), minlength=len(vertices)).astype(np.float64)


def mesh_edges(faces: Int[np.ndarray, "F 3"]) -> Int[np.ndarray, "E 2"]:
    """Every undirected edge once, smaller vertex first, sorted."""
    start = faces.T.ravel()
    end = faces[:, [1, 2, 0]].T.ravel()
    smaller = np.minimum(start, end).astype(np.uint64)
    keys = (smaller << np.uint64(32)) | np.maximum(start, end).astype(np.uint64)  # faces index by 32 bits
    keys.sort()  # `np.unique` of millions takes ten times as long
    keys = keys[np.append(True, keys[1:] != keys[:-1])[: len(keys)]]
    return np.stack([keys >> np.uint64(32), keys & np.uint64(0xFFFFFFFF)], axis=1).astype(np.int64)


def neighborhood_means(
    values: Float[np.ndarray, "V c"], faces: Int[np.ndarray, "F 3"], rounds: int
) -> Float[np.ndarray, "V c"]:
    """Values at the vertices, in each round replaced by the mean of a vertex and those it shares an edge with."""
    start, end = mesh_edges(faces).T
    rows = np.concatenate([start, end])
    columns = np.concatenate([end, start])
    neighbours = csr_array((np.ones(len(rows)), (rows, columns)), shape=(len(values), len(values)))
    share = 1 / (1 + np.bincount(rows, minlength=len(values)))[:, None]
    for _ in range(rounds):
        values = (neighbours @ values + values) * share
    return values


def smoothed_normals(
    vertices: Float[np.ndarray, "V 3"], faces: Int[np.ndarray, "F 3"], rounds: int
) -> Float[np.ndarray, "V 3"]:
    """Unit normals of the vertices, averaged with their neighbours' in so many rounds; zero where there is no face."""
    normals = neighborhood_means(vertex_normals(vertices, faces), faces, rounds)
    return normals / np.linalg.norm(normals, axis=1, keepdims=True).clip(1e-12)


def nearest_vertex(
    points: Float[np.ndarray, "P 3"], vertices: Float[np.ndarray, "V 3"], radius: float
) -> Int[np.ndarray, " P"]:
    """The index of the vertex nearest to every point; `VOID` where none lies within `radius` (m)."""
    _, nearest = cKDTree(vertices).query(points, distance_upper_bound=radius, workers=-1)
    return np.where(nearest == len(vertices), VOID, nearest)
