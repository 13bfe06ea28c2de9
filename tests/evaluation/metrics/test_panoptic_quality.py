"""From counts to quality: known answers and sums over scenes."""

import numpy as np
from numpy.testing import assert_allclose

from panrecon.evaluation.metrics.panoptic_quality import PanopticStatistics, panoptic_quality, sum_statistics

ONE_OF_TWO = PanopticStatistics(
    np.array([0.8, 0.0, 0.0]),
    np.array([1, 0, 0]),
    np.array([1, 2, 0]),
    np.array([0, 0, 0]),
    np.array([True, True, False]),
)


def test_known_answer() -> None:
    quality = panoptic_quality(ONE_OF_TWO)
    assert_allclose([quality.sq[0], quality.rq[0], quality.pq[0]], [0.8, 2 / 3, 1.6 / 3])
    assert_allclose([quality.sq[1], quality.rq[1], quality.pq[1]], 0)


def test_means_are_over_the_counted_classes() -> None:
    quality = panoptic_quality(ONE_OF_TWO)
    assert_allclose(quality.mean()["pq"], 0.8 / 3)
    assert_allclose(quality.mean(np.array([True, False, True]))["pq"], 1.6 / 3)
    assert np.isnan(quality.mean(np.array([False, False, True]))["pq"])


def test_a_counted_class_without_segments_counts_as_nothing() -> None:
    none = np.zeros(1, int)
    nothing = PanopticStatistics(np.zeros(1), none, none, none, np.array([True]))
    assert panoptic_quality(nothing).mean()["pq"] == 0


def test_scenes_add() -> None:
    other = PanopticStatistics(
        np.array([0.0, 0.0, 0.5]), np.array([0, 0, 1]), np.zeros(3, int), np.array([1, 0, 0]), np.array([False] * 3)
    )
    total = sum_statistics([ONE_OF_TWO, other, other])
    assert total.iou_sum.tolist() == [0.8, 0, 1.0]
    assert total.false_negatives.tolist() == [2, 0, 0]
    assert total.is_counted.tolist() == [True, True, False]
