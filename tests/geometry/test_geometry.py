"""Laws of projective and mesh geometry."""

import numpy as np
import pytest
import trimesh
from hypothesis import given
from hypothesis import strategies as st
from jaxtyping import Float
from numpy.testing import assert_allclose, assert_array_equal
from scipy.spatial.transform import Rotation

from panrecon.geometry.mesh import (
    face_normals,
    mesh_edges,
    nearest_vertex,
    neighborhood_means,
    smoothed_normals,
    vertex_normals,
)
from panrecon.geometry.projective import (
    invert,
    look_at,
    nearest_pixel,
    pixel_directions,
    project,
    resample,
    transform,
    unproject,
)
from panrecon.structures import VOID, Camera

CAMERA = Camera(7, 5, 6.0, 5.5, 2.8, 2.1)
seeds = st.integers(0, 2**32 - 1)


def random_motion(seed: int) -> Float[np.ndarray, "4 4"]:
    rng = np.random.default_rng(seed)
    motion = np.eye(4)
    motion[:3, :3] = Rotation.random(random_state=rng).as_matrix()
    motion[:3, 3] = rng.normal(size=3)
    return motion


@given(seed=seeds)
def test_projecting_an_unprojected_depth_image_gives_its_pixels_and_depth(seed: int) -> None:
    depth = np.random.default_rng(seed).uniform(0.1, 9, (CAMERA.height, CAMERA.width))
    pixels, distance = project(CAMERA, unproject(CAMERA, depth).reshape(-1, 3))
    u, v = np.meshgrid(np.arange(CAMERA.width), np.arange(CAMERA.height))
    assert_allclose(pixels, np.stack([u, v], axis=-1).reshape(-1, 2), atol=1e-12)
    assert_allclose(distance, depth.ravel(), atol=1e-12)


def test_what_is_not_in_front_of_the_camera_has_no_pixel() -> None:
    pixels, depth = project(CAMERA, np.array([[0.0, 0.0, 0.0], [1.0, 1.0, -2.0], [0.0, 0.0, 1.0]]))
    assert np.isneginf(pixels[:2]).all()
    assert_allclose(pixels[2], (CAMERA.cx, CAMERA.cy))
    assert_array_equal(nearest_pixel(CAMERA, pixels)[2], [False, False, True])
    assert_allclose(depth, [0, -2, 1])


@given(seed=seeds)
def test_a_motion_and_its_inverse_cancel_and_keep_the_precision(seed: int) -> None:
    motion, points = random_motion(seed), np.random.default_rng(seed).normal(size=(20, 3))
    assert_allclose(transform(invert(motion), transform(motion, points)), points, atol=1e-12)
    assert_allclose(invert(motion), np.linalg.inv(motion), atol=1e-12)
    assert transform(motion, points.astype(np.float32)).dtype == np.float32


@given(seed=seeds)
def test_a_camera_that_looks_at_a_point_sees_it_in_the_middle_and_upright(seed: int) -> None:
    eye, target = np.random.default_rng(seed).normal(size=(2, 3))
    world_from_camera = look_at(eye, target)
    rotation = world_from_camera[:3, :3]
    assert_allclose(rotation.T @ rotation, np.eye(3), atol=1e-9)
    assert np.linalg.det(rotation) == pytest.approx(1)
    camera_from_world = invert(world_from_camera)
    assert_allclose(transform(camera_from_world, target), [0, 0, float(np.linalg.norm(target - eye))], atol=1e-9)
    above = transform(camera_from_world, target + np.array([0.0, 0.0, 0.1]))
    assert above[0] == pytest.approx(0, abs=1e-9)
    assert above[1] < 0


@given(scale=st.floats(1e-3, 1e3))
def test_the_up_axis_of_look_at_is_a_direction(scale: float) -> None:
    eye, target, up = np.array([1.0, 2.0, 3.0]), np.array([0.0, 1.0, 0.5]), np.array([0.3, 1.0, -0.2])
    assert_allclose(look_at(eye, target, scale * up), look_at(eye, target, up), atol=1e-9)


@pytest.mark.parametrize(
    ("pixel", "expected"),
    [
        ((-0.49, 0.0), (0, 0)),
        ((0.0, -0.49), (0, 0)),
        ((6.49, 4.49), (6, 4)),
        ((2.51, 1.49), (3, 1)),
        ((-0.5, 0.0), None),
        ((0.0, -0.5), None),
        ((6.5, 0.0), None),
        ((0.0, 4.5), None),
        ((-np.inf, -np.inf), None),
    ],
)
def test_pixels_reach_half_a_pixel_around_their_centres(
    pixel: tuple[float, float], expected: tuple[int, int] | None
) -> None:
    column, row, inside = nearest_pixel(CAMERA, np.array([pixel]))
    assert inside[0] == (expected is not None)
    assert (column[0], row[0]) == (expected or (0, 0))


def test_directions_are_the_rays_of_unit_depth() -> None:
    pixels, depth = project(CAMERA, pixel_directions(CAMERA).reshape(-1, 3))
    assert_allclose(depth, 1)
    assert_allclose(pixels[CAMERA.width + 3], (3, 1), atol=1e-12)


@pytest.mark.parametrize("nearest", [True, False])
def test_resampling_for_the_same_camera_changes_nothing(nearest: bool) -> None:
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3)).astype(np.uint8)
    assert_array_equal(resample(image, CAMERA, CAMERA, nearest), image)


def test_resampling_lands_where_both_cameras_see_the_same_point() -> None:
    source, target = Camera(40, 30, 35.0, 36.0, 19.0, 14.0), Camera(24, 20, 30.0, 31.0, 12.5, 9.0)
    u, v = np.meshgrid(np.arange(40), np.arange(30))
    pixels, _ = project(source, pixel_directions(target).reshape(-1, 3))
    for coordinate, ramp in enumerate((u, v)):
        seen = resample(ramp.astype(np.float32), source, target)
        assert_allclose(seen.ravel(), pixels[:, coordinate], atol=0.06)  # remap knows 1/32 of a pixel


def test_resampling_is_black_where_the_source_did_not_look() -> None:
    narrow, wide = Camera(20, 20, 40.0, 40.0, 9.5, 9.5), Camera(20, 20, 20.0, 20.0, 9.5, 9.5)
    seen = resample(np.full((20, 20), 7, np.uint8), narrow, wide, nearest=True)
    assert (seen[5:15, 5:15] == 7).all()
    assert not seen[:4].any() and not seen[:, -4:].any()


@given(factor=st.sampled_from([0.5, 0.25, 2.0]))
def test_a_scaled_camera_sees_the_same_rays_through_the_same_share_of_the_image(factor: float) -> None:
    camera = Camera(64, 48, 60.0, 58.0, 30.0, 25.0)
    points = np.random.default_rng(0).uniform((-1, -1, 1), (1, 1, 5), (50, 3))
    full, scaled = project(camera, points)[0], project(camera.scaled(factor), points)[0]
    assert_allclose(scaled + 0.5, (full + 0.5) * factor, atol=1e-9)


@pytest.mark.parametrize("subdivisions", [0, 1, 3])
def test_the_edges_of_a_ball_obey_euler(subdivisions: int) -> None:
    sphere = trimesh.creation.icosphere(subdivisions=subdivisions)
    edges = mesh_edges(sphere.faces)
    assert len(sphere.vertices) - len(edges) + len(sphere.faces) == 2
    assert_array_equal(edges, np.unique(np.sort(sphere.edges, axis=1), axis=0))


def test_no_face_has_no_edge() -> None:
    assert mesh_edges(np.empty((0, 3), np.int32)).shape == (0, 2)


def test_the_normals_of_a_ball_point_outwards() -> None:
    sphere = trimesh.creation.icosphere(subdivisions=3)
    normals = vertex_normals(sphere.vertices, sphere.faces)
    assert_allclose(np.einsum("ij,ij->i", normals, sphere.vertices), 1, atol=2e-3)
    assert_allclose(np.linalg.norm(normals, axis=1), 1)


def test_face_normals_are_as_long_as_twice_the_area() -> None:
    box = trimesh.creation.box((1, 2, 3))
    assert_allclose(np.linalg.norm(face_normals(box.vertices, box.faces), axis=1).sum() / 2, box.area)


def test_a_vertex_of_no_face_has_no_normal() -> None:
    vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [5, 5, 5]], dtype=np.float32)
    assert_allclose(vertex_normals(vertices, np.array([[0, 1, 2]])), [[0, 0, 1]] * 3 + [[0, 0, 0]])


@given(seed=seeds)
def test_the_nearest_vertex_is_the_nearest_of_all_within_the_radius(seed: int) -> None:
    rng = np.random.default_rng(seed)
    points, vertices = rng.random((15, 3)), rng.random((25, 3))
    distance = np.linalg.norm(points[:, None] - vertices, axis=2)
    expected = np.where(distance.min(axis=1) < 0.2, distance.argmin(axis=1), VOID)
    assert_array_equal(nearest_vertex(points, vertices, 0.2), expected)


def test_smoothed_normals_of_a_rough_sphere_are_nearer_to_its_radii() -> None:
    sphere = trimesh.creation.icosphere(subdivisions=4)
    radii = np.asarray(sphere.vertices)
    rough = radii + np.random.default_rng(0).normal(0, 0.01, radii.shape)
    cosine = [np.einsum("vk,vk->v", smoothed_normals(rough, sphere.faces, rounds), radii).mean() for rounds in range(4)]
    assert np.all(np.diff(cosine) > 0)
    assert_allclose(smoothed_normals(rough, sphere.faces, 0), vertex_normals(rough, sphere.faces), atol=1e-12)
    assert_array_equal(smoothed_normals(np.zeros((2, 3)), np.zeros((0, 3), np.int64), 3), np.zeros((2, 3)))


def test_neighborhood_means_are_those_of_a_vertex_and_the_ends_of_its_edges() -> None:
    mesh = trimesh.creation.icosphere(subdivisions=1)
    values = np.random.default_rng(0).normal(size=(len(mesh.vertices), 2))
    neighborhood = [[vertex, *ends] for vertex, ends in enumerate(mesh.vertex_neighbors)]
    plain = np.stack([values[indices].mean(axis=0) for indices in neighborhood])
    assert_allclose(neighborhood_means(values, mesh.faces, 1), plain, atol=1e-12)
    assert_allclose(neighborhood_means(values, mesh.faces, 2), neighborhood_means(plain, mesh.faces, 1), atol=1e-12)
    assert_array_equal(neighborhood_means(values, mesh.faces, 0), values)
