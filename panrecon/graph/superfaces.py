"""Over-segmentation of the mesh into superfaces, the nodes of the graph."""

import numpy as np
from jaxtyping import Float, Int

from panrecon.config import GraphSettings
from panrecon.geometry.mesh import mesh_edges, vertex_normals
from panrecon.graph.kernels import felzenszwalb_huttenlocher
from panrecon.structures import TriangleMesh


def superfaces(mesh: TriangleMesh, settings: GraphSettings) -> Int[np.ndarray, " V"]:
    """The superface of every vertex, from 0 in the order of first vertices.

    Felzenszwalb-Huttenlocher on the mesh's edges, as ScanNet's Segmentator (Dai et al. 2017), with colour added: flat
    objects (posters, rugs, panes) have no edge in the normals.
    """
    edges = mesh_edges(mesh.faces)
    weight = dihedral_weight(mesh, edges) + settings.color_weight * color_step(mesh, edges)
    threshold = settings.superface_threshold
    min_size = settings.superface_min_vertices
    return felzenszwalb_huttenlocher(edges, weight, len(mesh.vertices), threshold, min_size)


def dihedral_weight(mesh: TriangleMesh, edges: Int[np.ndarray, "E 2"]) -> Float[np.ndarray, " E"]:
    """1 - cosine of the angle between the normals at an edge's ends, squared where it is convex; in [0, 4].

    Convex edges weigh less, for objects are mostly convex and meet at concave edges (Dai et al. 2017).
    """
    normals = vertex_normals(mesh.vertices, mesh.faces)
    start, end = edges.T
    weight = 1 - np.einsum("ij,ij->i", normals[start], normals[end])
    along = (mesh.vertices[end] - mesh.vertices[start]).astype(np.float64)
    convex = np.einsum("ij,ij->i", along, normals[end] - normals[start]) > 0
    return np.where(convex, weight**2, weight).clip(0)


def color_step(mesh: TriangleMesh, edges: Int[np.ndarray, "E 2"]) -> Float[np.ndarray, " E"]:
    """Distance between the RGB values (each in [0, 1]) at an edge's ends; in [0, sqrt(3)]."""
    start, end = edges.T
    colors = mesh.colors.astype(np.float64) / 255
    return np.asarray(np.linalg.norm(colors[start] - colors[end], axis=1))
