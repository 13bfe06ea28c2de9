"""Laws of situations: every part of a room has its own, at any rotation of the world."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from panrecon.layout.columns import columns
from panrecon.layout.gravity import Gravity
from panrecon.layout.levels import Levels
from panrecon.layout.parameters import LayoutParameters
from panrecon.layout.scene import scene_layout
from panrecon.layout.situations import Situation, situations
from panrecon.structures import TriangleMesh
from tests.layout.scenes import SPACING, box, cameras, joined, mesh_of, moved, random_motion, rectangle, room, table_top

VOXEL_SIZE = SPACING / 2
UPRIGHT = Gravity(np.array([0.0, 0.0, 1.0]), 0.01)
PARTS = {
    Situation.ON_FLOOR: rectangle((0, 0, 0), (5, 0, 0), (0, 4, 0)),
    Situation.ON_CEILING: rectangle((0, 0, 2.5), (0, 4, 0), (5, 0, 0)),
    Situation.VERTICAL: rectangle((0, 0, 0), (0, 0, 2.5), (5, 0, 0)),
    Situation.UP: rectangle((1, 1, 0.75), (2, 0, 0), (0, 1, 0)),
    Situation.DOWN: rectangle((1, 1, 0.72), (0, 1, 0), (2, 0, 0)),
    Situation.SLANTED: rectangle((4, 1, 0.5), (0.6, 0, 0.7), (0, 1, 0)),
    Situation.BELOW_FLOOR: rectangle((2, 2, -0.4), (0.4, 0, 0), (0, 0.4, 0)),
}
WORLD = joined(*PARTS.values())
EXPECTED = np.repeat(list(PARTS), [len(part.vertices) for part in PARTS.values()])


def situations_of(mesh: TriangleMesh, levels: Levels) -> np.ndarray:
    return situations(columns(mesh, UPRIGHT, VOXEL_SIZE, LayoutParameters()), levels)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_every_part_of_a_room_has_its_situation_at_any_rotation(seed: int) -> None:
    rng = np.random.default_rng(seed)
    motion = random_motion(rng)
    layout = scene_layout(moved(WORLD, motion), motion @ cameras(rng), VOXEL_SIZE)
    at_wall_foot = (EXPECTED == Situation.VERTICAL) & (WORLD.vertices[:, 2] < 0.1)
    assert_array_equal(layout.situation[~at_wall_foot], EXPECTED[~at_wall_foot])


def test_without_a_floor_nothing_lies_on_it_or_below() -> None:
    situation = situations_of(WORLD, Levels((), None))
    silent = {Situation.ON_FLOOR, Situation.ON_CEILING, Situation.BELOW_FLOOR}
    assert not silent & set(situation.tolist())
    faces_up = np.isin(EXPECTED, [Situation.ON_FLOOR, Situation.UP, Situation.BELOW_FLOOR])
    assert set(situation[faces_up].tolist()) == {Situation.UP}


def test_a_table_as_high_as_the_upper_floor_is_no_floor() -> None:
    height = 0.75
    table = table_top((1, 1, 0.72), (2, 2, height))
    platform = rectangle((4, 0, height), (3, 0, 0), (0, 3, 0))
    lower = rectangle((0, 0, 0), (4, 0, 0), (0, 3, 0))
    situation = situations_of(joined(platform, lower, table), Levels((0.0, height), None))
    of_part = np.split(situation, np.cumsum([len(platform.vertices), len(lower.vertices)]))
    inside = platform.vertices[:, 0] > 4 + LayoutParameters().column_size * VOXEL_SIZE
    assert set(of_part[0][inside].tolist()) == {Situation.ON_FLOOR}
    assert set(of_part[1].tolist()) == {Situation.ON_FLOOR}
    assert set(of_part[2].tolist()) == {Situation.UP, Situation.DOWN}


@pytest.mark.parametrize("voxel_size", [0.02, 0.1])
def test_the_thickness_of_a_floor_follows_the_voxels(voxel_size: float) -> None:
    thickness = LayoutParameters().level_tolerance(voxel_size)
    heights = thickness * np.array([0.9, 1.1])
    rugs = [rectangle((0, 0, height), (1, 0, 0), (0, 1, 0)) for height in heights]
    for rug, expected in zip(rugs, (Situation.ON_FLOOR, Situation.UP), strict=True):
        surface = columns(rug, UPRIGHT, voxel_size, LayoutParameters())
        assert set(situations(surface, Levels((0.0,), None)).tolist()) == {expected}


def test_a_rough_floor_is_one_floor() -> None:
    rough = rectangle((0, 0, 0), (3, 0, 0), (0, 3, 0))
    rng = np.random.default_rng(0)
    rough = mesh_of(rough.vertices + rng.normal(0, 0.012, rough.vertices.shape), rough.faces)
    assert (situations_of(rough, Levels((0.0,), None)) == Situation.ON_FLOOR).mean() > 0.99


def test_vertices_without_a_face_and_empty_meshes_have_no_direction() -> None:
    alone = mesh_of(np.zeros((2, 3)), np.zeros((0, 3)))
    assert_array_equal(situations_of(alone, Levels((0.0,), 2.0)), [Situation.SLANTED, Situation.SLANTED])
    empty = mesh_of(np.zeros((0, 3)), np.zeros((0, 3)))
    assert len(situations_of(empty, Levels((0.0,), 2.0))) == 0


def test_furniture_on_the_floor_stands_up_from_it() -> None:
    cupboard = box((1, 1, 0), (2, 2, 1.5))
    situation = situations_of(joined(cupboard, room()), Levels((0.0,), None))[: len(cupboard.vertices)]
    assert set(situation[cupboard.vertices[:, 2] > 0.1].tolist()) == {Situation.UP, Situation.VERTICAL}
