"""Where true segments meet: the points that decide whether objects are cut cleanly apart."""

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

    Segments as in panoptic quality, evaluated or not; a border to void is none.
    """
    overlap, row = overlap_and_rows(labels, labels)
    segment = panoptic_segments(true_side(overlap), table).of_row[row]
    near = np.zeros(len(vertices), dtype=bool)
    labelled = np.flatnonzero(segment != VOID)
    labelled = labelled[np.argsort(segment[labelled], kind="stable")]
    if not len(labelled):
        return near
    grid = _Grid.of(vertices[labelled], distance)
    for mine in np.split(np.arange(len(labelled)), np.flatnonzero(np.diff(segment[labelled])) + 1):
        around = grid.around(mine)
        others = labelled[around[(around < mine[0]) | (around > mine[-1])]]
        if len(others):
            found = cKDTree(vertices[others]).query(vertices[labelled[mine]], distance_upper_bound=distance)[1]
            near[labelled[mine]] = found < len(others)
    return near


@dataclass(frozen=True)
class _Grid:
    """Points sorted into cubes as wide as the distance asked for: what is so near lies in the 27 cubes around.

    `keys` number the cubes that hold points, in ascending order; `points` are ordered by cube, which begins at `start`.
    """

    keys: Int[np.ndarray, " K"]
    key_of_point: Int[np.ndarray, " P"]
    points: Int[np.ndarray, " P"]
    start: Int[np.ndarray, " K_1"]
    stride: Int[np.ndarray, "3"]

    @classmethod
    def of(cls, points: Float[np.ndarray, "P 3"], width: float) -> "_Grid":
        cubes = np.floor(points / width).astype(np.int64)
        cubes -= cubes.min(axis=0) - 1
        stride = np.cumprod(np.append(1, cubes[:, :2].max(axis=0) + 2))
        key_of_point = cubes @ stride
        keys, counts = np.unique(key_of_point, return_counts=True)
        return cls(keys, key_of_point, np.argsort(key_of_point, kind="stable"), np.append(0, counts.cumsum()), stride)

    def around(self, some: Int[np.ndarray, " n"]) -> Int[np.ndarray, " m"]:
        """All points in the cubes of some points and in those beside them."""
        keys = np.unique(self.key_of_point[some])
        offsets = (np.stack(np.meshgrid(*[[-1, 0, 1]] * 3), axis=-1).reshape(-1, 3) @ self.stride)[:, None]
        wanted = np.unique(keys + offsets)
        place = np.searchsorted(self.keys, wanted).clip(max=len(self.keys) - 1)
        place = place[self.keys[place] == wanted]
        length = self.start[place + 1] - self.start[place]
        within = np.arange(length.sum()) - np.repeat(length.cumsum() - length, length)
        return self.points[np.repeat(self.start[place], length) + within]
