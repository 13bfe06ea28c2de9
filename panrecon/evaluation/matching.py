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
class SegmentIntersections:
    """The segments of both sides of an overlap and every pair of them that intersects, in ascending order.

    `predicted_index` and `true_index` are segments of either side, `VOID` where that side has none; `area` is that of
    their intersection, in points or in m^2 as the overlap counts.
    """

    predicted: Segments
    true: Segments
    predicted_index: Int[np.ndarray, " N"]
    true_index: Int[np.ndarray, " N"]
    area: Float[np.ndarray, " N"]

    @property
    def predicted_area(self) -> Float[np.ndarray, " P"]:
        """Area of every predicted segment."""
        return _sums(self.predicted_index, self.area, len(self.predicted))

    @property
    def true_area(self) -> Float[np.ndarray, " T"]:
        """Area of every true segment."""
        return _sums(self.true_index, self.area, len(self.true))

    @property
    def predicted_on_void(self) -> Float[np.ndarray, " P"]:
        """Area of every predicted segment where the truth is void."""
        on_void = self.true_index == VOID
        return _sums(self.predicted_index[on_void], self.area[on_void], len(self.predicted))

    @property
    def true_on_void(self) -> Float[np.ndarray, " T"]:
        """Area of every true segment where the prediction is void."""
        on_void = self.predicted_index == VOID
        return _sums(self.true_index[on_void], self.area[on_void], len(self.true))

    @property
    def between_segments(self) -> Bool[np.ndarray, " N"]:
        """Pairs of two segments; in the others one side is void."""
        return (self.predicted_index != VOID) & (self.true_index != VOID)


@dataclass(frozen=True)
class SegmentPairs:
    """Pairs of a predicted and a true segment, by their indices, with their IoU in [0, 1]."""

    predicted_index: Int[np.ndarray, " M"]
    true_index: Int[np.ndarray, " M"]
    iou: Float[np.ndarray, " M"]

    def __len__(self) -> int:
        return len(self.iou)

    def where(self, selection: Bool[np.ndarray, " M"] | Int[np.ndarray, " K"]) -> "SegmentPairs":
        """The selected pairs alone, by mask or by index."""
        return SegmentPairs(self.predicted_index[selection], self.true_index[selection], self.iou[selection])


def intersect_segments(overlap: Overlap, predicted: Segments, true: Segments) -> SegmentIntersections:
    """The intersections of the segments that both sides of an overlap are divided into."""
    index_of_row = np.column_stack([predicted.of_row, true.of_row])
    pairs, pair_of_row = np.unique(index_of_row, axis=0, return_inverse=True)
    area = _sums(pair_of_row.reshape(-1), overlap.area, len(pairs))
    return SegmentIntersections(predicted, true, pairs[:, 0], pairs[:, 1], area)


def same_class_pairs(
    intersections: SegmentIntersections,
    ignored_predicted: Float[np.ndarray, " P"],
    ignored_true: Float[np.ndarray, " T"],
) -> SegmentPairs:
    """All intersecting pairs of one class with their IoU, the ignored area of either segment left out of the union."""
    between = intersections.between_segments
    p, t = intersections.predicted_index[between], intersections.true_index[between]
    common = intersections.area[between]
    area = intersections.predicted_area[p] - ignored_predicted[p] + intersections.true_area[t] - ignored_true[t]
    pairs = SegmentPairs(p, t, common / np.maximum(area - common, np.finfo(float).tiny))  # 0 where nothing has an area
    return pairs.where(intersections.predicted.category[p] == intersections.true.category[t])


def pairs_above(pairs: SegmentPairs, threshold: float) -> SegmentPairs:
    """Every pair of IoU above the threshold; one to one only from 0.5 on (Kirillov et al., CVPR 2019)."""
    return pairs.where(pairs.iou > threshold)


def optimal_assignment(pairs: SegmentPairs, threshold: float) -> SegmentPairs:
    """The one-to-one assignment of pairs above the threshold with the greatest sum of IoU (Kuhn, 1955)."""
    candidates = pairs_above(pairs, threshold)
    if not len(candidates):
        return candidates
    first_truth = int(candidates.predicted_index.max()) + 1
    node_count = first_truth + int(candidates.true_index.max()) + 1
    edges = (candidates.predicted_index, candidates.true_index + first_truth)
    graph = coo_array((np.ones(len(candidates)), edges), shape=(node_count, node_count))
    _, component_of_node = connected_components(graph, directed=False)
    component = component_of_node[candidates.predicted_index]
    order = np.argsort(component, kind="stable")
    ends = np.flatnonzero(np.diff(component[order])) + 1
    assigned = np.concatenate([_assign(candidates, part) for part in np.split(order, ends)])
    return candidates.where(np.sort(assigned))


def greedy_matching(pairs: SegmentPairs, threshold: float) -> SegmentPairs:
    """One-to-one pairs: each true segment, in order, takes the unmatched predicted one of greatest IoU.

    Only pairs above the threshold match.
    """
    order = np.lexsort((pairs.predicted_index, -pairs.iou, pairs.true_index))
    matched_predictions: set[int] = set()
    pair_of_truth: dict[int, int] = {}
    for pair in order[pairs.iou[order] > threshold]:
        prediction = int(pairs.predicted_index[pair])
        truth = int(pairs.true_index[pair])
        if truth not in pair_of_truth and prediction not in matched_predictions:
            pair_of_truth[truth] = pair
            matched_predictions.add(prediction)
    return pairs.where(np.array(list(pair_of_truth.values()), dtype=np.int64))


def _assign(pairs: SegmentPairs, component: Int[np.ndarray, " K"]) -> Int[np.ndarray, " A"]:
    """The pairs of the optimal assignment among those of one connected component."""
    predictions, p = np.unique(pairs.predicted_index[component], return_inverse=True)
    truths, t = np.unique(pairs.true_index[component], return_inverse=True)
    pair = np.full((len(predictions), len(truths)), VOID)
    pair[p, t] = component
    gain = np.where(pair == VOID, 0, pairs.iou[pair] + PAIR_BONUS)
    assigned = pair[linear_sum_assignment(gain, maximize=True)]
    return assigned[assigned != VOID]


def _sums(index: Int[np.ndarray, " N"], values: Float[np.ndarray, " N"], count: int) -> Float[np.ndarray, " count"]:
    """Sum of the values of every index but `VOID`."""
    is_segment = index != VOID
    return np.bincount(index[is_segment], values[is_segment], minlength=count).astype(np.float64)
