"""Laws of walls: large vertical planes with what is recessed in them; furniture is none, at any rotation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from panrecon.layout.gravity import Gravity
from panrecon.layout.walls import Walls, find_walls
from panrecon.structures import VOID, TriangleMesh
from tests.layout.scenes import SPACING, box, joined, moved, noisy, random_motion, rectangle, room

VOXEL_SIZE = SPACING / 2
WARDROBE = box((1, 1, 0), (2, 1.6, 2))  # 2 m^2 a face
ROOM = room()
IS_WALL = ~np.isclose(ROOM.vertices[:, 2], 0)


def walls_of(mesh: TriangleMesh, up: tuple[float, float, float] = (0, 0, 1)) -> Walls:
    return find_walls(mesh, Gravity(np.array(up, dtype=np.float64), 0.01), VOXEL_SIZE)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_the_walls_of_a_rough_room_are_found_at_any_rotation_and_furniture_is_none(seed: int) -> None:
    random = np.random.default_rng(seed)
    motion = random_motion(random)
    mesh = moved(noisy(joined(ROOM, WARDROBE), 0.003, random), motion)
    walls = find_walls(mesh, Gravity(motion[:3, 2], 0.01), VOXEL_SIZE)
    assert len(walls.area) == 4
    assert sum(walls.area) == pytest.approx(2 * (4 + 3) * 2.5, rel=0.1)
    of_room = walls.of_vertex[: len(ROOM.vertices)]
    assert np.mean(of_room[IS_WALL] != VOID) > 0.95
    assert np.all(walls.of_vertex[len(ROOM.vertices) :] == VOID)


@pytest.mark.parametrize(("depth", "is_of_wall"), [(0.15, True), (0.5, False)])
def test_what_is_recessed_in_a_wall_is_of_it(depth: float, is_of_wall: bool) -> None:
    pane = rectangle((1, -depth, 1), (0, 0, 1), (1, 0, 0))
    walls = walls_of(joined(ROOM, pane))
    assert np.all((walls.of_vertex[len(ROOM.vertices) :] != VOID) == is_of_wall)


def test_what_stands_before_a_wall_is_not_of_it() -> None:
    cupboard = box((1, 0, 0.8), (2, 0.3, 1.6))
    walls = walls_of(joined(ROOM, cupboard))
    front = len(ROOM.vertices) + np.flatnonzero(np.isclose(cupboard.vertices[:, 1], 0.3))
    assert np.all(walls.of_vertex[front] == VOID)


def test_without_vertical_surface_there_is_no_wall() -> None:
    floor = rectangle((0, 0, 0), (4, 0, 0), (0, 3, 0))
    assert not len(walls_of(floor).area)
    assert np.all(walls_of(floor).of_vertex == VOID)
