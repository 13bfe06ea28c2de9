"""Edge splits: midpoint subdivision of triangles without moving the surface."""

import numpy as np
from jaxtyping import Bool, Float, Int

from panrecon.structures import TriangleMesh


def subdivide(mesh: TriangleMesh, edge: float) -> tuple[TriangleMesh, Int[np.ndarray, " F"]]:
    """The same surface with no edge longer than `edge` metres, and the face of `mesh` that each new face lies in."""
    parent = np.arange(len(mesh.faces), dtype=np.int32)
    while (too_long := _edge_lengths(mesh.vertices, mesh.faces.astype(np.int64)) > edge).any():
        mesh, _, origin = split_edges(mesh, too_long)
        parent = parent[origin]
    return mesh, parent


def split_edges(
    mesh: TriangleMesh, sides: Bool[np.ndarray, "F 3"]
) -> tuple[TriangleMesh, Int[np.ndarray, "N 2"], Int[np.ndarray, " G"]]:
    """The same surface with the selected sides (0-1, 1-2, 2-0) split at their midpoints.

    Both triangles of an edge must select it: they share the new vertex, so there are no cracks. Also returns the ends
    of the edge of each new vertex, and the old face that each new face lies in; new vertices follow the old ones.
    """
    faces = mesh.faces.astype(np.int64)
    ends, vertex_of_side = _edge_midpoints(faces, sides, len(mesh.vertices))
    vertices = np.concatenate([mesh.vertices, mesh.vertices[ends].mean(axis=1)])
    colors = np.concatenate([mesh.colors, np.rint(mesh.colors[ends].mean(axis=1)).astype(np.uint8)])
    faces, origin = _split_faces(faces, sides, vertex_of_side)
    return TriangleMesh(vertices, faces.astype(np.int32), colors), ends, origin


def _edge_lengths(vertices: Float[np.ndarray, "V 3"], faces: Int[np.ndarray, "F 3"]) -> Float[np.ndarray, "F 3"]:
    """Lengths of the sides 0-1, 1-2, 2-0, equal to the bit in both triangles of an edge."""
    start = np.minimum(faces, np.roll(faces, -1, axis=1))
    end = np.maximum(faces, np.roll(faces, -1, axis=1))
    return np.linalg.norm(vertices[start] - vertices[end], axis=2)


def _edge_midpoints(
    faces: Int[np.ndarray, "F 3"], selected: Bool[np.ndarray, "F 3"], vertex_count: int
) -> tuple[Int[np.ndarray, "N 2"], Int[np.ndarray, "F 3"]]:
    """The ends of every selected edge, and the new vertex at the midpoint of each selected side."""
    ends = np.sort(np.stack([faces, np.roll(faces, -1, axis=1)], axis=2), axis=2)
    keys = ends[..., 0] * vertex_count + ends[..., 1]
    unique, edge_index = np.unique(keys[selected], return_inverse=True)
    vertex_of_side = np.full(faces.shape, -1, dtype=np.int64)
    vertex_of_side[selected] = vertex_count + edge_index
    return np.stack([unique // vertex_count, unique % vertex_count], axis=1), vertex_of_side


def _split_faces(
    faces: Int[np.ndarray, "F 3"], selected: Bool[np.ndarray, "F 3"], vertex_of_side: Int[np.ndarray, "F 3"]
) -> tuple[Int[np.ndarray, "G 3"], Int[np.ndarray, " G"]]:
    """Triangles split into two, three or four at their new vertices, and the old triangle of each."""
    count = selected.sum(axis=1)
    # Rotated so that a single selected side comes first, and a single other one last.
    first = np.where(count == 1, selected.argmax(axis=1), np.where(count == 2, (selected.argmin(axis=1) + 1) % 3, 0))
    turn = (first[:, None] + np.arange(3)) % 3
    corner = np.take_along_axis(faces, turn, axis=1)
    middle = np.take_along_axis(vertex_of_side, turn, axis=1)
    a, b, c = corner.T
    ab, bc, ca = middle.T
    rules = [
        (0, [(a, b, c)]),
        (1, [(a, ab, c), (ab, b, c)]),
        (2, [(a, ab, c), (ab, b, bc), (ab, bc, c)]),
        (3, [(a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca)]),
    ]
    pieces = [(np.stack(piece, axis=1)[count == n], np.flatnonzero(count == n)) for n, cut in rules for piece in cut]
    return np.concatenate([piece for piece, _ in pieces]), np.concatenate([origin for _, origin in pieces])
