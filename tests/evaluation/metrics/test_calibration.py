"""Calibration: known answers and the definition, object by object."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from panrecon.evaluation.metrics.calibration import expected_calibration_error, object_outcomes
from panrecon.evaluation.overlap import overlap
from panrecon.evaluation.protocols import parse_protocol
from panrecon.structures import VOID, Labels
from tests.evaluation.plain import CHAIR, CLASSES, EVALUATED, THINGS, WALL, label_pairs, labels, segments_of

Objects = list[tuple[float, bool]]
OBJECTS = st.lists(st.tuples(st.one_of(st.floats(0, 1), st.sampled_from([0, 0.1, 0.3, 0.7, 1.0])), st.booleans()))


def arrays(objects: Objects) -> tuple[np.ndarray, np.ndarray]:
    return np.array([c for c, _ in objects], dtype=float), np.array([right for _, right in objects], dtype=bool)


@settings(max_examples=300, deadline=None)
@given(OBJECTS, st.sampled_from([1, 5, 10]))
def test_equals_the_plain_definition(objects: Objects, bins: int) -> None:
    actual = expected_calibration_error(*arrays(objects), bins)
    total = 0.0
    for b in range(bins):
        inside = [o for o in objects if b / bins < o[0] <= (b + 1) / bins or (b == 0 and o[0] == 0)]
        mean, right = (sum(o[i] for o in inside) / len(inside) if inside else np.nan for i in (0, 1))
        assert actual.counts[b] == len(inside)
        assert_allclose([actual.confidence[b], actual.accuracy[b]], [mean, right], atol=1e-12)
        total += len(inside) * abs(mean - right) if inside else 0
    assert_allclose(actual.ece, total / len(objects) if objects else np.nan, atol=1e-12)


@settings(max_examples=100, deadline=None)
@given(OBJECTS)
def test_the_order_of_objects_does_not_matter(objects: Objects) -> None:
    one, other = (expected_calibration_error(*arrays(order)) for order in (objects, sorted(objects)))
    assert_allclose(other.ece, one.ece, atol=1e-12)


def test_sure_and_right_is_calibrated_sure_and_wrong_is_not() -> None:
    sure = np.ones(5)
    assert_allclose(expected_calibration_error(sure, sure > 0).ece, 0)
    assert_allclose(expected_calibration_error(sure, sure < 0).ece, 1)
    assert_allclose(expected_calibration_error(np.full(4, 0.75), np.array([True, True, True, False])).ece, 0)


def test_refuses_what_is_no_confidence() -> None:
    with pytest.raises(ValueError, match=r"\[0\.5, 1\.5\]"):
        expected_calibration_error(np.array([0.5, 1.5]), np.array([True, True]))


def test_objects_are_things_that_count() -> None:
    truth = labels((10, CHAIR, 1), (10, CHAIR, 2), (10, VOID, VOID), (10, WALL, VOID))
    prediction = labels((10, CHAIR, 3), (10, CHAIR, 4), (10, CHAIR, 5), (10, WALL, VOID))
    part = Labels(np.where(np.arange(40) == 12, VOID, prediction.category), prediction.instance)
    matching = parse_protocol("strict@0.95").match(overlap(part, truth), CLASSES)
    confidence, is_correct = object_outcomes(matching, {3: 0.9, 4: 0.2, 5: 0.7})
    assert_allclose(confidence, [0.9, 0.2])
    assert is_correct.tolist() == [True, False]


@settings(max_examples=100, deadline=None)
@given(label_pairs(), st.dictionaries(st.sampled_from([0, 1, 3, 2**31]), st.floats(0, 1)))
def test_outcomes_equal_the_plain_definition(pair: tuple[Labels, Labels], confidence: dict[int, float]) -> None:
    matching = parse_protocol("strict").match(overlap(*pair), CLASSES)
    predicted, true = segments_of(pair[0], False, THINGS), segments_of(pair[1], False, EVALUATED)
    void = set(range(len(pair[1].category))) - set().union(*true.values())
    expected = []
    for key, points in predicted.items():
        unions = {t: len(points | others) - len(points & void) for t, others in true.items() if t[0] == key[0]}
        is_correct = any(len(points & true[t]) > 0.5 * union for t, union in unions.items())
        is_false = not is_correct and key[0] in EVALUATED and len(points & void) <= 0.5 * len(points)
        if key[1] in confidence and (is_correct or is_false):
            expected.append((confidence[key[1]], is_correct))
    assert sorted(zip(*(values.tolist() for values in object_outcomes(matching, confidence)), strict=True)) == sorted(
        expected
    )
