"""Trajectories: what the numbers of pose files mean, and poses between those of two frames."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from panrecon.geometry.projective import FLIP
from panrecon.structures import Axes, PosesAre, QuaternionOrder


@dataclass(frozen=True)
class PoseConvention:
    """What raw poses are: their direction, their cameras' axes, the order of the quaternions they were made of, and the
    metres of a unit of their shifts.

    Quaternions "wxyz" are ones whose files wrote w first, but which were read as x, y, z, w.
    """

    poses_are: PosesAre = "camera_to_world"
    axes: Axes = "opencv"
    quaternions: QuaternionOrder = "xyzw"
    scale: float = 1.0


def world_from_cameras(raw: Float[np.ndarray, "n 4 4"], convention: PoseConvention) -> Float[np.ndarray, "n 4 4"]:
    """World from camera (m) in OpenCV's axes; poses that are not finite stay so."""
    poses = np.array(raw, dtype=np.float64)
    is_finite = np.isfinite(poses).all(axis=(1, 2))
    sound = poses[is_finite]
    if convention.quaternions == "wxyz" and len(sound):
        w, x, y, z = Rotation.from_matrix(sound[:, :3, :3]).as_quat().T
        sound[:, :3, :3] = Rotation.from_quat(np.stack([x, y, z, w], axis=1)).as_matrix()
    sound[:, :3, 3] *= convention.scale
    if convention.poses_are == "world_to_camera":
        sound = inverses(sound)
    poses[is_finite] = sound @ FLIP if convention.axes == "opengl" else sound
    return poses


def inverses(poses: Float[np.ndarray, "n 4 4"]) -> Float[np.ndarray, "n 4 4"]:
    """The inverse of every rigid transform."""
    result = np.zeros_like(poses)
    result[:, :3, :3] = poses[:, :3, :3].transpose(0, 2, 1)
    result[:, :3, 3] = -np.einsum("nij,nj->ni", result[:, :3, :3], poses[:, :3, 3])
    result[:, 3, 3] = 1
    return result


def poses_at(poses: Float[np.ndarray, "n 4 4"], position: Float[np.ndarray, " m"]) -> Float[np.ndarray, "m 4 4"]:
    """The poses at positions in [0, n - 1] of a trajectory, interpolated between two; not finite elsewhere.

    Shifts are interpolated linearly, rotations along the shortest arc; at whole positions the poses are those given.
    """
    before = np.clip(np.floor(position), 0, len(poses) - 1).astype(np.int64)
    after = np.minimum(before + 1, len(poses) - 1)
    share = position - before
    first, second = poses[before], poses[after]
    result = np.where(((position >= 0) & (position <= len(poses) - 1))[:, None, None], first, np.nan)
    is_between = (share > 0) & np.isfinite(result).all(axis=(1, 2)) & np.isfinite(second).all(axis=(1, 2))
    result[(share > 0) & ~is_between] = np.nan
    if is_between.any():
        first, second, share = first[is_between], second[is_between], share[is_between, None]
        start = Rotation.from_matrix(first[:, :3, :3])
        turn = (start.inv() * Rotation.from_matrix(second[:, :3, :3])).as_rotvec()
        between = first.copy()
        between[:, :3, :3] = (start * Rotation.from_rotvec(share * turn)).as_matrix()
        between[:, :3, 3] = (1 - share) * first[:, :3, 3] + share * second[:, :3, 3]
        result[is_between] = between
    return result
