"""Laws of what the field is trained on."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from panrecon.field.parameters import FieldParameters
from panrecon.field.supervision import SurfaceSupervision, combine_labels, scene_box, split_frames
from panrecon.geometry.projective import look_at
from panrecon.structures import VOID, Camera, FeatureMap, Labels, TriangleMesh, View

CAMERA = Camera(64, 48, 50.0, 50.0, 31.5, 23.5)
WALL, CHAIR = 0, 1


@pytest.mark.parametrize("count", [0, 1, 4, 5, 9, 20, 83, 2000])
@pytest.mark.parametrize("max_held_out", [0, 1, 4, 7])
def test_few_frames_are_held_out_and_they_lie_apart(count: int, max_held_out: int) -> None:
    _, held_out = split_frames(count, max_held_out)
    assert len(held_out) == min(max_held_out, count // 5)
    assert held_out == sorted(set(held_out))
    assert all(0 < index < count - 1 for index in held_out)  # what only the first or last frame sees is trained on
    gaps = np.diff([-1, *held_out, count])[1:-1]
    assert not len(gaps) or gaps.min() >= count // len(held_out)


@pytest.mark.parametrize(("count", "max_held_out"), [(3, 4), (20, 4), (41, 2), (40, 0)])
def test_every_frame_is_either_trained_on_or_held_out(count: int, max_held_out: int) -> None:
    training, held_out = split_frames(count, max_held_out)
    assert sorted(training + held_out) == list(range(count))
    assert training == sorted(training)


def test_a_masks_label_stands_less_trusted_where_the_surface_disagrees() -> None:
    mask_labels = Labels(np.array([[1, 1, VOID, VOID]]), np.array([[3, 3, VOID, VOID]]))
    surface_labels = Labels(np.array([[1, 2, 2, VOID]]), np.array([[3, VOID, VOID, VOID]]))
    labels, weight = combine_labels(mask_labels, surface_labels, np.array([[0.4, 0.4, 0.4, 0.0]]), 0.3)
    assert_array_equal(labels.category, [[1, 1, 2, VOID]])
    assert_array_equal(labels.instance, [[3, 3, VOID, VOID]])
    assert_array_equal(weight, np.array([[1.0, 0.3, 0.4, 0.0]], np.float32))


def labelled_wall() -> tuple[TriangleMesh, Labels]:
    """A square of 10 m in the plane y = 2."""
    vertices = np.array([[-5.0, 2, -5], [5, 2, -5], [5, 2, 5], [-5, 2, 5]])
    mesh = TriangleMesh(vertices, np.array([[0, 1, 2], [0, 2, 3]], np.int32), np.zeros((4, 3), np.uint8))
    return mesh, Labels(np.full(4, WALL, np.int32), np.full(4, VOID, np.int32))


def view_at(depth: float) -> View:
    pose = look_at(np.zeros(3), np.array([0.0, 1.0, 0.0]))
    color = np.zeros((CAMERA.height, CAMERA.width, 3), np.uint8)
    return View("0", CAMERA, pose, color, np.full((CAMERA.height, CAMERA.width), depth, np.float32))


@pytest.mark.parametrize(("depth", "is_labelled"), [(2.0, True), (1.96, True), (1.9, False)])
def test_pixels_without_a_mask_take_the_label_of_the_surface_that_they_measure(depth: float, is_labelled: bool) -> None:
    mesh, labels = labelled_wall()
    supervision = SurfaceSupervision(mesh, labels, np.full(4, 0.7, np.float32), truncation=0.1)
    void = np.full((CAMERA.height, CAMERA.width), VOID, np.int32)
    category = void.copy()
    category[:, :10] = CHAIR
    features = FeatureMap(np.zeros((2, 2, 1), np.float16))
    training_view = supervision.training_view(view_at(depth), Labels(category, void), features)
    assert (training_view.labels.category[:, :10] == CHAIR).all()
    assert (training_view.labels.category[:, 10:] == (WALL if is_labelled else VOID)).all()
    np.testing.assert_allclose(training_view.weight[:, :10], 0.3)
    np.testing.assert_allclose(training_view.weight[:, 10:], 0.7 if is_labelled else 0.0)


def test_size_margin_and_tolerance_are_parameters() -> None:
    mesh, labels = labelled_wall()
    parameters = FieldParameters(image_side=32, depth_tolerance=2.0, box_margin=3.0)
    supervision = SurfaceSupervision(mesh, labels, np.ones(4, np.float32), truncation=0.1, parameters=parameters)
    void = np.full((CAMERA.height, CAMERA.width), VOID, np.int32)
    features = FeatureMap(np.zeros((2, 2, 1), np.float16))
    training_view = supervision.training_view(view_at(1.9), Labels(void, void), features)
    assert training_view.labels.category.shape == (24, 32)
    assert (training_view.labels.category == WALL).all()
    np.testing.assert_allclose(scene_box(mesh.vertices, 0.1, parameters).size, [10.6, 0.6, 10.6])
