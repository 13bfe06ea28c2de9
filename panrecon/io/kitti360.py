"""A drive written as KITTI-360 publishes one (Liao, Xie, Geiger, PAMI 2022).

calibration/perspective.txt                                      intrinsics and rectification of both cameras
calibration/calib_cam_to_pose.txt                                vehicle from camera as mounted, 3 x 4
calibration/calib_cam_to_velo.txt                                LiDAR from the first camera as mounted, 3 x 4
data_poses/<drive>/poses.txt                                     frame, world from vehicle, 3 x 4
data_poses/<drive>/cam0_to_world.txt                             frame, world from the first rectified camera, 4 x 4
data_2d_raw/<drive>/image_0{0,1}/data_rect/<frame>.png           rectified images
data_3d_raw/<drive>/velodyne_points/data/<frame>.bin             float32 x, y, z, reflectance in the LiDAR's frame
data_2d_semantics/train/<drive>/image_00/{semantic,instance}/    class ids, class id * 1000 + instance id
data_3d_semantics/train/<drive>/static/<first>_<last>.ply        accumulated points of what stands still
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from panrecon.io.files import aside, write_text
from panrecon.io.images import write_ids, write_image
from panrecon.io.points import write_points
from panrecon.structures import Rig

START: Final = datetime(2013, 5, 28, 8, 46, 2)
INSTANCES_PER_CLASS: Final = 1000


@dataclass(frozen=True)
class Ids:
    """KITTI-360's numbers of points or pixels: classes, and class * 1000 + number within the class (0 = none)."""

    semantic: Int[np.ndarray, "*points"]
    instance: Int[np.ndarray, "*points"]


@dataclass(frozen=True)
class StaticPoints:
    """Points in the world frame (m); `visible` ones were seen by the first camera."""

    points: Float[np.ndarray, "n 3"]
    colors: UInt8[np.ndarray, "n 3"]
    ids: Ids
    visible: Bool[np.ndarray, " n"]


def frame_name(number: int) -> str:
    return f"{number:010d}"


def write_calibration(root: Path, rig: Rig) -> None:
    """All three files; rectified images have no distortion, so none is written."""
    mounted, turns = rig.vehicle_from_camera, rig.rectified_from_camera
    lines = {"calib_time": "01-Jan-2013 00:00:00", "corner_dist": "0.0"}
    for side in range(2):
        projection = np.column_stack([rig.camera.matrix, [-side * rig.baseline * rig.camera.fx, 0.0, 0.0]])
        camera_from_first = np.linalg.inv(mounted[side]) @ mounted[0]
        size = f"{rig.camera.width} {rig.camera.height}"
        lines |= {
            f"S_0{side}": size,
            f"K_0{side}": _numbers(rig.camera.matrix),
            f"D_0{side}": _numbers(np.zeros(5)),
            f"R_0{side}": _numbers(camera_from_first[:3, :3]),
            f"T_0{side}": _numbers(camera_from_first[:3, 3]),
            f"S_rect_0{side}": size,
            f"R_rect_0{side}": _numbers(turns[side][:3, :3]),
            f"P_rect_0{side}": _numbers(projection),
        }
    folder = root / "calibration"
    write_text(folder / "perspective.txt", _named(lines))
    poses = {f"image_0{side}": _numbers(mounted[side][:3]) for side in range(2)}
    write_text(folder / "calib_cam_to_pose.txt", _named(poses))
    write_text(folder / "calib_cam_to_velo.txt", _numbers(rig.lidar_from_camera[:3]) + "\n")


def write_poses(root: Path, drive: str, world_from_vehicle: Mapping[int, Float[np.ndarray, "4 4"]], rig: Rig) -> None:
    """Both files, by frame number."""
    folder, first = root / "data_poses" / drive, rig.vehicle_from_rectified[0]
    vehicles = [f"{number} {_numbers(pose[:3])}\n" for number, pose in world_from_vehicle.items()]
    cameras = [f"{number} {_numbers(pose @ first)}\n" for number, pose in world_from_vehicle.items()]
    write_text(folder / "poses.txt", "".join(vehicles))
    write_text(folder / "cam0_to_world.txt", "".join(cameras))


def write_frame(
    root: Path, drive: str, number: int, images: Sequence[UInt8[np.ndarray, "h w 3"]], points: Float[np.ndarray, "n 4"]
) -> None:
    """The images of both cameras (RGB) and the scan (x, y, z, reflectance; m, LiDAR frame) of one frame."""
    for side, image in enumerate(images):
        write_image(_images(root, drive, side) / "data_rect" / f"{frame_name(number)}.png", image)
    write_points(_scans(root, drive) / "data" / f"{frame_name(number)}.bin", points)


def write_times(root: Path, drive: str, seconds: Sequence[float]) -> None:
    """When the frames were taken, of cameras and LiDAR alike; seconds from the first."""
    text = "".join(f"{START + timedelta(seconds=second):%Y-%m-%d %H:%M:%S.%f}000\n" for second in seconds)
    for folder in (_images(root, drive, 0), _images(root, drive, 1), _scans(root, drive)):
        write_text(folder / "timestamps.txt", text)


def write_frame_labels(root: Path, drive: str, number: int, ids: Ids) -> None:
    """The label images of the first camera."""
    folder = root / "data_2d_semantics" / "train" / drive / "image_00"
    write_ids(folder / "semantic" / f"{frame_name(number)}.png", ids.semantic)
    write_ids(folder / "instance" / f"{frame_name(number)}.png", ids.instance)


def write_static_points(root: Path, drive: str, first: int, last: int, static: StaticPoints) -> None:
    """The window of accumulated points of the frames `first` to `last`."""
    columns = [
        *(("float", "<f4", name, static.points[:, i]) for i, name in enumerate(("x", "y", "z"))),
        *(("uchar", "u1", name, static.colors[:, i]) for i, name in enumerate(("red", "green", "blue"))),
        ("int", "<i4", "semantic", static.ids.semantic),
        ("int", "<i4", "instance", static.ids.instance),
        ("uchar", "u1", "visible", static.visible),
        ("float", "<f4", "confidence", np.ones(len(static.points))),
    ]
    table = np.empty(len(static.points), dtype=[(name, kind) for _, kind, name, _ in columns])
    for _, _, name, values in columns:
        table[name] = values
    header = [
        "ply",
        "format binary_little_endian 1.0",
        f"element vertex {len(table)}",
        *(f"property {word} {name}" for word, _, name, _ in columns),
        "end_header\n",
    ]
    folder = root / "data_3d_semantics" / "train" / drive / "static"
    with aside(folder / f"{frame_name(first)}_{frame_name(last)}.ply") as partial:
        partial.write_bytes("\n".join(header).encode() + table.tobytes())


def _images(root: Path, drive: str, side: int) -> Path:
    return root / "data_2d_raw" / drive / f"image_0{side}"


def _scans(root: Path, drive: str) -> Path:
    return root / "data_3d_raw" / drive / "velodyne_points"


def _named(lines: Mapping[str, str]) -> str:
    return "".join(f"{name}: {value}\n" for name, value in lines.items())


def _numbers(values: Float[np.ndarray, "*any"]) -> str:
    return " ".join(f"{value:.12g}" for value in values.ravel().tolist())
