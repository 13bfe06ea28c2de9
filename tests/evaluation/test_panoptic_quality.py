"""Strict panoptic quality: known answers, laws, and a slow plain twin."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from torchmetrics.functional.detection import panoptic_quality as torchmetrics_quality

from panrecon.evaluation.panoptic_quality import (
    PanopticStatistics,
    match,
    panoptic_quality,
    panoptic_statistics,
)
from panrecon.structures import VOID, Category, CategoryTable, Labels

WALL, FLOOR, CHAIR, TABLE, CLUTTER = range(5)
TABLE_OF_CLASSES = CategoryTable(
    (
        Category(1, "wall", thing=False),
        Category(2, "floor", thing=False),
        Category(3, "chair", thing=True),
        Category(4, "table", thing=True),
        Category(5, "clutter", thing=True, evaluated=False),
    )
)


def labels(*runs: tuple[int, int, int]) -> Labels:
    """Runs of (points, category, instance)."""
    category, instance = (np.concatenate([np.full(run[0], run[i], np.int32) for run in runs]) for i in (1, 2))
    return Labels(category, instance)


def statistics(prediction: Labels, truth: Labels) -> PanopticStatistics:
    return panoptic_statistics(match(prediction, truth, TABLE_OF_CLASSES), TABLE_OF_CLASSES)


def plain_statistics(prediction: Labels, truth: Labels, table: CategoryTable) -> PanopticStatistics:
    """The definition, set by set."""

    def segments(side: Labels, keep: list[bool]) -> dict[tuple[int, int], set[int]]:
        result: dict[tuple[int, int], set[int]] = {}
        for point, (category, instance) in enumerate(zip(side.category, side.instance, strict=True)):
            if category != VOID and keep[category]:
                key = (int(category), int(instance) if table[category].thing else VOID)
                result.setdefault(key, set()).add(point)
        return result

    evaluated = [category.evaluated for category in table]
    true, predicted = segments(truth, evaluated), segments(prediction, [True] * len(table))
    void = set(range(len(truth.category))) - set().union(*true.values())
    iou_sum, tp, fp, fn = (np.zeros(len(table)) for _ in range(4))
    matched_true, matched_predicted = set(), set()
    for p, points in predicted.items():
        for t, other in true.items():
            iou = len(points & other) / (len(points | other) - len(points & void))
            if p[0] == t[0] and iou > 0.5:
                iou_sum[p[0]] += iou
                tp[p[0]] += 1
                matched_true.add(t)
                matched_predicted.add(p)
    for t in set(true) - matched_true:
        fn[t[0]] += 1
    for p in set(predicted) - matched_predicted:
        if evaluated[p[0]] and len(predicted[p] & void) <= 0.5 * len(predicted[p]):
            fp[p[0]] += 1
    return PanopticStatistics(iou_sum, tp.astype(int), fp.astype(int), fn.astype(int))


@st.composite
def label_pairs(draw: st.DrawFn, void: bool = True) -> tuple[Labels, Labels]:
    """Two labellings of the same points, often of the same objects."""
    seed, count = draw(st.integers(0, 2**32 - 1)), draw(st.integers(1, 80))
    highest_id = draw(st.sampled_from([1, 3, 2**31 - 1]))
    rng = np.random.default_rng(seed)
    lowest = VOID if void else 0

    def random() -> Labels:
        category = rng.integers(lowest, len(TABLE_OF_CLASSES), count).astype(np.int32)
        instance = rng.choice([0, highest_id // 2, highest_id], count)
        return Labels(category, np.where(category >= CHAIR, instance, VOID).astype(np.int64))

    truth, other = random(), random()
    keep = rng.random(count) < draw(st.sampled_from([0.0, 0.6, 0.9, 1.0]))
    mixed = Labels(
        *(np.where(keep, a, b) for a, b in ((truth.category, other.category), (truth.instance, other.instance)))
    )
    return mixed, truth


@settings(max_examples=300, deadline=None)
@given(label_pairs())
def test_equals_the_plain_definition(pair: tuple[Labels, Labels]) -> None:
    fast, plain = statistics(*pair), plain_statistics(*pair, TABLE_OF_CLASSES)
    for name in ("iou_sum", "true_positives", "false_positives", "false_negatives"):
        assert_allclose(getattr(fast, name), getattr(plain, name), atol=1e-12)


@settings(max_examples=50, deadline=None)
@given(label_pairs(void=False))
def test_agrees_with_torchmetrics_where_nothing_is_void(pair: tuple[Labels, Labels]) -> None:
    prediction, truth = (
        Labels(np.where(side.category == CLUTTER, TABLE, side.category), side.instance % 1000) for side in pair
    )
    stacked = [
        torch.from_numpy(np.stack([s.category, s.instance + 1], axis=-1).astype(np.int64)) for s in (prediction, truth)
    ]
    expected = torchmetrics_quality(
        stacked[0][None], stacked[1][None], things={CHAIR, TABLE}, stuffs={WALL, FLOOR}, return_per_class=True
    )
    quality = np.nan_to_num(panoptic_quality(statistics(prediction, truth)).pq[:CLUTTER])
    order = [CHAIR, TABLE, WALL, FLOOR]
    assert_allclose(quality[order], expected.numpy().ravel(), atol=1e-6)


@settings(max_examples=50, deadline=None)
@given(label_pairs(), st.randoms(use_true_random=False))
def test_neither_names_of_instances_nor_order_of_points_matter(pair: tuple[Labels, Labels], random: object) -> None:
    prediction, truth = pair
    rng = np.random.default_rng(len(prediction.category))
    order = rng.permutation(len(prediction.category))
    renamed = np.where(prediction.instance == VOID, VOID, 2**31 - 1 - prediction.instance)
    changed = statistics(
        Labels(prediction.category[order], renamed[order]), Labels(truth.category[order], truth.instance[order])
    )
    assert_allclose(changed.iou_sum, statistics(prediction, truth).iou_sum, atol=1e-12)


def test_perfect_prediction_scores_one() -> None:
    truth = labels((50, WALL, VOID), (20, CHAIR, 0), (30, CHAIR, 7))
    assert panoptic_quality(statistics(truth, truth)).mean() == {"pq": 1, "sq": 1, "rq": 1}


@pytest.mark.parametrize("flip", [False, True], ids=["one object in two pieces", "two objects in one"])
def test_sixty_forty(flip: bool) -> None:
    whole, pieces = labels((100, CHAIR, 0)), labels((60, CHAIR, 1), (40, CHAIR, 2))
    quality = panoptic_quality(statistics(*((whole, pieces) if flip else (pieces, whole)))).mean()
    assert_allclose([quality["rq"], quality["pq"]], [2 / 3, 0.4])


def test_stuff_is_one_segment_whatever_its_ids() -> None:
    truth, prediction = labels((100, WALL, VOID)), labels((50, WALL, VOID), (50, WALL, 4))
    assert panoptic_quality(statistics(prediction, truth)).mean()["pq"] == 1


def test_what_is_left_void_is_missed() -> None:
    truth, prediction = labels((100, CHAIR, 0)), labels((40, CHAIR, 0), (60, VOID, VOID))
    assert panoptic_quality(statistics(prediction, truth)).mean()["pq"] == 0
    assert panoptic_quality(statistics(labels((100, VOID, VOID)), truth)).mean()["pq"] == 0


def test_true_void_is_no_error() -> None:
    truth, prediction = labels((60, CHAIR, 0), (40, VOID, VOID)), labels((100, CHAIR, 0))
    assert panoptic_quality(statistics(prediction, truth)).mean()["pq"] == 1


def test_an_absent_class_does_not_count() -> None:
    truth = labels((100, WALL, VOID))
    quality = panoptic_quality(statistics(truth, truth))
    assert np.isnan(quality.pq[CHAIR])
    assert quality.mean()["pq"] == 1


def test_scenes_add() -> None:
    one, other = labels((10, CHAIR, 0)), labels((10, CHAIR, 0), (5, WALL, VOID))
    total = statistics(one, one) + statistics(other, other)
    assert total.true_positives.tolist() == [1, 0, 2, 0, 0]


def test_right_points_lie_in_matched_pairs() -> None:
    truth, prediction = labels((100, CHAIR, 0)), labels((60, CHAIR, 3), (40, CHAIR, 4))
    assert match(prediction, truth, TABLE_OF_CLASSES).is_matched.sum() == 60
