"""Laws of dynamic points, and of scans that the vehicle's motion distorts."""

import numpy as np
import pytest
from jaxtyping import Float, Float32
from numpy.testing import assert_allclose
from scipy.spatial.transform import Rotation

from panrecon.accumulation.deskewing import deskewed, is_motion_distorted
from panrecon.accumulation.motion import PosedScan, dynamic_points, range_image
from panrecon.accumulation.parameters import DynamicPointParameters
from panrecon.geometry.projective import invert, transform

DIRECTIONS = np.stack(
    np.meshgrid(np.deg2rad(np.arange(-24, 3, 0.8)), np.deg2rad(np.arange(-180, 180, 0.7)), indexing="ij"), axis=-1
).reshape(-1, 2)
RAYS = np.stack(
    [
        np.cos(DIRECTIONS[:, 0]) * np.cos(DIRECTIONS[:, 1]),
        np.cos(DIRECTIONS[:, 0]) * np.sin(DIRECTIONS[:, 1]),
        np.sin(DIRECTIONS[:, 0]),
    ],
    axis=1,
)
GROUND, WALL, END = -1.7, 12.0, 14.0  # m: the ground below the sensor, a wall on either side, one at the end


def pose(x: float, yaw: float = 0.0) -> Float[np.ndarray, "4 4"]:
    world_from_lidar = np.eye(4)
    world_from_lidar[:3, :3] = Rotation.from_euler("z", yaw).as_matrix()
    world_from_lidar[0, 3] = x
    return world_from_lidar


def scan_from(world_from_lidar: Float[np.ndarray, "4 4"], box: tuple[float, float] | None = None) -> PosedScan:
    """Ground and two walls along x, one across, and perhaps a box 2 m wide and high, (from, to) along x, 3 < y < 5."""
    origin, rays = world_from_lidar[:3, 3], RAYS @ world_from_lidar[:3, :3].T
    with np.errstate(divide="ignore", invalid="ignore"):
        ground = np.where(rays[:, 2] < 0, GROUND / rays[:, 2], np.inf)
        across = np.where(rays[:, 0] > 0, (END - origin[0]) / rays[:, 0], np.inf)
        wall = np.minimum(WALL / np.abs(rays[:, 1]), across)
        distance = np.minimum(ground, wall)
        if box is not None:
            low, high = np.array([box[0], 3.0, GROUND]), np.array([box[1], 5.0, GROUND + 2])
            low_distance = (low - origin) / rays
            high_distance = (high - origin) / rays
            enter = np.minimum(low_distance, high_distance).max(axis=1)
            leave = np.maximum(low_distance, high_distance).min(axis=1)
            distance = np.where((enter < leave) & (enter > 0), np.minimum(distance, enter), distance)
    points = (RAYS * distance[:, None])[distance < 60]
    return PosedScan(points.astype(np.float32), world_from_lidar)


def in_box(scan: PosedScan, box: tuple[float, float]) -> np.ndarray:
    p = scan.in_world
    slack = 0.01
    return (p[:, 0] > box[0] - slack) & (p[:, 0] < box[1] + slack) & (p[:, 1] > 3 - slack) & (p[:, 1] < 5 + slack)


def dynamic_points_of(boxes: list[tuple[float, float]], at: int) -> tuple[PosedScan, np.ndarray]:
    scans = [scan_from(pose(float(scan_index)), box) for scan_index, box in enumerate(boxes)]
    others = [(scan, range_image(scan)) for scan_index, scan in enumerate(scans) if scan_index != at]
    return scans[at], dynamic_points(scans[at], others)


def test_a_driving_box_is_dynamic_and_nothing_else_is() -> None:
    boxes = [(2.0 + 2 * scan_index, 6.0 + 2 * scan_index) for scan_index in range(9)]  # as fast again as the sensor
    scan, dynamic = dynamic_points_of(boxes, at=4)
    on_box = in_box(scan, boxes[4]) & (scan.in_world[:, 2] > GROUND + 0.3)
    assert on_box.sum() > 100
    assert dynamic[on_box].mean() > 0.9
    assert dynamic[~in_box(scan, (boxes[4][0] - 1, boxes[4][1] + 1))].mean() < 0.005


def test_a_parked_box_is_static() -> None:
    scan, dynamic = dynamic_points_of([(6.0, 10.0)] * 9, at=4)
    assert in_box(scan, (6.0, 10.0)).sum() > 100
    assert dynamic.mean() < 0.005


def test_the_number_of_free_space_violations_is_a_parameter() -> None:
    boxes = [(2.0 + 2 * scan_index, 6.0 + 2 * scan_index) for scan_index in range(9)]
    scans = [scan_from(pose(float(scan_index)), box) for scan_index, box in enumerate(boxes)]
    others = [(scan, range_image(scan)) for scan in scans[:4] + scans[5:]]
    assert dynamic_points(scans[4], others).any()
    more_than_there_are = DynamicPointParameters(min_free_space_violations=len(others) + 1)
    assert not dynamic_points(scans[4], others, more_than_there_are).any()


def test_a_single_scan_has_no_dynamic_points() -> None:
    assert not dynamic_points(scan_from(pose(0.0)), []).any()


def rolling_scan(start: Float[np.ndarray, "4 4"], motion: Float[np.ndarray, "4 4"]) -> Float32[np.ndarray, "n 3"]:
    """What a spinning LiDAR stores: each point in its frame of that moment, moving by `motion` a turn."""
    rotation = Rotation.from_matrix(motion[:3, :3]).as_rotvec()
    translation = motion[:3, 3]
    points = []
    for part in np.arange(-0.5, 0.5, 0.01):
        there = np.eye(4)
        there[:3, :3], there[:3, 3] = Rotation.from_rotvec(part * rotation).as_matrix(), part * translation
        scan = scan_from(start @ there, box=(4.0, 8.0))
        azimuth = np.arctan2(scan.points[:, 1], scan.points[:, 0]) / (2 * np.pi)
        points.append(scan.points[(azimuth >= part) & (azimuth < part + 0.01)])
    return np.concatenate(points)


@pytest.mark.parametrize("yaw", [0.0, 0.05])
def test_deskewed_points_lie_on_the_surfaces_measured(yaw: float) -> None:
    start, motion = pose(0.0), pose(1.2, yaw)
    points = transform(start, deskewed(rolling_scan(start, motion), invert(motion)))
    distance = np.minimum.reduce(
        [np.abs(points[:, 2] - GROUND), np.abs(np.abs(points[:, 1]) - WALL)]
        + [np.abs(points[:, axis] - at) for axis, at in ((0, END), (0, 4.0), (0, 8.0), (1, 3.0), (1, 5.0))]
    )
    assert np.percentile(distance, 99) < 0.03
    raw = rolling_scan(start, motion)
    assert np.abs(raw[np.abs(raw[:, 1]) > 8][:, 1]).std() >= np.abs(points[np.abs(points[:, 1]) > 8][:, 1]).std()


@pytest.mark.parametrize("is_distorted", [True, False])
def test_motion_distortion_is_recognised_from_pairs_of_scans(is_distorted: bool) -> None:
    motion = pose(1.2, 0.03)
    poses = [pose(-2.0), pose(8.0)]
    scans = [rolling_scan(p, motion) if is_distorted else scan_from(p, box=(4.0, 8.0)).points for p in poses]
    assert is_motion_distorted(scans, poses, [invert(motion)] * 2) == is_distorted


def test_scans_of_a_static_vehicle_are_not_distorted() -> None:
    scan = scan_from(pose(0.0))
    assert_allclose(deskewed(scan.points, np.eye(4)), scan.points, atol=1e-5)
    assert not is_motion_distorted([scan.points] * 2, [pose(0.0)] * 2, [np.eye(4)] * 2)
