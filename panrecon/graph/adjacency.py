"""Adjacency of superfaces; fragments of one object that no frame shows together are merged by it."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import csr_array

from panrecon.geometry.mesh import mesh_edges
from panrecon.graph.association import Association, category_support, connected
from panrecon.graph.evidence import Evidence, sums_by
from panrecon.graph.objects import well_viewing_frames
from panrecon.graph.parameters import GraphParameters
from panrecon.graph.superfaces import dihedral_weight
from panrecon.structures import VOID, TriangleMesh


@dataclass(frozen=True)
class SuperfaceAdjacency:
    """The C mesh edges between different superfaces: both superfaces, and the dihedral weight in [0, 4]."""

    superfaces: Int[np.ndarray, "C 2"]
    dihedral_weight: Float[np.ndarray, " C"]


def superface_adjacency(mesh: TriangleMesh, superface_of_vertex: Int[np.ndarray, " V"]) -> SuperfaceAdjacency:
    """All mesh edges whose ends lie in different superfaces."""
    edges = mesh_edges(mesh.faces)
    ends = superface_of_vertex[edges]
    crossing = ends[:, 0] != ends[:, 1]
    return SuperfaceAdjacency(ends[crossing], dihedral_weight(mesh, edges)[crossing])


def merge_fragments(
    evidence: Evidence, association: Association, adjacency: SuperfaceAdjacency, parameters: GraphParameters
) -> Association:
    """The association with pairs of objects merged that no frame views well together, if of one class and continuous.

    Two objects are continuous if they are adjacent along a line as long as the smaller one is wide (in edges, the root
    of its vertices), and most of the line is smooth.
    """
    ends = np.sort(np.append(association.object_of_superface, VOID)[adjacency.superfaces], axis=1)
    between = (ends[:, 0] != VOID) & (ends[:, 0] != ends[:, 1])
    pairs, pair = np.unique(ends[between], axis=0, return_inverse=True)
    length = np.bincount(pair.reshape(-1), minlength=len(pairs))
    is_smooth = (adjacency.dihedral_weight[between] < parameters.max_smooth_weight).astype(np.float64)
    smooth_length = sums_by(pair.reshape(-1), is_smooth, len(pairs))
    first, second = pairs.T
    vertices = evidence.grouped(association.object_of_superface, association.count).vertices_of_unit
    width = np.sqrt(np.minimum(vertices[first], vertices[second]))
    is_continuous = (smooth_length >= width) & (smooth_length > parameters.min_smooth_share * length)
    category = category_support(evidence, association.object_of_mask, association.count).argmax(axis=1)
    in_view = csr_array(well_viewing_frames(evidence, association, parameters).astype(np.float64))
    is_co_visible = (in_view @ in_view.T).toarray()[first, second] > 0
    are_fragments = is_continuous & ~is_co_visible & (category[first] == category[second])
    merged, count = connected(first[are_fragments], second[are_fragments], association.count)
    merged = np.append(merged, VOID).astype(np.int32)
    return Association(merged[association.object_of_superface], merged[association.object_of_mask], count)
