"""The car that measures a street: its drive, and where its sensors sit, as on KITTI-360's car (Liao et al., 2022).

The vehicle's frame is that of its inertial unit (`panrecon.structures.Rig`).
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float

from panrecon.geometry.projective import invert
from panrecon.simulation.street.layout import LANE, METRE_TIME
from panrecon.structures import Camera, Rig

UNIT_HEIGHT: Final = 0.93  # m of the inertial unit above the road
BASELINE: Final = 0.6  # m between the two cameras
IMAGE_SIZE: Final = (1408, 376)
FOCAL_LENGTH, CENTRE = 552.554261, (682.049453, 238.769549)  # px, of KITTI-360's rectified images
_RECTIFYING_DEG: Final = ((0.19, -0.01, 0.41), (-0.12, -0.99, 0.69))  # small turns, for readers must not forget them
_SURROUND: Final = (  # name, degrees to the left, field of view
    ("CAM_FRONT", 0.0, 65.0),
    ("CAM_FRONT_RIGHT", -55.0, 65.0),
    ("CAM_FRONT_LEFT", 55.0, 65.0),
    ("CAM_BACK", 180.0, 90.0),
    ("CAM_BACK_LEFT", 110.0, 65.0),
    ("CAM_BACK_RIGHT", -110.0, 65.0),
)
_VEHICLE_FROM_CAMERA: Final = (
    (0.0371783278, -0.0986182135, 0.9944306009, 1.5752681039),
    (0.9992675562, -0.0053553387, -0.0378902567, 0.0043914093),
    (0.0090621821, 0.9951109327, 0.0983468786, -0.65),
)
_LIDAR_FROM_CAMERA: Final = (
    (0.04307104361, -0.08829286498, 0.995162929, 0.8043914418),
    (-0.999004371, 0.007784614041, 0.04392796942, 0.2993489574),
    (-0.01162548558, -0.9960641394, -0.08786966659, -0.1770225824),
)


@dataclass(frozen=True)
class Mounted:
    """A camera on the vehicle; images are named after it."""

    name: str
    camera: Camera
    vehicle_from_camera: Float[np.ndarray, "4 4"]


@dataclass(frozen=True)
class Sensors:
    """What a drive records with: cameras, and one LiDAR."""

    cameras: tuple[Mounted, ...]
    vehicle_from_lidar: Float[np.ndarray, "4 4"]


def stereo_sensors(rig: Rig) -> Sensors:
    """The rectified cameras and the LiDAR of a rig."""
    cameras = tuple(Mounted(f"image_0{side}", rig.camera, pose) for side, pose in enumerate(rig.vehicle_from_rectified))
    return Sensors(cameras, rig.vehicle_from_lidar)


def surround_sensors(width: int) -> Sensors:
    """Six cameras that look all around and a LiDAR on the roof, about as on nuScenes' cars (Caesar et al., 2020).

    Images are `width` pixels wide, 16 : 9; those ahead and aside see 65 degrees, the one behind 90.
    """
    height = width * 9 // 16
    cameras = []
    for name, yaw_deg, view_deg in _SURROUND:
        focal = width / 2 / np.tan(np.radians(view_deg) / 2)
        camera = Camera(width, height, focal, focal, width / 2 - 0.5, height / 2 - 0.5)
        yaw = np.radians(yaw_deg)
        place = np.array([0.9 * np.cos(yaw) + 0.3, -0.5 * np.sin(yaw), UNIT_HEIGHT - 1.5])
        cameras.append(Mounted(name, camera, _outwards(place, -yaw)))
    lidar = np.diag([1.0, -1.0, -1.0, 1.0])
    lidar[:3, 3] = 0.3, 0.0, UNIT_HEIGHT - 1.84
    return Sensors(tuple(cameras), lidar)


def _outwards(place: Float[np.ndarray, "3"], turn_right: float) -> Float[np.ndarray, "4 4"]:
    """A camera at a place of the vehicle that looks level, `turn_right` (rad) of straight ahead."""
    result = np.eye(4)
    ahead = np.array([np.cos(turn_right), np.sin(turn_right), 0.0])
    right = np.array([-np.sin(turn_right), np.cos(turn_right), 0.0])
    result[:3, :3] = np.stack([right, [0.0, 0.0, 1.0], ahead], axis=1)
    result[:3, 3] = place
    return result


def kitti360_rig(width: int = IMAGE_SIZE[0], baseline: float = BASELINE) -> Rig:
    """KITTI-360's mounting, with images `width` pixels wide of its field of view."""
    full = Camera(*IMAGE_SIZE, FOCAL_LENGTH, FOCAL_LENGTH, *CENTRE)
    height = round(IMAGE_SIZE[1] * width / IMAGE_SIZE[0])
    scale = width / IMAGE_SIZE[0]  # one focal length: square pixels, as rectified images have
    x, y = (scale * (centre + 0.5) - 0.5 for centre in CENTRE)
    camera = full if scale == 1 else Camera(width, height, scale * FOCAL_LENGTH, scale * FOCAL_LENGTH, x, y)
    turns = tuple(_turn(degrees) for degrees in _RECTIFYING_DEG)
    left = _rigid(_VEHICLE_FROM_CAMERA)
    aside = np.eye(4)
    aside[0, 3] = baseline
    right = left @ invert(turns[0]) @ aside @ turns[1]
    return Rig(camera, baseline, (left, right), (turns[0], turns[1]), _rigid(_LIDAR_FROM_CAMERA))


def driven_path(frames: int, seed: int, spacing: float = 1.0) -> Float[np.ndarray, "n 4 4"]:
    """`world_from_vehicle` every `spacing` m along the right lane, with the sway and nod of a car on a real road."""
    rng = np.random.default_rng([seed, 81])
    phase, x = rng.uniform(0, 2 * np.pi, 4), spacing * np.arange(frames, dtype=np.float64)
    wave = 2 * np.pi / 37.0  # 1/m
    y = -LANE / 2 + 0.25 * np.sin(wave * x + phase[0])
    yaw = np.arctan(0.25 * wave * np.cos(wave * x + phase[0]))
    pitch, roll = 0.005 * np.sin(x / 2.3 + phase[1]), 0.008 * np.sin(x / 3.1 + phase[2])
    z = UNIT_HEIGHT + 0.015 * np.sin(x / 1.9 + phase[3])
    return np.stack([_vehicle_pose(*values) for values in zip(x, y, z, yaw, pitch, roll, strict=True)])


def frame_times(frames: int, spacing: float = 1.0) -> Float[np.ndarray, " n"]:
    """Seconds from the first frame."""
    return METRE_TIME * spacing * np.arange(frames)


def _vehicle_pose(x: float, y: float, z: float, yaw: float, pitch: float, roll: float) -> Float[np.ndarray, "4 4"]:
    result = np.eye(4)
    result[:3, :3] = _about(2, yaw) @ _about(1, pitch) @ _about(0, roll) @ np.diag([1.0, -1.0, -1.0])
    result[:3, 3] = x, y, z
    return result


def _about(axis: int, angle: float) -> Float[np.ndarray, "3 3"]:
    i, j = (axis + 1) % 3, (axis + 2) % 3
    result = np.eye(3)
    result[i, i] = result[j, j] = np.cos(angle)
    result[j, i], result[i, j] = np.sin(angle), -np.sin(angle)
    return result


def _turn(degrees: tuple[float, float, float]) -> Float[np.ndarray, "4 4"]:
    result = np.eye(4)
    a, b, c = np.radians(degrees).tolist()
    result[:3, :3] = _about(0, a) @ _about(1, b) @ _about(2, c)
    return result


def _rigid(rows: tuple[tuple[float, ...], ...]) -> Float[np.ndarray, "4 4"]:
    """The rows as a rigid motion; printed digits of a rotation are made one exactly."""
    result = np.eye(4)
    result[:3] = rows
    u, _, v = np.linalg.svd(result[:3, :3])
    result[:3, :3] = u @ v
    return result
