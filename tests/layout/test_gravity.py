"""Laws of gravity: it is found at any rotation of the world, and its uncertainty says how well."""

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import Float
from numpy.testing import assert_allclose

from panrecon.layout.gravity import Gravity, estimate_gravity
from panrecon.layout.parameters import LayoutParameters
from panrecon.structures import TriangleMesh
from tests.layout.scenes import box, cameras, joined, mesh_of, moved, noisy, random_motion, rectangle, room

UP = np.array([0.0, 0.0, 1.0])
NO_FACES = mesh_of(np.zeros((3, 3)), np.zeros((0, 3)))
ONE_FACE = mesh_of(0.02 * np.eye(3), np.array([[0, 1, 2]]))
FURNISHED = joined(room(), box((1, 1, 0), (2, 2, 0.7)), rectangle((3, 2, 0), (0.6, -0.6, 0), (0, 0.5, 1.5)))
seeds = st.integers(0, 2**32 - 1)


def degrees(gravity: Gravity, up: Float[np.ndarray, "3"]) -> float:
    """Between an estimate and the true upward direction."""
    return float(np.rad2deg(np.arccos(np.clip(gravity.up @ up, -1, 1))))


@settings(max_examples=15, deadline=None)
@given(seed=seeds, turn=st.sampled_from([20.0, 180.0]), pitch=st.sampled_from([0.0, 25.0, 50.0]))
def test_the_up_of_a_rough_room_is_found_at_any_rotation(seed: int, turn: float, pitch: float) -> None:
    rng = np.random.default_rng(seed)
    motion = random_motion(rng)
    poses = motion @ cameras(rng, pitch=pitch, turn=turn)
    gravity = estimate_gravity(moved(noisy(FURNISHED, 0.003, rng), motion), poses)
    assert degrees(gravity, motion[:3, :3] @ UP) < 0.5
    assert np.linalg.norm(gravity.up) == pytest.approx(1)
    assert np.deg2rad(0.1) < gravity.uncertainty < np.deg2rad(1.5)


@settings(max_examples=10, deadline=None)
@given(seed=seeds)
def test_the_up_turns_with_the_world(seed: int) -> None:
    rng = np.random.default_rng(seed)
    motion = random_motion(rng)
    poses = cameras(rng)
    before = estimate_gravity(FURNISHED, poses)
    after = estimate_gravity(moved(FURNISHED, motion), motion @ poses)
    assert_allclose(after.up, motion[:3, :3] @ before.up, atol=np.deg2rad(0.1))
    assert after.uncertainty == pytest.approx(before.uncertainty, rel=0.05)


def test_walls_at_any_angle_tell_gravity_without_a_floor() -> None:
    walls = joined(rectangle((0, 0, 0), (3, 0, 0), (0, 0, 2)), rectangle((0, 0, 0), (1.5, 2, 0), (0, 0, 2)))
    poses = cameras(np.random.default_rng(0), pitch=40, turn=30)
    assert degrees(estimate_gravity(walls, poses), UP) < 0.2


def test_one_wall_tells_half_of_it_and_the_uncertainty_is_that_of_the_cameras() -> None:
    poses = cameras(np.random.default_rng(0), pitch=40, turn=30)
    gravity = estimate_gravity(rectangle((0, 0, 0), (0, 4, 0), (0, 0, 2)), poses)
    alone = estimate_gravity(NO_FACES, poses)
    assert abs(gravity.up[0]) < 0.01
    assert gravity.uncertainty == pytest.approx(alone.uncertainty, rel=0.1)


def test_a_slanted_roof_is_not_taken_for_the_floor() -> None:
    slope = np.deg2rad(30)
    roof = rectangle((0, 0, 2.5), (0, 3 * np.cos(slope), 3 * np.sin(slope)), (4, 0, 0))
    gravity = estimate_gravity(joined(roof, room()), cameras(np.random.default_rng(1), pitch=30, turn=40))
    assert degrees(gravity, UP) < 0.3


@pytest.mark.parametrize("mesh", [NO_FACES, ONE_FACE, trimesh.creation.icosphere(subdivisions=4)])
def test_without_planes_it_is_that_of_the_cameras(mesh: TriangleMesh) -> None:
    poses = cameras(np.random.default_rng(2), pitch=np.rad2deg(LayoutParameters().camera_pitch))
    gravity = estimate_gravity(mesh_of(np.asarray(mesh.vertices), np.asarray(mesh.faces)), poses)
    assert degrees(gravity, UP) < 4
    assert np.deg2rad(10) < gravity.uncertainty < np.deg2rad(20)


def test_more_surface_makes_it_more_certain() -> None:
    poses = cameras(np.random.default_rng(3))
    sides = (0.3, 1.0, 3.0, 9.0)
    floors = [rectangle((0, 0, 0), (side, 0, 0), (0, side, 0)) for side in sides]
    uncertainty = [estimate_gravity(floor, poses).uncertainty for floor in floors]
    assert np.all(np.diff(uncertainty) < 0)


@pytest.mark.parametrize("mesh", [FURNISHED, NO_FACES])
def test_cameras_that_look_straight_down_know_up_from_down(mesh: TriangleMesh) -> None:
    gravity = estimate_gravity(mesh, cameras(np.random.default_rng(4), pitch=88))
    assert degrees(gravity, UP) < (0.5 if len(mesh.faces) else 30)


def test_a_phone_held_upside_down_half_of_the_time_tells_the_same() -> None:
    poses = cameras(np.random.default_rng(5), pitch=25)
    poses[::2, :3, :2] *= -1
    assert degrees(estimate_gravity(FURNISHED, poses), UP) < 0.5


def test_where_neither_cameras_nor_surface_tell_anything_it_is_z_and_unknown() -> None:
    pose = cameras(np.random.default_rng(6), count=1)[0]
    opposite = pose.copy()
    opposite[:3, 1:3] *= -1
    gravity = estimate_gravity(NO_FACES, np.stack([pose, opposite]))
    assert_allclose(gravity.up, UP, atol=1e-9)
    assert gravity.uncertainty == pytest.approx(np.pi / 2)


def test_a_large_mesh_stands_for_the_same_surface() -> None:
    """Only some faces of a large mesh are looked at: as many patches as all of them."""
    poses = cameras(np.random.default_rng(7))
    copies = mesh_of(FURNISHED.vertices, np.tile(FURNISHED.faces, (60, 1)))
    larger = LayoutParameters(patch_area=60 * LayoutParameters().patch_area)
    few, many = estimate_gravity(FURNISHED, poses), estimate_gravity(copies, poses, larger)
    assert_allclose(many.up, few.up, atol=1e-3)
    assert many.uncertainty == pytest.approx(few.uncertainty, rel=0.05)
