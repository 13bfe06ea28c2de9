"""Laws of principal components of features."""

import numpy as np
import pytest
from jaxtyping import Float
from numpy.testing import assert_allclose, assert_array_equal

from panrecon.features.projection import fit_projection
from panrecon.structures import FeatureMap


def maps(dimensions: int = 6, count: int = 4, seed: int = 0) -> list[FeatureMap]:
    """Random features whose variance falls from one direction to the next, off the origin."""
    rng = np.random.default_rng(seed)
    mixing = np.linalg.qr(rng.normal(size=(dimensions, dimensions)))[0] * 2.0 ** -np.arange(dimensions)[:, None]
    return [FeatureMap((rng.normal(size=(8, 9, dimensions)) @ mixing + 3).astype(np.float32)) for _ in range(count)]


def centred_rows(features: list[FeatureMap]) -> Float[np.ndarray, "n D"]:
    rows = np.concatenate([one.values.reshape(-1, one.values.shape[-1]) for one in features]).astype(np.float64)
    return rows - rows.mean(axis=0)


def projected_rows(features: list[FeatureMap], dimensions: int) -> Float[np.ndarray, "n K"]:
    projection = fit_projection(features, dimensions)
    return np.concatenate([projection(one).values.reshape(-1, projection.components.shape[1]) for one in features])


@pytest.mark.parametrize("dimensions", [6, 7, 64])
def test_inner_products_are_kept_up_to_one_scale_where_no_dimension_is_lost(dimensions: int) -> None:
    before, after = centred_rows(maps()), projected_rows(maps(), dimensions)
    assert after.shape == before.shape
    scale = (before**2).sum() / (after.astype(np.float64) ** 2).sum()
    assert_allclose(scale * after @ after.T, before @ before.T, atol=1e-4)


@pytest.mark.parametrize("dimensions", [1, 3, 6])
def test_projected_features_have_mean_square_one_and_uncorrelated_falling_dimensions(dimensions: int) -> None:
    rows = projected_rows(maps(), dimensions).astype(np.float64)
    covariance = rows.T @ rows / len(rows)
    assert_allclose(rows.mean(axis=0), 0, atol=1e-5)
    assert_allclose(np.trace(covariance), 1, atol=1e-4)
    assert_allclose(covariance - np.diag(np.diag(covariance)), 0, atol=1e-4)
    assert (np.diff(np.diag(covariance)) < 0).all()


def test_no_other_projection_keeps_more_variance() -> None:
    rows, components = centred_rows(maps()), fit_projection(maps(), 2).components
    kept = np.square(rows @ (components / np.linalg.norm(components, axis=0))).sum()
    singular = np.linalg.svd(rows, compute_uv=False)
    assert_allclose(kept, np.square(singular[:2]).sum(), rtol=1e-6)


def test_signs_and_the_order_of_frames_are_settled() -> None:
    for seed in range(5):
        features = maps(seed=seed)
        components = fit_projection(features, 4).components
        assert (components[np.abs(components).argmax(axis=0), np.arange(4)] > 0).all()
        assert_allclose(fit_projection(features[::-1], 4).components, components, atol=1e-9)
        assert_array_equal(fit_projection(features, 4).components, components)


def test_features_without_variance_become_zero() -> None:
    same = [FeatureMap(np.full((3, 3, 4), 2.5, np.float32))] * 2
    assert_allclose(projected_rows(same, 2), 0, atol=1e-5)
