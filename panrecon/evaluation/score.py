"""One scene under judgement: its overlaps, and what every protocol makes of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from panrecon.evaluation.metrics.panoptic_quality import Matching, PanopticStatistics, added
from panrecon.evaluation.overlap import Overlap, overlap_and_rows, total
from panrecon.evaluation.protocols import Protocol
from panrecon.geometry.mesh import nearest_vertex
from panrecon.structures import VOID, CategoryTable, Labels, PanopticMesh


@dataclass(frozen=True)
class Score:
    """What the protocols make of a scene: of all its points stacked, or scan by scan, as each wants it.

    `scans` are the overlaps of its frames (one for a mesh), `overlap` that of all.
    """

    scans: tuple[Overlap, ...]
    overlap: Overlap
    matchings: Mapping[Protocol, tuple[Matching, ...]]
    is_frames: bool

    def statistics(self, protocol: Protocol) -> PanopticStatistics:
        return added([matching.statistics for matching in self.matchings[protocol]])


@dataclass(frozen=True)
class OnTruth:
    """A prediction brought to the true vertices; `nearest` predicted vertex of each, `VOID` if none is near.

    `row` is the row of each vertex in `overlap`.
    """

    labels: Labels
    nearest: Int[np.ndarray, " V"]
    overlap: Overlap
    row: Int[np.ndarray, " V"]


def score(
    scans: Sequence[Overlap], table: CategoryTable, protocols: Sequence[Protocol], is_frames: bool = False
) -> Score:
    """The segments of a scene, matched by every protocol."""
    stacked = total(scans)
    units = {protocol: scans if protocol.is_per_scan else [stacked] for protocol in protocols}
    matchings = {protocol: tuple(protocol.match(one, table) for one in units[protocol]) for protocol in protocols}
    return Score(tuple(scans), stacked, matchings, is_frames)


def on_truth(
    prediction: PanopticMesh, truth: PanopticMesh, radius: float, weight: Float[np.ndarray, " V"] | None = None
) -> OnTruth:
    """Every true vertex takes the labels of the nearest predicted one within `radius` (m), or stays void.

    A vertex counts 1, or its `weight` (m^2, say).
    """
    nearest = nearest_vertex(truth.mesh.vertices, prediction.mesh.vertices, radius)
    labels = prediction.labels.at(nearest)
    overlap, row = overlap_and_rows(labels, truth.labels, weight)
    return OnTruth(labels, nearest, overlap, row)


def share_left_void(overlap: Overlap, table: CategoryTable) -> float:
    """Share of the evaluated truth that the prediction says nothing of; nan where nothing is evaluated."""
    evaluated = np.append(table.is_evaluated, False)[overlap.true_category]
    area = overlap.area[evaluated].sum()
    return float(overlap.area[evaluated & (overlap.predicted_category == VOID)].sum() / area) if area else float("nan")


def share_uncovered(
    found: OnTruth, truth: Labels, table: CategoryTable, weight: Float[np.ndarray, " V"] | None = None
) -> float:
    """Share of the evaluated truth that no predicted surface lies near; nan where nothing is evaluated."""
    area = np.append(table.is_evaluated, False)[truth.category] * (1.0 if weight is None else weight)
    return float(area[found.nearest == VOID].sum() / area.sum()) if area.any() else float("nan")
