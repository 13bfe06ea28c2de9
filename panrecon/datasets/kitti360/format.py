"""A drive's files as KITTI-360 publishes them (Liao, Xie, Geiger, PAMI 2022).

calibration/perspective.txt        intrinsics and rectification of image_00 and image_01
calibration/calib_cam_to_pose.txt  vehicle from camera as mounted, 3 x 4; the vehicle's frame is that of its poses
calibration/calib_cam_to_velo.txt  LiDAR from the first camera as mounted, 3 x 4
data_poses/<drive>/poses.txt       frame, world from vehicle, 3 x 4; frames of a vehicle at rest are missing
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

from panrecon.datasets.points import write_points
from panrecon.datasets.poses import rigid
from panrecon.errors import InputError
from panrecon.io.files import atomic_write, write_text, write_texts
from panrecon.io.images import write_ids, write_image
from panrecon.structures import Camera, Rig

CAMERAS: Final = ("image_00", "image_01")  # the perspective ones
START: Final = datetime(2013, 5, 28, 8, 46, 2)
INSTANCES_PER_CLASS: Final = 1000
SEMANTICS_2D: Final = "data_2d_semantics"
SEMANTICS_3D: Final = "data_3d_semantics"
SPLIT: Final = "train"  # the split whose annotation is published
LAST_FRAME: Final = 10**10  # more than ten digits can name


@dataclass(frozen=True)
class Drive:
    """A drive, as KITTI-360 calls a sequence, of the data set in `root`; or the window of it from `first` to `last`.

    Both ends of a window belong to it. Frames are named by indices of ten digits.
    """

    root: Path
    name: str
    first: int = 0
    last: int = LAST_FRAME

    def images(self, camera: str) -> Path:
        """The folder of a camera's rectified images."""
        return self.root / "data_2d_raw" / self.name / camera / "data_rect"

    @property
    def scans(self) -> Path:
        """The folder of LiDAR scans."""
        return self.root / "data_3d_raw" / self.name / "velodyne_points" / "data"

    def scan_file(self, frame_index: int) -> Path:
        """The LiDAR scan of a frame, whether it exists or not."""
        return self.scans / f"{frame_name(frame_index)}.bin"

    @property
    def poses(self) -> Path:
        """The file of the vehicle's poses."""
        return self.root / "data_poses" / self.name / "poses.txt"

    def semantics(self, part: str) -> Path:
        """The folder of annotation, `part` being `SEMANTICS_2D` or `SEMANTICS_3D`."""
        return self.root / part / SPLIT / self.name

    def contains(self, frame_index: int) -> bool:
        """Whether a frame is of the window."""
        return self.first <= frame_index <= self.last


@dataclass(frozen=True)
class Ids:
    """KITTI-360's ids of points or pixels: of classes, and class id * 1000 + id within the class (0 = none)."""

    semantic: Int[np.ndarray, "*points"]
    instance: Int[np.ndarray, "*points"]


@dataclass(frozen=True)
class StaticPoints:
    """Points in the world frame (m); `visible` ones were seen by the first camera."""

    points: Float[np.ndarray, "n 3"]
    colors: UInt8[np.ndarray, "n 3"]
    ids: Ids
    visible: Bool[np.ndarray, " n"]


def read_calibration(folder: Path) -> Rig:
    """The vehicle's sensors, from the three files of `calibration/`.

    Raises:
        InputError: a file or an entry is missing, or holds other numbers than it must.
    """
    perspective = folder / "perspective.txt"
    poses = folder / "calib_cam_to_pose.txt"
    lidar = folder / "calib_cam_to_velo.txt"
    words_of_rectified = _entries(perspective)
    words_of_pose = _entries(poses)

    def of(kind: str, side: int, count: int) -> Float[np.ndarray, " n"]:
        key = f"{kind}_rect_0{side}"
        return _parse_numbers(perspective, key, words_of_rectified.get(key, []), count)

    projection = [of("P", side, 12).reshape(3, 4) for side in range(2)]
    width, height = of("S", 0, 2)
    fx, fy, cx, cy = (float(projection[0][index]) for index in ((0, 0), (1, 1), (0, 2), (1, 2)))
    if not (fx > 0 and fy > 0):
        raise InputError(f"P_rect_00 of {perspective} states focal lengths {fx:g} and {fy:g}; both must be above 0.")
    rectified_from_camera = [np.eye(4), np.eye(4)]
    for side, rotation in enumerate(rectified_from_camera):
        rotation[:3, :3] = of("R", side, 9).reshape(3, 3)
    vehicle_from_camera = [_motion(poses, name, words_of_pose.get(name, [])) for name in CAMERAS]
    return Rig(
        Camera(int(width), int(height), fx, fy, cx, cy),
        float(-projection[1][0, 3] / projection[1][0, 0]),
        (vehicle_from_camera[0], vehicle_from_camera[1]),
        (rectified_from_camera[0], rectified_from_camera[1]),
        _motion(lidar, "the one line", _text(lidar).split()),
    )


def read_vehicle_poses(path: Path) -> dict[int, Float[np.ndarray, "4 4"]]:
    """`world_from_vehicle` (m) by frame index; frames without one are not in it.

    Raises:
        InputError: the file is missing or empty, or a line is not a frame and a motion.
    """
    world_from_vehicle: dict[int, Float[np.ndarray, "4 4"]] = {}
    for line_number, line in enumerate(_text(path).splitlines(), start=1):
        words = line.split()
        if not words:
            continue
        if not words[0].isdecimal():
            raise InputError(
                f"Line {line_number} of {path} begins with {words[0]!r}, not with the number of a frame; put the data "
                "set's own file there."
            )
        world_from_vehicle[int(words[0])] = _motion(path, f"frame {words[0]}", words[1:])
    if not world_from_vehicle:
        raise InputError(f"{path} holds no pose; put the data set's own file there.")
    return world_from_vehicle


def frame_name(frame_index: int) -> str:
    """The stem of a frame's files: ten digits."""
    return f"{frame_index:010d}"


def write_calibration(root: Path, rig: Rig) -> None:
    """Writes the three files of `calibration/`; rectified images have no distortion, so none is written."""
    write_texts({root / "calibration" / name: text for name, text in _calibration(rig).items()})


def require_same_calibration(root: Path, rig: Rig) -> None:
    """Nothing, for a data set that has this calibration or none.

    Raises:
        InputError: it has another, which drives that lie there need.
    """
    for name, text in _calibration(rig).items():
        path = root / "calibration" / name
        if path.is_file() and path.read_text() != text:
            raise InputError(f"{path} belongs to other cameras; name another folder, or the width it was made with.")


def write_poses(root: Path, drive: str, world_from_vehicle: Mapping[int, Float[np.ndarray, "4 4"]], rig: Rig) -> None:
    """Writes the vehicle's poses (m) by frame index, and those of the first rectified camera."""
    folder = root / "data_poses" / drive
    vehicle_from_camera = rig.vehicle_from_rectified[0]
    vehicles = [f"{frame_index} {_numbers(pose[:3])}\n" for frame_index, pose in world_from_vehicle.items()]
    cameras = [
        f"{frame_index} {_numbers(pose @ vehicle_from_camera)}\n" for frame_index, pose in world_from_vehicle.items()
    ]
    write_text(folder / "poses.txt", "".join(vehicles))
    write_text(folder / "cam0_to_world.txt", "".join(cameras))


def write_frame(
    root: Path,
    drive: str,
    frame_index: int,
    images: Sequence[UInt8[np.ndarray, "h w 3"]],
    points: Float[np.ndarray, "n 4"],
) -> None:
    """Writes the images of both cameras (RGB) and the scan (x, y, z, reflectance; m, LiDAR frame) of one frame."""
    files = Drive(root, drive)
    for camera, image in zip(CAMERAS, images, strict=True):
        write_image(files.images(camera) / f"{frame_name(frame_index)}.png", image)
    write_points(files.scan_file(frame_index), points)


def write_times(root: Path, drive: str, seconds: Sequence[float]) -> None:
    """Writes when the frames were taken, the same for cameras and LiDAR; seconds from the first."""
    files = Drive(root, drive)
    text = "".join(f"{START + timedelta(seconds=second):%Y-%m-%d %H:%M:%S.%f}000\n" for second in seconds)
    for folder in (*map(files.images, CAMERAS), files.scans):
        write_text(folder.parent / "timestamps.txt", text)


def write_frame_labels(root: Path, drive: str, frame_index: int, ids: Ids) -> None:
    """Writes the label images of the first camera."""
    folder = Drive(root, drive).semantics(SEMANTICS_2D) / CAMERAS[0]
    write_ids(folder / "semantic" / f"{frame_name(frame_index)}.png", ids.semantic)
    write_ids(folder / "instance" / f"{frame_name(frame_index)}.png", ids.instance)


def write_static_points(root: Path, drive: str, first: int, last: int, static: StaticPoints) -> None:
    """Writes the window of accumulated points of the frames `first` to `last`."""
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
    folder = Drive(root, drive).semantics(SEMANTICS_3D) / "static"
    with atomic_write(folder / f"{frame_name(first)}_{frame_name(last)}.ply") as partial:
        partial.write_bytes("\n".join(header).encode() + table.tobytes())


def _motion(path: Path, what: str, words: list[str]) -> Float[np.ndarray, "4 4"]:
    return rigid(
        np.vstack([_parse_numbers(path, what, words, 12).reshape(3, 4), [0.0, 0.0, 0.0, 1.0]]), f"{what} of {path}"
    )


def _parse_numbers(path: Path, what: str, words: list[str], count: int) -> Float[np.ndarray, " n"]:
    try:
        numbers = np.array([float(word) for word in words[:count]])
    except ValueError:
        numbers = np.empty(0)
    if len(numbers) != count or len(words) not in (count, 16) or not np.isfinite(numbers).all():
        raise InputError(
            f"{what} of {path} is {' '.join(words)[:60] or 'missing'!r}, not {count} numbers; "
            "put the data set's own file there."
        )
    return numbers


def _entries(path: Path) -> dict[str, list[str]]:
    """`key: value value ...` lines."""
    lines = (line.partition(":") for line in _text(path).splitlines())
    return {key.strip(): value.split() for key, colon, value in lines if colon}


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read ({error}); put the data set's own file there.") from error


def _calibration(rig: Rig) -> dict[str, str]:
    vehicle_from_camera = rig.vehicle_from_camera
    lines = {"calib_time": "01-Jan-2013 00:00:00", "corner_dist": "0.0"}
    for side in range(2):
        projection = np.column_stack([rig.camera.matrix, [-side * rig.baseline * rig.camera.fx, 0.0, 0.0]])
        camera_from_first = np.linalg.inv(vehicle_from_camera[side]) @ vehicle_from_camera[0]
        size = f"{rig.camera.width} {rig.camera.height}"
        lines |= {
            f"S_0{side}": size,
            f"K_0{side}": _numbers(rig.camera.matrix),
            f"D_0{side}": _numbers(np.zeros(5)),
            f"R_0{side}": _numbers(camera_from_first[:3, :3]),
            f"T_0{side}": _numbers(camera_from_first[:3, 3]),
            f"S_rect_0{side}": size,
            f"R_rect_0{side}": _numbers(rig.rectified_from_camera[side][:3, :3]),
            f"P_rect_0{side}": _numbers(projection),
        }
    poses = {f"image_0{side}": _numbers(vehicle_from_camera[side][:3]) for side in range(2)}
    return {
        "perspective.txt": _named(lines),
        "calib_cam_to_pose.txt": _named(poses),
        "calib_cam_to_velo.txt": _numbers(rig.lidar_from_camera[:3]) + "\n",
    }


def _named(lines: Mapping[str, str]) -> str:
    return "".join(f"{name}: {value}\n" for name, value in lines.items())


def _numbers(values: Float[np.ndarray, "*any"]) -> str:
    return " ".join(f"{value:.12g}" for value in values.ravel().tolist())
