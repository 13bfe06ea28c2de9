"""Laws of what points read of feature maps, and of what hides a point."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import Float
from numpy.testing import assert_allclose, assert_array_equal

from panrecon.features.points import BORDER, CLEARANCE, MapView, interpolate_views, occluded, visible
from panrecon.geometry.projective import invert, pixel_directions, project, transform
from panrecon.structures import Camera, FeatureMap

CAMERA = Camera(60, 40, 50.0, 45.0, 29.0, 21.0)
SPLAT = 0.04  # rad; 2 px of the camera
HERE = np.eye(4)


def at_pixels(pixels: Sequence[tuple[float, float]], depth: float) -> Float[np.ndarray, "n 3"]:
    u, v = np.array(pixels, dtype=np.float64).T
    x, y = (u - CAMERA.cx) / CAMERA.fx, (v - CAMERA.cy) / CAMERA.fy
    return depth * np.stack([x, y, np.ones_like(x)], axis=1)


def coordinates(shift: float = 0.0) -> FeatureMap:
    """A map that says where it was read: u, v, and 1; `shift` is added to u."""
    u, v = np.meshgrid(np.arange(CAMERA.width), np.arange(CAMERA.height))
    return FeatureMap(np.stack([u + shift, v, np.ones_like(u)], axis=-1).astype(np.float32))


def test_a_point_reads_the_pixel_that_it_falls_on() -> None:
    pixels = [(10.0, 8.0), (30.25, 20.5), (53.0, 33.75)]
    found = interpolate_views(at_pixels(pixels, 7.0), [MapView(CAMERA, HERE, coordinates())]).features()
    assert found.valid.all()
    assert_allclose(found.values, np.column_stack([pixels, np.ones(3)]), atol=1e-5)


def test_nobody_reads_the_border_nor_what_lies_behind_the_camera() -> None:
    last = (CAMERA.width - 1 - BORDER, CAMERA.height - 1 - BORDER)
    inside = [(BORDER, BORDER), last, (30.0, last[1])]
    outside = [(BORDER - 0.01, 20.0), (30.0, BORDER - 0.01), (last[0] + 0.01, 20.0), (30.0, last[1] + 0.01)]
    points = np.concatenate([at_pixels(inside, 3.0) * (1 + 1e-12), at_pixels(outside, 3.0), -at_pixels(inside, 3.0)])
    found = interpolate_views(points, [MapView(CAMERA, HERE, coordinates())]).features()
    assert_array_equal(found.valid[3:], False)
    assert_array_equal(found.values[3:], 0)
    assert found.valid[:3].sum() >= 2  # a corner may round out
    assert_allclose(found.values[2], [*inside[2], 1], atol=1e-4)


def test_two_cameras_give_the_mean_and_one_what_it_sees_alone() -> None:
    aside = np.eye(4)
    aside[0, 3] = -2.0
    points = np.concatenate([at_pixels([(40.0, 20.0)], 5.0), at_pixels([(8.0, 20.0)], 5.0)])
    views = [MapView(CAMERA, HERE, coordinates()), MapView(CAMERA, aside, coordinates(shift=1000.0))]
    found = interpolate_views(points, views).features()
    second = project(CAMERA, transform(aside, points))[0][0]
    assert_allclose(found.values[0, 0], (40.0 + second[0] + 1000) / 2, atol=1e-3)
    assert_allclose(found.values[1, :2], [8.0, 20.0], atol=1e-4)


def test_readings_are_smaller_than_rows_and_hold_no_cell_that_nobody_reads() -> None:
    rng = np.random.default_rng(0)
    points = at_pixels([tuple(pixel) for pixel in rng.uniform((6, 6), (30, 30), (500, 2))], 4.0)
    coarse = FeatureMap(rng.standard_normal((8, 12, 64)).astype(np.float32))
    readings = interpolate_views(points, [MapView(CAMERA, HERE, coarse)])
    assert len(readings.cells) < 50
    assert_array_equal(np.unique(readings.cell), np.arange(len(readings.cells)))
    assert readings.features().values.shape == (500, 64)


# What hides a point.


def seen_through(points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, " n"]:
    return occluded(CAMERA, *project(CAMERA, points), SPLAT)


def surface(normal: Float[np.ndarray, "3"], distance: float) -> Float[np.ndarray, "n 3"]:
    """Points of the plane normal . x = distance before the camera, where rays between the pixels meet it."""
    rays = pixel_directions(CAMERA).reshape(-1, 3)
    jitter = np.random.default_rng(1).uniform(-0.5, 0.5, (len(rays), 2)) / [CAMERA.fx, CAMERA.fy]
    rays = rays + np.column_stack([jitter, np.zeros(len(rays))])
    along = rays @ normal
    depth = np.divide(distance, along, out=np.full(len(rays), -1.0), where=along > 1e-9)
    return rays[depth > 0] * depth[depth > 0, None]


@settings(deadline=None, max_examples=60)
@given(st.floats(0, 6.3), st.floats(-1.57, 1.57), st.floats(CLEARANCE, 60.0))
def test_no_plane_hides_any_of_itself_however_it_slants(turn: float, tilt: float, distance: float) -> None:
    normal = np.array([np.cos(tilt) * np.cos(turn), np.cos(tilt) * np.sin(turn), np.sin(tilt)])
    points = surface(normal, distance)
    assert not seen_through(points).any()


def test_a_road_and_a_wall_at_grazing_angles_are_seen_to_the_horizon() -> None:
    for normal, distance in ((np.array([0.0, 1, 0]), 1.65), (np.array([1.0, 0, 0]), 3.0)):
        points = surface(normal, distance)
        assert points[:, 2].max() > 40
        assert not seen_through(points).any()


def sparse(step: int, depth: float, columns: range) -> Float[np.ndarray, "n 3"]:
    """A wall that faces the camera, sampled at gaps of `step` pixels."""
    return at_pixels([(u, v) for u in columns[::step] for v in range(6, 34, step)], depth)


@pytest.mark.parametrize("step", [1, 2, 4])
def test_a_wall_hides_what_is_behind_it_through_its_gaps_and_nothing_beside_it(step: int) -> None:
    """Splats reach half a gap; 4 px are twice the splat."""
    wall, behind = sparse(step, 4.0, range(6, 31)), at_pixels([(10.5, 11.3), (17.0, 18.9), (24.2, 26.0)], 12.0)
    beside = at_pixels([(40.0, 12.0), (44.0, 30.0)], 12.0)
    before = at_pixels([(15.0, 15.0)], 3.9)
    found = seen_through(np.concatenate([wall, behind, beside, before]))
    assert not found[: len(wall)].any()
    assert_array_equal(found[len(wall) :], [True] * 3 + [False] * 3)


def test_a_hidden_point_reads_nothing_and_only_where_it_is_asked() -> None:
    points = np.concatenate([sparse(2, 4.0, range(6, 31)), at_pixels([(20.0, 20.0)], 12.0)])
    assert (len(points) - 1) in visible(points, CAMERA, HERE)[0]
    assert (len(points) - 1) not in visible(points, CAMERA, HERE, SPLAT)[0]
    view = MapView(CAMERA, HERE, coordinates())
    assert interpolate_views(points, [view]).features().valid.all()
    assert not interpolate_views(points, [view], SPLAT).features().valid[-1]


def test_another_camera_may_see_what_is_hidden_from_one() -> None:
    points = np.concatenate([sparse(2, 4.0, range(6, 25)), at_pixels([(20.0, 20.0)], 12.0)])
    aside = np.eye(4)
    aside[0, 3] = 3.0  # the camera sits 3 m to the left
    views = [MapView(CAMERA, HERE, coordinates()), MapView(CAMERA, aside, coordinates(1000.0))]
    found = interpolate_views(points, views, SPLAT).features()
    assert found.valid[-1]
    assert found.values[-1, 0] > 1000
    assert_allclose(invert(aside)[0, 3], -3.0)
