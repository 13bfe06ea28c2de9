"""Laws of features read between their cells, and of maps brought onto another camera."""

from pathlib import Path

import numpy as np
import pytest
from jaxtyping import Float
from numpy.testing import assert_allclose, assert_array_equal

from panrecon.features.base import FeatureExtractor
from panrecon.features.precomputed import PrecomputedExtractor
from panrecon.features.sampling import on_camera, sample
from panrecon.structures import Camera, FeatureMap, Frame, Scan

CAMERA = Camera(32, 24, 30.0, 29.0, 15.0, 12.5)
ROWS, COLUMNS = 6, 4


def cell_pixels(camera: Camera) -> Float[np.ndarray, "n 2"]:
    """The pixels (u, v) of the cells' centres, row by row."""
    u = (np.arange(COLUMNS) + 0.5) * camera.width / COLUMNS - 0.5
    v = (np.arange(ROWS) + 0.5) * camera.height / ROWS - 0.5
    return np.stack(np.meshgrid(u, v), axis=-1).reshape(-1, 2)


@pytest.fixture
def features() -> FeatureMap:
    return FeatureMap(np.random.default_rng(0).normal(size=(ROWS, COLUMNS, 3)).astype(np.float32))


def ramp(camera: Camera) -> FeatureMap:
    """Features that are the directions (x / z, y / z) of the cells' centres."""
    pixels = cell_pixels(camera)
    direction = (pixels - [camera.cx, camera.cy]) / [camera.fx, camera.fy]
    return FeatureMap(direction.reshape(ROWS, COLUMNS, 2).astype(np.float32))


def test_at_the_centre_of_a_cell_lies_its_feature(features: FeatureMap) -> None:
    assert_array_equal(sample(features, CAMERA, cell_pixels(CAMERA)), features.values.reshape(-1, 3))


def test_halfway_between_two_cells_lies_their_mean(features: FeatureMap) -> None:
    pixels = cell_pixels(CAMERA).reshape(ROWS, COLUMNS, 2)
    between = (pixels[:, :-1] + pixels[:, 1:]).reshape(-1, 2) / 2
    mean = (features.values[:, :-1] + features.values[:, 1:]).reshape(-1, 3) / 2
    assert_allclose(sample(features, CAMERA, between), mean, atol=1e-6)


def test_beyond_the_outermost_cells_features_are_constant(features: FeatureMap) -> None:
    corners = np.array([[-0.5, -0.5], [-100, -100], [31.5, -0.5], [31.5, 23.5], [999, 999]])
    expected = features.values[[0, 0, 0, -1, -1], [0, 0, -1, -1, -1]]
    assert_allclose(sample(features, CAMERA, corners), expected, atol=1e-6)


def test_samples_stay_between_the_extremes(features: FeatureMap) -> None:
    pixels = np.random.default_rng(1).uniform(-5, 40, (200, 2))
    values = sample(features, CAMERA, pixels)
    assert (values <= features.values.max(axis=(0, 1)) + 1e-6).all()
    assert (values >= features.values.min(axis=(0, 1)) - 1e-6).all()


def test_the_same_camera_needs_no_change(features: FeatureMap) -> None:
    assert on_camera(features, CAMERA, CAMERA) is features


def test_a_resized_image_has_the_same_features(features: FeatureMap) -> None:
    assert_allclose(on_camera(features, CAMERA, CAMERA.scaled(2.0)).values, features.values, atol=1e-5)


def test_on_another_camera_features_lie_where_both_look_in_the_same_direction() -> None:
    narrower = Camera(20, 18, 32.0, 31.0, 8.0, 9.5)
    assert_allclose(on_camera(ramp(CAMERA), CAMERA, narrower).values, ramp(narrower).values, atol=1e-5)


def test_the_precomputed_extractor_reads_frames_in_order_onto_the_camera() -> None:
    frames = tuple(Frame(name, Path(name), Path(name), np.eye(4)) for name in ("b", "a"))
    target = Camera(20, 18, 32.0, 31.0, 8.0, 9.5)
    read: list[str] = []

    def reader(name: str) -> FeatureMap:
        read.append(name)
        return ramp(CAMERA)

    extractor = PrecomputedExtractor(reader)
    assert isinstance(extractor, FeatureExtractor)
    maps = list(extractor.extract(Scan("scene", target, CAMERA, 1000.0, frames)))
    assert read == ["b", "a"]
    assert_allclose(maps[1].values, ramp(target).values, atol=1e-5)
