"""Instance AP: ScanNet's script, loop by loop, known answers, and what must hold whatever the labels."""

from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from panrecon.evaluation.metrics import instance_ap
from panrecon.evaluation.metrics.instance_ap import MIN_REGION, AveragePrecision, average_precision
from panrecon.evaluation.overlap import overlap
from panrecon.structures import VOID, Labels
from tests.evaluation.plain import CHAIR, CLASSES, EVALUATED, TABLE, THINGS, WALL, label_pairs, labels, segments_of

VALID = EVALUATED & THINGS


def precision(
    prediction: Labels, truth: Labels, confidence: dict[int, float] | None = None, min_region: int = MIN_REGION
) -> AveragePrecision:
    with patch.object(instance_ap, "MIN_REGION", min_region):
        return average_precision(overlap(prediction, truth), CLASSES, confidence or {})


def plain_precision(
    prediction: Labels, truth: Labels, confidence: dict[int, float], category: int, threshold: float, min_region: int
) -> float:
    """evaluate_matches of the script for one class and threshold; regions without instance are its groups."""
    true, predicted = segments_of(truth, False, VALID), segments_of(prediction, False, VALID)
    void = {point for point, c in enumerate(truth.category.tolist()) if c not in VALID}
    regions = {key: points for key, points in true.items() if key[0] == category}
    masks = {
        key: points
        for key, points in predicted.items()
        if key[0] == category and key[1] != VOID and len(points) >= min_region
    }
    objects = {key: points for key, points in regions.items() if key[1] != VOID and len(points) >= min_region}
    if not objects:
        return np.nan
    visited = dict.fromkeys(masks, False)
    y_true: list[int] = []
    y_score: list[float] = []
    hard_false_negatives = 0
    for _, points in sorted(objects.items()):
        score = None
        for p, mask in sorted(masks.items()):
            if visited[p] or not mask & points or len(mask & points) / len(mask | points) <= threshold:
                continue
            own_confidence = confidence.get(p[1], 1.0)
            if score is not None:
                y_true.append(0)
                y_score.append(min(score, own_confidence))
                score = max(score, own_confidence)
            else:
                score = own_confidence
                visited[p] = True
        if score is None:
            hard_false_negatives += 1
        else:
            y_true.append(1)
            y_score.append(score)
    for p, mask in masks.items():
        if any(len(mask & points) / len(mask | points) > threshold for points in regions.values()):
            continue
        ignored = len(mask & void)
        for key, points in regions.items():
            if key not in objects:
                ignored += len(mask & points)
        if ignored / len(mask) <= threshold:
            y_true.append(0)
            y_score.append(confidence.get(p[1], 1.0))
    return plain_area(y_true, y_score, hard_false_negatives)


def plain_area(y_true: list[int], y_score: list[float], hard_false_negatives: int) -> float:
    precisions, recalls = [], []
    for threshold in sorted(set(y_score)):
        tp = sum(right for right, score in zip(y_true, y_score, strict=True) if score >= threshold)
        accepted = sum(score >= threshold for score in y_score)
        precisions.append(tp / accepted)
        recalls.append(tp / (sum(y_true) + hard_false_negatives))
    precisions.append(1.0)
    recalls.append(0.0)
    steps = np.convolve([recalls[0], *recalls, 0.0], [-0.5, 0, 0.5], "valid")
    return float(np.dot(precisions, steps))


@st.composite
def pieces(draw: st.DrawFn) -> tuple[Labels, Labels]:
    """A line of points cut into objects, anew for either side: objects in pieces, pieces over several objects."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))

    def random(cuts: int) -> Labels:
        piece = np.searchsorted(np.sort(rng.integers(0, 100, cuts)), np.arange(100), side="right")
        category = rng.choice([CHAIR, CHAIR, CHAIR, TABLE, VOID], cuts + 1)[piece]
        return Labels(category, rng.choice([0, 1, 2**30, 2**31, 3, 7, 8, 9], cuts + 1, replace=False)[piece])

    return random(draw(st.integers(1, 7))), random(draw(st.integers(1, 4)))


PAIRS = st.one_of(label_pairs(), pieces(), pieces())
CONFIDENCES = st.fixed_dictionaries({}, optional={i: st.sampled_from([0.2, 0.5, 0.9]) for i in (0, 1, 3, 2**30, 2**31)})


@settings(max_examples=300, deadline=None)
@given(PAIRS, CONFIDENCES, st.sampled_from([1, 5, 10]))
def test_equals_the_script(pair: tuple[Labels, Labels], confidence: dict[int, float], min_region: int) -> None:
    actual = precision(*pair, confidence, min_region)

    def expected(threshold: float) -> list[float]:
        rows = range(len(CLASSES))
        return [plain_precision(*pair, confidence, row, threshold, min_region) for row in rows]

    assert_allclose(actual.ap, np.mean([expected(t) for t in np.arange(0.5, 0.95, 0.05)], axis=0), atol=1e-12)
    assert_allclose(actual.ap50, expected(0.5), atol=1e-12)
    assert_allclose(actual.ap25, expected(0.25), atol=1e-12)


@settings(max_examples=100, deadline=None)
@given(PAIRS, CONFIDENCES, st.integers(0, 2**32 - 1))
def test_neither_numbers_of_instances_nor_order_of_points_matter(
    pair: tuple[Labels, Labels], confidence: dict[int, float], seed: int
) -> None:
    """Not even the order of numbers, but for AP25 (its matching is greedy)."""
    order = np.random.default_rng(seed).permutation(len(pair[0].category))
    renamed = [Labels(s.category[order], np.where(s.instance == VOID, VOID, 2**31 - s.instance)[order]) for s in pair]
    actual = precision(*pair, confidence, 1)
    other = precision(renamed[0], renamed[1], {2**31 - i: c for i, c in confidence.items()}, 1)
    assert_allclose(other.ap, actual.ap, atol=1e-12)
    assert_allclose(other.ap50, actual.ap50, atol=1e-12)


@settings(max_examples=100, deadline=None)
@given(PAIRS, CONFIDENCES)
def test_truth_itself_is_perfect(pair: tuple[Labels, Labels], confidence: dict[int, float]) -> None:
    actual = precision(pair[1], pair[1], confidence, 1)
    for values in (actual.ap, actual.ap50, actual.ap25):
        assert_allclose(values[~np.isnan(values)], 1)


@settings(max_examples=100, deadline=None)
@given(PAIRS, CONFIDENCES)
def test_lies_between_0_and_1(pair: tuple[Labels, Labels], confidence: dict[int, float]) -> None:
    actual = precision(*pair, confidence, 3)
    for values in (actual.ap, actual.ap50, actual.ap25):
        assert ((values >= 0) & (values <= 1) | np.isnan(values)).all()


def test_half_of_the_objects_found_is_half() -> None:
    truth = labels((100, CHAIR, 1), (100, CHAIR, 2))
    actual = precision(labels((100, CHAIR, 1), (100, VOID, VOID)), truth)
    assert_allclose([actual.ap[CHAIR], actual.ap50[CHAIR], actual.ap25[CHAIR]], 0.5)
    assert np.isnan(actual.ap[TABLE])
    assert_allclose(actual.mean()["ap"], 0.5)


def test_iou_of_07_counts_at_four_of_nine_thresholds() -> None:
    """0.50, 0.55, 0.60, 0.65: the script's 0.70 is 0.7000000000000002."""
    actual = precision(labels((140, CHAIR, 1), (60, VOID, VOID)), labels((200, CHAIR, 1)))
    assert_allclose([actual.ap[CHAIR], actual.ap50[CHAIR]], [4 / 9, 1])


@pytest.mark.parametrize(("false", "expected"), [(0.1, 1.0), (0.5, 0.75), (0.9, 0.25)])
def test_a_false_object_costs_only_if_it_is_not_less_certain_than_the_right_one(false: float, expected: float) -> None:
    """The script shares the step of recall to its artificial last point, so that a half is left of 0.5 and of 1."""
    truth = labels((100, CHAIR, 1), (100, TABLE, 2))
    prediction = labels((100, CHAIR, 1), (100, CHAIR, 2))
    assert_allclose(precision(prediction, truth, {1: 0.5, 2: false}).ap50[CHAIR], expected)


def test_nothing_predicted_is_0_and_no_truth_is_nan() -> None:
    truth, nothing = labels((100, CHAIR, 1)), labels((100, VOID, VOID))
    assert_allclose(precision(nothing, truth).mean()["ap25"], 0)
    assert np.isnan(precision(truth, nothing).mean()["ap25"])


def test_of_two_predictions_on_one_object_the_less_certain_is_false() -> None:
    truth = labels((300, CHAIR, 1))
    prediction = labels((100, CHAIR, 1), (100, CHAIR, 2), (100, CHAIR, 3))
    assert_allclose(precision(prediction, truth, {1: 0.3, 2: 0.9, 3: 0.5}).ap25[CHAIR], 1)
    assert_allclose(precision(prediction, truth).ap25[CHAIR], (1 / 3 + 1) / 2)


def test_one_prediction_matches_one_object_only() -> None:
    truth = labels((100, CHAIR, 1), (100, CHAIR, 2))
    assert_allclose(precision(labels((200, CHAIR, 1)), truth).ap25[CHAIR], 0.5)


@pytest.mark.parametrize("false", [(100, VOID, VOID), (100, WALL, VOID), (99, CHAIR, 5), (100, CHAIR, VOID)])
def test_predictions_on_void_stuff_small_regions_or_no_instance_are_not_false(false: tuple[int, int, int]) -> None:
    truth = labels((100, CHAIR, 1), false)
    prediction = labels((100, CHAIR, 1), (false[0], CHAIR, 2))
    assert_allclose(precision(prediction, truth).ap[CHAIR], 1)


def test_a_prediction_on_another_class_is_false_however_small_the_region() -> None:
    truth = labels((200, CHAIR, 1), (99, TABLE, 2), (1, VOID, VOID))
    assert_allclose(precision(labels((200, CHAIR, 1), (100, CHAIR, 2)), truth).ap[CHAIR], 0.75)
