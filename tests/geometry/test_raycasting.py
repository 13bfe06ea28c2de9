"""Laws of what a camera sees of a mesh."""

import numpy as np
import pytest
from jaxtyping import Float
from numpy.testing import assert_allclose, assert_array_equal

from panrecon.geometry.projective import invert, look_at, pixel_directions, project, transform
from panrecon.geometry.raycasting import Raycaster, confirmed_faces, visible_points
from panrecon.structures import VOID, Camera, SurfaceImage, TriangleMesh, View

CAMERA = Camera(40, 30, 35.0, 35.0, 19.5, 14.5)
HERE = np.eye(4)


def walls(*depths: float, half: float = 5.0) -> TriangleMesh:
    """Square walls across the z axis, two triangles each; the first is the one at the first depth."""
    corners = np.array([[-half, -half], [half, -half], [half, half], [-half, half]])
    vertices = np.concatenate([np.column_stack([corners, np.full(4, depth)]) for depth in depths]).astype(np.float32)
    faces = np.concatenate([np.array([[0, 2, 1], [0, 3, 2]]) + 4 * i for i in range(len(depths))]).astype(np.int32)
    return TriangleMesh(vertices, faces, np.zeros((len(vertices), 3), np.uint8))


def seen(depth: Float[np.ndarray, "h w"]) -> View:
    return View("0", CAMERA, HERE, np.zeros((*depth.shape, 3), np.uint8), depth.astype(np.float32))


def test_depth_of_a_wall_is_along_the_axis_not_along_the_ray() -> None:
    surface = Raycaster(walls(2.0)).cast(CAMERA, HERE)
    assert_allclose(surface.depth, 2.0, atol=1e-6)
    assert set(np.unique(surface.face)) == {0, 1}


@pytest.mark.parametrize("eye", [(0.5, -0.3, 0.0), (1.0, 1.0, 1.0), (-2.0, 0.0, 0.5)])
def test_depth_of_an_oblique_wall_is_where_the_ray_meets_it(eye: tuple[float, float, float]) -> None:
    pose = look_at(np.array(eye), np.array([0.1, 0.2, 2.0]), np.array([0.0, 1.0, 0.0]))
    directions = pixel_directions(CAMERA) @ pose[:3, :3].T
    expected = (2.0 - eye[2]) / directions[..., 2]
    depth = Raycaster(walls(2.0, half=50.0)).cast(CAMERA, pose).depth
    inside = np.abs(np.array(eye) + expected[..., None] * directions).max(axis=-1) < 49
    assert inside.mean() > 0.5
    assert_allclose(depth[inside & (expected > 0)], expected[inside & (expected > 0)], rtol=1e-4)


def test_the_wall_behind_is_hidden_where_the_one_in_front_stands() -> None:
    mesh = walls(3.0, 1.5)
    small = TriangleMesh(np.where(np.arange(8)[:, None] < 4, 1.0, [[0.1, 0.1, 1]]) * mesh.vertices, *rest(mesh))
    surface = Raycaster(small).cast(CAMERA, HERE)
    in_front = np.abs(pixel_directions(CAMERA)[..., :2] * 1.5).max(axis=-1) < 0.5
    assert_allclose(surface.depth, np.where(in_front, 1.5, 3.0), atol=1e-6)
    assert_array_equal(surface.face // 2, in_front)


def rest(mesh: TriangleMesh) -> tuple[np.ndarray, np.ndarray]:
    return mesh.faces, mesh.colors


def test_where_nothing_is_hit_there_is_no_depth_and_no_face() -> None:
    surface = Raycaster(walls(-2.0)).cast(CAMERA, HERE)
    assert not surface.depth.any()
    assert (surface.face == VOID).all()
    half = Raycaster(walls(2.0, half=0.5)).cast(CAMERA, HERE)
    assert_array_equal(half.depth == 0, half.face == VOID)
    assert 0 < (half.face == VOID).mean() < 1


def test_a_face_is_confirmed_by_measured_depth_within_the_tolerance_only() -> None:
    depth = np.array([[2.0, 2.0, 2.0, 0.04, 2.0]], np.float32)
    surface = SurfaceImage(depth, np.array([[4, 4, 4, 4, VOID]], np.int32))
    measured = np.array([[2.0, 2.049, 1.94, 0.0, 2.0]])
    view = View("0", Camera(5, 1, 1.0, 1.0, 0.0, 0.0), HERE, np.zeros((1, 5, 3), np.uint8), measured.astype(np.float32))
    assert_array_equal(confirmed_faces(surface, view, 0.05), [[4, 4, VOID, VOID, VOID]])


def test_depth_cast_from_the_mesh_confirms_every_face_hit() -> None:
    surface = Raycaster(walls(2.0, half=0.5)).cast(CAMERA, HERE)
    assert_array_equal(confirmed_faces(surface, seen(surface.depth), 1e-4), surface.face)


def test_points_are_visible_on_the_first_surface_inside_the_image_only() -> None:
    depth = np.full((CAMERA.height, CAMERA.width), 2.0)
    points = np.array([[0, 0, 2.0], [0.5, 0.3, 2.02], [0, 0, 2.5], [0, 0, 1.5], [9, 0, 2.0], [0, 0, -2.0]])
    found, pixels = visible_points(points, CAMERA, HERE, depth, 0.03)
    assert_array_equal(found, [0, 1])
    assert_allclose(pixels, project(CAMERA, points[:2])[0])
    assert not len(visible_points(points, CAMERA, HERE, np.zeros_like(depth), 10.0)[0])


def test_visibility_moves_with_the_camera() -> None:
    rng = np.random.default_rng(0)
    points, depth = rng.uniform((-2, -2, 1), (2, 2, 3), (300, 3)), rng.uniform(1, 3, (30, 40))
    pose = look_at(np.array([0.3, 0.2, 1.0]), np.array([2.0, 1.0, 0.5]))
    still = visible_points(points, CAMERA, HERE, depth, 0.5)
    moved = visible_points(transform(pose, points), CAMERA, pose, depth, 0.5)
    assert len(still[0]) > 20
    assert_array_equal(moved[0], still[0])
    assert_allclose(transform(invert(pose), transform(pose, points)), points, atol=1e-9)
