"""Laws of surfaces that are seen at a grazing angle, on a road under a vehicle."""

import numpy as np
import pytest
from jaxtyping import Float
from numpy.testing import assert_allclose
from scipy.spatial import cKDTree

from panrecon.config import MeshSettings
from panrecon.fusion.point_to_plane import MIN_COSINE, incidence_cosine
from panrecon.fusion.tsdf import fuse
from panrecon.geometry.projective import pixel_directions
from panrecon.structures import Camera, View, Views

CAMERA = Camera(200, 80, 140.0, 140.0, 99.5, 30.0)
HEIGHT = 1.6  # m of the camera above the road
SETTINGS = MeshSettings(voxel_size=0.1, depth_max=30.0, truncation=4.0)


def plane_depth(normal: Float[np.ndarray, "3"], offset: float) -> np.ndarray:
    """Depth of the points with normal . p = offset; 0 where the plane is not ahead."""
    facing = pixel_directions(CAMERA) @ normal
    depth = np.divide(offset, facing, out=np.zeros_like(facing), where=facing > 1e-3)
    return np.where(depth < 60, depth, 0).astype(np.float32)


def road_view(number: int) -> View:
    """World and camera axes agree, the vehicle drives along z."""
    world_from_camera = np.eye(4)
    world_from_camera[2, 3] = number
    depth = plane_depth(np.array([0.0, 1.0, 0.0]), HEIGHT)
    return View(str(number), CAMERA, world_from_camera, np.full((80, 200, 3), 90, np.uint8), depth)


@pytest.mark.parametrize("normal", [(0.0, 1.0, 0.0), (0.0, 0.0, 1.0), (0.6, 0.0, 0.8), (0.3, 0.5, 0.6)])
def test_a_metre_of_depth_counts_as_the_way_to_the_plane(normal: tuple[float, float, float]) -> None:
    direction = np.array(normal) / np.linalg.norm(normal)
    depth = plane_depth(direction, 2.0)
    seen = depth > 0
    cosine = pixel_directions(CAMERA) @ direction  # of the ray with z = 1, so that it is per metre of depth
    assert_allclose(incidence_cosine(depth, CAMERA)[seen], np.maximum(cosine[seen], MIN_COSINE), atol=0.02)


def test_edges_do_not_tilt_what_lies_beside_them() -> None:
    depth = np.full((80, 200), 8.0, np.float32)
    depth[:, 100:] = 3.0
    facing = incidence_cosine(depth, CAMERA)
    assert_allclose(facing, 1, atol=1e-5)


def test_a_road_is_whole_where_rays_graze_it_and_lies_where_it_is() -> None:
    """Along the rays, the road's upper and lower side are farther apart than the truncation reaches."""
    views = Views.of([road_view(number) for number in range(6)])
    ahead = np.stack(np.meshgrid(np.arange(-1.5, 1.6, 0.1), [HEIGHT], np.arange(6, 25, 0.1)), axis=-1).reshape(-1, 3)
    whole = {}
    for point_to_plane in (False, True):
        mesh = fuse(views, SETTINGS.model_copy(update={"point_to_plane": point_to_plane}))
        distance, _ = cKDTree(mesh.vertices).query(ahead)
        whole[point_to_plane] = float(np.mean(distance < 0.1))
        if point_to_plane:
            near = (mesh.vertices[:, 2] > 6) & (mesh.vertices[:, 2] < 25)
            assert_allclose(mesh.vertices[near, 1], HEIGHT, atol=0.1)  # half a pixel at 25 m
            assert_allclose(mesh.vertices[near, 1].mean(), HEIGHT, atol=0.01)
    assert whole[True] > 0.95
    assert whole[False] < 0.85


def test_nothing_measured_faces_the_camera() -> None:
    assert_allclose(incidence_cosine(np.zeros((80, 200), np.float32), CAMERA), 1)
