"""Laws of rendered labels: what the mesh says where there is mesh, the sky beyond it."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from panrecon.config import FieldSettings
from panrecon.field.field import SceneBox, build_field
from panrecon.field.scene_renderer import SceneRenderer
from panrecon.structures import VOID, Camera, Category, CategoryTable, Labels, PanopticMesh, TriangleMesh

CAMERA = Camera(16, 8, 8.0, 8.0, 7.5, 3.5)
CAR = Category(2, "car", thing=True)


@pytest.mark.parametrize("name", ["Sky", "air"])
def test_beyond_all_surfaces_is_the_sky_where_the_table_knows_it(name: str) -> None:
    """A wall 4 m ahead fills the left half of the image."""
    table = CategoryTable((CAR, Category(1, name, thing=False)))
    corners = np.array([[-9, -9, 4], [0, -9, 4], [0, 9, 4], [-9, 9, 4]], np.float32)
    wall = TriangleMesh(corners, np.array([[0, 2, 1], [0, 3, 2]], np.int32), np.zeros((4, 3), np.uint8))
    labels = Labels(np.zeros(4, np.int32), np.full(4, 3, np.int32))
    box = SceneBox(np.full(3, -10.0), np.full(3, 20.0))
    field = build_field(box, FieldSettings(levels=2, log2_table_size=8), len(table), 1, 0)
    images = SceneRenderer(field, box, PanopticMesh(wall, labels), table.background).images(CAMERA, np.eye(4))
    beyond = 1 if name == "Sky" else VOID
    assert_array_equal(images.labels.category, np.tile(np.repeat([0, beyond], 8), (8, 1)))
    assert_array_equal(images.labels.instance, np.tile(np.repeat([3, VOID], 8), (8, 1)))
