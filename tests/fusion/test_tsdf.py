"""Laws of fusion, on a ball seen from all sides."""

from dataclasses import replace

import numpy as np
import pytest
import trimesh
from numpy.testing import assert_allclose, assert_array_equal
from scipy.spatial import cKDTree

from panrecon.config import MeshSettings
from panrecon.errors import InputError
from panrecon.fusion.tsdf import fuse
from panrecon.geometry import look_at
from panrecon.raycasting import Raycaster
from panrecon.structures import Camera, TriangleMesh, View

CAMERA = Camera(120, 120, 150.0, 150.0, 59.5, 59.5)
RADIUS = 0.5
COLOR = (200, 100, 50)
SETTINGS = MeshSettings(voxel_size=0.03)


@pytest.fixture(scope="module")
def views() -> tuple[View, ...]:
    """Exact depth of the ball from 42 sides, 2 m away."""
    sphere = trimesh.creation.icosphere(subdivisions=5, radius=RADIUS)
    colors = np.full((len(sphere.vertices), 3), 0, np.uint8)
    mesh = TriangleMesh(sphere.vertices.astype(np.float32), sphere.faces.astype(np.int32), colors)
    raycaster, eyes = Raycaster(mesh), 2 * trimesh.creation.icosphere(subdivisions=1).vertices
    poses = [look_at(eye, np.zeros(3), up=np.array([0.1, 0.2, 0.9])) for eye in eyes]
    color = np.full((CAMERA.height, CAMERA.width, 3), COLOR, np.uint8)
    return tuple(View(str(i), CAMERA, pose, color, raycaster.cast(CAMERA, pose).depth) for i, pose in enumerate(poses))


@pytest.fixture(scope="module")
def ball(views: tuple[View, ...]) -> TriangleMesh:
    return fuse(views, SETTINGS)


def test_a_ball_seen_from_all_sides_is_watertight_and_within_half_a_voxel(ball: TriangleMesh) -> None:
    solid = trimesh.Trimesh(ball.vertices, ball.faces, process=False)
    assert solid.is_watertight
    assert solid.body_count == 1
    assert solid.euler_number == 2
    assert_allclose(np.linalg.norm(ball.vertices, axis=1), RADIUS, atol=SETTINGS.voxel_size / 2)
    assert solid.volume == pytest.approx(4 / 3 * np.pi * RADIUS**3, rel=0.03)  # positive: triangles face outwards


def test_the_surface_has_the_colour_of_the_images(ball: TriangleMesh) -> None:
    assert_allclose(ball.colors.astype(int), np.broadcast_to(COLOR, ball.colors.shape), atol=1)


def test_the_same_views_give_the_same_bytes(ball: TriangleMesh, views: tuple[View, ...]) -> None:
    again = fuse(views, SETTINGS)
    assert again.vertices.tobytes() == ball.vertices.tobytes()
    assert_array_equal(again.faces, ball.faces)
    assert_array_equal(again.colors, ball.colors)


def test_the_order_of_frames_does_not_matter(ball: TriangleMesh, views: tuple[View, ...]) -> None:
    other = fuse(views[::-1], SETTINGS)
    assert len(other.faces) == len(ball.faces)
    distance, _ = cKDTree(ball.vertices).query(other.vertices)
    assert_allclose(distance, 0, atol=1e-4)


def test_a_moved_scene_gives_the_moved_surface(ball: TriangleMesh, views: tuple[View, ...]) -> None:
    shift = 8 * SETTINGS.voxel_size * np.array([3.0, -2.0, 1.0])
    move = np.eye(4)
    move[:3, 3] = shift
    moved = fuse((replace(view, world_from_camera=move @ view.world_from_camera) for view in views), SETTINGS)
    assert_allclose(np.linalg.norm(moved.vertices - shift, axis=1), RADIUS, atol=SETTINGS.voxel_size / 2)
    assert len(moved.vertices) == pytest.approx(len(ball.vertices), rel=0.02)


def test_what_lies_beyond_the_greatest_depth_is_not_fused(ball: TriangleMesh, views: tuple[View, ...]) -> None:
    far = np.full_like(views[0].depth, 3.5)
    walls = [replace(view, depth=np.where(view.depth > 0, view.depth, far)) for view in views]
    cut = fuse(walls, SETTINGS.model_copy(update={"depth_max": 3.0}))
    assert_array_equal(cut.vertices, ball.vertices)
    assert len(fuse(walls, SETTINGS).vertices) > len(ball.vertices)


def test_frames_without_any_depth_are_an_error_of_the_input(views: tuple[View, ...]) -> None:
    with pytest.raises(InputError, match="depth"):
        fuse([replace(view, depth=np.zeros_like(view.depth)) for view in views], SETTINGS)
