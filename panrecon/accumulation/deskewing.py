"""Whether a scan was taken at one instant or while the vehicle moved on, and the repair of the latter."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from jaxtyping import Float
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from panrecon.geometry.projective import transform

NEAR: Final = 25.0  # m: what is compared; farther rings lie too far apart
APART: Final = 10.0  # m along the way between the scans of a pair
EVERY: Final = 5  # points compared
NEIGHBOURS: Final = 8  # points of the other scan that a plane is laid through
REACH: Final = 1.0  # m within which they lie
STANDING: Final = 0.7  # of a unit normal, along z
FARTHEST: Final = 0.3  # m: a point that misses its plane by more counts no more
CLEARLY: Final = 0.97  # of the distance that the other reading leaves


def unrolled(points: Float[np.ndarray, "n 3"], later_from_now: Float[np.ndarray, "4 4"]) -> Float[np.ndarray, "n 3"]:
    """The points of a turning sensor, as if all were measured when it faced forward (+x).

    A turn begins and ends behind; it goes counter-clockwise seen from above. `later_from_now` takes points of the
    sensor's frame to its frame one turn later; the vehicle is taken to move evenly. As in KITTI-360's own scripts
    (Liao, Xie, Geiger, PAMI 2022).
    """
    part = np.arctan2(points[:, 1], points[:, 0]) / (2 * np.pi)  # of a turn, from the moment of facing forward
    now_from_later = np.linalg.inv(later_from_now)
    turn = Rotation.from_matrix(now_from_later[:3, :3]).as_rotvec()
    turned = Rotation.from_rotvec(part[:, None] * turn).apply(points)
    return np.asarray(turned + part[:, None] * now_from_later[:3, 3]).astype(points.dtype)


def is_rolling(
    scans: Sequence[Float[np.ndarray, "_ 3"]],
    world_from_lidar: Sequence[Float[np.ndarray, "4 4"]],
    later_from_now: Sequence[Float[np.ndarray, "4 4"]],
) -> bool:
    """Whether scans fit each other clearly better once `unrolled`.

    They come in pairs that share much of the scene, `APART` metres from each other: what one sees ahead, the other
    sees beside it, at another time of its turn.
    """
    far = [np.linalg.norm(scan, axis=1) > NEAR for scan in scans]
    repaired = [unrolled(scan.astype(np.float64), motion) for scan, motion in zip(scans, later_from_now, strict=True)]
    misfit = []
    for readings in (scans, repaired):
        clouds = [
            transform(pose, scan[~beyond].astype(np.float64))
            for scan, pose, beyond in zip(readings, world_from_lidar, far, strict=True)
        ]
        misfit.append(np.mean([_misfit(*pair) for pair in zip(clouds[::2], clouds[1::2], strict=True)]))
    return bool(misfit[1] < CLEARLY * misfit[0])


def _misfit(first: Float[np.ndarray, "n 3"], second: Float[np.ndarray, "m 3"]) -> float:
    """Mean distance (m, clipped) of points of the first cloud to the plane through their neighbours of the second.

    Of planes that stand: along the ground a vehicle may move as it likes.
    """
    if not len(first) or len(second) < NEIGHBOURS:
        return 0.0
    points = first[::EVERY]
    distance, index = (np.asarray(found) for found in cKDTree(second).query(points, k=NEIGHBOURS))
    near = distance[:, -1] < REACH
    if not near.any():
        return 0.0
    patch = second[index[near]]
    centre = patch.mean(axis=1)
    offset = patch - centre[:, None]
    normal = np.linalg.eigh(np.einsum("nki,nkj->nij", offset, offset))[1][:, :, 0]
    stands = np.abs(normal[:, 2]) < STANDING
    misfit = np.abs(np.einsum("ni,ni->n", points[near] - centre, normal))[stands]
    return float(np.minimum(misfit, FARTHEST).mean()) if len(misfit) else 0.0
