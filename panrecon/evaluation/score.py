"""One prediction held against one true mesh."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int

from panrecon.evaluation.panoptic_quality import PanopticStatistics, match, panoptic_statistics
from panrecon.evaluation.semantic import confusion
from panrecon.geometry import nearest_vertex
from panrecon.structures import VOID, CategoryTable, Labels, PanopticMesh


@dataclass(frozen=True)
class Score:
    """Statistics of a prediction, and its labels on the V true vertices.

    `is_right` tells the vertices in both segments of a matched pair. `uncovered` is the share of the evaluated true
    vertices that no predicted surface lies near, `void` the share left without a label, uncovered ones included.
    """

    statistics: PanopticStatistics
    confusion: Int[np.ndarray, "C C_1"]
    prediction: Labels
    is_right: Bool[np.ndarray, " V"]
    is_evaluated: Bool[np.ndarray, " V"]
    uncovered: float
    void: float


def score(prediction: PanopticMesh, truth: PanopticMesh, table: CategoryTable, radius: float) -> Score:
    """The labels of the nearest predicted vertices within `radius` (m), scored on the true vertices."""
    nearest = nearest_vertex(truth.mesh.vertices, prediction.mesh.vertices, radius)
    labels = prediction.labels.at(nearest)
    matching = match(labels, truth.labels, table)
    is_evaluated = np.append(table.is_evaluated, False)[truth.labels.category]
    count = max(int(is_evaluated.sum()), 1)
    return Score(
        statistics=panoptic_statistics(matching, table),
        confusion=confusion(labels.category, truth.labels.category, table),
        prediction=labels,
        is_right=matching.is_matched,
        is_evaluated=is_evaluated,
        uncovered=float((nearest[is_evaluated] == VOID).sum() / count),
        void=float((labels.category[is_evaluated] == VOID).sum() / count),
    )
