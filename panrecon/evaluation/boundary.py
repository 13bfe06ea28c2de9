"""Where true segments meet: the points that decide whether objects are cut cleanly apart."""

from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.spatial import cKDTree

from panrecon.geometry import mesh_edges, nearest_vertex
from panrecon.structures import VOID, CategoryTable, Labels

NEIGHBOURS: Final = 8  # of every point of a cloud, in place of the edges of a mesh


def near_boundary(
    vertices: Float[np.ndarray, "V 3"],
    faces: Int[np.ndarray, "F 3"],
    labels: Labels,
    table: CategoryTable,
    distance: float = 0.05,
) -> Bool[np.ndarray, " V"]:
    """The vertices less than `distance` (m) from one where two segments meet along an edge.

    Segments as in panoptic quality, evaluated or not; a border to void is none. Without faces the 8 nearest neighbours
    less than `distance` away stand for edges.
    """
    edges = mesh_edges(faces) if len(faces) else _neighbours(vertices, distance)
    meeting = np.unique(edges[_parts_segments(edges, labels, table)])
    return nearest_vertex(vertices, vertices[meeting], distance) != VOID


def _parts_segments(edges: Int[np.ndarray, "E 2"], labels: Labels, table: CategoryTable) -> Bool[np.ndarray, " E"]:
    """Edges whose ends lie in different segments, neither of them void."""
    category, instance = labels.category[edges], labels.instance[edges]
    of_things = np.append(table.is_thing, False)[category[:, 0]]
    differ = (category[:, 0] != category[:, 1]) | (of_things & (instance[:, 0] != instance[:, 1]))
    return differ & (category != VOID).all(axis=1)


def _neighbours(vertices: Float[np.ndarray, "V 3"], distance: float) -> Int[np.ndarray, "E 2"]:
    """Every point with each of its nearest ones; itself, found with them, does no harm."""
    _, near = cKDTree(vertices).query(vertices, k=NEIGHBOURS + 1, distance_upper_bound=distance, workers=-1)
    pairs = np.column_stack([np.repeat(np.arange(len(vertices)), NEIGHBOURS + 1), near.reshape(-1)])
    return pairs[pairs[:, 1] < len(vertices)]
