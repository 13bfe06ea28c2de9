"""One label for every vertex from the field's probabilities and what graph and semantics already knew."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Int

from panrecon.refinement.boundaries import Borders, borders
from panrecon.structures import VOID, CategoryTable, Labels, SceneObject, TriangleMesh

FLOOR: Final = 1e-4  # no probability counts as less: one head must not veto alone
FIELD_WEIGHT: Final = 0.5  # of the field's log odds beside those of the look: its neighbours err together
KNOWN_ODDS: Final = 7.4  # of the label known before, near a border
LIKENESS_FLOOR: Final = 0.05  # of what a vertex looks like nothing of
CHUNK: Final = 1 << 16  # vertices whose scores are held densely at once
FULL_TRUST: Final = 0.95  # a field that agrees with this share of the known labels counts in full
DETECTED: Final = 0.3  # of the frames that see an object well; with fewer it stands on the field's word
CONFIRMED: Final = 0.85  # of an object's vertices that the field must give to it, if few frames detect it
FIT_TO_JUDGE: Final = 0.8  # a field that agrees with less of the known labels disputes no object


@dataclass(frozen=True)
class Decided:
    """The final labels, and the positions of the objects that are none after all: no vertex has them."""

    labels: Labels
    disputed: Int[np.ndarray, " d"]


def panoptic_labels(
    category_probability: Float[np.ndarray, "V C"],
    instance_probability: Float[np.ndarray, "V I1"],
    known: Labels,
    objects: Sequence[SceneObject],
    table: CategoryTable,
    mesh: TriangleMesh,
    reach: float,
    revised: Callable[[Labels], tuple[Labels, Bool[np.ndarray, " V"]]] | None = None,
) -> Decided:
    """A segment for every vertex: a stuff class, or an object with its own class.

    What graph and semantics labelled stays, with two exceptions. An object that few of the frames which see it detect,
    and that the field does not show either, is none (`_disputed`). And near a border between segments a vertex is
    decided anew among those that meet there: by how it looks, by the field, and with odds of `KNOWN_ODDS` for the old
    label. What was void, or of no object after all, takes the field's most probable segment. The field decides class
    and instance together, P(stuff c) = p(c) p(none) and P(object o) = p(class of o) p(o), so that a chair never
    carries a table's id; it counts as far as it agrees with the known labels at large. `reach` is `field.reach` (m).
    With `revised`, what that makes of the labels is decided anew near its borders once more, but for the vertices of
    its second result.
    """
    segments = _Segments([found.category for found in objects], table)
    if not len(segments.category):
        return Decided(known, np.zeros(0, np.int64))
    field = _FieldScore(segments, category_probability, instance_probability)
    row = segments.row_of(known)
    certain = np.flatnonzero(row != VOID)
    agrees = field.best(certain) == row[certain]
    disputed = _disputed(objects, row[certain] - segments.stuff_count, agrees)
    row[np.isin(row, disputed + segments.stuff_count)] = VOID
    void = np.flatnonzero(row == VOID)
    row[void] = field.best(void, without=disputed + segments.stuff_count)
    trust = FIELD_WEIGHT * reliability(agrees)
    decided = _decided_anew(borders(mesh, row, reach), row, field, trust)
    if revised is not None:
        labels, settled = revised(segments.labels_of(decided))
        row = segments.row_of(labels)
        decided = np.where(settled, row, _decided_anew(borders(mesh, row, reach), row, field, trust))
    return Decided(segments.labels_of(decided), disputed)


def _disputed(
    objects: Sequence[SceneObject], object_of_vertex: Int[np.ndarray, " n"], agrees: Bool[np.ndarray, " n"]
) -> Int[np.ndarray, " d"]:
    """The objects that most frames call something else, and on whose vertices the field does so, too.

    A false detection that is repeated from the next place makes a false object. The masks of all other frames give what
    it covers to what is really there, and the field has learnt from all of them.
    """
    if not len(agrees) or agrees.mean() < FIT_TO_JUDGE:
        return np.zeros(0, np.int64)
    frames, against = (
        np.array([len(names) for names in of_objects], np.int64)
        for of_objects in ([found.frames for found in objects], [found.contradicting for found in objects])
    )
    mine = object_of_vertex >= 0
    vertices = np.bincount(object_of_vertex[mine], minlength=len(objects))
    confirmed = np.bincount(object_of_vertex[mine], agrees[mine], minlength=len(objects))
    few = (frames < DETECTED * (frames + against)) & (vertices > 0)
    disputed = np.flatnonzero(few & (confirmed < CONFIRMED * vertices))
    others = object_of_vertex[~np.isin(object_of_vertex, disputed)]
    return disputed if len(others) else disputed[:0]  # there must be something that its place can be given to


def _decided_anew(
    doubtful: Borders, row: Int[np.ndarray, " V"], field: "_FieldScore", trust: float
) -> Int[np.ndarray, " V"]:
    """The rows of all vertices, of doubtful ones the best of the segments that meet there."""
    known = row[doubtful.vertex]

    def score(row: Int[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        likeness = np.log(doubtful.likeness_of(row) + LIKENESS_FLOOR)
        return np.asarray(likeness + trust * field.score(doubtful.vertex, row))

    best, greatest = known.copy(), score(known) + np.log(KNOWN_ODDS)
    for candidate in doubtful.alike.T:
        found = np.where(doubtful.may_be(candidate), score(candidate), -np.inf)
        better = found > greatest
        best[better], greatest[better] = candidate[better], found[better]
    decided = row.copy()
    decided[doubtful.vertex] = best
    return decided


def reliability(agrees: Bool[np.ndarray, " n"]) -> float:
    """The weight of a voter that is right this often, by its log odds; in [0, 1], 1 from `FULL_TRUST` on.

    Log odds are the weights of the best vote of independent judges (Nitzan & Paroush 1982). A little stays even
    at 0, so that a vertex nobody else labelled still takes the field's most probable segment.
    """
    share = float(np.clip(np.mean(agrees), 0.5, FULL_TRUST)) if len(agrees) else FULL_TRUST
    weight = np.log(share / (1 - share)) / np.log(FULL_TRUST / (1 - FULL_TRUST))
    return float(max(weight, 1e-6))


class _FieldScore:
    """Log probability of every segment at every vertex, by the field."""

    def __init__(
        self,
        segments: "_Segments",
        category_probability: Float[np.ndarray, "V C"],
        instance_probability: Float[np.ndarray, "V I1"],
    ) -> None:
        self._segments = segments
        self._category, self._instance = category_probability, instance_probability

    def score(self, vertex: Int[np.ndarray, " n"], row: Int[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        """Of the segment named for each vertex; any number for `VOID`."""
        category = self._category[vertex, self._segments.category[row]]
        instance = self._instance[vertex, self._segments.instance[row]]
        return _log(category) + _log(instance)

    def best(
        self, vertex: Int[np.ndarray, " n"], without: Int[np.ndarray, " d"] | None = None
    ) -> Int[np.ndarray, " n"]:
        """The most probable segment of every vertex, of all but those `without`."""
        category, instance = self._segments.category, self._segments.instance
        best = np.zeros(len(vertex), dtype=np.int64)
        for start in range(0, len(vertex), CHUNK):
            part = vertex[start : start + CHUNK]
            score = _log(self._category[part])[:, category] + _log(self._instance[part])[:, instance]
            if without is not None:
                score[:, without] = -np.inf
            best[start : start + CHUNK] = score.argmax(axis=1)
        return best


def _log(probability: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
    return np.asarray(np.log(probability.clip(FLOOR)))


class _Segments:
    """Stuff classes, then objects: the rows among which a vertex chooses."""

    def __init__(self, category_of_object: Sequence[int], table: CategoryTable) -> None:
        stuff = np.flatnonzero(~table.is_thing)
        objects = np.arange(len(category_of_object))
        self.stuff_count = len(stuff)
        self.category = np.concatenate([stuff, np.asarray(category_of_object, dtype=np.int64)])
        self.instance = np.concatenate([np.full(len(stuff), len(objects)), objects])
        self._row_of_stuff = np.full(len(table) + 1, VOID)
        self._row_of_stuff[stuff] = np.arange(len(stuff))

    def row_of(self, labels: Labels) -> Int[np.ndarray, " V"]:
        """The row of every label, `VOID` for void and for a thing of no object."""
        is_object = labels.instance != VOID
        return np.where(is_object, labels.instance + self.stuff_count, self._row_of_stuff[labels.category])

    def labels_of(self, row: Int[np.ndarray, " V"]) -> Labels:
        """The labels of every row; none is `VOID`."""
        instance = np.where(row < self.stuff_count, VOID, self.instance[row])
        return Labels(self.category[row].astype(np.int32), instance.astype(np.int32))
