"""The terms of the energy of the final labels: what speaks for every segment at every vertex, as log likelihoods.

Masks (the votes of all frames), the field, the features (a classifier of points) and the layout are judges of their
own; how much each counts is fitted (`EnergyParameters`).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Final

import numpy as np
from jaxtyping import Float, Int

from panrecon.graph.votes import VertexVotes
from panrecon.layout.scene import Layout
from panrecon.refinement.layout_likelihood import contradiction, layout_log_ratios
from panrecon.refinement.parameters import EnergyParameters
from panrecon.refinement.segments import SegmentTable
from panrecon.structures import CategoryTable, Labels

CHUNK: Final = 1 << 14  # vertices whose scores for all segments are held at once


class Term(StrEnum):
    """What a weight of `EnergyParameters` belongs to."""

    OBJECT_VOTES = "object_votes"
    STUFF_VOTES = "stuff_votes"
    THING = "thing"
    FIELD = "field"
    FEATURES = "features"
    LAYOUT = "layout"
    CONTRADICTED_LAYOUT = "contradicted_layout"  # the layout again, as far as it contradicts the masks of this scan


@dataclass(frozen=True)
class LabelEvidence:
    """What the stages before say of V vertices; probabilities and shares lie in [0, 1].

    Columns of the field's instances are the objects, and none. Rows of the classifier's probabilities are 0 where no
    frame gave a feature. `prior` are the labels by votes and features.
    """

    votes: VertexVotes
    field_category: Float[np.ndarray, "V C"]
    field_instance: Float[np.ndarray, "V I1"]
    feature_category: Float[np.ndarray, "V C"]
    prior: Labels
    layout: Layout


@dataclass(frozen=True)
class EnergyTerms:
    """The terms of all vertices for all segments; computed some vertices at a time."""

    evidence: LabelEvidence
    segments: SegmentTable
    table: CategoryTable
    parameters: EnergyParameters

    def of(self, vertices: slice | Int[np.ndarray, " n"]) -> Mapping[Term, Float[np.ndarray, "n L"]]:
        """Log likelihoods of these vertices, not weighted."""
        evidence = self.evidence
        segments = self.segments
        stuff_count = len(segments.stuff)
        of_objects = self._log(evidence.votes.of_objects[vertices].toarray())
        of_stuff = self._log(evidence.votes.of_stuff[vertices].toarray()[:, segments.stuff])
        no_objects = np.zeros_like(of_objects)
        no_stuff = np.zeros_like(of_stuff)
        field = self._log(evidence.field_category[vertices])[:, segments.category]
        field += self._log(evidence.field_instance[vertices])[:, segments.instance]
        features = self._log(evidence.feature_category[vertices])[:, segments.category]
        layout = self._layout_ratios[segments.category][:, evidence.layout.situation[vertices]].T
        thing_odds = np.zeros_like(field)
        thing_odds[:, stuff_count:] = 1
        return {
            Term.OBJECT_VOTES: np.concatenate([no_stuff, of_objects], axis=1),
            Term.STUFF_VOTES: np.concatenate([of_stuff, no_objects], axis=1),
            Term.THING: thing_odds,
            Term.FIELD: field,
            Term.FEATURES: features,
            Term.LAYOUT: layout,
            Term.CONTRADICTED_LAYOUT: layout * np.float32(self._contradiction_share),
        }

    def scores(self) -> Iterator[Float[np.ndarray, "n L"]]:
        """The weighted sums of all terms, of successive vertices."""
        for start in range(0, len(self.evidence.prior.category), CHUNK):
            terms = self.of(slice(start, start + CHUNK))
            weighted = [np.float32(getattr(self.parameters.weights, term)) * value for term, value in terms.items()]
            yield np.sum(weighted, axis=0)

    @cached_property
    def _layout_ratios(self) -> Float[np.ndarray, "C S"]:
        return layout_log_ratios(self.table, self.evidence.layout).astype(np.float32)

    @cached_property
    def _contradiction_share(self) -> float:
        """c / (c + scale) of the share c of stuff labels that contradict the layout; in [0, 1)."""
        share = contradiction(self._layout_ratios, self.evidence.layout.situation, self.evidence.prior)
        return share / (share + self.parameters.contradiction_scale)

    def _log(self, share: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
        return np.asarray(np.log(share.astype(np.float32) + np.float32(self.parameters.share_floor)))
