"""Laws of the point classifier, on clusters that can be told apart."""

import numpy as np
import pytest
import torch
from jaxtyping import Int
from numpy.testing import assert_allclose, assert_array_equal

from panrecon.config import SemanticsSettings
from panrecon.semantics.classifier import FittedClassifier, fit_classifier, predict
from panrecon.semantics.lifting import LiftedFeatures
from panrecon.structures import VOID

QUICK = SemanticsSettings(iterations=60, hidden_width=16)
CATEGORIES, GROUP_SIZE = 4, 10
Rows = Int[np.ndarray, " V"]


@pytest.fixture(scope="module")
def points() -> LiftedFeatures:
    """900 points in clusters around three corners; every 30th was seen by no frame."""
    rng = np.random.default_rng(0)
    feature = np.eye(5)[truth()] * 3 + rng.normal(size=(900, 5)) * 0.3
    seen = np.arange(900) % 30 != 0
    return LiftedFeatures((feature * seen[:, None]).astype(np.float32), seen.astype(np.float32))


def truth() -> Rows:
    """Classes 0, 1 and 3, of very different numbers of points."""
    return np.repeat(np.array([0, 1, 3], np.int32), [700, 150, 50])


def groups() -> Rows:
    return np.arange(900) // GROUP_SIZE


@pytest.fixture(scope="module")
def fitted(points: LiftedFeatures) -> FittedClassifier:
    half_labelled = np.where(np.arange(900) % 2 == 0, truth(), VOID).astype(np.int32)
    return fit_classifier(points, half_labelled, groups(), CATEGORIES, QUICK)


def test_unlabelled_points_get_the_class_of_their_cluster(fitted: FittedClassifier, points: LiftedFeatures) -> None:
    semantics = predict(fitted, points)
    seen = points.weight > 0
    assert (semantics.category[seen] == truth()[seen]).mean() > 0.99
    assert fitted.held_out_accuracy > 0.99


def test_probabilities_sum_to_one_or_are_zero_where_nothing_was_seen(
    fitted: FittedClassifier, points: LiftedFeatures
) -> None:
    semantics = predict(fitted, points)
    seen = points.weight > 0
    assert_allclose(semantics.probability.sum(axis=1), seen, atol=1e-5)
    assert (semantics.category[~seen] == VOID).all()
    assert not semantics.confidence[~seen].any()


def test_the_same_seed_gives_the_same_network(fitted: FittedClassifier, points: LiftedFeatures) -> None:
    half_labelled = np.where(np.arange(900) % 2 == 0, truth(), VOID).astype(np.int32)
    torch.manual_seed(99)  # no global chance plays a part
    again = fit_classifier(points, half_labelled, groups(), CATEGORIES, QUICK)
    assert_array_equal(predict(again, points).probability, predict(fitted, points).probability)
    other = fit_classifier(points, half_labelled, groups(), CATEGORIES, QUICK.model_copy(update={"seed": 1}))
    assert (predict(other, points).probability != predict(fitted, points).probability).any()


def test_points_without_a_feature_teach_nothing(fitted: FittedClassifier, points: LiftedFeatures) -> None:
    half_labelled = np.where(np.arange(900) % 2 == 0, truth(), VOID).astype(np.int32)
    lied = np.where(points.weight > 0, half_labelled, 2).astype(np.int32)
    again = fit_classifier(points, lied, groups(), CATEGORIES, QUICK)
    assert_array_equal(predict(again, points).probability, predict(fitted, points).probability)


def test_confidence_is_how_often_the_labels_agree(points: LiftedFeatures) -> None:
    rng, seen = np.random.default_rng(1), points.weight > 0
    for share in (0.0, 0.4):
        noisy = np.where(rng.random(900) < share, rng.integers(0, 4, 900), truth()).astype(np.int32)
        semantics = predict(fit_classifier(points, noisy, groups(), CATEGORIES, QUICK), points)
        agreement = (semantics.category == noisy)[seen].mean()
        assert abs(float(semantics.confidence[seen].mean()) - agreement) < 0.1


def test_held_out_accuracy_is_chance_where_labels_mean_nothing(points: LiftedFeatures) -> None:
    meaningless = np.random.default_rng(2).integers(0, 4, 90).repeat(GROUP_SIZE).astype(np.int32)
    assert fit_classifier(points, meaningless, groups(), CATEGORIES, QUICK).held_out_accuracy < 0.5


def test_one_class_is_said_of_everything(points: LiftedFeatures) -> None:
    one = fit_classifier(points, np.full(900, 2, np.int32), groups(), CATEGORIES, QUICK)
    assert (predict(one, points).category[points.weight > 0] == 2).all()


def test_nothing_labelled_gives_probabilities_all_the_same(points: LiftedFeatures) -> None:
    nothing = fit_classifier(points, np.full(900, VOID, np.int32), groups(), CATEGORIES, QUICK)
    semantics = predict(nothing, points)
    assert np.isfinite(semantics.probability).all()
    assert np.isnan(nothing.held_out_accuracy)
    assert nothing.temperature == 1


@pytest.mark.parametrize("seed", [0, 3])  # learnt with the first, held out with the second
def test_a_single_group_is_enough_or_simply_not_learnt(points: LiftedFeatures, seed: int) -> None:
    settings = QUICK.model_copy(update={"seed": seed, "iterations": 20})
    one_group = fit_classifier(points, truth(), np.zeros(900, np.int64), CATEGORIES, settings)
    assert np.isfinite(predict(one_group, points).probability).all()
