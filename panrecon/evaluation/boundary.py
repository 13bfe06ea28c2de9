"""Where true segments meet: the points that decide whether objects are cut cleanly apart."""

from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.spatial import cKDTree

from panrecon.evaluation.overlap import overlap_and_rows
from panrecon.evaluation.segments import panoptic_segments, true_side
from panrecon.structures import VOID, CategoryTable, Labels

NEIGHBOURS: Final = 16  # looked at first; where all are of one segment and there may be more, four times as many


def near_boundary(
    vertices: Float[np.ndarray, "V 3"], labels: Labels, table: CategoryTable, distance: float = 0.05
) -> Bool[np.ndarray, " V"]:
    """The vertices less than `distance` (m) from one of another segment, whether or not an edge joins them.

    Segments as in panoptic quality, evaluated or not; a border to void is none.
    """
    overlap, row = overlap_and_rows(labels, labels)
    segment = panoptic_segments(true_side(overlap), table).of_row[row]
    near = np.zeros(len(vertices), dtype=bool)
    if not (segment != VOID).any():
        return near
    labelled = np.flatnonzero(segment != VOID)
    labelled = labelled[_among_others(vertices[labelled], segment[labelled], distance)]
    tree, undecided, count = cKDTree(vertices[labelled].reshape(-1, 3)), labelled, NEIGHBOURS
    while len(undecided):
        index = np.asarray(tree.query(vertices[undecided], k=count, distance_upper_bound=distance, workers=-1)[1])
        found = index < len(labelled)
        meets = (found & (np.append(segment[labelled], VOID)[index] != segment[undecided, None])).any(axis=1)
        near[undecided[meets]] = True
        undecided = undecided[~meets & found.all(axis=1)]
        count *= 4
    return near


def _among_others(
    points: Float[np.ndarray, "P 3"], segment: Int[np.ndarray, " P"], distance: float
) -> Bool[np.ndarray, " P"]:
    """The points whose cell of a grid, with the 26 around it, holds several segments; no other can be near one.

    A cell is `distance` wide, so that a segment less than that away lies in a cell around.
    """
    cells = np.floor(points / distance).astype(np.int64)
    cells -= cells.min(axis=0) - 1
    stride = np.array([1, cells[:, 0].max() + 2, 1])
    stride[2] = stride[1] * (cells[:, 1].max() + 2)
    keys, cell_of_point = np.unique(cells @ stride, return_inverse=True)
    order = np.argsort(cell_of_point, kind="stable")
    starts = np.searchsorted(cell_of_point[order], np.arange(len(keys)))
    first, last = (reduce.reduceat(segment[order], starts) for reduce in (np.minimum, np.maximum))
    least, greatest = first.copy(), last.copy()
    for offset in np.ndindex(3, 3, 3):
        wanted = keys + (np.array(offset) - 1) @ stride
        place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        there = keys[place] == wanted
        least[there] = np.minimum(least[there], first[place[there]])
        greatest[there] = np.maximum(greatest[there], last[place[there]])
    return (least != greatest)[cell_of_point]
