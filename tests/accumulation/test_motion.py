"""Laws of what is found to move, and of scans that were measured while the vehicle moved on."""

import numpy as np
import pytest
from jaxtyping import Float, Float32
from numpy.testing import assert_allclose
from scipy.spatial.transform import Rotation

from panrecon.accumulation.deskewing import is_rolling, unrolled
from panrecon.accumulation.motion import PosedScan, moving_points, range_image
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
        reach = np.minimum(ground, wall)
        if box is not None:
            low, high = np.array([box[0], 3.0, GROUND]), np.array([box[1], 5.0, GROUND + 2])
            one, two = (low - origin) / rays, (high - origin) / rays
            enter, leave = np.minimum(one, two).max(axis=1), np.maximum(one, two).min(axis=1)
            reach = np.where((enter < leave) & (enter > 0), np.minimum(reach, enter), reach)
    points = (RAYS * reach[:, None])[reach < 60]
    return PosedScan(points.astype(np.float32), world_from_lidar)


def in_box(scan: PosedScan, box: tuple[float, float]) -> np.ndarray:
    p = scan.in_world
    slack = 0.01
    return (p[:, 0] > box[0] - slack) & (p[:, 0] < box[1] + slack) & (p[:, 1] > 3 - slack) & (p[:, 1] < 5 + slack)


def judged(boxes: list[tuple[float, float]], at: int) -> tuple[PosedScan, np.ndarray]:
    scans = [scan_from(pose(float(number)), box) for number, box in enumerate(boxes)]
    others = [(scan, range_image(scan)) for number, scan in enumerate(scans) if number != at]
    return scans[at], moving_points(scans[at], others)


def test_a_box_that_drives_moves_and_nothing_else_does() -> None:
    boxes = [(2.0 + 2 * number, 6.0 + 2 * number) for number in range(9)]  # as fast again as the sensor
    scan, moving = judged(boxes, at=4)
    on_box = in_box(scan, boxes[4]) & (scan.in_world[:, 2] > GROUND + 0.3)
    assert on_box.sum() > 100
    assert moving[on_box].mean() > 0.9
    assert moving[~in_box(scan, (boxes[4][0] - 1, boxes[4][1] + 1))].mean() < 0.005


def test_a_parked_box_rests() -> None:
    scan, moving = judged([(6.0, 10.0)] * 9, at=4)
    assert in_box(scan, (6.0, 10.0)).sum() > 100
    assert moving.mean() < 0.005


def test_a_scan_alone_tells_of_no_motion() -> None:
    assert not moving_points(scan_from(pose(0.0)), []).any()


def rolling(start: Float[np.ndarray, "4 4"], motion: Float[np.ndarray, "4 4"]) -> Float32[np.ndarray, "n 3"]:
    """What a turning sensor stores: each point in its frame of that moment, moving by `motion` a turn."""
    turn, shift = Rotation.from_matrix(motion[:3, :3]).as_rotvec(), motion[:3, 3]
    points = []
    for part in np.arange(-0.5, 0.5, 0.01):
        there = np.eye(4)
        there[:3, :3], there[:3, 3] = Rotation.from_rotvec(part * turn).as_matrix(), part * shift
        scan = scan_from(start @ there, box=(4.0, 8.0))
        azimuth = np.arctan2(scan.points[:, 1], scan.points[:, 0]) / (2 * np.pi)
        points.append(scan.points[(azimuth >= part) & (azimuth < part + 0.01)])
    return np.concatenate(points)


@pytest.mark.parametrize("yaw", [0.0, 0.05])
def test_unrolled_points_lie_where_they_were_measured(yaw: float) -> None:
    start, motion = pose(0.0), pose(1.2, yaw)
    points = transform(start, unrolled(rolling(start, motion), invert(motion)))
    distance = np.minimum.reduce(
        [np.abs(points[:, 2] - GROUND), np.abs(np.abs(points[:, 1]) - WALL)]
        + [np.abs(points[:, axis] - at) for axis, at in ((0, END), (0, 4.0), (0, 8.0), (1, 3.0), (1, 5.0))]
    )
    assert np.percentile(distance, 99) < 0.03
    raw = rolling(start, motion)
    assert np.abs(raw[np.abs(raw[:, 1]) > 8][:, 1]).std() >= np.abs(points[np.abs(points[:, 1]) > 8][:, 1]).std()


@pytest.mark.parametrize("is_rolled", [True, False])
def test_the_data_tell_whether_scans_roll(is_rolled: bool) -> None:
    motion = pose(1.2, 0.03)
    poses = [pose(-2.0), pose(8.0)]
    scans = [rolling(p, motion) if is_rolled else scan_from(p, box=(4.0, 8.0)).points for p in poses]
    assert is_rolling(scans, poses, [invert(motion)] * 2) == is_rolled


def test_a_vehicle_at_rest_rolls_nothing() -> None:
    scan = scan_from(pose(0.0))
    assert_allclose(unrolled(scan.points, np.eye(4)), scan.points, atol=1e-5)
    assert not is_rolling([scan.points] * 2, [pose(0.0)] * 2, [np.eye(4)] * 2)
