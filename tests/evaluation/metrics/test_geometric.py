"""Surface quality: known answers on squares, a plain twin, and what must hold whatever the meshes."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from panrecon.evaluation.metrics.geometric import DISTANCES, SurfaceQuality, surface_quality
from panrecon.structures import TriangleMesh

SAMPLES = 20_000


def rectangle(width: float = 1.0, z: float = 0.0) -> TriangleMesh:
    """From (0, 0, z) to (width, 1, z), facing +z."""
    corners = np.array([[0, 0, z], [width, 0, z], [width, 1, z], [0, 1, z]])
    return mesh(corners, np.array([[0, 1, 2], [0, 2, 3]], dtype=np.int32))


def mesh(vertices: np.ndarray, faces: np.ndarray | None = None) -> TriangleMesh:
    none = np.empty((0, 3), dtype=np.int32)
    return TriangleMesh(vertices, none if faces is None else faces, np.zeros((len(vertices), 3), dtype=np.uint8))


def numbers(actual: SurfaceQuality) -> list[float]:
    shares = [share[distance] for share in (actual.precision, actual.recall, actual.f_score) for distance in DISTANCES]
    return [actual.accuracy, actual.completeness, actual.chamfer, actual.normal_consistency, *shares]


def test_parallel_squares_3_cm_apart() -> None:
    actual = surface_quality(rectangle(z=0.03), rectangle(), SAMPLES)
    assert_allclose([actual.accuracy, actual.completeness, actual.chamfer], 0.03, atol=1e-9)
    for share in (actual.precision, actual.recall, actual.f_score):
        assert_allclose([share[distance] for distance in DISTANCES], [0, 1, 1])
    assert_allclose(actual.normal_consistency, 1)


def test_a_mesh_is_itself() -> None:
    assert_allclose(numbers(surface_quality(rectangle(), rectangle(), SAMPLES)), [0, 0, 0, *[1] * 10], atol=1e-12)


def test_another_tessellation_is_nearly_itself() -> None:
    flipped = mesh(rectangle().vertices[[1, 2, 3, 0]], rectangle().faces)
    actual = surface_quality(flipped, rectangle(), SAMPLES)
    assert 0 < actual.chamfer < 0.5 / np.sqrt(SAMPLES) * 1.1
    assert_allclose(actual.normal_consistency, 1)


def test_half_a_plane_has_half_the_recall() -> None:
    actual = surface_quality(rectangle(), rectangle(width=2.0), SAMPLES)
    assert_allclose(actual.normal_consistency, 1)
    assert_allclose(actual.precision[0.05], 1)
    assert_allclose(actual.recall[0.05], 0.5 + 0.05 / 2, atol=0.01)
    assert_allclose(actual.completeness, 0.25, atol=0.01)  # half of it a mean of 0.5 m away
    assert_allclose(actual.f_score[0.05], 2 * actual.recall[0.05] / (1 + actual.recall[0.05]), atol=1e-12)


def test_a_square_upright_has_no_common_normal() -> None:
    upright = mesh(rectangle().vertices[:, [0, 2, 1]], rectangle().faces)
    assert_allclose(surface_quality(upright, rectangle(), SAMPLES).normal_consistency, 0, atol=1e-12)


def test_which_way_a_surface_faces_does_not_matter() -> None:
    turned = mesh(rectangle().vertices, rectangle().faces[:, ::-1])
    assert_allclose(surface_quality(turned, rectangle(), SAMPLES).normal_consistency, 1)


def test_great_faces_are_sampled_more() -> None:
    """A far face of a hundredth of the area."""
    small = np.array([[9.0, 0, 0], [9.1, 0, 0], [9.0, 0.1, 0]])
    both = mesh(np.concatenate([rectangle().vertices[:3], small]), np.array([[0, 1, 2], [3, 4, 5]], dtype=np.int32))
    actual = surface_quality(both, mesh(rectangle().vertices[:3], np.array([[0, 1, 2]], dtype=np.int32)), SAMPLES)
    assert_allclose(actual.precision[0.10], 100 / 101, atol=2e-3)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 30), st.integers(1, 30))
def test_clouds_equal_the_plain_definition(seed: int, predicted_count: int, true_count: int) -> None:
    rng = np.random.default_rng(seed)
    prediction, truth = mesh(rng.random((predicted_count, 3)) / 5), mesh(rng.random((true_count, 3)) / 5)
    to_truth = [min(float(np.linalg.norm(p - t)) for t in truth.vertices) for p in prediction.vertices]
    to_prediction = [min(float(np.linalg.norm(p - t)) for p in prediction.vertices) for t in truth.vertices]
    accuracy, completeness = float(np.mean(to_truth)), float(np.mean(to_prediction))
    expected = [accuracy, completeness, (accuracy + completeness) / 2, np.nan]
    precision = [sum(d <= limit for d in to_truth) / predicted_count for limit in DISTANCES]
    recall = [sum(d <= limit for d in to_prediction) / true_count for limit in DISTANCES]
    f_score = [2 * p * r / (p + r) if p + r else 0.0 for p, r in zip(precision, recall, strict=True)]
    actual = numbers(surface_quality(prediction, truth))
    assert_allclose(actual, [*expected, *precision, *recall, *f_score], atol=1e-12)


def test_turning_the_sides_round_swaps_accuracy_and_completeness() -> None:
    one, other = rectangle(), rectangle(width=0.5, z=0.04)
    actual, turned = surface_quality(one, other, SAMPLES), surface_quality(other, one, SAMPLES)
    assert [actual.accuracy, actual.precision, actual.f_score] == [turned.completeness, turned.recall, turned.f_score]


def test_no_prediction_has_no_share() -> None:
    actual = surface_quality(mesh(np.empty((0, 3))), rectangle(), SAMPLES)
    assert_allclose([share[0.05] for share in (actual.precision, actual.recall, actual.f_score)], 0)
    assert not np.isfinite([actual.accuracy, actual.completeness, actual.chamfer]).any()
    assert np.isnan(actual.normal_consistency)


def test_one_seed_gives_one_result() -> None:
    one, other = rectangle(), rectangle(width=1.5, z=0.01)
    results = [numbers(surface_quality(one, other, SAMPLES, seed)) for seed in (3, 3, 4)]
    assert results[0] == results[1] != results[2]
