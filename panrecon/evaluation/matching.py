"""Which predicted segment is which true one: pairs of segments, their IoU, and the ways papers match them."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from panrecon.evaluation.overlap import Overlap
from panrecon.evaluation.segments import Segments
from panrecon.structures import VOID

# Of two assignments of equal IoU the one of more pairs is taken; IoUs of up to 10^5 points differ by more than this.
PAIR_BONUS = 1e-12


@dataclass(frozen=True)
class Crossing:
    """The segments of both sides of an overlap and every pair of them that meets, in ascending order.

    `prediction` and `truth` are segments, `VOID` where a side has none; `area` is what they share.
    """

    predicted: Segments
    true: Segments
    prediction: Int[np.ndarray, " N"]
    truth: Int[np.ndarray, " N"]
    area: Float[np.ndarray, " N"]

    @property
    def predicted_area(self) -> Float[np.ndarray, " P"]:
        return _sums(self.prediction, self.area, len(self.predicted))

    @property
    def true_area(self) -> Float[np.ndarray, " T"]:
        return _sums(self.truth, self.area, len(self.true))

    @property
    def predicted_on_void(self) -> Float[np.ndarray, " P"]:
        """Area of every predicted segment where the truth has none."""
        on_void = self.truth == VOID
        return _sums(self.prediction[on_void], self.area[on_void], len(self.predicted))

    @property
    def true_left_void(self) -> Float[np.ndarray, " T"]:
        """Area of every true segment where nothing is predicted."""
        left = self.prediction == VOID
        return _sums(self.truth[left], self.area[left], len(self.true))


@dataclass(frozen=True)
class Pairs:
    """Pairs of a predicted and a true segment."""

    prediction: Int[np.ndarray, " M"]
    truth: Int[np.ndarray, " M"]
    iou: Float[np.ndarray, " M"]

    def __len__(self) -> int:
        return len(self.iou)

    def where(self, chosen: Bool[np.ndarray, " M"] | Int[np.ndarray, " K"]) -> "Pairs":
        """The chosen pairs alone."""
        return Pairs(self.prediction[chosen], self.truth[chosen], self.iou[chosen])


def cross(overlap: Overlap, predicted: Segments, true: Segments) -> Crossing:
    """The pairs of segments that meet in the rows of an overlap."""
    pairs, inverse = np.unique(np.column_stack([predicted.of_row, true.of_row]), axis=0, return_inverse=True)
    area = _sums(inverse.reshape(-1), overlap.area, len(pairs))
    return Crossing(predicted, true, pairs[:, 0], pairs[:, 1], area)


def pairs_of_one_class(
    crossing: Crossing, excused_predicted: Float[np.ndarray, " P"], excused_true: Float[np.ndarray, " T"]
) -> Pairs:
    """IoU of every pair of one class, with what is excused on either side left out of the union."""
    both = (crossing.prediction != VOID) & (crossing.truth != VOID)
    p, t, common = crossing.prediction[both], crossing.truth[both], crossing.area[both]
    area = crossing.predicted_area[p] - excused_predicted[p] + crossing.true_area[t] - excused_true[t]
    pairs = Pairs(p, t, common / np.maximum(area - common, np.finfo(float).tiny))  # 0 where nothing has an area
    return pairs.where(crossing.predicted.category[p] == crossing.true.category[t])


def above(pairs: Pairs, threshold: float) -> Pairs:
    """Every pair above the threshold; one to one only from 0.5 on, where no segment can have two partners."""
    return pairs.where(pairs.iou > threshold)


def best_assignment(pairs: Pairs, threshold: float) -> Pairs:
    """The one-to-one choice of pairs above the threshold with the greatest sum of IoU (Kuhn, 1955)."""
    kept = above(pairs, threshold)
    if not len(kept):
        return kept
    first_truth = int(kept.prediction.max()) + 1
    nodes = first_truth + int(kept.truth.max()) + 1
    links = coo_array((np.ones(len(kept)), (kept.prediction, kept.truth + first_truth)), shape=(nodes, nodes))
    _, part = connected_components(links, directed=False)
    order = np.argsort(part[kept.prediction], kind="stable")
    ends = np.flatnonzero(np.diff(part[kept.prediction][order])) + 1
    chosen = np.concatenate([_assigned(kept, some) for some in np.split(order, ends)])
    return kept.where(np.sort(chosen))


def first_come(pairs: Pairs, threshold: float) -> Pairs:
    """Every true segment, in order, takes the free predicted one of greatest IoU if that is above the threshold."""
    order = np.lexsort((pairs.prediction, -pairs.iou, pairs.truth))
    taken: set[int] = set()
    chosen: dict[int, int] = {}
    for pair in order[pairs.iou[order] > threshold]:
        prediction, truth = int(pairs.prediction[pair]), int(pairs.truth[pair])
        if truth not in chosen and prediction not in taken:
            chosen[truth] = pair
            taken.add(prediction)
    return pairs.where(np.array(list(chosen.values()), dtype=np.int64))


def _assigned(pairs: Pairs, some: Int[np.ndarray, " K"]) -> Int[np.ndarray, " A"]:
    """Of some connected pairs those of the best assignment."""
    predictions, p = np.unique(pairs.prediction[some], return_inverse=True)
    truths, t = np.unique(pairs.truth[some], return_inverse=True)
    pair = np.full((len(predictions), len(truths)), VOID)
    pair[p, t] = some
    gain = np.where(pair == VOID, 0, pairs.iou[pair] + PAIR_BONUS)
    chosen = pair[linear_sum_assignment(gain, maximize=True)]
    return chosen[chosen != VOID]


def _sums(index: Int[np.ndarray, " N"], values: Float[np.ndarray, " N"], count: int) -> Float[np.ndarray, " count"]:
    """Sum of the values of every index but `VOID`."""
    found = index != VOID
    return np.bincount(index[found], values[found], minlength=count).astype(np.float64)
