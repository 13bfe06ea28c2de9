"""Labels carried from the predicted surface to the vertices of the true one."""

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial import cKDTree

from panrecon.structures import VOID


def nearest_vertex(
    points: Float[np.ndarray, "P 3"], vertices: Float[np.ndarray, "V 3"], radius: float
) -> Int[np.ndarray, " P"]:
    """The vertex next to every point; `VOID` where none lies within `radius` (m)."""
    _, nearest = cKDTree(vertices).query(points, distance_upper_bound=radius, workers=-1)
    return np.where(nearest == len(vertices), VOID, nearest)
