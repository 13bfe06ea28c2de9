"""A sample of a textured room, computed without files."""

import numpy as np
from jaxtyping import Float, Float32

from panrecon.diagnosis.sample import Sample, small_camera, small_frame
from panrecon.geometry.projective import look_at, pixel_directions
from panrecon.structures import Camera

CAMERA = Camera(160, 120, 110.0, 110.0, 79.5, 59.5)
HALF_SIZE = np.array([2.0, 1.2, 3.0])  # m: the room is centred at the origin


def room_depth(world_from_camera: Float[np.ndarray, "4 4"]) -> Float32[np.ndarray, "h w"]:
    """The depth (m) of a box-shaped room, seen from inside."""
    directions = pixel_directions(CAMERA) @ world_from_camera[:3, :3].T
    distance = (np.sign(directions) * HALF_SIZE - world_from_camera[:3, 3]) / directions
    return np.asarray(distance.min(axis=-1)).astype(np.float32)


def room_sample(count: int = 24, turn: float = 0.06) -> Sample:
    """Frames from a circle of 0.8 m, each `turn` (rad) farther along it and looking outwards and a little down."""
    poses, frames = [], []
    for angle in turn * np.arange(count):
        eye = 0.8 * np.array([np.sin(angle), 0.1 * np.sin(3 * angle), np.cos(angle)])
        pose = look_at(eye, 3 * np.array([np.sin(angle + 0.3), 0.2, np.cos(angle + 0.3)]))
        depth = room_depth(pose)
        points = (pixel_directions(CAMERA) * depth[..., None]) @ pose[:3, :3].T + pose[:3, 3]
        texture = np.sin(20 * points).sum(axis=-1)
        poses.append(pose)
        frames.append(small_frame(depth, (128 + 30 * texture).astype(np.uint8)))
    return Sample(tuple(map(str, range(count))), small_camera(CAMERA), np.stack(poses), tuple(frames))
