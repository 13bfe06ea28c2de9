"""Laws of depth images of accumulated points."""

import numpy as np
import pytest
from jaxtyping import Float32
from numpy.testing import assert_allclose, assert_array_equal

from panrecon.accumulation.depth import depth_image
from panrecon.geometry.projective import pixel_directions
from panrecon.structures import Camera

CAMERA = Camera(240, 120, 552.0, 552.0, 119.5, 40.0)
NONE = np.empty((0, 3), np.float32)
HEIGHT = 1.6  # m of the camera above the road


def plane(normal: tuple[float, float, float], offset: float, count: int, seed: int = 0) -> Float32[np.ndarray, "n 3"]:
    """Points of `normal . p = offset` at random places of the image."""
    rng = np.random.default_rng(seed)
    u, v = rng.uniform(-2, CAMERA.width + 1, count), rng.uniform(-2, CAMERA.height + 1, count)
    ray = np.stack([(u - CAMERA.cx) / CAMERA.fx, (v - CAMERA.cy) / CAMERA.fy, np.ones(count)], axis=1)
    depth = offset / (ray @ np.array(normal))
    return (ray * depth[:, None])[(depth > 0) & (depth < 60)].astype(np.float32)


def exact(normal: tuple[float, float, float], offset: float) -> Float32[np.ndarray, "h w"]:
    with np.errstate(divide="ignore"):  # a ray along the plane never meets it
        depth = offset / (pixel_directions(CAMERA) @ np.array(normal))
    return np.where((depth > 1) & (depth < 60), depth, 0).astype(np.float32)


@pytest.mark.parametrize(
    ("normal", "offset"),
    [((0.0, 1.0, 0.0), HEIGHT), ((1.0, 0.0, 0.0), 4.0), ((0.0, 0.0, 1.0), 12.0), ((-0.6, 0.0, 0.8), 9.0)],
    ids=["road", "facade beside", "facade ahead", "oblique"],
)
def test_depth_of_planes_is_exact_at_pixel_centres(normal: tuple[float, float, float], offset: float) -> None:
    """A road at 20 m falls by more than a metre a pixel: means of depths would not do."""
    depth = depth_image(CAMERA, plane(normal, offset, 15_000), NONE)
    truth = exact(normal, offset)
    both = (depth > 0) & (truth > 0)
    assert both.sum() > 0.9 * (truth > 0).sum()
    assert_allclose(1 / depth[both], 1 / truth[both], atol=2e-4)


def test_a_surface_occludes_what_lies_behind_it_between_its_points() -> None:
    near, far = plane((0, 0, 1), 6.0, 8000), plane((0, 0, 1), 30.0, 60_000, seed=1)
    depth = depth_image(CAMERA, np.concatenate([near, far]), NONE)
    assert (np.abs(depth[5:-5, 5:-5] - 6) < 0.1).mean() > 0.9
    assert not (depth > 10)[5:-5, 5:-5].any()


def test_an_object_is_not_enlarged_by_the_radius_of_its_points() -> None:
    box = plane((0, 0, 1), 6.0, 12_000)
    column = box[:, 0] / 6 * CAMERA.fx + CAMERA.cx
    box = box[(column > 90) & (column < 150)]
    depth = depth_image(CAMERA, np.concatenate([box, plane((0, 0, 1), 30.0, 12_000, seed=1)]), NONE)
    columns = np.flatnonzero(((depth > 5) & (depth < 7)).any(axis=0))
    assert columns.min() >= 89 and columns.max() <= 151
    assert (depth[:, :80] > 25).mean() > 0.9


def test_order_of_points_does_not_matter() -> None:
    points = np.concatenate([plane((0, 1, 0), HEIGHT, 3000), plane((1, 0, 0), 4.0, 3000, seed=2)])
    shuffled = np.random.default_rng(3).permutation(points)
    assert_allclose(depth_image(CAMERA, points, NONE), depth_image(CAMERA, shuffled, NONE), rtol=1e-3, atol=1e-3)


def test_pixels_of_dynamic_points_have_no_depth() -> None:
    dynamic = plane((0, 0, 1), 8.0, 4000)
    dynamic = dynamic[(np.abs(dynamic[:, 0]) < 0.6)]
    depth = depth_image(CAMERA, plane((0, 0, 1), 20.0, 12_000), dynamic)
    u = dynamic[:, 0] / 8 * CAMERA.fx + CAMERA.cx
    assert not depth[:, int(u.min()) + 1 : int(u.max())].any()
    assert (depth[:, : int(u.min()) - 5] > 0).mean() > 0.9


def test_dynamic_points_missed_by_the_ray_tests_have_no_depth() -> None:
    dynamic = plane((0, 0, 1), 8.0, 12_000)
    missed = plane((0, 0, 1), 8.0, 6000, seed=1)
    assert (depth_image(CAMERA, missed, dynamic) > 0).mean() < 0.05
    assert (depth_image(CAMERA, missed, NONE) > 0).mean() > 0.5


def test_dynamic_points_behind_a_surface_occlude_nothing() -> None:
    wall = plane((0, 0, 1), 8.0, 12_000)
    assert_array_equal(depth_image(CAMERA, wall, plane((0, 0, 1), 20.0, 4000)), depth_image(CAMERA, wall, NONE))


def test_without_points_there_is_no_depth() -> None:
    assert not depth_image(CAMERA, NONE, NONE).any()
    behind = np.array([[0, 0, -5.0]], np.float32)
    assert not depth_image(CAMERA, behind, NONE).any()
