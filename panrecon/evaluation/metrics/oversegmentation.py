"""Quality of an over-segmentation: how far its segments leak over true boundaries, and which of these it has."""

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import coo_array
from scipy.spatial import cKDTree

from panrecon.structures import VOID


def undersegmentation_error(segment: Int[np.ndarray, " P"], truth: Int[np.ndarray, " P"]) -> float:
    """Share of points in segments that leak over the boundary of a true region, in [0, 1] (Neubert & Protzel 2012).

    Of a segment that intersects a region, the smaller of its parts inside and outside counts. Points of void truth do
    not; nan where all are void.
    """
    labelled = truth != VOID
    if not labelled.any():
        return float("nan")
    _, region = np.unique(truth[labelled], return_inverse=True)
    ones = np.ones(len(region), dtype=np.int64)
    shared = coo_array((ones, (segment[labelled], region))).tocsr().tocoo()
    size = np.bincount(segment[labelled])
    return float(np.minimum(shared.data, size[shared.row] - shared.data).sum() / len(region))


def boundary_recall(
    segment: Int[np.ndarray, " V"],
    truth: Int[np.ndarray, " V"],
    vertices: Float[np.ndarray, "V 3"],
    edges: Int[np.ndarray, "E 2"],
    radius: float,
) -> float:
    """Share of the mesh edges between true regions with an edge between segments within `radius` (m), in [0, 1].

    Edges are compared by their midpoints; those with an end in void truth are none. nan where the truth has
    no boundary.
    """
    start, end = edges.T
    is_boundary = (truth[start] != truth[end]) & (truth[start] != VOID) & (truth[end] != VOID)
    is_cut = segment[start] != segment[end]
    if not is_boundary.any():
        return float("nan")
    if not is_cut.any():
        return 0.0
    midpoint = (vertices[start] + vertices[end]) / 2
    distance, _ = cKDTree(midpoint[is_cut]).query(midpoint[is_boundary], distance_upper_bound=radius, workers=-1)
    return float(np.isfinite(distance).mean())
