"""Laws of features lifted onto vertices."""

import numpy as np
import pytest
from jaxtyping import Float
from numpy.testing import assert_allclose, assert_array_equal

from panrecon.geometry.projective import look_at, pixel_directions
from panrecon.semantics.lifting import lift_features
from panrecon.semantics.parameters import SemanticsParameters
from panrecon.structures import Camera, FeatureMap, TriangleMesh

CAMERA = Camera(256, 256, 240.0, 240.0, 127.5, 127.5)
TOLERANCE = 0.03  # m


def wall(x: float, half: float = 1.0, cells: int = 10) -> TriangleMesh:
    """A square across the x axis that faces the origin from x > 0."""
    ticks = np.linspace(-half, half, cells + 1)
    y, z = (axis.ravel() for axis in np.meshgrid(ticks, ticks))
    corner = (np.arange(cells)[:, None] * (cells + 1) + np.arange(cells)).ravel()
    one = np.stack([corner, corner + cells + 1, corner + 1], axis=1)
    two = np.stack([corner + 1, corner + cells + 1, corner + cells + 2], axis=1)
    vertices = np.column_stack([np.full(len(y), x), y, z]).astype(np.float32)
    faces = np.concatenate([one, two]).astype(np.int32)
    return TriangleMesh(vertices, faces, np.zeros((len(vertices), 3), np.uint8))


def two_walls(near: TriangleMesh, far: TriangleMesh) -> TriangleMesh:
    faces = np.concatenate([near.faces, far.faces + len(near.vertices)]).astype(np.int32)
    vertices, colors = (np.concatenate(pair) for pair in ((near.vertices, far.vertices), (near.colors, far.colors)))
    return TriangleMesh(vertices, faces, colors)


def constant(*values: float) -> FeatureMap:
    return FeatureMap(np.broadcast_to(np.array(values, np.float32), (8, 8, len(values))).copy())


def from_distance(distance: float, x: float) -> Float[np.ndarray, "4 4"]:
    """A camera that faces the wall at x from that distance."""
    return look_at(np.array([x - distance, 0.0, 0.0]), np.array([x, 0.0, 0.0]))


def test_points_get_the_feature_of_the_wall_they_lie_on_and_hidden_ones_none() -> None:
    mesh = two_walls(wall(1.0, half=0.3), wall(2.0, half=3.0, cells=20))
    here = from_distance(1.0, 1.0)
    directions = pixel_directions(CAMERA)[16::32, 16::32]
    on_near = np.abs(directions[..., :2]).max(axis=-1) < 0.3
    features = FeatureMap(np.stack([on_near, ~on_near], axis=-1).astype(np.float32))
    points = lift_features(mesh, CAMERA, [(here, features)], TOLERANCE)
    near = np.arange(len(mesh.vertices)) < 121
    sideways = np.abs(mesh.vertices[:, 1:]).max(axis=1)
    inside_near = near & (sideways < 0.15)
    assert_allclose(points.feature[inside_near], np.broadcast_to([1, 0], (inside_near.sum(), 2)), atol=1e-6)
    hidden = ~near & (sideways < 0.55)
    assert hidden.sum() >= 9
    assert not points.weight[hidden].any() and not points.feature[hidden].any()
    beside = ~near & (sideways > 0.9) & (sideways < 1.0)
    outside = ~near & (sideways > 1.2)
    assert not points.weight[outside].any()
    assert_array_equal(points.weight > 0, points.feature.any(axis=1))
    assert beside.sum() == 0 or (points.feature[beside, 1] > points.feature[beside, 0]).all()


def test_features_are_means_weighted_by_cosine_over_squared_distance() -> None:
    mesh = wall(3.0, cells=10)
    middle = int(np.linalg.norm(mesh.vertices - [3, 0, 0], axis=1).argmin())
    oblique = look_at(np.array([3 - 2 * np.cos(1.0), 2 * np.sin(1.0), 0.0]), np.array([3.0, 0.0, 0.0]))
    views = [
        (from_distance(1.0, 3.0), constant(1, 0, 0)),
        (from_distance(2.0, 3.0), constant(0, 1, 0)),
        (oblique, constant(0, 0, 1)),
    ]
    weights = np.array([1, 1 / 4, np.cos(1.0) / 4])
    points = lift_features(mesh, CAMERA, views, TOLERANCE)
    assert_allclose(points.feature[middle], weights / weights.sum(), atol=1e-3)
    assert_allclose(points.weight[middle], weights.sum(), rtol=1e-3)


def test_the_length_of_a_views_features_and_the_order_of_views_do_not_matter() -> None:
    mesh = wall(3.0)
    views = [(from_distance(1.0, 3.0), constant(1, 2)), (from_distance(2.0, 3.0), constant(2, -1))]
    scaled = [(views[1][0], constant(200, -100)), views[0]]
    one, other = lift_features(mesh, CAMERA, views, TOLERANCE), lift_features(mesh, CAMERA, scaled, TOLERANCE)
    assert_allclose(other.feature, one.feature, atol=1e-6)
    assert_allclose(other.weight, one.weight, rtol=1e-6)


def test_near_and_grazing_views_weigh_as_the_parameters_limit_them() -> None:
    parameters = SemanticsParameters(min_cosine=1.0, min_distance=4.0)
    points = lift_features(wall(3.0), CAMERA, [(from_distance(1.0, 3.0), constant(1))], TOLERANCE, parameters)
    assert_allclose(points.weight[points.weight > 0], 1 / 16)


@pytest.mark.parametrize("distance", [1.0, 2.0])
def test_every_seen_point_of_one_view_has_that_views_unit_feature(distance: float) -> None:
    points = lift_features(wall(3.0), CAMERA, [(from_distance(distance, 3.0), constant(3, 4))], TOLERANCE)
    seen = points.weight > 0
    assert seen.sum() > 20
    assert_allclose(points.feature[seen], np.broadcast_to([0.6, 0.8], (seen.sum(), 2)), atol=1e-5)


def test_features_that_say_nothing_are_no_number_problem() -> None:
    points = lift_features(wall(3.0), CAMERA, [(from_distance(1.0, 3.0), constant(0, 0))], TOLERANCE)
    assert np.isfinite(points.feature).all()
