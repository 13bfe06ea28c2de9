"""Laws of the outcomes at the points of a LiDAR scan."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from panrecon.evaluation.lidar import PointOutcome, point_outcomes
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
MIN_POINTS = 4


def scan() -> Labels:
    """40 points of road, a car of 10, another of 8, a bus of 3, and 5 points of nothing."""
    category = np.repeat([ROAD, CAR, CAR, BUS, VOID], [40, 10, 8, 3, 5])
    return Labels(category, np.repeat([VOID, 1, 2, 3, VOID], [40, 10, 8, 3, 5]))


def outcomes(prediction: Labels, truth: Labels) -> list[PointOutcome]:
    return [PointOutcome(value) for value in point_outcomes(prediction, truth, CLASSES, MIN_POINTS)]


def changed(labels: Labels, where: slice, category: int, instance: int) -> Labels:
    new = Labels(labels.category.copy(), labels.instance.copy())
    new.category[where], new.instance[where] = category, instance
    return new


def test_the_truth_is_correct_wherever_there_is_one() -> None:
    assert outcomes(scan(), scan()) == [PointOutcome.CORRECT] * 61 + [PointOutcome.UNSCORED] * 5


def test_points_without_prediction_are_missed() -> None:
    void = Labels(np.full(66, VOID), np.full(66, VOID))
    assert outcomes(void, scan()) == [PointOutcome.MISSED] * 61 + [PointOutcome.UNSCORED] * 5


def test_a_car_called_road_is_missed_and_road_called_car_is_false() -> None:
    assert outcomes(changed(scan(), slice(40, 50), ROAD, VOID), scan())[38:52] == [
        *[PointOutcome.CORRECT] * 2,
        *[PointOutcome.MISSED] * 10,
        *[PointOutcome.CORRECT] * 2,
    ]
    assert outcomes(changed(scan(), slice(0, 10), CAR, 9), scan())[:12] == [
        *[PointOutcome.FALSE] * 10,
        *[PointOutcome.CORRECT] * 2,
    ]


def test_a_car_called_bus_is_false_and_so_is_what_a_car_takes_of_its_neighbour() -> None:
    assert outcomes(changed(scan(), slice(40, 50), BUS, 9), scan())[40:51] == [
        *[PointOutcome.FALSE] * 10,
        PointOutcome.CORRECT,
    ]
    assert outcomes(changed(scan(), slice(36, 40), CAR, 1), scan())[34:41] == [
        *[PointOutcome.CORRECT] * 2,
        *[PointOutcome.FALSE] * 4,
        PointOutcome.CORRECT,
    ]


def test_classes_that_are_not_evaluated_are_not_scored() -> None:
    truth = changed(scan(), slice(0, 5), ODD, VOID)
    assert outcomes(scan(), truth)[:6] == [PointOutcome.UNSCORED] * 5 + [PointOutcome.CORRECT]


@pytest.mark.parametrize("seed", range(5))
def test_correct_points_are_those_that_matched_pairs_share(seed: int) -> None:
    """Whatever the instances are."""
    rng = np.random.default_rng(seed)
    truth = Labels(np.repeat(rng.integers(VOID, 3, 12), 20), np.repeat(rng.integers(0, 4, 12), 20))
    noise = rng.random(240) < 0.25
    prediction = Labels(
        np.where(noise, rng.integers(VOID, 3, 240), truth.category), np.where(noise, 7, truth.instance + 10)
    )
    outcome = point_outcomes(prediction, truth, CLASSES, MIN_POINTS)
    matching = parse_protocol("lidar", MIN_POINTS).match(overlap(prediction, truth), CLASSES)
    pairs, intersections = matching.matched, matching.intersections
    shared = [
        intersections.area[(intersections.predicted_index == p) & (intersections.true_index == t)].sum()
        for p, t in zip(pairs.predicted_index, pairs.true_index, strict=True)
    ]
    assert np.count_nonzero(outcome == PointOutcome.CORRECT) == sum(shared) > 0
    assert_array_equal(outcome == PointOutcome.UNSCORED, truth.category == VOID)
    renamed = Labels(prediction.category, 1000 - prediction.instance)
    assert_array_equal(point_outcomes(renamed, truth, CLASSES, MIN_POINTS), outcome)
