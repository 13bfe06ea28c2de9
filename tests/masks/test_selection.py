"""Laws of the selection of detections."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from panrecon.masks.selection import is_background_size, mask_iou, without_duplicates, without_small_masks
from panrecon.structures import Detections


def detections(seed: int, count: int) -> Detections:
    rng = np.random.default_rng(seed)
    mask = rng.random((count, 6, 5)) < rng.random((count, 1, 1))
    return Detections(rng.integers(0, 2, count).astype(np.int32), rng.random(count).astype(np.float32), mask)


def iou(first: np.ndarray, second: np.ndarray) -> float:
    union = (first | second).sum()
    return float((first & second).sum() / union) if union else 0.0


@pytest.mark.parametrize(
    ("box", "thing", "background"),
    [
        ((0.1, 0.1, 0.81, 0.81), True, True),
        ((0.1, 0.1, 0.81, 0.81), False, False),  # walls may fill the image
        ((0.1, 0.1, 0.81, 0.79), True, False),  # wide and not high
        ((0.0, 0.0, 0.7, 0.7), True, False),
        ((-0.5, -0.5, 0.6, 0.6), True, False),  # what lies outside does not count
        ((-0.5, -0.5, 1.5, 1.5), True, True),
    ],
)
def test_things_that_nearly_fill_the_image_are_background(
    box: tuple[float, ...], thing: bool, background: bool
) -> None:
    assert is_background_size(np.array([box]), np.array([thing]), 0.7).item() is background


@settings(deadline=None)
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(0, 5))
def test_iou_of_masks(seed: int, count: int) -> None:
    mask = detections(seed, count).mask
    expected = np.array([[iou(first, second) for second in mask] for first in mask]).reshape(count, count)
    assert_allclose(mask_iou(mask), expected, atol=1e-6)


@settings(deadline=None)
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(0, 8), threshold=st.floats(0.1, 0.9))
def test_of_overlapping_masks_of_a_class_the_most_certain_stays(seed: int, count: int, threshold: float) -> None:
    found = detections(seed, count)
    kept: list[int] = []
    for number in np.argsort(-found.score, kind="stable"):
        rivals = [other for other in kept if found.category[other] == found.category[number]]
        if all(iou(found.mask[other], found.mask[number]) <= threshold for other in rivals):
            kept.append(int(number))
    result = without_duplicates(found, threshold)
    assert_array_equal(result.score, found.score[kept])
    assert_array_equal(result.category, found.category[kept])
    assert_array_equal(result.mask, found.mask[kept])


def test_a_mask_that_is_gone_suppresses_no_other() -> None:
    """A chain: the second overlaps the first and the third, which do not overlap."""
    strip = np.zeros((3, 1, 9), bool)
    for number, start in enumerate((0, 2, 4)):
        strip[number, 0, start : start + 5] = True
    found = Detections(np.zeros(3, np.int32), np.array([0.9, 0.8, 0.7], np.float32), strip)
    assert_allclose(without_duplicates(found, 0.4).score, [0.9, 0.7])


def test_masks_of_less_than_the_least_area_and_empty_ones_go() -> None:
    mask = np.zeros((3, 4, 4), bool)
    mask[1, 0, :2], mask[2, :2, :2] = True, True
    found = Detections(np.arange(3, dtype=np.int32), np.array([0.9, 0.8, 0.7], np.float32), mask)
    assert_array_equal(without_small_masks(found, 3).category, [2])
    assert_array_equal(without_small_masks(found, 0).category, [1, 2])
