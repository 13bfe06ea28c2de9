"""Where surfaces touch: objects that no frame shows together are told apart, or not, by geometry."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import csr_array

from panrecon.geometry.mesh import mesh_edges
from panrecon.graph.association import Association, category_support, connected
from panrecon.graph.evidence import Evidence, sums_by
from panrecon.graph.objects import frames_in_view
from panrecon.graph.superfaces import dihedral_weight
from panrecon.structures import VOID, TriangleMesh

SMOOTH: Final = 0.05  # of bend: up to 18 degrees at a concave edge, 39 at a convex one
MIN_SMOOTH_SHARE: Final = 0.5  # of the edges where two objects touch


@dataclass(frozen=True)
class SuperfaceAdjacency:
    """The C mesh edges between different superfaces: these, and whether the surface bends there."""

    superfaces: Int[np.ndarray, "C 2"]
    dihedral_weight: Float[np.ndarray, " C"]


def superface_adjacency(mesh: TriangleMesh, superface_of_vertex: Int[np.ndarray, " V"]) -> SuperfaceAdjacency:
    """All edges that cross from one superface to another."""
    edges = mesh_edges(mesh.faces)
    ends = superface_of_vertex[edges]
    crossing = ends[:, 0] != ends[:, 1]
    return SuperfaceAdjacency(ends[crossing], dihedral_weight(mesh, edges)[crossing])


def merge_fragments(evidence: Evidence, found: Association, adjacency: SuperfaceAdjacency) -> Association:
    """Two objects become one if no frame sees both well, they are of one class, and one surface runs through both.

    It does if they touch along a line as long as the smaller is wide (in edges, the root of its vertices), mostly
    without a crease.
    """
    ends = np.sort(np.append(found.object_of_superface, VOID)[adjacency.superfaces], axis=1)
    between = (ends[:, 0] != VOID) & (ends[:, 0] != ends[:, 1])
    pairs, pair = np.unique(ends[between], axis=0, return_inverse=True)
    length = np.bincount(pair.reshape(-1), minlength=len(pairs))
    smooth = sums_by(pair.reshape(-1), (adjacency.dihedral_weight[between] < SMOOTH).astype(np.float64), len(pairs))
    first, second = pairs.T
    vertices = evidence.grouped(found.object_of_superface, found.count).vertices_of_unit
    width = np.sqrt(np.minimum(vertices[first], vertices[second]))
    one_surface = (smooth >= width) & (smooth > MIN_SMOOTH_SHARE * length)
    category = category_support(evidence, found.object_of_mask, found.count).argmax(axis=1)
    in_view = csr_array(frames_in_view(evidence, found).astype(np.float64))
    together = (in_view @ in_view.T).toarray()[first, second] > 0
    halves = one_surface & ~together & (category[first] == category[second])
    whole, count = connected(first[halves], second[halves], found.count)
    whole = np.append(whole, VOID).astype(np.int32)
    return Association(whole[found.object_of_superface], whole[found.object_of_mask], count)
