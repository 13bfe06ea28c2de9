"""The labels of a mesh as the solution of one energy: a conditional random field over its vertices.

Every vertex takes a segment, a class of stuff or an object. What speaks for a segment is a sum of log likelihoods
(votes of masks, the field, features, layout), weighted; neighbours on the mesh that look alike agree (Krähenbühl and
Koltun, NeurIPS 2011, here on the edges of the mesh; Narita et al., PanopticFusion, IROS 2019). The weights are fitted
on simulated rooms by `benchmarks/label_parameters.py`, none of which is reported.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import csr_array

from panrecon.geometry.mesh import mesh_edges
from panrecon.refinement.boundaries import appearance_descriptor, boundary_vertices
from panrecon.refinement.kernels import mean_field
from panrecon.refinement.parameters import EnergyParameters
from panrecon.refinement.segments import SegmentTable
from panrecon.refinement.terms import EnergyTerms, LabelEvidence
from panrecon.structures import CategoryTable, Labels, SceneObject, TriangleMesh

CANDIDATES: Final = 5  # likeliest segments of a vertex that compete; more change next to nothing
ROUNDS: Final = 10  # of mean field, until next to nothing changes
SIMILARITY_FLOOR: Final = 0.05  # of a segment that no similar vertex is of: a twentieth of one equal vertex


@dataclass(frozen=True)
class FinalLabels:
    """The labels of V vertices and how probable they are in [0, 1]; void where a scene has no segment at all."""

    labels: Labels
    probability: Float[np.ndarray, " V"]


@dataclass(frozen=True)
class Candidates:
    """The K likeliest segments of V vertices and their log scores, the best first; `VOID` and -inf where fewer are."""

    segment: Int[np.ndarray, "V K"]
    score: Float[np.ndarray, "V K"]

    @property
    def best(self) -> Int[np.ndarray, " V"]:
        """The likeliest segment of every vertex."""
        return self.segment[:, 0]

    @property
    def probability(self) -> Float[np.ndarray, "V K"]:
        """The softmax of the scores."""
        return _softmax(self.score)

    def at(self, vertex: Int[np.ndarray, " n"]) -> "Candidates":
        """Those of the vertices `vertex`."""
        return Candidates(self.segment[vertex], self.score[vertex])

    def sorted(self) -> "Candidates":
        """The best first again; of equal scores the lower segment."""
        order = np.lexsort((self.segment, -self.score), axis=1)
        return Candidates(np.take_along_axis(self.segment, order, 1), np.take_along_axis(self.score, order, 1))


def final_labels(
    mesh: TriangleMesh,
    evidence: LabelEvidence,
    objects: Sequence[SceneObject],
    table: CategoryTable,
    voxel_size: float,
    parameters: EnergyParameters,
) -> FinalLabels:
    """A segment for every vertex, a class of stuff or an object with its class: that of the least energy.

    An object that is likeliest nowhere is left without a vertex. `voxel_size` in metres.
    """
    segments = SegmentTable([scene_object.category for scene_object in objects], table)
    if not len(segments):
        return FinalLabels(evidence.prior, np.zeros(len(mesh.vertices), np.float32))
    terms = EnergyTerms(evidence, segments, table, parameters)
    chunks = [likeliest(score, CANDIDATES) for score in terms.scores()]
    candidates = Candidates(
        np.concatenate([chunk.segment for chunk in chunks]), np.concatenate([chunk.score for chunk in chunks])
    )
    solved = solve(mesh, candidates, len(segments), voxel_size, parameters)
    probability = _softmax(solved.score / parameters.temperature)[:, 0]
    return FinalLabels(segments.labels_of(solved.best), probability)


def solve(
    mesh: TriangleMesh, candidates: Candidates, segment_count: int, voxel_size: float, parameters: EnergyParameters
) -> Candidates:
    """The candidates after all neighbours have spoken: those on the mesh, then those similar near a boundary."""
    descriptor = appearance_descriptor(mesh, voxel_size, parameters)
    edges = mesh_edges(mesh.faces)
    contrast = ((descriptor[edges[:, 0], 3:] - descriptor[edges[:, 1], 3:]) ** 2).sum(axis=1)
    weight = parameters.smoothness * np.exp(-contrast / 2)
    neighbours = weighted_neighbours(edges, weight, len(mesh.vertices))
    first = smoothed(candidates, neighbours, ROUNDS)
    radius = parameters.boundary_distance * voxel_size
    boundary = boundary_vertices(mesh, descriptor, first.best, segment_count, radius)
    similarity = boundary.similarity_to(candidates.segment[boundary.vertex])
    score = candidates.score.copy()
    score[boundary.vertex] += parameters.appearance * np.log(similarity + SIMILARITY_FLOOR)
    return smoothed(Candidates(candidates.segment, score).sorted(), neighbours, ROUNDS)


def likeliest(score: Float[np.ndarray, "n L"], count: int) -> Candidates:
    """The `count` likeliest of all segments by their log scores."""
    kept = min(count, score.shape[1])
    segment = np.argpartition(-score, kept - 1, axis=1)[:, :kept].astype(np.int32)
    return Candidates(segment, np.take_along_axis(score, segment, axis=1)).sorted()


def smoothed(candidates: Candidates, neighbours: csr_array, rounds: int) -> Candidates:
    """The candidates after `rounds` of mean field, in which neighbours agree with these log odds (Potts)."""
    score = mean_field(neighbours, candidates.segment, candidates.score, rounds)
    return Candidates(candidates.segment, score).sorted()


def weighted_neighbours(edges: Int[np.ndarray, "E 2"], weight: Float[np.ndarray, " E"], count: int) -> csr_array:
    """The weights of edges between `count` vertices, in both directions."""
    start, end = edges.T.astype(np.int32)
    rows = np.concatenate([start, end])
    columns = np.concatenate([end, start])
    return csr_array((np.concatenate([weight, weight]), (rows, columns)), shape=(count, count))


def _softmax(score: Float[np.ndarray, "n K"]) -> Float[np.ndarray, "n K"]:
    weight = np.exp(score - score.max(axis=1, keepdims=True))
    return weight / weight.sum(axis=1, keepdims=True)
