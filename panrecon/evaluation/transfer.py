"""Predicted labels transferred to the vertices of the true surface, where both sides can be compared."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from panrecon.evaluation.overlap import Overlap, overlap_and_rows
from panrecon.geometry.mesh import nearest_vertex
from panrecon.structures import Labels, PanopticMesh


@dataclass(frozen=True)
class TransferredLabels:
    """The predicted labels of every true vertex, and `nearest`, the predicted vertex that they come from.

    `VOID` where no predicted vertex lies within the radius of the transfer. `row_of_vertex` is the row of every true
    vertex in `overlap`, the overlap of these labels with the true ones.
    """

    labels: Labels
    nearest: Int[np.ndarray, " V"]
    overlap: Overlap
    row_of_vertex: Int[np.ndarray, " V"]


def transfer_labels(
    prediction: PanopticMesh, truth: PanopticMesh, radius: float, weight: Float[np.ndarray, " V"] | None = None
) -> TransferredLabels:
    """Labels of every true vertex: those of the nearest predicted vertex within `radius` (m), else void.

    In the overlap a vertex counts 1, or its `weight` (its area in m^2, for instance).
    """
    nearest = nearest_vertex(truth.mesh.vertices, prediction.mesh.vertices, radius)
    labels = prediction.labels.at(nearest)
    overlap, row_of_vertex = overlap_and_rows(labels, truth.labels, weight)
    return TransferredLabels(labels, nearest, overlap, row_of_vertex)
