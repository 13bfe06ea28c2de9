"""One label for every vertex from the field's probabilities and what graph and semantics already knew."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Int

from panrecon.structures import VOID, CategoryTable, Labels

FLOOR: Final = 1e-4  # no probability counts as less: one head must not veto alone
PRIOR_ODDS: Final = 1000.0  # of the label known before: where they differ, the field is right from about 100 : 1 on
FULL_TRUST: Final = 0.95  # a field that agrees with this share of the known labels counts in full


def panoptic_labels(
    category_probability: Float[np.ndarray, "V C"],
    instance_probability: Float[np.ndarray, "V I1"],
    known: Labels,
    category_of_object: Sequence[int],
    table: CategoryTable,
) -> Labels:
    """The most probable segment of every vertex: a stuff class, or an object with its own class.

    Class and instance are decided together, P(stuff c) = p(c) p(none) and P(object o) = p(class of o) p(o), so that a
    chair never carries a table's id. The label that graph and semantics gave is a prior of odds `PRIOR_ODDS` : 1, and
    the field counts as far as it agrees with them at large: one that was hardly trained changes nothing but void.
    """
    segments = _Segments(category_of_object, table)
    if not len(segments.category):
        return known
    log_category = np.log(category_probability.clip(FLOOR))
    log_instance = np.log(instance_probability.clip(FLOOR))
    score = log_category[:, segments.category] + log_instance[:, segments.instance]
    row = segments.row_of(known)
    certain = np.flatnonzero(row != VOID)
    score *= reliability(score[certain].argmax(axis=1) == row[certain])
    score[certain, row[certain]] += np.log(PRIOR_ODDS)
    best = score.argmax(axis=1)
    instance = np.where(best < segments.stuff_count, VOID, segments.instance[best])
    return Labels(segments.category[best].astype(np.int32), instance.astype(np.int32))


def reliability(agrees: Bool[np.ndarray, " n"]) -> float:
    """The weight of a voter that is right this often, by its log odds; in [0, 1], 1 from `FULL_TRUST` on.

    Log odds are the weights of the best vote of independent judges (Nitzan & Paroush 1982). A little stays even
    at 0, so that a vertex nobody else labelled still takes the field's most probable segment.
    """
    share = float(np.clip(np.mean(agrees), 0.5, FULL_TRUST)) if len(agrees) else FULL_TRUST
    weight = np.log(share / (1 - share)) / np.log(FULL_TRUST / (1 - FULL_TRUST))
    return float(max(weight, 1e-6))


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
