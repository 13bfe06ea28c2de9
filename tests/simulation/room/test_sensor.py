"""Laws of the simulated camera, its walk and the true surface."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from panrecon.geometry.projective import invert, look_at, nearest_pixel, project, transform
from panrecon.simulation.room.ground_truth import GroundTruth, ground_truth_mesh
from panrecon.simulation.room.path import free_floor, hand_held_path
from panrecon.simulation.room.room import build_room
from panrecon.simulation.room.sensor import SensorNoise, measured_depth
from panrecon.structures import VOID, Labels
from tests.simulation.conftest import CAMERA, RoomRecording


@pytest.fixture(scope="module")
def truth(recording: RoomRecording) -> GroundTruth:
    return ground_truth_mesh(recording.room, recording.views, edge=0.1)


def test_walk_stays_in_the_room_and_out_of_furniture(recording: RoomRecording) -> None:
    eyes = recording.path[:, :3, 3]
    assert (eyes > 0.15).all() and (eyes < np.array(recording.room.size) - 0.15).all()
    for low, high in recording.room.boxes:
        assert not ((eyes[:, :2] > low[:2] - 0.1) & (eyes[:, :2] < high[:2] + 0.1)).all(axis=1).any()


def test_walk_is_smooth_rigid_and_repeatable(recording: RoomRecording) -> None:
    path = hand_held_path(recording.room, 60, seed=5)
    assert_array_equal(path, hand_held_path(recording.room, 60, seed=5))
    assert_allclose(path[:, :3, :3] @ path[:, :3, :3].transpose(0, 2, 1), np.tile(np.eye(3), (60, 1, 1)), atol=1e-9)
    assert np.linalg.norm(np.diff(path[:, :3, 3], axis=0), axis=1).max() < 0.5


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_short_walks_work(recording: RoomRecording, frames: int) -> None:
    assert hand_held_path(recording.room, frames, seed=0).shape == (frames, 4, 4)


@pytest.mark.parametrize("seed", range(6))
def test_every_room_has_space_to_walk(seed: int) -> None:
    assert free_floor(build_room(seed)).free.sum() * 0.05**2 > 2.0


def test_walk_shows_every_thing(recording: RoomRecording) -> None:
    visible = np.unique(np.concatenate([np.unique(view.truth.instance) for view in recording.views]))
    assert len(np.setdiff1d(np.arange(recording.room.instance_count), visible)) <= 2


def test_depth_of_the_floor_is_exact(recording: RoomRecording) -> None:
    x, y, z = recording.room.size
    eye = np.array([x / 2, y / 2, 0.9 * z])
    pose = look_at(eye, eye - np.array([0, 0, 1.0]), up=np.array([0, 1.0, 0]))
    view = recording.renderer.render(CAMERA, pose, noise=SensorNoise.none())
    floor = view.truth.category == recording.room.categories.index_of("floor")
    assert floor.sum() > 100
    assert_allclose(view.depth[floor], 0.9 * z, atol=1e-4)


def test_frames_do_not_depend_on_each_other(recording: RoomRecording) -> None:
    again = recording.renderer.render(CAMERA, recording.path[7], seed=3, frame=7)
    assert_array_equal(again.color, recording.views[7].color)
    assert_array_equal(again.depth, recording.views[7].depth)
    other = recording.renderer.render(CAMERA, recording.path[7], seed=3, frame=8)
    assert (other.depth != again.depth).any()


def test_supersampling_changes_colour_only(recording: RoomRecording) -> None:
    plain = recording.views[2]
    fine = recording.renderer.render(CAMERA, recording.path[2], seed=3, frame=2, supersampling=2)
    assert_array_equal(fine.depth, plain.depth)
    assert_array_equal(fine.truth.instance, plain.truth.instance)
    assert np.abs(fine.color.astype(float) - plain.color).mean() < 12


def test_pictures_are_well_exposed(recording: RoomRecording) -> None:
    brightness = np.array([view.color.mean() for view in recording.views])
    assert 60 < brightness.mean() < 200
    assert np.mean([(view.color == 255).all(axis=2).mean() for view in recording.views]) < 0.15


def test_depth_noise_has_the_sensor_model_deviation() -> None:
    depth = np.full((200, 200), 2.0, dtype=np.float32)
    measured = measured_depth(depth, np.ones_like(depth), SensorNoise(), np.random.default_rng(0))
    assert_allclose((measured - depth).std(), 0.0012 + 0.0019 * 1.6**2, rtol=0.35)
    assert_allclose(measured.mean(), 2.0, atol=0.002)


def test_depth_is_missing_where_a_sensor_measures_nothing() -> None:
    depth = np.array([[0.0, 0.2, 2.0, 7.0, 2.0]], dtype=np.float32).repeat(5, axis=0)
    cosine = np.array([[1.0, 1.0, 1.0, 1.0, 0.05]]).repeat(5, axis=0)
    noise = SensorNoise(missing_at_edges=0.0, flying_at_edges=0.0)
    measured = measured_depth(depth, cosine, noise, np.random.default_rng(0))
    assert_array_equal(measured > 0, np.array([[False, False, True, False, False]]).repeat(5, axis=0))


def test_depth_edges_lose_pixels() -> None:
    depth = np.full((60, 60), 1.0, dtype=np.float32)
    depth[:, 30:] = 2.0
    measured = measured_depth(depth, np.ones_like(depth), SensorNoise(), np.random.default_rng(0))
    assert 0.3 < (measured[:, 29:31] == 0).mean() < 0.6
    assert (measured[:, :28] > 0).all() and (measured[:, 33:] > 0).all()


def test_true_surface_agrees_with_the_label_images(recording: RoomRecording, truth: GroundTruth) -> None:
    agreeing = total = 0
    for view in recording.views[::4]:
        pixels, depth = project(CAMERA, transform(invert(view.world_from_camera), truth.mesh.vertices))
        column, row, inside = nearest_pixel(CAMERA, pixels)
        near = np.abs(view.true_depth[row, column] - depth) < 0.01
        checked = inside & near & _uniform(view.truth)[row, column]
        agrees = view.truth.category[row, column] == truth.labels.category
        agrees &= view.truth.instance[row, column] == truth.labels.instance
        agreeing = agreeing + int(agrees[checked].sum())
        total = total + int(checked.sum())
    assert total > 2000
    assert agreeing / total > 0.99


def test_segments_never_cross_objects(truth: GroundTruth) -> None:
    owner = truth.labels.category.astype(np.int64) * 1000 + truth.labels.instance
    pairs = np.unique(np.stack([truth.segment, owner], axis=1), axis=0)
    assert len(pairs) == len(np.unique(truth.segment)) == truth.segment.max() + 1


def test_faces_never_cross_objects(truth: GroundTruth) -> None:
    for labels in (truth.labels.category, truth.labels.instance):
        corners = labels[truth.mesh.faces]
        assert (corners == corners[:, :1]).all()


def test_true_surface_holds_no_hidden_vertices(recording: RoomRecording) -> None:
    """What a single view has measured lies at the depth of the pixel that sees it."""
    for view in recording.views[::6]:
        vertices = ground_truth_mesh(recording.room, [view], edge=0.1).mesh.vertices
        pixels, depth = project(CAMERA, transform(invert(view.world_from_camera), vertices))
        column, row, inside = nearest_pixel(CAMERA, pixels)
        assert inside.all()
        assert_allclose(view.true_depth[row, column], depth, atol=0.08)


def test_unseen_surface_is_left_out(recording: RoomRecording, truth: GroundTruth) -> None:
    few = ground_truth_mesh(recording.room, recording.views[:2], edge=0.1)
    assert 0 < len(few.mesh.vertices) < 0.6 * len(truth.mesh.vertices)
    assert (truth.labels.category != VOID).all()


def _uniform(labels: Labels) -> np.ndarray:
    """Pixels whose eight neighbours have the same labels."""
    key = labels.category.astype(np.int64) * 1000 + labels.instance
    padded = np.pad(key, 1, mode="edge")
    height, width = key.shape
    shifted = [padded[i : i + height, j : j + width] for i in range(3) for j in range(3)]
    return np.asarray((np.stack(shifted) == key).all(axis=0))


def test_the_floor_under_the_rug_is_not_seen(recording: RoomRecording) -> None:
    room = recording.room
    truth = ground_truth_mesh(recording.room, recording.views, edge=0.1)

    rug = truth.mesh.vertices[truth.labels.category == room.categories.index_of("rug")]
    floor = truth.mesh.vertices[truth.labels.category == room.categories.index_of("floor")]
    low = rug[:, :2].min(axis=0) + 0.15
    high = rug[:, :2].max(axis=0) - 0.15
    assert len(rug) > 20
    assert not ((floor[:, :2] > low) & (floor[:, :2] < high)).all(axis=1).any()
