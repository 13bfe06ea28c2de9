"""View quality: known answers and the definition, pixel by pixel."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from panrecon.evaluation.metrics.views import ViewQuality, mean_view_quality, view_quality

NO_DEPTH = np.zeros((12, 16))


def image(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (12, 16, 3)).astype(np.uint8)


def plain_ssim(image: np.ndarray, other: np.ndarray) -> float:
    """Wang et al.: 7 x 7 windows inside the image, channels alike, sample variances."""
    values = []
    for channel in range(3):
        for row in range(image.shape[0] - 6):
            for column in range(image.shape[1] - 6):
                a, b = (i[row : row + 7, column : column + 7, channel].astype(float).ravel() for i in (image, other))
                covariance = np.cov(a, b)
                c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
                luminance = (2 * a.mean() * b.mean() + c1) / (a.mean() ** 2 + b.mean() ** 2 + c1)
                structure = (2 * covariance[0, 1] + c2) / (covariance[0, 0] + covariance[1, 1] + c2)
                values.append(luminance * structure)
    return float(np.mean(values))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_equals_the_plain_definition(seed: int, noise: float) -> None:
    color, other = image(seed), image(seed + 1)
    rendered = np.where(np.random.default_rng(seed).random(color.shape) < noise, other, color)
    rng = np.random.default_rng(seed + 2)
    depths = [np.where(rng.random(NO_DEPTH.shape) < 0.4, 0, rng.random(NO_DEPTH.shape)) for _ in range(2)]
    errors = [abs(a - b) for a, b in zip(depths[0].ravel(), depths[1].ravel(), strict=True) if a > 0 and b > 0]
    square = np.mean((color.astype(float) - rendered) ** 2)
    actual = view_quality(rendered, color, *depths)
    assert_allclose(actual.psnr, 10 * np.log10(255**2 / square) if square else np.inf, atol=1e-9)
    assert_allclose(actual.ssim, plain_ssim(rendered, color), atol=1e-9)
    assert_allclose(actual.depth_l1, np.mean(errors), atol=1e-12)


def test_a_photograph_is_itself() -> None:
    depth = NO_DEPTH + 2.0
    assert view_quality(image(0), image(0), depth, depth) == ViewQuality(float("inf"), 1.0, 0.0)


def test_one_grey_level_off_everywhere_is_48_decibels() -> None:
    grey = np.full((12, 16, 3), 100, dtype=np.uint8)
    assert_allclose(view_quality(grey + 1, grey, NO_DEPTH, NO_DEPTH).psnr, 20 * np.log10(255))


def test_depth_counts_only_where_both_have_it() -> None:
    rendered, depth = NO_DEPTH.copy(), NO_DEPTH.copy()
    rendered[:8], depth[4:] = 2.0, 2.5
    assert_allclose(view_quality(image(0), image(1), rendered, depth).depth_l1, 0.5)
    assert np.isnan(view_quality(image(0), image(1), rendered, NO_DEPTH).depth_l1)


def test_views_count_alike_and_depth_where_there_is_one() -> None:
    views = [ViewQuality(20.0, 0.5, 0.1), ViewQuality(30.0, 0.7, float("nan"))]
    actual = mean_view_quality(views)
    assert_allclose([actual.psnr, actual.ssim, actual.depth_l1], [25, 0.6, 0.1])
    assert np.isnan(mean_view_quality([]).psnr)


@pytest.mark.parametrize(("height", "is_defined"), [(6, False), (7, True)])
def test_images_smaller_than_its_window_have_no_ssim(height: int, is_defined: bool) -> None:
    color, depth = np.zeros((height, 8, 3), np.uint8), np.ones((height, 8), np.float32)
    quality = view_quality(color, color, depth, depth)
    assert np.isfinite(quality.ssim) == is_defined
    assert quality.depth_l1 == 0
