"""One label for every vertex from the field's probabilities and what graph and semantics already knew."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from panrecon.structures import VOID, CategoryTable, Labels

FLOOR = 1e-4  # no probability counts as less: one head must not veto alone
PRIOR_ODDS = 20.0  # of the label known before against any other


def panoptic_labels(
    category_probability: Float[np.ndarray, "V C"],
    instance_probability: Float[np.ndarray, "V I1"],
    known: Labels,
    category_of_object: Sequence[int],
    table: CategoryTable,
) -> Labels:
    """The most probable segment of every vertex: a stuff class, or an object with its own class.

    Class and instance are decided together, P(stuff c) = p(c) p(none) and P(object o) = p(class of o) p(o), so that a
    chair never carries a table's id. The label that graph and semantics gave is a prior of odds `PRIOR_ODDS` : 1.
    """
    segments = _Segments(category_of_object, table)
    log_category = np.log(category_probability.clip(FLOOR))
    log_instance = np.log(instance_probability.clip(FLOOR))
    score = log_category[:, segments.category] + log_instance[:, segments.instance]
    row = segments.row_of(known)
    certain = np.flatnonzero(row != VOID)
    score[certain, row[certain]] += np.log(PRIOR_ODDS)
    best = score.argmax(axis=1)
    instance = np.where(best < segments.stuff_count, VOID, segments.instance[best])
    return Labels(segments.category[best].astype(np.int32), instance.astype(np.int32))


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
