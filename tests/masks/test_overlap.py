"""Laws of masks made disjoint."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from panrecon.masks.overlap import resolve_overlaps, resolve_things
from panrecon.structures import VOID, Detections


@given(seed=st.integers(0, 2**32 - 1), count=st.integers(0, 6))
def test_every_pixel_goes_to_the_most_certain_of_its_chosen_masks(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    score = rng.permutation(np.linspace(0.1, 0.9, count)).astype(np.float32)
    found = Detections(np.zeros(count, np.int32), score, rng.random((count, 5, 4)) < 0.5)
    chosen = rng.random(count) < 0.7
    expected = np.full((5, 4), VOID)
    for pixel in np.ndindex(5, 4):
        candidates = [number for number in range(count) if chosen[number] and found.mask[number][pixel]]
        expected[pixel] = max(candidates, key=lambda number: score[number], default=VOID)
    assert_array_equal(resolve_overlaps(found, chosen), expected)


def tray(inner: tuple[int, int], category: tuple[int, int], score: tuple[float, float]) -> Detections:
    """A mask of these columns of a row of eight pixels, and one of all of them."""
    part = np.zeros((1, 8), bool)
    part[:, inner[0] : inner[1]] = True
    return Detections(
        np.array(category, np.int32), np.array(score, np.float32), np.stack([part, np.ones((1, 8), bool)])
    )


def winners(detections: Detections) -> list[int]:
    return resolve_things(detections, np.ones(len(detections), bool))[0].tolist()


def test_a_thing_within_a_larger_one_of_another_class_precedes_it_whatever_their_scores() -> None:
    for score in ((0.3, 0.9), (0.9, 0.3)):
        assert winners(tray((2, 5), (0, 1), score)) == [1, 1, 0, 0, 0, 1, 1, 1]


def test_a_fragment_and_a_mask_of_about_the_size_go_by_score() -> None:
    assert winners(tray((2, 5), (1, 1), (0.3, 0.9))) == [1] * 8
    assert winners(tray((1, 7), (0, 1), (0.3, 0.9))) == [1] * 8


@given(seed=st.integers(0, 2**32 - 1), count=st.integers(0, 6))
def test_things_of_one_class_are_resolved_by_score(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    score = rng.permutation(np.linspace(0.1, 0.9, count)).astype(np.float32)
    detections = Detections(np.zeros(count, np.int32), score, rng.random((count, 5, 4)) < 0.5)
    selected = rng.random(count) < 0.7
    assert_array_equal(resolve_things(detections, selected), resolve_overlaps(detections, selected))
