"""Coverage: known answers, slow plain twins, and what must hold whatever the labels."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from panrecon.evaluation.metrics.coverage import Coverage, coverage, remapped_coverage
from panrecon.evaluation.overlap import overlap
from panrecon.structures import VOID, Labels
from tests.evaluation.plain import (
    CHAIR,
    CLASSES,
    CLUTTER,
    EVALUATED,
    TABLE,
    THINGS,
    WALL,
    label_pairs,
    labels,
    most_common,
    segments_of,
)

RULES = {"strict": coverage, "remapped": remapped_coverage}


def values(actual: Coverage) -> list[float]:
    return [actual.mean, actual.weighted, actual.precision, actual.recall]


def cover(prediction: Labels, truth: Labels, rule: str = "strict", threshold: float = 0.5) -> list[float]:
    return values(RULES[rule](overlap(prediction, truth), CLASSES, threshold))


def ratio(over: float, below: float) -> float:
    return over / below if below else np.nan


def summary(actual: list[tuple[float, int]], precision: float, threshold: float) -> list[float]:
    """From the IoU and area of every true object."""
    area = sum(a for _, a in actual)
    mean, weighted = ratio(sum(iou for iou, _ in actual), len(actual)), ratio(sum(iou * a for iou, a in actual), area)
    return [mean, weighted, precision, ratio(sum(iou > threshold for iou, _ in actual), len(actual))]


def plain_coverage(prediction: Labels, truth: Labels, threshold: float) -> list[float]:
    predicted, true = segments_of(prediction, False, THINGS), segments_of(truth, False, EVALUATED)
    void = set(range(len(truth.category))) - set().union(*true.values())
    actual, taken = [], set()
    for (category, _), points in sorted(true.items()):
        if category not in THINGS:
            continue
        best, most, iou = None, 0, 0.0
        for key, others in sorted(predicted.items()):
            if len(points & others) > most:
                best, most = key, len(points & others)
                iou = most / (len(points | others) - len(others & void))
        actual.append((iou, len(points)))
        if iou > threshold:
            taken.add(best)
    counted = {key for key, points in predicted.items() if len(points & void) <= 0.5 * len(points)}
    return summary(actual, ratio(len(taken & counted), len(counted)), threshold)


def plain_remapped_coverage(prediction: Labels, truth: Labels, threshold: float, with_none: bool) -> list[float]:
    """As the scripts loop: over true ids, their masks, and the predicted ids inside."""
    none = set() if with_none else {VOID}
    actual, ids_met = [], set()
    for instance in sorted(set(truth.instance.tolist()) - {VOID}):
        inside = truth.instance == instance
        if most_common(truth.category[inside].tolist()) not in EVALUATED & THINGS:
            continue
        ids_met |= set(prediction.instance[inside].tolist())
        counts = {i: np.sum(prediction.instance[inside] == i) for i in sorted(set(prediction.instance.tolist()) - none)}
        best = max(counts, key=lambda i: counts[i], default=VOID)
        common = counts.get(best, 0)
        actual.append((common / (inside.sum() + (prediction.instance == best).sum() - common), int(inside.sum())))
    return summary(actual, ratio(sum(iou > threshold for iou, _ in actual), len(ids_met)), threshold)


@settings(max_examples=300, deadline=None)
@given(label_pairs(), st.sampled_from([0.1, 0.25, 0.5]))
def test_equals_the_plain_definition(pair: tuple[Labels, Labels], threshold: float) -> None:
    assert_allclose(cover(*pair, "strict", threshold), plain_coverage(*pair, threshold), atol=1e-12)


@settings(max_examples=300, deadline=None)
@given(label_pairs(), st.sampled_from([0.1, 0.5]), st.booleans())
def test_remapped_equals_the_plain_definition(pair: tuple[Labels, Labels], threshold: float, with_none: bool) -> None:
    actual = remapped_coverage(overlap(*pair), CLASSES, threshold, with_none)
    assert_allclose(values(actual), plain_remapped_coverage(*pair, threshold, with_none), atol=1e-12)


@settings(max_examples=100, deadline=None)
@given(label_pairs(), st.integers(0, 2**32 - 1), st.sampled_from([*RULES]))
def test_neither_numbers_of_instances_nor_order_of_points_matter(
    pair: tuple[Labels, Labels], seed: int, rule: str
) -> None:
    """Renaming keeps the order of ids, by which ties are broken."""
    order = np.random.default_rng(seed).permutation(len(pair[0].category))
    renamed = [Labels(s.category[order], np.where(s.instance < 1, s.instance, s.instance + 7)[order]) for s in pair]
    assert_allclose(cover(renamed[0], renamed[1], rule), cover(*pair, rule), atol=1e-12)


@settings(max_examples=100, deadline=None)
@given(label_pairs())
def test_truth_covers_itself(pair: tuple[Labels, Labels]) -> None:
    truth = pair[1]
    actual = cover(truth, truth)
    if not set(truth.category.tolist()) & EVALUATED & THINGS:
        assert np.isnan([actual[0], actual[1], actual[3]]).all()
    else:
        assert_allclose(actual, 1)


@settings(max_examples=100, deadline=None)
@given(label_pairs(), st.sampled_from([0.0, 0.1, 0.5]))
def test_shares_lie_between_0_and_1(pair: tuple[Labels, Labels], threshold: float) -> None:
    actual = np.array(cover(*pair, "strict", threshold))
    assert (np.isnan(actual) | ((actual >= 0) & (actual <= 1))).all()


@pytest.mark.parametrize("rule", [*RULES])
def test_an_object_in_two_pieces_is_covered_by_the_greater(rule: str) -> None:
    truth = labels((10, CHAIR, 1))
    assert_allclose(cover(labels((6, CHAIR, 5), (4, CHAIR, 6)), truth, rule), [0.6, 0.6, 0.5, 1])


@pytest.mark.parametrize("rule", [*RULES])
def test_nothing_predicted_covers_nothing(rule: str) -> None:
    actual = cover(labels((10, VOID, VOID)), labels((10, CHAIR, 1)), rule)
    assert_allclose(actual, [0, 0, np.nan if rule == "strict" else 0, 0])


def test_weighs_by_true_area_whatever_the_class() -> None:
    truth = labels((30, CHAIR, 1), (10, TABLE, 2))
    prediction = labels((30, CLUTTER, 4), (10, VOID, VOID))
    assert_allclose(cover(prediction, truth), [0.5, 0.75, 1, 0.5])


def test_void_is_left_out_of_the_union_but_stuff_is_not() -> None:
    truth = labels((10, CHAIR, 1), (10, VOID, VOID), (10, WALL, VOID))
    on_void, on_wall = (
        labels((20, CHAIR, 1), (10, VOID, VOID)),
        labels((10, CHAIR, 1), (10, VOID, VOID), (10, CHAIR, 1)),
    )
    assert_allclose(cover(on_void, truth), 1)
    assert_allclose(cover(on_wall, truth), [0.5, 0.5, 0, 0])
    assert_allclose(cover(on_void, truth, "remapped"), [0.5, 0.5, 0, 0])


def test_a_prediction_on_void_is_not_false() -> None:
    truth = labels((10, CHAIR, 1), (10, VOID, VOID))
    assert_allclose(cover(labels((10, CHAIR, 1), (10, TABLE, 2)), truth), 1)


def test_one_id_on_two_objects_makes_the_released_precision_exceed_1() -> None:
    truth = labels((10, CHAIR, 1), (10, CHAIR, 2))
    assert_allclose(cover(labels((20, CHAIR, 7)), truth, "remapped", 0.1), [0.5, 0.5, 2, 1])
    assert_allclose(cover(labels((20, CHAIR, 7)), truth, "strict", 0.1), [0.5, 0.5, 1, 1])
