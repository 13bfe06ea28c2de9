"""Slow, plain twins of every protocol: sets of points, loops, nothing shared with the code that they test."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
from hypothesis import strategies as st

from panrecon.structures import VOID, Category, CategoryTable, Labels

WALL, FLOOR, CHAIR, TABLE, CLUTTER = range(5)
CLASSES = CategoryTable(
    (
        Category(1, "wall", thing=False),
        Category(2, "floor", thing=False),
        Category(3, "chair", thing=True),
        Category(4, "table", thing=True),
        Category(5, "clutter", thing=True, evaluated=False),
    )
)
EVALUATED = {WALL, FLOOR, CHAIR, TABLE}
THINGS = {CHAIR, TABLE, CLUTTER}

SegmentKey = tuple[int, int]  # class, instance
PointsOfSegment = dict[SegmentKey, set[int]]


@dataclass
class Counts:
    """Sums of IoU and numbers of true positives, false positives and false negatives per class."""

    iou_sum: defaultdict[int, float] = field(default_factory=lambda: defaultdict(float))
    tp: defaultdict[int, int] = field(default_factory=lambda: defaultdict(int))
    fp: defaultdict[int, int] = field(default_factory=lambda: defaultdict(int))
    fn: defaultdict[int, int] = field(default_factory=lambda: defaultdict(int))

    def pq(self, category: int) -> float:
        """Panoptic quality of a class; 0 where it does not occur."""
        denominator = self.tp[category] + 0.5 * self.fp[category] + 0.5 * self.fn[category]
        return self.iou_sum[category] / denominator if denominator else 0.0

    def occurring(self) -> set[int]:
        """The classes with any true positive, false positive or false negative."""
        return {c for c in range(len(CLASSES)) if self.tp[c] + self.fp[c] + self.fn[c]}


def labels(*runs: tuple[int, int, int]) -> Labels:
    """Labels of points in runs of (number of points, category, instance)."""
    category, instance = (np.concatenate([np.full(run[0], run[i], np.int64) for run in runs]) for i in (1, 2))
    return Labels(category, instance)


def segments_of(side: Labels, stuff_has_instances: bool, classes: set[int]) -> PointsOfSegment:
    """The points of every segment of these classes."""
    points_of_segment: PointsOfSegment = {}
    for point, (category, instance) in enumerate(zip(side.category.tolist(), side.instance.tolist(), strict=True)):
        if category in classes:
            key = (category, instance if stuff_has_instances or category in THINGS else VOID)
            points_of_segment.setdefault(key, set()).add(point)
    return points_of_segment


def plain_strict(prediction: Labels, truth: Labels, threshold: float) -> Counts:
    """Twin of `strict`: one-to-one pairs of greatest total IoU, void truth left out of unions."""
    predicted = segments_of(prediction, False, EVALUATED | {CLUTTER})
    true = segments_of(truth, False, EVALUATED)
    void = set(range(len(truth.category))) - set().union(*true.values())
    candidates = {
        (p, t): len(predicted[p] & true[t]) / (len(predicted[p] | true[t]) - len(predicted[p] & void))
        for p in predicted
        for t in true
        if p[0] == t[0] and predicted[p] & true[t]
    }
    candidates = {pair: iou for pair, iou in candidates.items() if iou > threshold}
    matched = optimal_assignment(candidates)
    counts = Counts()
    for (_, t), iou in matched.items():
        counts.iou_sum[t[0]] += iou
        counts.tp[t[0]] += 1
    for t in set(true) - {t for _, t in matched}:
        counts.fn[t[0]] += 1
    for p in set(predicted) - {p for p, _ in matched}:
        if p[0] in EVALUATED and len(predicted[p] & void) <= 0.5 * len(predicted[p]):
            counts.fp[p[0]] += 1
    return counts


def optimal_assignment(
    candidates: dict[tuple[SegmentKey, SegmentKey], float],
) -> dict[tuple[SegmentKey, SegmentKey], float]:
    """Of all one-to-one assignments that of greatest total IoU, then of most pairs: by trying them all."""
    matched: dict[tuple[SegmentKey, SegmentKey], float] = {}
    for category in range(len(CLASSES)):
        pairs = [pair for pair in candidates if pair[1][0] == category]
        assignments = (
            subset
            for count in range(len(pairs) + 1)
            for subset in combinations(pairs, count)
            if len({p for p, _ in subset}) == count == len({t for _, t in subset})
        )
        best = max(assignments, key=lambda subset: (round(sum(candidates[pair] for pair in subset), 9), len(subset)))
        matched |= {pair: candidates[pair] for pair in best}
    return matched


def plain_remapped(prediction: Labels, truth: Labels, threshold: float) -> Counts:
    """Twin of `panopticrecon` and `pvlff`: every pair above the threshold matches, segments after remapping of ids."""
    predicted, true = remapped(prediction), remapped(truth)
    void = set(range(len(truth.category))) - set().union(*(points for _, points in true))
    counts = Counts()
    matched_true, matched_predicted = set(), set()
    for p, (category, points) in enumerate(predicted):
        for t, (other_category, others) in enumerate(true):
            iou = len(points & others) / (len(points | others) - len(points & void)) if points & others else 0.0
            if category == other_category and iou > threshold:
                counts.iou_sum[category] += iou
                counts.tp[category] += 1
                matched_predicted.add(p)
                matched_true.add(t)
    for t, (category, _) in enumerate(true):
        counts.fn[category] += t not in matched_true
    for p, (category, points) in enumerate(predicted):
        counts.fp[category] += p not in matched_predicted and len(points & void) <= 0.5 * len(points)
    return counts


def remapped(side: Labels) -> list[tuple[int, set[int]]]:
    """Class and points of every remapped segment: point by point, ids overwritten in place as in the scripts."""
    category, instance = side.category.tolist(), side.instance.tolist()
    new_id = max(instance) + 1
    ids = sorted(set(instance) - {VOID})
    new_instance = list(instance)
    for c in sorted(EVALUATED):
        without_instance = [
            point for point in range(len(new_instance)) if instance[point] == VOID and category[point] == c
        ]
        for point in without_instance:
            new_instance[point] = new_id
        new_id += bool(without_instance)
    stuff_id: dict[int, int] = {}
    for i in ids:
        points = [point for point in range(len(new_instance)) if instance[point] == i]
        c = most_common([category[point] for point in points])
        if c not in EVALUATED:
            target = VOID
        elif c in THINGS:
            target = i
        else:
            target = stuff_id.setdefault(c, i)
        for point in points:
            new_instance[point] = target
    groups: dict[int, set[int]] = {}
    for point, i in enumerate(new_instance):
        if i != VOID:
            groups.setdefault(i, set()).add(point)
    return [(most_common([category[point] for point in points]), points) for points in groups.values()]


def most_common(values: list[int]) -> int:
    """The most frequent class, each id without one a class of its own; of equals that of the least id."""
    counts = Counter(values)
    most = [value for value in counts if counts[value] == max(counts.values())]
    return min(most, key=lambda value: value + 1 if value > VOID else VOID - value)


def plain_panoptic_lifting(prediction: Labels, truth: Labels, threshold: float) -> tuple[Counts, set[int]]:
    """Twin of `panoptic_lifting`, and the classes it averages: void on either side left out of unions."""
    labelled = [point for point, category in enumerate(truth.category.tolist()) if category > VOID]
    sides = [Labels(side.category[labelled], side.instance[labelled]) for side in (prediction, truth)]
    shares = [Counter(side.category.tolist()) for side in sides]
    classes = {c for c in EVALUATED if shares[0][c] + shares[1][c]}
    classes -= {c for share in shares for c in share if share[c] / len(labelled) < 0.005}
    predicted, true = (segments_of(side, False, classes) for side in sides)
    everything = set(range(len(labelled)))
    void_true, void_predicted = (everything - set().union(*segments.values()) for segments in (true, predicted))
    counts = Counts()
    matched_true, matched_predicted = set(), set()
    for p, points in predicted.items():
        for t, others in true.items():
            if p[0] != t[0] or not points & others:
                continue
            area = len(points - void_true) + len(others - void_predicted) - len(points & others)
            if len(points & others) / area > threshold:
                counts.iou_sum[p[0]] += len(points & others) / area
                counts.tp[p[0]] += 1
                matched_true.add(t)
                matched_predicted.add(p)
    for t, others in true.items():
        counts.fn[t[0]] += t not in matched_true and len(others & void_predicted) <= 0.5 * len(others)
    for p, points in predicted.items():
        counts.fp[p[0]] += p not in matched_predicted and len(points & void_true) <= 0.5 * len(points)
    return counts, classes


def plain_panogs(prediction: Labels, truth: Labels, threshold: float) -> Counts:
    """Twin of `panogs`: greedy in the order of true ids, instances of stuff count."""
    predicted, true = (segments_of(side, True, EVALUATED) for side in (prediction, truth))
    counts = Counts()
    unmatched = dict(sorted(predicted.items()))
    for t, others in sorted(true.items()):
        best, best_iou = None, 0.0
        for p, points in unmatched.items():
            iou = len(points & others) / len(points | others)
            if p[0] == t[0] and iou > best_iou:
                best, best_iou = p, iou
        if best is not None and best_iou > threshold:
            counts.tp[t[0]] += 1
            counts.iou_sum[t[0]] += best_iou
            del unmatched[best]
        else:
            counts.fn[t[0]] += 1
    for p in unmatched:
        counts.fp[p[0]] += 1
    return counts


def plain_lidar(prediction: Labels, truth: Labels, threshold: float, min_points: int) -> Counts:
    """Twin of `lidar`: points of evaluated truth only, small segments neither false nor missed."""
    scored = [point for point, category in enumerate(truth.category.tolist()) if category in EVALUATED]
    sides = (Labels(side.category[scored], side.instance[scored]) for side in (prediction, truth))
    predicted, true = (segments_of(side, False, EVALUATED) for side in sides)
    counts = Counts()
    matched_true, matched_predicted = set(), set()
    for p, points in predicted.items():
        for t, others in true.items():
            iou = len(points & others) / len(points | others)
            if p[0] == t[0] and iou > threshold:
                counts.tp[p[0]] += 1
                counts.iou_sum[p[0]] += iou
                matched_true.add(t)
                matched_predicted.add(p)
    for t, others in true.items():
        counts.fn[t[0]] += t not in matched_true and len(others) >= min_points
    for p, points in predicted.items():
        counts.fp[p[0]] += p not in matched_predicted and len(points) >= min_points
    return counts


@st.composite
def label_pairs(draw: st.DrawFn, void: bool = True, highest: int = 2**31) -> tuple[Labels, Labels]:
    """A predicted and a true labelling of the same points, often similar, with instances on stuff or all void.

    With void there may be points of the ids 6 and 9, which the table does not list.
    """
    seed, count = draw(st.integers(0, 2**32 - 1)), draw(st.integers(1, 80))
    highest_id = draw(st.sampled_from([1, 3, highest]))
    only_class = draw(st.sampled_from([None, None, None, WALL, CHAIR]))
    rng = np.random.default_rng(seed)
    lowest = VOID if void else 0
    voids = draw(st.sampled_from([[VOID], [VOID, VOID - 6, VOID - 9]]))

    def random() -> Labels:
        category = rng.integers(lowest, len(CLASSES), count)
        category = np.where(category == VOID, rng.choice(voids, count), category if only_class is None else only_class)
        return Labels(category, rng.choice([lowest, 0, highest_id // 2, highest_id], count))

    truth, other = random(), random()
    is_same = rng.random(count) < draw(st.sampled_from([0.0, 0.6, 0.9, 1.0]))
    sides = ((truth.category, other.category), (truth.instance, other.instance))
    prediction = Labels(*(np.where(is_same, a, b) for a, b in sides))
    if void and draw(st.integers(0, 9)) == 0:
        prediction = labels((count, VOID, VOID))
    return prediction, truth
