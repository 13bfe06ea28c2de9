"""Laws of what a camera sees of a mesh."""

from typing import Any

import numpy as np
import pytest
from jaxtyping import Float
from numpy.testing import assert_allclose, assert_array_equal

from panrecon.geometry import raycasting
from panrecon.geometry.projective import invert, look_at, pixel_directions, project, transform
from panrecon.geometry.raycasting import REACH, Raycaster, confirmed_faces, index_kept, visible_points
from panrecon.structures import VOID, Camera, SurfaceImage, TriangleMesh, View

CAMERA = Camera(40, 30, 35.0, 35.0, 19.5, 14.5)
HERE = np.eye(4)


def walls(*depths: float, half: float = 5.0) -> TriangleMesh:
    """Square walls across the z axis, two triangles each; the first is the one at the first depth."""
    corners = np.array([[-half, -half], [half, -half], [half, half], [-half, half]])
    vertices = np.concatenate([np.column_stack([corners, np.full(4, depth)]) for depth in depths]).astype(np.float32)
    faces = np.concatenate([np.array([[0, 2, 1], [0, 3, 2]]) + 4 * i for i in range(len(depths))]).astype(np.int32)
    return TriangleMesh(vertices, faces, np.zeros((len(vertices), 3), np.uint8))


def seen(depth: Float[np.ndarray, "h w"]) -> View:
    return View("0", CAMERA, HERE, np.zeros((*depth.shape, 3), np.uint8), depth.astype(np.float32))


def test_depth_of_a_wall_is_along_the_axis_not_along_the_ray() -> None:
    surface = Raycaster(walls(2.0)).cast(CAMERA, HERE)
    assert_allclose(surface.depth, 2.0, atol=1e-6)
    assert set(np.unique(surface.face)) == {0, 1}


@pytest.mark.parametrize("eye", [(0.5, -0.3, 0.0), (1.0, 1.0, 1.0), (-2.0, 0.0, 0.5)])
def test_depth_of_an_oblique_wall_is_where_the_ray_meets_it(eye: tuple[float, float, float]) -> None:
    pose = look_at(np.array(eye), np.array([0.1, 0.2, 2.0]), np.array([0.0, 1.0, 0.0]))
    directions = pixel_directions(CAMERA) @ pose[:3, :3].T
    expected = (2.0 - eye[2]) / directions[..., 2]
    depth = Raycaster(walls(2.0, half=50.0)).cast(CAMERA, pose).depth
    inside = np.abs(np.array(eye) + expected[..., None] * directions).max(axis=-1) < 49
    assert inside.mean() > 0.5
    assert_allclose(depth[inside & (expected > 0)], expected[inside & (expected > 0)], rtol=1e-4)


def test_the_wall_behind_is_hidden_where_the_one_in_front_stands() -> None:
    mesh = walls(3.0, 1.5)
    small = TriangleMesh(np.where(np.arange(8)[:, None] < 4, 1.0, [[0.1, 0.1, 1]]) * mesh.vertices, *rest(mesh))
    surface = Raycaster(small).cast(CAMERA, HERE)
    in_front = np.abs(pixel_directions(CAMERA)[..., :2] * 1.5).max(axis=-1) < 0.5
    assert_allclose(surface.depth, np.where(in_front, 1.5, 3.0), atol=1e-6)
    assert_array_equal(surface.face // 2, in_front)


def rest(mesh: TriangleMesh) -> tuple[np.ndarray, np.ndarray]:
    return mesh.faces, mesh.colors


def test_where_nothing_is_hit_there_is_no_depth_and_no_face() -> None:
    surface = Raycaster(walls(-2.0)).cast(CAMERA, HERE)
    assert not surface.depth.any()
    assert (surface.face == VOID).all()
    half = Raycaster(walls(2.0, half=0.5)).cast(CAMERA, HERE)
    assert_array_equal(half.depth == 0, half.face == VOID)
    assert 0 < (half.face == VOID).mean() < 1


def test_a_face_is_confirmed_by_measured_depth_within_the_tolerance_only() -> None:
    depth = np.array([[2.0, 2.0, 2.0, 0.04, 2.0]], np.float32)
    surface = SurfaceImage(depth, np.array([[4, 4, 4, 4, VOID]], np.int32))
    measured = np.array([[2.0, 2.049, 1.94, 0.0, 2.0]])
    view = View("0", Camera(5, 1, 1.0, 1.0, 0.0, 0.0), HERE, np.zeros((1, 5, 3), np.uint8), measured.astype(np.float32))
    assert_array_equal(confirmed_faces(surface, view, 0.05), [[4, 4, VOID, VOID, VOID]])


def test_depth_cast_from_the_mesh_confirms_every_face_hit() -> None:
    surface = Raycaster(walls(2.0, half=0.5)).cast(CAMERA, HERE)
    assert_array_equal(confirmed_faces(surface, seen(surface.depth), 1e-4), surface.face)


def test_points_are_visible_on_the_first_surface_inside_the_image_only() -> None:
    depth = np.full((CAMERA.height, CAMERA.width), 2.0)
    points = np.array([[0, 0, 2.0], [0.5, 0.3, 2.02], [0, 0, 2.5], [0, 0, 1.5], [9, 0, 2.0], [0, 0, -2.0]])
    found, pixels = visible_points(points, CAMERA, HERE, depth, 0.03)
    assert_array_equal(found, [0, 1])
    assert_allclose(pixels, project(CAMERA, points[:2])[0])
    assert not len(visible_points(points, CAMERA, HERE, np.zeros_like(depth), 10.0)[0])


def test_visibility_moves_with_the_camera() -> None:
    rng = np.random.default_rng(0)
    points, depth = rng.uniform((-2, -2, 1), (2, 2, 3), (300, 3)), rng.uniform(1, 3, (30, 40))
    pose = look_at(np.array([0.3, 0.2, 1.0]), np.array([2.0, 1.0, 0.5]))
    still = visible_points(points, CAMERA, HERE, depth, 0.5)
    moved = visible_points(transform(pose, points), CAMERA, pose, depth, 0.5)
    assert len(still[0]) > 20
    assert_array_equal(moved[0], still[0])
    assert_allclose(transform(invert(pose), transform(pose, points)), points, atol=1e-9)


def triangles(seed: int, count: int = 40) -> TriangleMesh:
    """Random triangles in a cube of 4 m about the origin."""
    corners = np.random.default_rng(seed).uniform(-2, 2, (3 * count, 3)).astype(np.float32)
    return TriangleMesh(
        corners, np.arange(3 * count, dtype=np.int32).reshape(-1, 3), np.zeros((3 * count, 3), np.uint8)
    )


def plain_hits(
    mesh: TriangleMesh, origin: Float[np.ndarray, "3"], direction: Float[np.ndarray, "3"]
) -> Float[np.ndarray, " F"]:
    """The distance of every triangle along a ray, in lengths of its direction; inf where it is missed."""
    a, b, c = mesh.vertices[mesh.faces].astype(float).swapaxes(0, 1)
    solved = np.linalg.solve(
        np.stack([b - a, c - a, np.broadcast_to(-direction, a.shape)], axis=2), (origin - a)[..., None]
    )
    u, v, distance = solved[..., 0].T
    return np.where((u >= 0) & (v >= 0) & (u + v <= 1) & (distance >= 0), distance, np.inf)


def random_rays(seed: int, count: int = 200) -> tuple[Float[np.ndarray, "n 3"], Float[np.ndarray, "n 3"]]:
    rng = np.random.default_rng(seed)
    return rng.uniform(-3, 3, (count, 3)).astype(np.float32), rng.normal(0, 2, (count, 3)).astype(np.float32)


@pytest.mark.parametrize("seed", range(4))
def test_the_first_hit_is_the_nearest_triangle(seed: int) -> None:
    mesh = triangles(seed)
    origins, directions = random_rays(seed)
    every_distance = np.stack([plain_hits(mesh, *ray) for ray in zip(origins, directions, strict=True)])
    nearest = every_distance.min(axis=1)
    distance, face = Raycaster(mesh).first_hits(origins, directions)
    assert 0.1 < np.isfinite(nearest).mean() < 0.9
    assert_array_equal(face, np.where(np.isfinite(nearest), every_distance.argmin(axis=1), VOID))
    assert_allclose(distance, np.where(np.isfinite(nearest), nearest, 0.0), atol=1e-5)


@pytest.mark.parametrize("seed", range(4))
def test_a_point_is_hidden_by_what_lies_before_it(seed: int) -> None:
    mesh = triangles(seed)
    origins, directions = random_rays(seed)
    nearest = np.array([plain_hits(mesh, *ray).min() for ray in zip(origins, directions, strict=True)])
    hidden = Raycaster(mesh).occluded(origins, origins + directions)
    assert 0.1 < hidden.mean() < 0.9
    assert_array_equal(hidden, nearest < REACH)


def test_the_surface_on_which_a_point_lies_does_not_hide_it() -> None:
    ends = np.array([[0.3, 0.2, 2.0], [0.3, 0.2, 1.98], [0.3, 0.2, 2.1]])
    assert_array_equal(Raycaster(walls(2.0)).occluded(np.zeros_like(ends), ends), [False, False, True])


def test_rays_keep_their_shape_and_their_answers_on_any_number_of_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    raycaster = Raycaster(triangles(0))
    origins, directions = (rays.reshape(20, 10, 3) for rays in random_rays(5))
    whole = raycaster.first_hits(origins, directions)
    hidden = raycaster.occluded(origins, origins + directions)
    assert whole[0].shape == whole[1].shape == hidden.shape == (20, 10)
    monkeypatch.setattr("panrecon.geometry.raycasting.MINIMUM_SHARE", 1)
    monkeypatch.setattr("os.sched_getaffinity", lambda process: range(7))
    for before, after in zip(whole, raycaster.first_hits(origins, directions), strict=True):
        assert_array_equal(before, after)
    assert_array_equal(raycaster.occluded(origins, origins + directions), hidden)


def test_a_mesh_without_faces_and_no_rays_at_all_hit_nothing() -> None:
    empty = TriangleMesh(np.zeros((0, 3), np.float32), np.zeros((0, 3), np.int32), np.zeros((0, 3), np.uint8))
    assert (Raycaster(empty).cast(CAMERA, HERE).face == VOID).all()
    distance, face = Raycaster(walls(2.0)).first_hits(np.zeros((0, 3)), np.zeros((0, 3)))
    assert distance.shape == face.shape == (0,)


def test_where_the_index_is_kept_a_mesh_is_indexed_once_until_another_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    built = []
    build = raycasting._Index.build

    def record(*arguments: Any) -> raycasting._Index:
        built.append(arguments)
        return build(*arguments)

    monkeypatch.setattr(raycasting._Index, "build", record)
    near, far = walls(2.0), walls(3.0)
    with index_kept():
        for mesh in (near, walls(2.0), far, far, near):  # the second has the bytes of the first
            depth = 2.0 if mesh is not far else 3.0
            assert_allclose(Raycaster(mesh).cast(CAMERA, HERE).depth, depth, atol=1e-6)
        assert len(built) == 3
        kept = Raycaster(near)
        Raycaster(far)
        assert_allclose(kept.cast(CAMERA, HERE).depth, 2.0, atol=1e-6)
    assert not raycasting._latest
    Raycaster(far)
    Raycaster(far)
    assert len(built) == 6
