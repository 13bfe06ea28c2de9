"""Laws of masks made disjoint."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from panrecon.masks.overlap import resolve_overlaps
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
