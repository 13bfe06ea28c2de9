"""Verdicts on the points of a LiDAR scan."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from panrecon.evaluation.lidar import Verdict, verdicts
from panrecon.evaluation.overlap import overlap
from panrecon.evaluation.protocols import parse_protocol
from panrecon.structures import VOID, Category, CategoryTable, Labels

CAR, ROAD, BUS, ODD = range(4)
CLASSES = CategoryTable(
    (
        Category(1, "car", thing=True),
        Category(2, "road", thing=False),
        Category(3, "bus", thing=True),
        Category(4, "odd", thing=False, evaluated=False),
    )
)
LEAST = 4


def scan() -> Labels:
    """40 points of road, a car of 10, another of 8, a bus of 3, and 5 points of nothing."""
    category = np.repeat([ROAD, CAR, CAR, BUS, VOID], [40, 10, 8, 3, 5])
    return Labels(category, np.repeat([VOID, 1, 2, 3, VOID], [40, 10, 8, 3, 5]))


def judged(prediction: Labels, truth: Labels) -> list[Verdict]:
    return [Verdict(value) for value in verdicts(prediction, truth, CLASSES, LEAST)]


def changed(labels: Labels, where: slice, category: int, instance: int) -> Labels:
    new = Labels(labels.category.copy(), labels.instance.copy())
    new.category[where], new.instance[where] = category, instance
    return new


def test_the_truth_is_right_wherever_there_is_one() -> None:
    assert judged(scan(), scan()) == [Verdict.RIGHT] * 61 + [Verdict.UNSCORED] * 5


def test_what_nobody_says_anything_of_is_missed() -> None:
    silent = Labels(np.full(66, VOID), np.full(66, VOID))
    assert judged(silent, scan()) == [Verdict.MISSED] * 61 + [Verdict.UNSCORED] * 5


def test_a_car_called_road_is_missed_and_road_called_car_is_false() -> None:
    assert judged(changed(scan(), slice(40, 50), ROAD, VOID), scan())[38:52] == [
        *[Verdict.RIGHT] * 2,
        *[Verdict.MISSED] * 10,
        *[Verdict.RIGHT] * 2,
    ]
    assert judged(changed(scan(), slice(0, 10), CAR, 9), scan())[:12] == [Verdict.FALSE] * 10 + [Verdict.RIGHT] * 2


def test_a_car_called_bus_is_false_and_so_is_what_a_car_takes_of_its_neighbour() -> None:
    assert judged(changed(scan(), slice(40, 50), BUS, 9), scan())[40:51] == [Verdict.FALSE] * 10 + [Verdict.RIGHT]
    assert judged(changed(scan(), slice(36, 40), CAR, 1), scan())[34:41] == [
        *[Verdict.RIGHT] * 2,
        *[Verdict.FALSE] * 4,
        Verdict.RIGHT,
    ]


def test_classes_that_are_not_evaluated_are_not_scored() -> None:
    truth = changed(scan(), slice(0, 5), ODD, VOID)
    assert judged(scan(), truth)[:6] == [Verdict.UNSCORED] * 5 + [Verdict.RIGHT]


@pytest.mark.parametrize("seed", range(5))
def test_points_are_right_as_often_as_the_score_says(seed: int) -> None:
    """Matched pairs share just the right points, whatever objects are called."""
    rng = np.random.default_rng(seed)
    truth = Labels(np.repeat(rng.integers(VOID, 3, 12), 20), np.repeat(rng.integers(0, 4, 12), 20))
    noise = rng.random(240) < 0.25
    prediction = Labels(
        np.where(noise, rng.integers(VOID, 3, 240), truth.category), np.where(noise, 7, truth.instance + 10)
    )
    found = verdicts(prediction, truth, CLASSES, LEAST)
    matching = parse_protocol("lidar", LEAST).match(overlap(prediction, truth), CLASSES)
    pairs, crossing = matching.matched, matching.crossing
    shared = [
        crossing.area[(crossing.prediction == p) & (crossing.truth == t)].sum()
        for p, t in zip(pairs.prediction, pairs.truth, strict=True)
    ]
    assert np.count_nonzero(found == Verdict.RIGHT) == sum(shared) > 0
    assert_array_equal(found == Verdict.UNSCORED, truth.category == VOID)
    renamed = Labels(prediction.category, 1000 - prediction.instance)
    assert_array_equal(verdicts(renamed, truth, CLASSES, LEAST), found)
