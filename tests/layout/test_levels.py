"""Laws of levels: floors are what people stand on, ceilings what lies above them; furniture is neither."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import Float

from panrecon.layout.columns import columns
from panrecon.layout.gravity import Gravity
from panrecon.layout.levels import Levels, find_levels
from panrecon.layout.parameters import LayoutParameters
from panrecon.layout.scene import scene_layout
from panrecon.structures import TriangleMesh
from tests.layout.scenes import (
    SPACING,
    box,
    cameras,
    joined,
    mesh_of,
    moved,
    noisy,
    random_motion,
    rectangle,
    room,
    table_top,
)

VOXEL_SIZE = SPACING / 2
UPRIGHT = Gravity(np.array([0.0, 0.0, 1.0]), 0.01)
BED = box((0.5, 0.5, 0), (2.5, 2, 0.5))
TABLE = table_top((1, 0.5, 0.72), (3, 1.5, 0.75))
seeds = st.integers(0, 2**32 - 1)


def levels_of(mesh: TriangleMesh, poses: Float[np.ndarray, "n 4 4"]) -> Levels:
    return find_levels(columns(mesh, UPRIGHT, VOXEL_SIZE, LayoutParameters()), poses)


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def storey(low: tuple[float, float], high: tuple[float, float], height: float) -> Float[np.ndarray, "n 4 4"]:
    """Poses of someone who stands on a rectangle at this height."""
    return cameras(rng(), (*low, height + 1.4), (*high, height + 1.6), count=10)


@settings(max_examples=10, deadline=None)
@given(seed=seeds, has_ceiling=st.booleans())
def test_floor_and_ceiling_of_a_furnished_room_are_found_at_any_rotation(seed: int, has_ceiling: bool) -> None:
    random = np.random.default_rng(seed)
    motion = random_motion(random)
    mesh = noisy(joined(room(5, 4, 2.5, ceiling=has_ceiling), BED, TABLE), 0.004, random)
    layout = scene_layout(moved(mesh, motion), motion @ cameras(random), VOXEL_SIZE)
    origin = layout.gravity.up @ motion[:3, 3]
    assert np.subtract(layout.levels.floors, origin) == pytest.approx([0], abs=0.03)
    if has_ceiling:
        assert layout.levels.ceiling is not None
        assert layout.levels.ceiling - origin == pytest.approx(2.5, abs=0.03)
    else:
        assert layout.levels.ceiling is None


@pytest.mark.parametrize(
    ("mesh", "camera_height"),
    [
        (TABLE, 1.5),
        (joined(TABLE, box((1.5, 0.8, 0.75), (1.8, 1, 1))), 1.3),
        (BED, 1.6),
        (rectangle((0, 0, 0), (0.6, 0, 0), (0, 0.6, 0)), 1.5),
        (joined(rectangle((0, 0, 0), (4, 0, 0), (0, 0, 2)), box((1, 1, 0.3), (3, 2, 0.9))), 1.5),
        (mesh_of(np.zeros((3, 3)), np.zeros((0, 3))), 1.5),
        (mesh_of(np.zeros((0, 3)), np.zeros((0, 3))), 1.5),
    ],
    ids=["table", "table with a box", "bed", "tile", "wall and counter", "no faces", "nothing"],
)
def test_where_no_floor_was_seen_there_is_none(mesh: TriangleMesh, camera_height: float) -> None:
    poses = cameras(rng(), (0.5, 0, camera_height - 0.1), (3, 1.5, camera_height + 0.1), pitch=50)
    assert levels_of(mesh, poses) == Levels((), None)


def split_level(height: float) -> TriangleMesh:
    return joined(
        rectangle((0, 0, 0), (4, 0, 0), (0, 3, 0)),
        rectangle((4, 0, 0), (0, 3, 0), (0, 0, height)),
        rectangle((4, 0, height), (3, 0, 0), (0, 3, 0)),
    )


@pytest.mark.parametrize("height", [0.2, 0.5, 1.2])
def test_a_split_level_is_two_floors_if_people_walk_on_both(height: float) -> None:
    below = storey((0.5, 0.5), (3.5, 2.5), 0)
    above = storey((4.5, 0.5), (6.5, 2.5), height)
    mesh = split_level(height)
    assert levels_of(mesh, np.concatenate([below, above])).floors == pytest.approx((0, height), abs=0.01)
    assert levels_of(mesh, below).floors == pytest.approx((0,), abs=0.01)


@pytest.mark.parametrize("has_floor_below", [False, True])
def test_a_bed_that_cameras_are_held_over_is_no_floor(has_floor_below: bool) -> None:
    around = [rectangle((2.5, 0, 0), (2.5, 0, 0), (0, 4, 0)), rectangle((0, 2, 0), (2.5, 0, 0), (0, 2, 0))]
    floor = [room(5, 4)] if has_floor_below else around
    over = cameras(rng(), (0.6, 0.6, 1.5), (2.4, 1.9, 1.7), count=20)
    assert levels_of(joined(*floor, BED), np.concatenate([cameras(rng()), over])).floors == pytest.approx(
        (0,), abs=0.01
    )


def test_a_table_with_the_floor_below_it_is_no_floor_however_high_cameras_are_held() -> None:
    over = cameras(rng(), (1, 0.5, 2.2), (3, 1.5, 2.3), count=20)
    mesh = joined(room(5, 4, 3), TABLE)
    assert levels_of(mesh, np.concatenate([storey((0.5, 2), (4, 3), 0), over])).floors == pytest.approx((0,), abs=0.01)


def test_floors_of_a_ramp_lie_two_tolerances_apart() -> None:
    ramp = rectangle((0, 0, 0), (6, 0, 0.8), (0, 3, 0))
    poses = np.concatenate([storey((x, 0.5), (x, 2.5), x * 0.8 / 6) for x in np.linspace(0.2, 5.8, 15)])
    floors = levels_of(ramp, poses).floors
    assert len(floors) > 1
    assert np.diff(floors).min() > 2 * LayoutParameters().level_tolerance(VOXEL_SIZE)


def test_the_underside_of_a_loft_that_nobody_could_stand_below_is_no_ceiling() -> None:
    loft = rectangle((1, 1, 1.7), (0, 2, 0), (2, 0, 0))
    low = cameras(rng(), (0.5, 0.5, 0.95), (3.5, 2.5, 1.05))
    levels = levels_of(joined(room(), loft), low)
    assert levels.floors == pytest.approx((0,), abs=0.01)
    assert levels.ceiling is None


def test_a_landing_is_a_floor_and_a_tread_is_none() -> None:
    rise, tread, width, count = 0.17, 0.28, 1.0, 8
    landing = rise * count
    start = 3.0
    steps = []
    for step in range(count):
        edge = start + step * tread
        steps.append(rectangle((edge, 0, step * rise), (0, width, 0), (0, 0, rise)))
        if step < count - 1:
            steps.append(rectangle((edge, 0, (step + 1) * rise), (tread, 0, 0), (0, width, 0)))
    top = start + (count - 1) * tread
    stairs = joined(
        rectangle((0, 0, 0), (start, 0, 0), (0, 3, 0)), *steps, rectangle((top, 0, landing), (1.5, 0, 0), (0, width, 0))
    )
    climbing = np.linspace((start, 0.5, 1.5), (top, 0.5, landing + 1.5), 20)
    poses = np.concatenate(
        [
            storey((0.5, 0.5), (2.5, 2.5), 0),
            *(cameras(rng(), tuple(place), tuple(place), count=1) for place in climbing),
            storey((top + 0.2, 0.2), (top + 1.3, 0.8), landing),
        ]
    )
    assert levels_of(stairs, poses).floors == pytest.approx((0, landing), abs=0.01)


def test_floors_above_each_other_are_floors() -> None:
    upper = 3.0
    walls = room(5, 4, 2.7, ceiling=True)
    above = mesh_of(walls.vertices + np.array([0, 0, upper]), walls.faces)
    poses = np.concatenate([storey((0.5, 0.5), (4.5, 3.5), height) for height in (0, upper)])
    levels = levels_of(joined(walls, TABLE, above), poses)
    assert levels.floors == pytest.approx((0, upper), abs=0.01)


def test_cameras_of_another_storey_say_nothing_of_a_floor() -> None:
    around = [rectangle((2.5, 0, 0), (2.5, 0, 0), (0, 4, 0)), rectangle((0, 2, 0), (2.5, 0, 0), (0, 2, 0))]
    upper = rectangle((3, 0, 3), (2, 0, 0), (0, 4, 0))
    poses = np.concatenate([cameras(rng()), cameras(rng(), (0.6, 0.6, 4.4), (4.5, 3.5, 4.6), count=80)])
    assert levels_of(joined(*around, BED, upper), poses).floors == pytest.approx((0, 3), abs=0.01)


def test_what_lies_deeper_than_the_floor_in_few_places_does_not_hide_it() -> None:
    reflections = box((1, 1, -1), (1.3, 1.3, -0.8))
    assert levels_of(joined(room(5, 4), reflections), cameras(rng())).floors == pytest.approx((0,), abs=0.01)
