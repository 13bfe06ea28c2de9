"""Laws of colour statistics."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from panrecon.features.color import CELL, color_statistics


@pytest.mark.parametrize(
    ("rgb", "lab"), [((255, 255, 255), (1, 0, 0)), ((0, 0, 0), (0, 0, 0)), ((128, 128, 128), (0.536, 0, 0))]
)
def test_one_colour_has_its_mean_and_no_deviation(rgb: tuple[int, int, int], lab: tuple[float, float, float]) -> None:
    features = color_statistics(np.full((3 * CELL, 5 * CELL, 3), rgb, np.uint8))
    assert features.values.shape == (3, 5, 6)
    assert_allclose(features.values[..., :3], np.broadcast_to(lab, (3, 5, 3)), atol=2e-3)
    assert_allclose(features.values[..., 3:], 0, atol=2e-3)


def test_a_cell_knows_its_own_pixels_only() -> None:
    image = np.zeros((2 * CELL, 2 * CELL, 3), np.uint8)
    image[:CELL, CELL:] = np.random.default_rng(0).integers(0, 256, (CELL, CELL, 3))
    seen = color_statistics(image).values
    assert (seen[0, 1, 3:] > 0.05).all()
    assert_allclose(seen[1], 0, atol=1e-5)


def test_an_image_smaller_than_a_cell_is_one_cell() -> None:
    assert color_statistics(np.zeros((7, 9, 3), np.uint8)).values.shape == (1, 1, 6)
