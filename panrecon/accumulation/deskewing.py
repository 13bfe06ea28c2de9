"""Whether a LiDAR scan is distorted by the motion of its vehicle (rolling shutter), and the compensation of it."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from panrecon.accumulation.parameters import DeskewParameters
from panrecon.geometry.projective import transform


def deskewed(points: Float[np.ndarray, "n 3"], next_from_this: Float[np.ndarray, "4 4"]) -> Float[np.ndarray, "n 3"]:
    """The points of a spinning LiDAR (m, sensor's frame), as if all were measured when it faced forward (+x).

    A turn begins and ends behind; it goes counter-clockwise seen from above. `next_from_this` takes points of the
    sensor's frame to its frame one turn later; velocity is assumed constant over the turn. As in KITTI-360's own
    scripts (Liao, Xie, Geiger, PAMI 2022).
    """
    time = np.arctan2(points[:, 1], points[:, 0]) / (2 * np.pi)  # in turns, 0 when facing forward
    this_from_next = np.linalg.inv(next_from_this)
    rotation = Rotation.from_matrix(this_from_next[:3, :3]).as_rotvec()
    rotated = Rotation.from_rotvec(time[:, None] * rotation).apply(points)
    return np.asarray(rotated + time[:, None] * this_from_next[:3, 3]).astype(points.dtype)


def is_motion_distorted(
    scans: Sequence[Float[np.ndarray, "_ 3"]],
    world_from_lidar: Sequence[Float[np.ndarray, "4 4"]],
    next_from_this: Sequence[Float[np.ndarray, "4 4"]],
    parameters: DeskewParameters = DeskewParameters(),
) -> bool:
    """Whether scans (m, sensor's frame) fit each other clearly better once `deskewed`.

    Scans 0 and 1, 2 and 3, ... are pairs that share much of the scene, `pair_distance` metres from each other: what one
    sees ahead, the other sees to its side, at another time of its turn.
    """
    is_far = [np.linalg.norm(scan, axis=1) > parameters.max_range for scan in scans]
    compensated = [
        deskewed(scan.astype(np.float64), motion) for scan, motion in zip(scans, next_from_this, strict=True)
    ]
    distances = []
    for version in (scans, compensated):
        clouds = [
            transform(pose, scan[~far].astype(np.float64))
            for scan, pose, far in zip(version, world_from_lidar, is_far, strict=True)
        ]
        pairs = zip(clouds[::2], clouds[1::2], strict=True)
        distances.append(np.mean([_plane_distance(first, second, parameters) for first, second in pairs]))
    return bool(distances[1] < parameters.max_distance_ratio * distances[0])


def _plane_distance(
    first: Float[np.ndarray, "n 3"], second: Float[np.ndarray, "m 3"], parameters: DeskewParameters
) -> float:
    """Mean distance (m, clipped) of points of the first cloud to the plane through their neighbours in the second.

    Of steep planes only: motion along the ground leaves distances to it as they are.
    """
    if not len(first) or len(second) < parameters.neighbours:
        return 0.0
    points = first[:: parameters.point_stride]
    neighbour_distance, neighbour_index = (
        np.asarray(array) for array in cKDTree(second).query(points, k=parameters.neighbours)
    )
    is_near = neighbour_distance[:, -1] < parameters.max_neighbour_distance
    if not is_near.any():
        return 0.0
    patch = second[neighbour_index[is_near]]
    centre = patch.mean(axis=1)
    offset = patch - centre[:, None]
    normal = np.linalg.eigh(np.einsum("nki,nkj->nij", offset, offset))[1][:, :, 0]
    is_steep = np.abs(normal[:, 2]) < parameters.max_vertical_normal
    distance = np.abs(np.einsum("ni,ni->n", points[is_near] - centre, normal))[is_steep]
    return float(np.minimum(distance, parameters.max_plane_distance).mean()) if len(distance) else 0.0
