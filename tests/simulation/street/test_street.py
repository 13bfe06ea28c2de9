"""Laws of the built-in street, of its sensors and of the truth that is gathered on a drive."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from panrecon.geometry.mesh import face_normals
from panrecon.geometry.projective import invert, nearest_pixel, project, transform
from panrecon.geometry.raycasting import Raycaster
from panrecon.io.categories import find_table, read_categories
from panrecon.simulation.scene.shapes import bounds, prism
from panrecon.simulation.scene.textures import Material
from panrecon.simulation.street.lidar import LidarModel, simulated_scan
from panrecon.simulation.street.sequence import SequenceFrame, StaticPointAccumulator, StreetPoints, simulated_sequence
from panrecon.simulation.street.street import Street, build_street
from panrecon.simulation.street.vehicle import frame_times, kitti360_rig, stereo_sensors, vehicle_path
from panrecon.structures import VOID, Labels, Rig

SEEDS = range(3)
FEW = LidarModel(beams=16, columns=256)
FRAMES = 8


@dataclass(frozen=True)
class Drive:
    street: Street
    rig: Rig
    frames: Sequence[SequenceFrame]
    truth: StreetPoints


@pytest.fixture(scope="module")
def drive() -> Drive:
    street = built(2)
    rig = kitti360_rig(352)
    frames = list(simulated_sequence(street, stereo_sensors(rig), FEW, FRAMES))
    accumulator = StaticPointAccumulator(street)
    for frame in frames:
        accumulator.add(frame)
    return Drive(street, rig, frames, accumulator.result())


@cache
def built(seed: int) -> Street:
    return build_street(seed)


def names(street: Street) -> list[str]:
    return [street.categories[int(category)].name for category in street.category_of_instance]


def test_same_seed_gives_the_same_bytes_and_another_another_street() -> None:
    first, again, other = (
        street.surface_at(0.3).mesh.vertices.tobytes() for street in (built(1), build_street(1), built(2))
    )
    assert first == again
    assert first != other


@pytest.mark.parametrize("seed", SEEDS)
def test_every_street_has_all_classes_but_the_sky(seed: int) -> None:
    street = built(seed)
    assert {item.category for item in street.items} == {category.name for category in street.categories} - {"sky"}
    assert (street.surface_at(0.0).labels.category != VOID).all()


def test_ids_of_the_classes_are_those_of_kitti_360() -> None:
    table = read_categories(find_table("kitti360"))
    for category in built(0).categories:
        index = table.index_of_raw_id[category.raw_ids[0]]
        if table.index_of(category.name) != VOID:
            assert table.index_of(category.name) == index
        if table[index].evaluated:
            assert category.thing == table[index].thing or category.name == "trash bin"


@pytest.mark.parametrize("seed", SEEDS)
def test_vehicles_and_people_do_not_overlap(seed: int) -> None:
    """Their boxes on the ground are apart, at the start and while some of them move."""
    street = built(seed)
    solid = [i for i, item in enumerate(street.items) if item.category in {"car", "truck", "bus", "person"}]
    for time in (0.0, 1.3, 2.6, 3.9):
        boxes = [bounds(street.items[i].parts)[:, :2] + time * np.array(street.items[i].velocity[:2]) for i in solid]
        for i, first in enumerate(boxes):
            for second in boxes[i + 1 :]:
                assert ((first[0] >= second[1]) | (second[0] >= first[1])).any()


def test_a_drive_is_the_same_however_far_its_frames_are_apart() -> None:
    np.testing.assert_allclose(vehicle_path(3, 0, 8.0), vehicle_path(17, 0)[::8])
    np.testing.assert_allclose(frame_times(3, 8.0), frame_times(17)[::8])


@pytest.mark.parametrize("seed", SEEDS)
def test_the_vehicle_hits_nothing(seed: int) -> None:
    street = built(seed)
    for frame, pose in enumerate(vehicle_path(40, seed)):
        for item in street.items:
            if item.category in {"road", "terrain", "parking", "sidewalk"}:
                continue
            low, high = bounds(item.parts)[:, :2] + 0.1 * frame * np.array(item.velocity[:2])
            clear = (pose[:2, 3] + [3.0, 0.9] < low) | (pose[:2, 3] - [2.0, 0.9] > high)
            assert clear.any() or bounds(item.parts)[0, 2] > 2, item.category


def test_faces_are_numbered_alike_at_all_times() -> None:
    street = built(1)
    early = street.surface_at(0.0)
    late = street.surface_at(2.0)
    assert_array_equal(early.labels.instance, late.labels.instance)
    moving = np.append(street.is_dynamic_instance, False)[early.labels.instance]
    shift = np.abs(late.mesh.vertices[late.mesh.faces] - early.mesh.vertices[early.mesh.faces]).max(axis=(1, 2))
    assert (shift[moving] > 1).all() and (shift[~moving] == 0).all()
    assert {"car", "person"} <= {
        name for name, moves in zip(names(street), street.is_dynamic_instance, strict=True) if moves
    }


def test_a_prism_is_closed_and_faces_outwards() -> None:
    part = prism([(-1, 0), (2, 0), (1, 1.5), (-1, 1)], 0.8, (3, 1, 2), Material("plain", (1.0, 1.0, 1.0)))
    normals = face_normals(part.vertices, part.faces)
    outwards = part.vertices[part.faces].mean(axis=1) - bounds([part]).mean(axis=0)
    assert ((normals * outwards).sum(axis=1) > 0).all()
    assert_allclose(normals.sum(axis=0), 0, atol=1e-12)
    assert_allclose(bounds([part]), [[2, 0.6, 2], [5, 1.4, 3.5]])


def test_points_lie_on_the_surface_within_the_noise(drive: Drive) -> None:
    for frame in drive.frames[:2]:
        raycaster = Raycaster(drive.street.surface_at(frame.time).mesh)
        local = frame.scan.points[:, :3].astype(np.float64)
        ranges = np.linalg.norm(local, axis=1)
        directions = (local / ranges[:, None]) @ frame.scan.world_from_lidar[:3, :3].T
        origins = np.broadcast_to(frame.scan.world_from_lidar[:3, 3], directions.shape)
        distance, face = raycaster.first_hits(origins, directions)
        same = face == frame.scan.face  # rounding may turn a ray past an edge
        assert same.mean() > 0.99
        off = ranges[same] - distance[same]
        assert np.abs(off).max() < 6 * FEW.range_noise
        assert_allclose(off.std(), FEW.range_noise, rtol=0.1)
        assert_allclose(off.mean(), 0, atol=0.002)


def test_a_perfect_lidar_measures_the_exact_points() -> None:
    street = built(0)
    rig = kitti360_rig(64)
    surface = street.surface_at(0.0)
    model = LidarModel(beams=8, columns=64, range_noise=0.0, dropout=0.0)
    pose = vehicle_path(1, 0)[0] @ rig.vehicle_from_lidar
    measured = simulated_scan(surface, Raycaster(surface.mesh), model, pose)
    assert_allclose(transform(pose, measured.points[:, :3].astype(np.float64)), measured.exact, atol=1e-4)
    assert ((measured.points[:, 3] >= 0) & (measured.points[:, 3] <= 1)).all()
    assert measured.beam.max() < 8


def test_beams_are_those_of_an_hdl_64e() -> None:
    degrees = np.degrees(LidarModel().elevations)
    assert len(degrees) == 64 and (np.diff(degrees) < 0).all()
    assert_allclose(degrees[[0, 31, 32, 63]], [2, -8.333, -8.833, -24.333], atol=1e-3)
    assert_allclose(np.degrees(LidarModel(beams=5).elevations)[[0, -1]], [2, -24.333], atol=1e-3)


def test_a_point_has_the_class_of_its_pixel(drive: Drive) -> None:
    """But for pixels at boundaries and what the camera, a metre off, sees past or is hidden from."""
    agree = [_agreement(frame, side) for frame in drive.frames for side in (0, 1)]
    assert np.mean(agree) > 0.97


def _agreement(frame: SequenceFrame, side: int) -> float:
    view = frame.views[side]
    pixels, depth = project(view.camera, transform(invert(view.world_from_camera), frame.scan.exact))
    column, row, inside = nearest_pixel(view.camera, pixels)
    near = inside & (np.abs(view.depth[row, column] - depth) < 0.05 * depth)
    same_category = view.truth.category[row, column] == frame.scan.truth.category
    same_instance = view.truth.instance[row, column] == frame.scan.truth.instance
    return float((same_category & same_instance)[near].mean())


def test_both_cameras_see_a_point_on_one_row_and_farther_ones_closer_together(drive: Drive) -> None:
    frame = drive.frames[3]
    first, second = (
        project(view.camera, transform(invert(view.world_from_camera), frame.scan.exact)) for view in frame.views
    )
    ahead = (first[1] > 2) & (second[1] > 2)
    assert_allclose(first[0][ahead, 1], second[0][ahead, 1], atol=1e-3)
    disparity = first[0][ahead, 0] - second[0][ahead, 0]
    assert_allclose(disparity, drive.rig.camera.fx * drive.rig.baseline / first[1][ahead], rtol=1e-6)


def test_sky_is_where_nothing_is_hit(drive: Drive) -> None:
    sky = drive.street.categories.index_of("sky")
    for frame in drive.frames:
        truth: Labels = frame.views[0].truth
        assert_array_equal(truth.category == sky, frame.views[0].depth == 0)
        assert (truth.category != VOID).all()
        assert sky not in frame.scan.truth.category


def test_what_moves_is_in_scans_and_images_but_not_in_the_static_truth(drive: Drive) -> None:
    moving = np.flatnonzero(drive.street.is_dynamic_instance)
    assert np.isin(np.concatenate([frame.scan.truth.instance for frame in drive.frames]), moving).any()
    assert any(np.isin(frame.views[0].truth.instance, moving).any() for frame in drive.frames)
    assert not np.isin(drive.truth.labels.instance, moving).any()
    assert len(np.unique(drive.truth.labels.instance)) > 20


def test_the_static_truth_is_where_the_scans_are(drive: Drive) -> None:
    exact = np.concatenate([frame.scan.exact for frame in drive.frames])
    assert np.isin(drive.truth.points.view("f8,f8,f8"), exact.view("f8,f8,f8")).all()
    cell = np.floor(drive.truth.points / 0.05)
    keys = np.column_stack([cell, drive.truth.labels.category, drive.truth.labels.instance])
    assert len(np.unique(keys, axis=0)) == len(keys)


def test_visible_points_are_before_the_camera_and_hidden_ones_are_not_visible(drive: Drive) -> None:
    first = drive.frames[0].views[0].world_from_camera
    _, depth = project(drive.rig.camera, transform(invert(first), drive.truth.points))
    assert not drive.truth.visible[depth < -0.5].any()  # the vehicle drives on from there
    assert 0.2 < drive.truth.visible.mean() < 0.8


def test_frames_do_not_depend_on_how_many_there_are(drive: Drive) -> None:
    fewer = list(simulated_sequence(drive.street, stereo_sensors(drive.rig), FEW, 2))[1]
    assert fewer.scan.points.tobytes() == drive.frames[1].scan.points.tobytes()
    assert fewer.views[1].color.tobytes() == drive.frames[1].views[1].color.tobytes()
