"""How well the depth of two frames agrees when one is reprojected into the other: scores poses, scale, focal length.

After the consistency checks of multi-view stereo (Schönberger et al., ECCV 2016), with a soft threshold.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from panrecon.diagnosis.sample import Sample
from panrecon.geometry.projective import invert, nearest_pixel, project, transform
from panrecon.structures import Camera

Pairs = Sequence[tuple[int, int]]  # indices of a first and a second frame


@dataclass(frozen=True)
class Agreement:
    """Shares in [0, 1] of the points of a first frame, for each of k pairs of frames.

    `share` is that of points whose depth agrees with the second frame's, points outside its image counted as 0; `fit`
    the same of the points inside alone; `overlap` the share inside. Points on a pixel without depth do not count; where
    none counts, all are 0.
    """

    share: Float[np.ndarray, " k"]
    fit: Float[np.ndarray, " k"]
    overlap: Float[np.ndarray, " k"]


def agreement(
    points: Float[np.ndarray, "k p 3"],
    depth: Float[np.ndarray, "k h w"],
    second_from_first: Float[np.ndarray, "k 4 4"],
    camera: Camera,
    tolerance: float,
) -> Agreement:
    """How first frames' points (m, camera's frame; z = 0 is none) agree with second frames' depth images (m), by pair.

    A point that is off by `tolerance` of its depth agrees by half (Cauchy weight).
    """
    motion = second_from_first.astype(np.float32)
    x, y, z = (
        points[..., 0] * row[:, 0:1] + points[..., 1] * row[:, 1:2] + points[..., 2] * row[:, 2:3] + row[:, 3:4]
        for row in (motion[:, axis] for axis in range(3))
    )
    is_ahead = z > 1e-6
    safe_z = np.where(is_ahead, z, 1)
    u = np.rint(camera.fx * x / safe_z + camera.cx)
    v = np.rint(camera.fy * y / safe_z + camera.cy)
    is_point = points[..., 2] > 0
    is_inside = is_point & is_ahead & (u >= 0) & (v >= 0) & (u < camera.width) & (v < camera.height)
    column = np.where(is_inside, u, 0).astype(np.int64)
    row = np.where(is_inside, v, 0).astype(np.int64)
    measured = depth[np.arange(len(depth))[:, None], row, column]
    is_measured = is_inside & (measured > 0)
    error = (z - measured) / (tolerance * safe_z)
    agreeing = np.where(is_measured, 1 / (1 + error * error), 0).sum(axis=1)
    inside = is_measured.sum(axis=1)
    valid = is_point.sum(axis=1) - (is_inside & ~is_measured).sum(axis=1)
    shares = ((agreeing, valid), (agreeing, inside), (inside, valid))
    return Agreement(*(part / np.maximum(whole, 1) for part, whole in shares))


def neighbour_agreement(sample: Sample, tolerance: float) -> Agreement:
    """The agreement of every frame with the next one; one value fewer than frames."""
    return pair_agreement(sample, [(index, index + 1) for index in range(len(sample) - 1)], tolerance)


def pair_agreement(sample: Sample, pairs: Pairs, tolerance: float) -> Agreement:
    """The agreement of pairs of frames at the poses of the sample."""
    if not pairs:
        return Agreement(np.zeros(0), np.zeros(0), np.zeros(0))
    first, second = ([pair[side] for pair in pairs] for side in range(2))
    depth = np.stack([sample.frames[index].depth for index in second])
    motion = inverses(sample.poses[second]) @ sample.poses[first]
    return agreement(sample.points[first], depth, motion, sample.camera, tolerance)


def inverses(poses: Float[np.ndarray, "n 4 4"]) -> Float[np.ndarray, "n 4 4"]:
    """The inverse of every rigid transform."""
    result = np.zeros_like(poses)
    result[:, :3, :3] = poses[:, :3, :3].transpose(0, 2, 1)
    result[:, :3, 3] = -np.einsum("nij,nj->ni", result[:, :3, :3], poses[:, :3, 3])
    result[:, 3, 3] = 1
    return result


@dataclass(frozen=True)
class Reprojection:
    """Points of one frame in another: nearest pixel, own depth there, and the depth measured there (0 = none), m."""

    column: Int[np.ndarray, " p"]
    row: Int[np.ndarray, " p"]
    depth: Float[np.ndarray, " p"]
    measured: Float[np.ndarray, " p"]


def reproject(
    points: Float[np.ndarray, "p 3"], second_from_first: Float[np.ndarray, "4 4"], camera: Camera, depth: np.ndarray
) -> Reprojection:
    """Points (m, first camera's frame) in a second camera, with what its depth image (m) measures at their pixels."""
    pixels, z = project(camera, transform(second_from_first, points))
    column, row, inside = nearest_pixel(camera, pixels)
    return Reprojection(column, row, z, np.where(inside, depth[row, column], 0))


def relative_pose(poses: Float[np.ndarray, "n 4 4"], first: int, second: int) -> Float[np.ndarray, "4 4"]:
    """`second_from_first` of two cameras."""
    return invert(poses[second]) @ poses[first]


def rotation_angles(poses: Float[np.ndarray, "n 4 4"], gap: int) -> Float[np.ndarray, " m"]:
    """The angle (rad) by which every camera is rotated against the one `gap` frames later."""
    trace = np.einsum("nij,nij->n", poses[:-gap, :3, :3], poses[gap:, :3, :3])
    return np.asarray(np.arccos(np.clip((trace - 1) / 2, -1, 1)))
