"""Space cut into chunks of whole voxel blocks: the memory of a fusion does not grow with the length of a drive."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Final

import numpy as np
from jaxtyping import Float, Int

from panrecon.config import MeshSettings
from panrecon.errors import InputError
from panrecon.fusion.kernels import BLOCK, BLOCK_BITS
from panrecon.geometry.projective import transform
from panrecon.structures import Camera, Views

CHUNK: Final = 1_280  # voxels, if the settings say nothing: surfaces of all sides of a hall as large take about 1 GB


@dataclass(frozen=True)
class Chunk:
    """The blocks from `low` to `high` (exclusive), and how many frames may reach one of them or the next above."""

    low: Int[np.ndarray, "3"]
    high: Int[np.ndarray, "3"]
    frames: int


@dataclass(frozen=True)
class Plan:
    """The chunks of a scan, and the lowest and highest block that every frame may reach.

    Blocks are counted from block `lower` of the world.
    """

    lower: Int[np.ndarray, "3"]
    reached: Int[np.ndarray, "n 2 3"]
    chunks: tuple[Chunk, ...]

    @property
    def visits(self) -> int:
        """How many frames are read, if each is once for every chunk that it may reach."""
        return sum(chunk.frames for chunk in self.chunks)


def plan(views: Views, settings: MeshSettings) -> Plan:
    """Chunks of the smallest box of blocks that holds all that the cameras can reach.

    Raises:
        InputError: the box is too large to number its voxels, as one pose gone astray makes it.
    """
    block_size = BLOCK * settings.voxel_size
    boxes = np.floor(_reaches(views, settings) / block_size)
    boxes += np.array([[-1], [1]])  # rounding must leave nothing outside
    lower, upper = boxes[:, 0].min(axis=0), boxes[:, 1].max(axis=0) + 2  # cells end in the block above
    if (upper - lower).max() > 2**BLOCK_BITS:
        raise InputError(
            f"The poses span {(upper - lower).max() * block_size / 1000:.0f} km, which is too much for "
            f"mesh.voxel_size = {settings.voxel_size:g} m; check the poses, or take larger voxels."
        )
    reached = (boxes - lower).astype(np.int64)
    edge = max(1, round((settings.chunk_size or CHUNK * settings.voxel_size) / block_size))
    return Plan(lower.astype(np.int64), reached, tuple(_cut((upper - lower).astype(np.int64), edge, reached)))


def overlapping(
    boxes: Int[np.ndarray, "n 2 3"], low: Int[np.ndarray, "3"], high: Int[np.ndarray, "3"]
) -> Int[np.ndarray, " m"]:
    """Which of the boxes of blocks (lowest and highest) have a block from `low` to `high` (exclusive)."""
    return np.flatnonzero(((boxes[:, 0] < high) & (boxes[:, 1] >= low)).all(axis=1))


def _cut(size: Int[np.ndarray, "3"], edge: int, reached: Int[np.ndarray, "n 2 3"]) -> Iterator[Chunk]:
    """Chunks of `edge` blocks, fewer at the upper ends, that frames reach."""
    for low in product(*(range(0, int(length), edge) for length in size)):
        corner = np.array(low)
        high = np.minimum(corner + edge, size)
        frames = len(overlapping(reached, corner, high + 1))
        if frames:
            yield Chunk(corner, high, frames)


def _reaches(views: Views, settings: MeshSettings) -> Float[np.ndarray, "n 2 3"]:
    """The lowest and highest corner of what every frame can write to: its place, and its image's corners far away."""
    depth = settings.depth_max + settings.truncation * settings.voxel_size
    corners = np.concatenate([np.zeros((1, 3)), depth * _corner_directions(views.camera)])
    points = np.stack([transform(pose, corners) for pose in views.poses])
    return np.stack([points.min(axis=1), points.max(axis=1)], axis=1)


def _corner_directions(camera: Camera) -> Float[np.ndarray, "4 3"]:
    u, v = np.array([-0.5, camera.width - 0.5]), np.array([-0.5, camera.height - 0.5])
    x, y = np.meshgrid((u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy)
    return np.stack([x.ravel(), y.ravel(), np.ones(4)], axis=1)
