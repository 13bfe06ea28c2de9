"""Laws of the light in a built-in room, on a floor with a board under a lamp."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from panrecon.simulation.room.items import Item, Light
from panrecon.simulation.room.lighting import LitMesh, light_room
from panrecon.simulation.room.room import assemble
from panrecon.simulation.scene.shapes import box, panel, pose
from panrecon.simulation.scene.textures import Material

POWER = 10.0
LAMP = np.array([2.0, 2.0, 2.0])


@pytest.fixture(scope="module")
def lit() -> LitMesh:
    """A board of 1 m hangs at 1 m over the middle of a floor of 4 m; a small lamp at 2 m."""
    grey = Material("plain", (0.5, 0.5, 0.5))
    floor = Item("floor", (panel((4.0, 4.0), grey, pose((2.0, 2.0, 0.0))),))
    board = Item("table", (box((1.0, 1.0, 0.04), (2.0, 2.0, 1.0), grey),))
    lamp = Light((2.0, 2.0, 2.0), ((0.01, 0.0, 0.0), (0.0, 0.01, 0.0)), (0.0, 0.0, 0.0), (POWER, POWER, POWER))
    return light_room(assemble(0, (4.0, 4.0, 2.5), [floor, board], [lamp]), edge=0.2)


def floor_points(lit: LitMesh, nearest: float, farthest: float) -> np.ndarray:
    """Floor vertices this far from the middle along x or y, whichever is more (m)."""
    offset = np.abs(lit.mesh.vertices[:, :2] - LAMP[:2]).max(axis=1)
    return np.flatnonzero((lit.mesh.vertices[:, 2] == 0) & (offset > nearest) & (offset < farthest))


def test_open_floor_gets_the_light_of_the_lamp(lit: LitMesh) -> None:
    """Cosine over squared distance over pi; the only other light comes off the board."""
    points = floor_points(lit, 1.3, 1.9)
    distance = np.linalg.norm(lit.mesh.vertices[points] - LAMP, axis=1)
    expected = POWER * LAMP[2] / distance**3 / np.pi
    assert_allclose(lit.irradiance[points, 0], expected, rtol=0.1)


def test_board_casts_a_shadow(lit: LitMesh) -> None:
    shadow, open_floor = (lit.irradiance[floor_points(lit, *span), 0] for span in ((-0.1, 0.7), (1.3, 1.6)))
    assert shadow.max() < 0.35 * open_floor.min()
    assert shadow.min() > 0  # light that bounces off the floor to the board and back
