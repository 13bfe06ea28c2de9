"""Boundaries between segments: the points that show how cleanly objects are separated."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.spatial import cKDTree

from panrecon.evaluation.overlap import overlap_and_rows
from panrecon.evaluation.segments import panoptic_segments, true_side
from panrecon.structures import VOID, CategoryTable, Labels


def near_boundary(
    vertices: Float[np.ndarray, "V 3"], labels: Labels, table: CategoryTable, distance: float = 0.05
) -> Bool[np.ndarray, " V"]:
    """The vertices less than `distance` (m) from one of another segment, whether or not an edge joins them.

    Segments as in panoptic quality, evaluated or not; a boundary to void is none.
    """
    overlap, row_of_point = overlap_and_rows(labels, labels)
    segment = panoptic_segments(true_side(overlap), table).of_row[row_of_point]
    is_near = np.zeros(len(vertices), dtype=bool)
    labelled = np.flatnonzero(segment != VOID)
    labelled = labelled[np.argsort(segment[labelled], kind="stable")]
    if not len(labelled):
        return is_near
    grid = _Grid.of(vertices[labelled], distance)
    for members in np.split(np.arange(len(labelled)), np.flatnonzero(np.diff(segment[labelled])) + 1):
        nearby = grid.neighbours(members)
        others = labelled[nearby[(nearby < members[0]) | (nearby > members[-1])]]
        if len(others):
            tree = cKDTree(vertices[others])
            _, nearest = tree.query(vertices[labelled[members]], distance_upper_bound=distance)
            is_near[labelled[members]] = nearest < len(others)
    return is_near


@dataclass(frozen=True)
class _Grid:
    """Points binned into cells as wide as the search distance: all neighbours lie in the 27 cells around.

    `keys` are the occupied cells in ascending order; `points` are ordered by cell, each of which begins at `start`.
    """

    keys: Int[np.ndarray, " K"]
    key_of_point: Int[np.ndarray, " P"]
    points: Int[np.ndarray, " P"]
    start: Int[np.ndarray, " K_1"]
    stride: Int[np.ndarray, "3"]

    @classmethod
    def of(cls, points: Float[np.ndarray, "P 3"], width: float) -> "_Grid":
        cells = np.floor(points / width).astype(np.int64)
        cells -= cells.min(axis=0) - 1
        stride = np.cumprod(np.append(1, cells[:, :2].max(axis=0) + 2))
        key_of_point = cells @ stride
        keys, counts = np.unique(key_of_point, return_counts=True)
        return cls(keys, key_of_point, np.argsort(key_of_point, kind="stable"), np.append(0, counts.cumsum()), stride)

    def neighbours(self, members: Int[np.ndarray, " n"]) -> Int[np.ndarray, " m"]:
        """All points in the cells of these points and in the adjacent ones."""
        keys = np.unique(self.key_of_point[members])
        offsets = (np.stack(np.meshgrid(*[[-1, 0, 1]] * 3), axis=-1).reshape(-1, 3) @ self.stride)[:, None]
        adjacent = np.unique(keys + offsets)
        cell = np.searchsorted(self.keys, adjacent).clip(max=len(self.keys) - 1)
        cell = cell[self.keys[cell] == adjacent]
        length = self.start[cell + 1] - self.start[cell]
        within = np.arange(length.sum()) - np.repeat(length.cumsum() - length, length)
        return self.points[np.repeat(self.start[cell], length) + within]
