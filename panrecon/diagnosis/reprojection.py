"""How well the depth of two frames agrees when one is moved into the other: what judges poses, scale and focal length.

After the consistency checks of multi-view stereo (Schönberger et al., ECCV 2016), with a soft threshold.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float, Int

from panrecon.diagnosis.sample import Sample
from panrecon.geometry.projective import invert, nearest_pixel, project, transform
from panrecon.structures import Camera

TOLERANCE: Final = 0.02  # of the depth, where agreement is half: sensors are off by 0.3 to 1 % within a room

Pairs = Sequence[tuple[int, int]]


@dataclass(frozen=True)
class Agreement:
    """Of the points of a frame, for each of many pairs of frames: `share` in [0, 1] that is where the other frame
    measures it, points beside its image counted as 0; `fit` the same of those inside alone; `seen` the share inside.

    Points on a pixel without depth do not count; where none counts, all are 0.
    """

    share: Float[np.ndarray, " k"]
    fit: Float[np.ndarray, " k"]
    seen: Float[np.ndarray, " k"]


def agreement(
    points: Float[np.ndarray, "k p 3"],
    depth: Float[np.ndarray, "k h w"],
    second_from_first: Float[np.ndarray, "k 4 4"],
    camera: Camera,
) -> Agreement:
    """How first frames' points agree with the depth images of second frames, pair by pair."""
    motion = second_from_first.astype(np.float32)
    x, y, z = (
        points[..., 0] * row[:, 0:1] + points[..., 1] * row[:, 1:2] + points[..., 2] * row[:, 2:3] + row[:, 3:4]
        for row in (motion[:, axis] for axis in range(3))
    )
    ahead = z > 1e-6
    safe = np.where(ahead, z, 1)
    u = np.rint(camera.fx * x / safe + camera.cx)
    v = np.rint(camera.fy * y / safe + camera.cy)
    given = points[..., 2] > 0
    inside = given & ahead & (u >= 0) & (v >= 0) & (u < camera.width) & (v < camera.height)
    column, row = (np.where(inside, pixel, 0).astype(np.int64) for pixel in (u, v))
    measured = depth[np.arange(len(depth))[:, None], row, column]
    known = inside & (measured > 0)
    off = (z - measured) / (TOLERANCE * safe)
    agreeing = np.where(known, 1 / (1 + off * off), 0).sum(axis=1)
    landed = known.sum(axis=1)
    counted = given.sum(axis=1) - (inside & ~known).sum(axis=1)
    parts = ((agreeing, counted), (agreeing, landed), (landed, counted))
    return Agreement(*(part / np.maximum(whole, 1) for part, whole in parts))


def neighbours(sample: Sample) -> Agreement:
    """The agreement of every frame with the next one."""
    return of_pairs(sample, [(row, row + 1) for row in range(len(sample) - 1)])


def of_pairs(sample: Sample, pairs: Pairs) -> Agreement:
    """The agreement of pairs of frames at the poses of the sample."""
    if not pairs:
        return Agreement(np.zeros(0), np.zeros(0), np.zeros(0))
    first, second = ([pair[side] for pair in pairs] for side in range(2))
    depth = np.stack([sample.frames[row].depth for row in second])
    motion = inverses(sample.poses[second]) @ sample.poses[first]
    return agreement(sample.points[first], depth, motion, sample.camera)


def inverses(poses: Float[np.ndarray, "n 4 4"]) -> Float[np.ndarray, "n 4 4"]:
    """Inverse of every rigid transform."""
    result = np.zeros_like(poses)
    result[:, :3, :3] = poses[:, :3, :3].transpose(0, 2, 1)
    result[:, :3, 3] = -np.einsum("nij,nj->ni", result[:, :3, :3], poses[:, :3, 3])
    result[:, 3, 3] = 1
    return result


@dataclass(frozen=True)
class Landing:
    """Where points of one frame come to lie in another: pixel, own depth and the one measured there (0 = none), m."""

    column: Int[np.ndarray, " p"]
    row: Int[np.ndarray, " p"]
    depth: Float[np.ndarray, " p"]
    measured: Float[np.ndarray, " p"]


def land(
    points: Float[np.ndarray, "p 3"], second_from_first: Float[np.ndarray, "4 4"], camera: Camera, depth: np.ndarray
) -> Landing:
    """Moves points into a camera and reads its depth image there."""
    pixels, z = project(camera, transform(second_from_first, points))
    column, row, inside = nearest_pixel(camera, pixels)
    return Landing(column, row, z, np.where(inside, depth[row, column], 0))


def relative(poses: Float[np.ndarray, "n 4 4"], first: int, second: int) -> Float[np.ndarray, "4 4"]:
    """`second_from_first` of two cameras."""
    return invert(poses[second]) @ poses[first]


def angles(poses: Float[np.ndarray, "n 4 4"], gap: int) -> Float[np.ndarray, " m"]:
    """By which every camera is turned against the one `gap` frames later, rad."""
    trace = np.einsum("nij,nij->n", poses[:-gap, :3, :3], poses[gap:, :3, :3])
    return np.asarray(np.arccos(np.clip((trace - 1) / 2, -1, 1)))
