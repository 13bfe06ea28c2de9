"""The labels of a mesh as the solution of one energy: a conditional random field over its vertices.

Every vertex takes a segment, a class of stuff or an object. What speaks for a segment is a sum of log likelihoods
(votes of masks, the field, features, layout), weighted; neighbours on the mesh that look alike agree (Krähenbühl and
Koltun, NeurIPS 2011, here on the edges of the mesh; Narita et al., PanopticFusion, IROS 2019). The weights are fitted
on simulated rooms by `benchmarks/label_parameters.py`, none of which is reported.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from panrecon.structures import VOID


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


def likeliest(score: Float[np.ndarray, "n L"], count: int) -> Candidates:
    """The `count` likeliest of all segments by their log scores."""
    kept = min(count, score.shape[1])
    segment = np.argpartition(-score, kept - 1, axis=1)[:, :kept].astype(np.int32)
    return Candidates(segment, np.take_along_axis(score, segment, axis=1)).sorted()


def smoothed(
    candidates: Candidates, edges: Int[np.ndarray, "E 2"], weight: Float[np.ndarray, " E"], rounds: int
) -> Candidates:
    """The candidates after `rounds` of mean field, in which the ends of an edge agree with this weight (Potts).

    A vertex whose best candidate leads by more than all its edges weigh keeps it, and is left out.
    """
    count = len(candidates.segment)
    if candidates.segment.shape[1] < 2 or not count:
        return candidates
    incident = np.bincount(edges.ravel(), np.repeat(weight, 2), minlength=count)
    undecided = np.flatnonzero(candidates.score[:, 0] - candidates.score[:, 1] <= incident)
    row_of_vertex = np.full(count, VOID)
    row_of_vertex[undecided] = np.arange(len(undecided))
    receiver, sender = np.concatenate([edges, edges[:, ::-1]]).T
    is_received = row_of_vertex[receiver] != VOID
    row = row_of_vertex[receiver[is_received]]
    sender = sender[is_received]
    edge_weight = np.concatenate([weight, weight])[is_received]
    evidence = candidates.at(undecided)
    sent_segment = candidates.segment[sender]
    agrees = [sent_segment == evidence.segment[row, k][:, None] for k in range(evidence.segment.shape[1])]
    probability = candidates.probability
    score = evidence.score
    for _ in range(rounds):
        sent = probability[sender] * edge_weight[:, None]
        messages = [np.bincount(row, (sent * agree).sum(axis=1), minlength=len(undecided)) for agree in agrees]
        score = evidence.score + np.stack(messages, axis=1)
        probability[undecided] = _softmax(score)
    result = candidates.score.copy()
    result[undecided] = score
    return Candidates(candidates.segment, result).sorted()


def _softmax(score: Float[np.ndarray, "n K"]) -> Float[np.ndarray, "n K"]:
    weight = np.exp(score - score.max(axis=1, keepdims=True))
    return weight / weight.sum(axis=1, keepdims=True)
