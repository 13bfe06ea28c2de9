"""A room of 2.4 m with two balls in it, known exactly: distance, colour, class and instance of every point."""

import numpy as np
import pytest
from jaxtyping import Float, Int

from panrecon.field.field import SceneBox
from panrecon.field.sampling import FieldData
from panrecon.geometry.projective import look_at, pixel_directions
from panrecon.structures import VOID, Camera

CAMERA = Camera(64, 48, 50.0, 50.0, 31.5, 23.5)
HALF_ROOM = 1.2
CENTERS = np.array([[-0.4, -0.3, -0.75], [0.45, 0.3, -0.8]])
RADII = np.array([0.45, 0.4])
WALL, FLOOR, BALL = 0, 1, 2
COLORS = np.array([[180, 180, 200], [120, 90, 60], [200, 40, 40]], np.uint8)
BOX = SceneBox(np.full(3, -1.35), np.full(3, 2.7))


def distance(points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, " n"]:
    """The true signed distance inside the room."""
    return np.asarray(_parts(points).min(axis=1))


def labels(points: Float[np.ndarray, "n 3"]) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"]]:
    """True category and instance of surface points."""
    nearest = _parts(points).argmin(axis=1)
    category = np.array([BALL, BALL, FLOOR, WALL])[nearest]
    return category.astype(np.int32), np.where(nearest < 2, nearest, VOID).astype(np.int32)


def _parts(points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 4"]:
    balls = np.linalg.norm(points[:, None] - CENTERS, axis=2) - RADII
    walls = HALF_ROOM - np.abs(points)
    floor = points[:, 2] + HALF_ROOM
    other = np.minimum(walls[:, :2].min(axis=1), HALF_ROOM - points[:, 2])
    return np.column_stack([balls, floor, other])


def room_poses(count: int) -> Float[np.ndarray, "n 4 4"]:
    """Cameras on a circle under the ceiling that look across the room."""
    angles = np.arange(count) * 2 * np.pi / count
    eyes = np.column_stack([0.9 * np.cos(angles), 0.9 * np.sin(angles), np.full(count, 0.5)])
    return np.stack([look_at(eye, np.array([-0.3, -0.3, -1.2]) * eye) for eye in eyes])


def cast(world_from_camera: Float[np.ndarray, "4 4"]) -> Float[np.ndarray, "h w"]:
    """Exact depth, by marching along the true distance."""
    directions = (pixel_directions(CAMERA) @ world_from_camera[:3, :3].T).reshape(-1, 3)
    stretch = np.linalg.norm(directions, axis=1)
    depth = np.zeros(len(directions))
    for _ in range(150):
        depth += distance(world_from_camera[:3, 3] + depth[:, None] * directions) / stretch
    return depth.reshape(CAMERA.height, CAMERA.width).astype(np.float32)


def pixel_points(poses: Float[np.ndarray, "n 4 4"], depth: Float[np.ndarray, "n h w"]) -> Float[np.ndarray, "m 3"]:
    """The world point of every pixel of every image."""
    rays = pixel_directions(CAMERA) * depth[..., None]
    rotated = np.einsum("fij,fhwj->fhwi", poses[:, :3, :3], rays)
    return np.asarray((rotated + poses[:, None, None, :3, 3]).reshape(-1, 3))


@pytest.fixture(scope="session")
def room() -> FieldData:
    """Eight images with exact depth and labels; category 2 is the balls, 1 the floor, 0 the rest."""
    poses = room_poses(8)
    depth = np.stack([cast(pose) for pose in poses])
    category, instance = (values.reshape(depth.shape) for values in labels(pixel_points(poses, depth)))
    weight = np.ones_like(depth)
    return FieldData(CAMERA, poses, COLORS[category], depth, category, instance, weight, None, 3, 2, BOX)


@pytest.fixture(scope="session")
def surface_points(room: FieldData) -> Float[np.ndarray, "n 3"]:
    """The true surface point behind every pixel of the room, in the order of its flattened images."""
    return pixel_points(room.world_from_camera, room.depth)
