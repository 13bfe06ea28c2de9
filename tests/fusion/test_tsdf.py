"""Laws of fusion, on a ball seen from all sides."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import numba
import numpy as np
import pytest
import trimesh
from numpy.testing import assert_allclose, assert_array_equal
from scipy.spatial import cKDTree

from panrecon.config import MeshSettings
from panrecon.errors import InputError
from panrecon.fusion.chunks import plan_chunks
from panrecon.fusion.tsdf import Region, TSDFVolume, fuse
from panrecon.fusion.voxel_block_grid import import_open3d
from panrecon.geometry.projective import look_at
from panrecon.geometry.raycasting import Raycaster
from panrecon.structures import Camera, TriangleMesh, View, Views

from .plain import plain_surface, plain_volume

CAMERA = Camera(120, 120, 150.0, 150.0, 59.5, 59.5)
RADIUS = 0.5
COLOR = (200, 100, 50)
SETTINGS = MeshSettings(voxel_size=0.03, depth_max=3.0)


@pytest.fixture(scope="module")
def views() -> tuple[View, ...]:
    """Exact depth of the ball from 42 sides, 2 m away."""
    sphere = trimesh.creation.icosphere(subdivisions=5, radius=RADIUS)
    colors = np.full((len(sphere.vertices), 3), 0, np.uint8)
    mesh = TriangleMesh(sphere.vertices.astype(np.float32), sphere.faces.astype(np.int32), colors)
    raycaster, eyes = Raycaster(mesh), 2 * trimesh.creation.icosphere(subdivisions=1).vertices
    poses = [look_at(eye, np.zeros(3), up=np.array([0.1, 0.2, 0.9])) for eye in eyes]
    color = np.full((CAMERA.height, CAMERA.width, 3), COLOR, np.uint8)
    return tuple(View(str(i), CAMERA, pose, color, raycaster.cast(CAMERA, pose).depth) for i, pose in enumerate(poses))


@pytest.fixture(scope="module", params=["numba", "open3d"])
def backend(request: pytest.FixtureRequest) -> MeshSettings:
    """Settings of every backend, for the laws that all of them keep."""
    return SETTINGS.model_copy(update={"backend": request.param})


@pytest.fixture(scope="module")
def fused(views: tuple[View, ...], backend: MeshSettings) -> TriangleMesh:
    return fuse(Views.of(views), backend)


@pytest.fixture(scope="module")
def ball(views: tuple[View, ...]) -> TriangleMesh:
    return fuse(Views.of(views), SETTINGS)


def test_a_ball_seen_from_all_sides_is_watertight_and_within_half_a_voxel(fused: TriangleMesh) -> None:
    solid = trimesh.Trimesh(fused.vertices, fused.faces, process=False)
    assert solid.is_watertight
    assert solid.body_count == 1
    assert solid.euler_number == 2
    assert_allclose(np.linalg.norm(fused.vertices, axis=1), RADIUS, atol=SETTINGS.voxel_size / 2)
    assert solid.volume == pytest.approx(4 / 3 * np.pi * RADIUS**3, rel=0.03)  # positive: triangles face outwards


def test_the_surface_has_the_colour_of_the_images(fused: TriangleMesh) -> None:
    assert_allclose(fused.colors.astype(int), np.broadcast_to(COLOR, fused.colors.shape), atol=1)


def test_the_same_views_give_the_same_bytes(
    fused: TriangleMesh, views: tuple[View, ...], backend: MeshSettings
) -> None:
    assert_same(fuse(Views.of(views), backend), fused)


def test_all_backends_give_nearly_the_same_surface(ball: TriangleMesh, fused: TriangleMesh) -> None:
    assert len(fused.faces) == pytest.approx(len(ball.faces), rel=0.02)
    distance, _ = cKDTree(ball.vertices).query(fused.vertices)
    assert np.max(distance) < SETTINGS.voxel_size  # their grids are half a voxel apart


def test_the_same_views_give_the_same_bytes_in_any_order_on_any_number_of_threads(
    ball: TriangleMesh, views: tuple[View, ...]
) -> None:
    threads = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        assert_same(fuse(Views.of(views[::-1]), SETTINGS), ball)
    finally:
        numba.set_num_threads(threads)


@pytest.mark.parametrize("chunk", [0.5, 0.75, 1.3, 100.0])
def test_where_space_is_cut_leaves_no_trace(ball: TriangleMesh, views: tuple[View, ...], chunk: float) -> None:
    settings = SETTINGS.model_copy(update={"chunk_size": chunk})
    assert (len(plan_chunks(Views.of(views), settings).chunks) == 1) == (chunk > 10)
    assert_same(fuse(Views.of(views), settings), ball)


def test_pieces_are_small_only_when_they_are_joined(views: tuple[View, ...]) -> None:
    settings = SETTINGS.model_copy(update={"min_component_faces": 4_000})
    whole = fuse(Views.of(views), settings)
    assert_same(fuse(Views.of(views), settings.model_copy(update={"chunk_size": 0.75})), whole)


def test_chunks_read_no_more_frames_than_they_say_and_tell_how_many(views: tuple[View, ...]) -> None:
    read: list[int] = []
    told: list[int] = []

    def read_one(number: int) -> View:
        read.append(number)
        return views[number]

    @contextmanager
    def progress(what: str, total: int) -> Iterator[Callable[[int], None]]:
        yield told.append
        told.append(total)

    spied = Views(
        tuple(view.name for view in views), CAMERA, np.stack([view.world_from_camera for view in views]), read_one
    )
    fuse(spied, SETTINGS.model_copy(update={"chunk_size": 0.5}), progress)
    assert told == sorted(told) and told[-1] == told[-2]
    assert set(read) == set(range(len(views)))
    assert len(views) < len(read) < told[-1]  # once read, a frame is known not to reach some chunks


@pytest.mark.parametrize("point_to_plane", [False, True])
def test_the_kernels_equal_their_plain_twin(views: tuple[View, ...], point_to_plane: bool) -> None:
    settings = SETTINGS.model_copy(update={"point_to_plane": point_to_plane})
    some = [disturbed(view, number) for number, view in enumerate(views[:5])]
    planned = plan_chunks(Views.of(some), settings)
    chunk = planned.chunks[0]
    volume = TSDFVolume(Region(planned.lower, chunk.low, chunk.high + 1), settings)
    for view in some:
        volume.integrate(view)
    truth = plain_volume(some, settings)
    keys, voxels = volume.content()
    places = np.stack([keys >> shift & 2**17 - 1 for shift in (34, 17, 0)], axis=1) + planned.lower
    found = np.concatenate([voxels.distance[..., None], voxels.color, voxels.weight[..., None].astype(int)], axis=2)
    assert {tuple(place) for place in places.tolist()} == truth.keys()
    for place, sums in zip(places.tolist(), found, strict=True):
        assert_array_equal(sums, truth[tuple(place)])
    surface = volume.surface(chunk.low, chunk.high)
    corners, colors = plain_surface(truth, SETTINGS)
    assert len(corners) > 1000
    found_corners = surface.vertices[surface.faces].reshape(-1, 9)
    order, true_order = np.lexsort(found_corners.T), np.lexsort(corners.reshape(-1, 9).T)
    assert_array_equal(found_corners[order], corners.reshape(-1, 9)[true_order])
    assert_array_equal(surface.colors[surface.faces].reshape(-1, 9)[order], colors.reshape(-1, 9)[true_order])


def test_a_voxel_that_was_seen_too_often_stays_as_it_is(views: tuple[View, ...]) -> None:
    planned = plan_chunks(Views.of(views), SETTINGS)
    volume = TSDFVolume(Region(planned.lower, planned.chunks[0].low, planned.chunks[0].high + 1), SETTINGS)
    volume.integrate(views[0])
    _, voxels = volume.content()
    seen = voxels.weight == 1
    voxels.weight[seen] = 65_535
    before = voxels.distance.copy()
    volume.integrate(views[0])
    assert_array_equal(voxels.distance, before)
    assert_array_equal(voxels.weight[seen], 65_535)


def test_a_pose_gone_astray_is_an_error_of_the_input(views: tuple[View, ...], backend: MeshSettings) -> None:
    lost = views[0].world_from_camera.copy()
    lost[0, 3] = 1e7
    with pytest.raises(InputError, match="poses"):
        fuse(Views.of([*views, replace(views[0], world_from_camera=lost)]), backend)


def test_a_moved_scene_gives_the_moved_surface(
    fused: TriangleMesh, views: tuple[View, ...], backend: MeshSettings
) -> None:
    shift = 8 * SETTINGS.voxel_size * np.array([3.0, -2.0, 1.0])
    move = np.eye(4)
    move[:3, 3] = shift
    moved = fuse(Views.of([replace(view, world_from_camera=move @ view.world_from_camera) for view in views]), backend)
    assert_allclose(np.linalg.norm(moved.vertices - shift, axis=1), RADIUS, atol=SETTINGS.voxel_size / 2)
    assert len(moved.vertices) == pytest.approx(len(fused.vertices), rel=0.02)


def test_what_lies_beyond_the_greatest_depth_is_not_fused(
    fused: TriangleMesh, views: tuple[View, ...], backend: MeshSettings
) -> None:
    far = np.full_like(views[0].depth, 3.5)
    walls = [replace(view, depth=np.where(view.depth > 0, view.depth, far)) for view in views]
    assert_array_equal(fuse(Views.of(walls), backend).vertices, fused.vertices)
    farther = backend.model_copy(update={"depth_max": 6.0})
    assert len(fuse(Views.of(walls), farther).vertices) > len(fused.vertices)


def test_frames_without_any_depth_are_an_error_of_the_input(views: tuple[View, ...], backend: MeshSettings) -> None:
    with pytest.raises(InputError, match="depth"):
        fuse(Views.of([replace(view, depth=np.zeros_like(view.depth)) for view in views]), backend)


def test_open3d_says_what_it_cannot_do(views: tuple[View, ...]) -> None:
    with pytest.raises(InputError, match=r"point_to_plane=false"):
        fuse(Views.of(views), SETTINGS.model_copy(update={"backend": "open3d", "point_to_plane": True}))


def test_open3d_is_an_extra(views: tuple[View, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    import_open3d.cache_clear()
    monkeypatch.setattr("panrecon.errors.find_spec", lambda module: None)
    with pytest.raises(InputError, match=r"This needs open3d, .*panrecon\[open3d\]"):
        fuse(Views.of(views), SETTINGS.model_copy(update={"backend": "open3d"}))


def test_a_missing_system_library_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    import_open3d.cache_clear()
    monkeypatch.setattr("panrecon.fusion.voxel_block_grid._loads", lambda library: library != "libEGL.so.1")
    with pytest.raises(InputError, match=r"Open3D needs libEGL\.so\.1; .*apt-get install libegl1\.$"):
        import_open3d()


def disturbed(view: View, seed: int) -> View:
    """Noisy depth with holes, and every pixel of its own colour."""
    rng = np.random.default_rng(seed)
    depth = np.where(rng.random(view.depth.shape) < 0.1, 0, view.depth + rng.normal(0, 0.01, view.depth.shape))
    color = rng.integers(0, 256, view.color.shape).astype(np.uint8)
    return replace(view, depth=np.where(view.depth > 0, depth, 0).astype(np.float32), color=color)


def assert_same(one: TriangleMesh, other: TriangleMesh) -> None:
    assert one.vertices.tobytes() == other.vertices.tobytes()
    assert_array_equal(one.faces, other.faces)
    assert_array_equal(one.colors, other.colors)
