"""Space divided into chunks of whole voxel blocks, so that memory does not grow with the length of a sequence."""

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

CHUNK: Final = 1_280  # voxels, by default: the surfaces of a hall of this size take about 1 GB


@dataclass(frozen=True)
class Chunk:
    """The blocks from `low` to `high` (exclusive), and the number of frames that may touch them or the next above."""

    low: Int[np.ndarray, "3"]
    high: Int[np.ndarray, "3"]
    frames: int


@dataclass(frozen=True)
class ChunkPlan:
    """The chunks of a scan, and the lowest and highest block that every frame may touch.

    Blocks are counted from block `lower` of the world.
    """

    lower: Int[np.ndarray, "3"]
    block_range: Int[np.ndarray, "n 2 3"]
    chunks: tuple[Chunk, ...]

    @property
    def visits(self) -> int:
        """The number of readings of frames: one for every chunk that a frame may touch."""
        return sum(chunk.frames for chunk in self.chunks)


def plan_chunks(views: Views, settings: MeshSettings) -> ChunkPlan:
    """The chunks of the smallest box of blocks that contains the view frusta of all cameras.

    Raises:
        InputError: the box has too many voxels to index, as with one outlier among the poses.
    """
    block_size = BLOCK * settings.voxel_size
    boxes = np.floor(_view_bounds(views, settings) / block_size)
    boxes += np.array([[-1], [1]])  # rounding must leave nothing outside
    lower = boxes[:, 0].min(axis=0)
    upper = boxes[:, 1].max(axis=0) + 2  # cells end in the block above
    if (upper - lower).max() > 2**BLOCK_BITS:
        raise InputError(
            f"The poses span {(upper - lower).max() * block_size / 1000:.0f} km, which is too much for "
            f"mesh.voxel_size = {settings.voxel_size:g} m; check the poses, or take larger voxels."
        )
    block_range = (boxes - lower).astype(np.int64)
    edge = max(1, round((settings.chunk_size or CHUNK * settings.voxel_size) / block_size))
    return ChunkPlan(
        lower.astype(np.int64), block_range, tuple(_cut((upper - lower).astype(np.int64), edge, block_range))
    )


def overlapping(
    boxes: Int[np.ndarray, "n 2 3"], low: Int[np.ndarray, "3"], high: Int[np.ndarray, "3"]
) -> Int[np.ndarray, " m"]:
    """The indices of the boxes of blocks (lowest and highest) that overlap `low` to `high` (exclusive)."""
    return np.flatnonzero(((boxes[:, 0] < high) & (boxes[:, 1] >= low)).all(axis=1))


def _cut(size: Int[np.ndarray, "3"], edge: int, block_range: Int[np.ndarray, "n 2 3"]) -> Iterator[Chunk]:
    """Chunks of `edge` blocks, fewer at the upper ends, that frames may touch."""
    for low in product(*(range(0, int(length), edge) for length in size)):
        corner = np.array(low)
        high = np.minimum(corner + edge, size)
        frames = len(overlapping(block_range, corner, high + 1))
        if frames:
            yield Chunk(corner, high, frames)


def _view_bounds(views: Views, settings: MeshSettings) -> Float[np.ndarray, "n 2 3"]:
    """The lowest and highest corner (m) of every frame's view frustum, which ends at `depth_max`."""
    depth = settings.depth_max + settings.truncation * settings.voxel_size
    corners = np.concatenate([np.zeros((1, 3)), depth * _corner_directions(views.camera)])
    points = np.stack([transform(pose, corners) for pose in views.poses])
    return np.stack([points.min(axis=1), points.max(axis=1)], axis=1)


def _corner_directions(camera: Camera) -> Float[np.ndarray, "4 3"]:
    u, v = np.array([-0.5, camera.width - 0.5]), np.array([-0.5, camera.height - 0.5])
    x, y = np.meshgrid((u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy)
    return np.stack([x.ravel(), y.ravel(), np.ones(4)], axis=1)
