"""The recording vehicle: its path, and the mounting of its sensors as on KITTI-360's car (Liao et al., 2022).

The vehicle frame is that of its inertial unit, x forward, y right, z down (`panrecon.structures.Rig`).
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float

from panrecon.geometry.projective import invert
from panrecon.simulation.scene.shapes import axis_rotation
from panrecon.simulation.street.layout import LANE, METRE_TIME
from panrecon.structures import Camera, Rig

IMU_HEIGHT: Final = 0.93  # m of the inertial unit above the road
BASELINE: Final = 0.6  # m between the two cameras
IMAGE_SIZE: Final = (1408, 376)  # px, as the two below: of KITTI-360's rectified images
FOCAL_LENGTH: Final = 552.554261
PRINCIPAL_POINT: Final = (682.049453, 238.769549)
_RECTIFICATION_DEG: Final = ((0.19, -0.01, 0.41), (-0.12, -0.99, 0.69))  # not 0: a reader that forgets it must fail
_SURROUND: Final = (  # channel, degrees to the left, horizontal field of view (degrees)
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
class MountedCamera:
    """A camera on the vehicle; `name` is its folder or channel in the data set."""

    name: str
    camera: Camera
    vehicle_from_camera: Float[np.ndarray, "4 4"]


@dataclass(frozen=True)
class VehicleSensors:
    """The cameras and the one LiDAR of the recording vehicle."""

    cameras: tuple[MountedCamera, ...]
    vehicle_from_lidar: Float[np.ndarray, "4 4"]


def stereo_sensors(rig: Rig) -> VehicleSensors:
    """The rectified cameras and the LiDAR of a rig."""
    cameras = tuple(
        MountedCamera(f"image_0{side}", rig.camera, vehicle_from_camera)
        for side, vehicle_from_camera in enumerate(rig.vehicle_from_rectified)
    )
    return VehicleSensors(cameras, rig.vehicle_from_lidar)


def surround_sensors(width: int) -> VehicleSensors:
    """Six cameras that cover 360 degrees and a LiDAR on the roof, about as on nuScenes' cars (Caesar et al., 2020).

    Images are `width` pixels wide, 16 : 9; the rear camera has a field of view of 90 degrees, the others of 65.
    """
    height = width * 9 // 16
    cameras = []
    for name, yaw_deg, view_deg in _SURROUND:
        focal = width / 2 / np.tan(np.radians(view_deg) / 2)
        camera = Camera(width, height, focal, focal, width / 2 - 0.5, height / 2 - 0.5)
        yaw = np.radians(yaw_deg)
        position = np.array([0.9 * np.cos(yaw) + 0.3, -0.5 * np.sin(yaw), IMU_HEIGHT - 1.5])
        cameras.append(MountedCamera(name, camera, _vehicle_from_level_camera(position, -yaw)))
    vehicle_from_lidar = np.diag([1.0, -1.0, -1.0, 1.0])
    vehicle_from_lidar[:3, 3] = 0.3, 0.0, IMU_HEIGHT - 1.84
    return VehicleSensors(tuple(cameras), vehicle_from_lidar)


def _vehicle_from_level_camera(position: Float[np.ndarray, "3"], azimuth: float) -> Float[np.ndarray, "4 4"]:
    """The pose of a camera with a level optical axis, `azimuth` (rad) to the right of straight ahead."""
    result = np.eye(4)
    forward = np.array([np.cos(azimuth), np.sin(azimuth), 0.0])
    right = np.array([-np.sin(azimuth), np.cos(azimuth), 0.0])
    result[:3, :3] = np.stack([right, [0.0, 0.0, 1.0], forward], axis=1)
    result[:3, 3] = position
    return result


def kitti360_rig(width: int = IMAGE_SIZE[0], baseline: float = BASELINE) -> Rig:
    """KITTI-360's mounting, with images of its field of view that are `width` pixels wide; `baseline` in metres."""
    full = Camera(*IMAGE_SIZE, FOCAL_LENGTH, FOCAL_LENGTH, *PRINCIPAL_POINT)
    height = round(IMAGE_SIZE[1] * width / IMAGE_SIZE[0])
    scale = width / IMAGE_SIZE[0]  # one focal length: square pixels, as rectified images have
    cx, cy = (scale * (centre + 0.5) - 0.5 for centre in PRINCIPAL_POINT)
    camera = full if scale == 1 else Camera(width, height, scale * FOCAL_LENGTH, scale * FOCAL_LENGTH, cx, cy)
    rectified_from_left = _rotation(_RECTIFICATION_DEG[0])
    rectified_from_right = _rotation(_RECTIFICATION_DEG[1])
    shift = np.eye(4)
    shift[0, 3] = baseline
    vehicle_from_left = _rigid(_VEHICLE_FROM_CAMERA)
    vehicle_from_right = vehicle_from_left @ invert(rectified_from_left) @ shift @ rectified_from_right
    return Rig(
        camera,
        baseline,
        (vehicle_from_left, vehicle_from_right),
        (rectified_from_left, rectified_from_right),
        _rigid(_LIDAR_FROM_CAMERA),
    )


def vehicle_path(frames: int, seed: int, spacing: float = 1.0) -> Float[np.ndarray, "n 4 4"]:
    """`world_from_vehicle` every `spacing` m along the right lane: it weaves by 25 cm, pitches and rolls."""
    rng = np.random.default_rng([seed, 81])
    phase = rng.uniform(0, 2 * np.pi, 4)
    x = spacing * np.arange(frames, dtype=np.float64)
    wave_number = 2 * np.pi / 37.0  # rad/m
    y = -LANE / 2 + 0.25 * np.sin(wave_number * x + phase[0])
    yaw = np.arctan(0.25 * wave_number * np.cos(wave_number * x + phase[0]))
    pitch = 0.005 * np.sin(x / 2.3 + phase[1])
    roll = 0.008 * np.sin(x / 3.1 + phase[2])
    z = IMU_HEIGHT + 0.015 * np.sin(x / 1.9 + phase[3])
    return np.stack([_world_from_vehicle(*values) for values in zip(x, y, z, yaw, pitch, roll, strict=True)])


def frame_times(frames: int, spacing: float = 1.0) -> Float[np.ndarray, " n"]:
    """Seconds from the first frame, for frames `spacing` m apart."""
    return METRE_TIME * spacing * np.arange(frames)


def _world_from_vehicle(
    x: float, y: float, z: float, yaw: float, pitch: float, roll: float
) -> Float[np.ndarray, "4 4"]:
    z_down_from_z_up = np.diag([1.0, -1.0, -1.0])
    result = np.eye(4)
    result[:3, :3] = axis_rotation(2, yaw) @ axis_rotation(1, pitch) @ axis_rotation(0, roll) @ z_down_from_z_up
    result[:3, 3] = x, y, z
    return result


def _rotation(degrees: tuple[float, float, float]) -> Float[np.ndarray, "4 4"]:
    """Rotations about z, y and x, one after the other."""
    about_x, about_y, about_z = np.radians(degrees).tolist()
    result = np.eye(4)
    result[:3, :3] = axis_rotation(0, about_x) @ axis_rotation(1, about_y) @ axis_rotation(2, about_z)
    return result


def _rigid(rows: tuple[tuple[float, ...], ...]) -> Float[np.ndarray, "4 4"]:
    """The rigid transform of three printed rows, whose rotation is made orthonormal to all digits."""
    result = np.eye(4)
    result[:3] = rows
    u, _, v = np.linalg.svd(result[:3, :3])
    result[:3, :3] = u @ v
    return result
