"""One label for every vertex from the field's probabilities and the prior labels of graph and semantics."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Int

from panrecon.refinement.boundaries import boundary_vertices
from panrecon.refinement.parameters import RefinementParameters
from panrecon.structures import VOID, CategoryTable, Labels, SceneObject, TriangleMesh

CHUNK: Final = 1 << 16  # vertices whose scores are held densely at once
MIN_RELIABILITY: Final = 1e-6  # so that a vertex without a prior label still takes the field's most probable segment


@dataclass(frozen=True)
class PanopticLabels:
    """The labels, the indices of the rejected objects (no vertex has them), and the field's scores, weighted."""

    labels: Labels
    rejected: Int[np.ndarray, " r"]
    scores: "FieldScores"


@dataclass(frozen=True)
class FieldScores:
    """The field's probabilities of V vertices, as scores of segments.

    `weight` is that of the field's log odds beside appearance.
    """

    segments: "SegmentTable"
    category_probability: Float[np.ndarray, "V C"]
    instance_probability: Float[np.ndarray, "V I1"]
    probability_floor: float
    weight: float

    def log_probability(self, vertex: Int[np.ndarray, " n"], segment: Int[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        """Of the segment given for each vertex, not weighted; any number for `VOID`."""
        category = self.category_probability[vertex, self.segments.category[segment]]
        instance = self.instance_probability[vertex, self.segments.instance[segment]]
        return self._log(category) + self._log(instance)

    def most_probable(
        self, vertex: Int[np.ndarray, " n"], without: Int[np.ndarray, " d"] | None = None
    ) -> Int[np.ndarray, " n"]:
        """The most probable segment of each vertex, of all but those `without`."""
        category = self.segments.category
        instance = self.segments.instance
        best = np.zeros(len(vertex), dtype=np.int64)
        for start in range(0, len(vertex), CHUNK):
            chunk = vertex[start : start + CHUNK]
            score = self._log(self.category_probability[chunk])[:, category]
            score = score + self._log(self.instance_probability[chunk])[:, instance]
            if without is not None:
                score[:, without] = -np.inf
            best[start : start + CHUNK] = score.argmax(axis=1)
        return best

    def _log(self, probability: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
        return np.asarray(np.log(probability.clip(self.probability_floor)))


def panoptic_labels(
    category_probability: Float[np.ndarray, "V C"],
    instance_probability: Float[np.ndarray, "V I1"],
    prior: Labels,
    objects: Sequence[SceneObject],
    table: CategoryTable,
    mesh: TriangleMesh,
    parameters: RefinementParameters,
) -> PanopticLabels:
    """A segment for every vertex: a stuff category, or an object with its own category.

    Probabilities are the field's, in [0, 1]; the last instance is none. Prior labels stay, with two exceptions. An
    object that few of the frames which see it detect, and that the field does not verify, is rejected. And near a
    boundary between segments vertices are relabelled (`relabel_boundaries`). What was void, or of a rejected object,
    takes the field's most probable segment. The field decides category and instance together, P(stuff c) =
    p(c) p(none) and P(object o) = p(category of o) p(o), so that a chair never carries a table's category. Without
    stuff categories and objects all labels stay.
    """
    segments = SegmentTable([scene_object.category for scene_object in objects], table)
    scores = FieldScores(segments, category_probability, instance_probability, parameters.probability_floor, weight=0.0)
    if not len(segments.category):
        return PanopticLabels(prior, np.zeros(0, np.int64), scores)
    segment = segments.segment_of(prior)
    labelled = np.flatnonzero(segment != VOID)
    agrees = scores.most_probable(labelled) == segment[labelled]
    rejected = _rejected_objects(objects, segment[labelled] - segments.stuff_count, agrees, parameters)
    segment[np.isin(segment, rejected + segments.stuff_count)] = VOID
    void = np.flatnonzero(segment == VOID)
    segment[void] = scores.most_probable(void, without=rejected + segments.stuff_count)
    weight = parameters.field_weight * reliability(agrees, parameters.full_reliability)
    weighted = replace(scores, weight=weight)
    labels = relabel_boundaries(mesh, segments.labels_of(segment), weighted, parameters)
    return PanopticLabels(labels, rejected, weighted)


def relabel_boundaries(
    mesh: TriangleMesh,
    labels: Labels,
    scores: FieldScores,
    parameters: RefinementParameters,
    is_frozen: Bool[np.ndarray, " V"] | None = None,
) -> Labels:
    """The labels, but near boundaries the best of the segments that meet there, unless a vertex is frozen.

    Best by appearance, by the field, and with prior odds for the label that a vertex has.
    """
    segments = scores.segments
    if not len(segments.category):
        return labels
    segment = segments.segment_of(labels)
    boundary = boundary_vertices(mesh, segment, parameters)
    prior = segment[boundary.vertex]

    def score(candidate: Int[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        appearance = np.log(boundary.similarity_to(candidate) + parameters.similarity_floor)
        return np.asarray(appearance + scores.weight * scores.log_probability(boundary.vertex, candidate))

    best = prior.copy()
    best_score = score(prior) + np.log(parameters.prior_odds)
    for candidate in boundary.similar_segment.T:
        candidate_score = np.where(boundary.is_adjacent(candidate), score(candidate), -np.inf)
        is_better = candidate_score > best_score
        best[is_better] = candidate[is_better]
        best_score[is_better] = candidate_score[is_better]
    relabelled = segment.copy()
    relabelled[boundary.vertex] = best
    return segments.labels_of(relabelled if is_frozen is None else np.where(is_frozen, segment, relabelled))


def _rejected_objects(
    objects: Sequence[SceneObject],
    object_of_vertex: Int[np.ndarray, " n"],
    agrees: Bool[np.ndarray, " n"],
    parameters: RefinementParameters,
) -> Int[np.ndarray, " r"]:
    """The objects that most frames call something else, and the field too on their vertices; < 0 is no object.

    A false detection that is repeated from the next pose makes a false object. The masks of all other frames give its
    surface to what is really there, and the field was trained on all of them.
    """
    if not len(agrees) or agrees.mean() < parameters.min_field_reliability:
        return np.zeros(0, np.int64)
    detecting = np.array([len(scene_object.frames) for scene_object in objects], np.int64)
    contradicting = np.array([len(scene_object.contradicting) for scene_object in objects], np.int64)
    is_of_object = object_of_vertex >= 0
    vertex_count = np.bincount(object_of_vertex[is_of_object], minlength=len(objects))
    agreeing = np.bincount(object_of_vertex[is_of_object], agrees[is_of_object], minlength=len(objects))
    is_rarely_detected = detecting < parameters.min_detection_rate * (detecting + contradicting)
    is_verified = agreeing >= parameters.min_field_agreement * vertex_count
    rejected = np.flatnonzero(is_rarely_detected & (vertex_count > 0) & ~is_verified)
    remaining = object_of_vertex[~np.isin(object_of_vertex, rejected)]
    return rejected if len(remaining) else rejected[:0]  # there must be a segment that can take the vertices


def reliability(agrees: Bool[np.ndarray, " n"], full_reliability: float) -> float:
    """The weight of a voter that is right this often, by its log odds; in (0, 1], 1 from `full_reliability` on.

    Log odds are the weights of the best vote of independent judges (Nitzan & Paroush 1982).
    """
    share = float(np.clip(np.mean(agrees), 0.5, full_reliability)) if len(agrees) else full_reliability
    weight = np.log(share / (1 - share)) / np.log(full_reliability / (1 - full_reliability))
    return float(max(weight, MIN_RELIABILITY))


class SegmentTable:
    """The segments that a vertex may take: stuff categories, then objects; with the field's columns of each."""

    def __init__(self, category_of_object: Sequence[int], table: CategoryTable) -> None:
        stuff = np.flatnonzero(~table.is_thing)
        objects = np.arange(len(category_of_object))
        self.stuff_count = len(stuff)
        self.category = np.concatenate([stuff, np.asarray(category_of_object, dtype=np.int64)])
        self.instance = np.concatenate([np.full(len(stuff), len(objects)), objects])
        self._segment_of_stuff = np.full(len(table) + 1, VOID)
        self._segment_of_stuff[stuff] = np.arange(len(stuff))

    def segment_of(self, labels: Labels) -> Int[np.ndarray, " V"]:
        """The segment of every label, `VOID` for void and for a thing of no object."""
        is_object = labels.instance != VOID
        return np.where(is_object, labels.instance + self.stuff_count, self._segment_of_stuff[labels.category])

    def labels_of(self, segment: Int[np.ndarray, " V"]) -> Labels:
        """The labels of segments, of which none is `VOID`."""
        instance = np.where(segment < self.stuff_count, VOID, self.instance[segment])
        return Labels(self.category[segment].astype(np.int32), instance.astype(np.int32))
