"""Exports of RTAB-Map (Labbe and Michaud, JFR 2019): `rtabmap-export --images --poses_camera`, or of its viewer.

<map>_rgb/<name>.jpg            or rgb/; <name> is a node's id (--images_id) or its time (s)
<map>_depth/<name>.png          or depth/; 16 bit, mm, registered to colour, often smaller
<map>_calib/<name>.yaml         or calib/, or one .yaml beside them: camera_matrix, distortion, image size and
                                local_transform (3 x 4, m), the camera in the robot's frame
<map>_camera_poses.txt          `time x y z qx qy qz qw [id]` or 3 x 4 numbers a line, camera to world, x right, y down,
                                z forward; or <map>_poses.txt, poses.txt: of the robot, moved by local_transform
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import yaml
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from panrecon.datasets.importers.base import Lens, Source, SourceFrame
from panrecon.datasets.importers.lenses import lens_of, shared_pinhole
from panrecon.datasets.poses import rigid
from panrecon.errors import InputError, reason
from panrecon.io.images import read_depth
from panrecon.structures import Camera

COLOR: Final = "rgb"
MILLIMETRES: Final = 1000.0  # a metre
MAX_TIME_DIFFERENCE: Final = 1e-3  # s between the time in an image's name and that of its pose: six digits are written
FISHEYE: Final = "equidistant"  # the distortion model


@dataclass(frozen=True)
class Export:
    """The parts of an export; `poses_are_of_cameras` tells them from those of the robot."""

    colors: Path
    depths: Path
    calibrations: Path  # a folder, or the file of all frames
    poses: Path
    poses_are_of_cameras: bool


@dataclass(frozen=True)
class Calibration:
    """A camera of an export, and its pose in the robot's frame (m)."""

    lens: Lens
    robot_from_camera: Float[np.ndarray, "4 4"]


@dataclass(frozen=True)
class Pose:
    """A line of a file of poses (m); its time (s) and the node's id where the line tells them."""

    world_from_body: Float[np.ndarray, "4 4"]
    time: float | None = None
    node: int | None = None


class RTABMap:
    """An Importer of an export of images, calibrations and poses."""

    name = "rtabmap"
    needs = "a folder with *_rgb/, *_depth/, *_calib/ and *_camera_poses.txt, as rtabmap-export writes them"
    files = ("*rgb", "*depth", "*calib", "*poses.txt")

    def recognise(self, path: Path) -> str | None:
        """Names the calibrations and the poses, where all parts are there; else None."""
        export = find_export(path)
        return f"it holds {export.calibrations.name} and {export.poses.name}" if export is not None else None

    def read(self, path: Path) -> Source:
        """The frames that have colour, depth, calibration and pose, in the order of their names.

        Raises:
            InputError: a part is missing or damaged, or nothing has all of them.
        """
        export = find_export(path)
        if export is None:
            raise InputError(f"{path} is no export of RTAB-Map: it needs {self.needs}.")
        colors = {file.stem: file for file in export.colors.glob("*.jpg")}
        depths = {file.stem: file for file in export.depths.glob("*.png")}
        names = sorted(colors.keys() & depths.keys(), key=place)
        pose_of_name = match_poses(names, read_poses(export.poses), export.poses)
        calibration_of_name = read_calibrations(export.calibrations, names)
        used = [name for name in names if name in pose_of_name and name in calibration_of_name]
        if not used:
            raise InputError(
                f"{path} has {len(colors)} colour images, {len(depths)} of depth, {len(calibration_of_name)} "
                f"calibrations and {len(pose_of_name)} poses of one name, but none has all; export it again."
            )
        lenses = [calibration_of_name[name].lens for name in used]
        color_camera, notes = shared_pinhole(lenses)
        frames = []
        for index, (name, lens) in enumerate(zip(used, lenses, strict=True)):
            pose = pose_of_name[name]
            if not export.poses_are_of_cameras:
                pose = pose @ calibration_of_name[name].robot_from_camera
            color = partial(Path, colors[name])
            depth = partial(read_depth, depths[name], MILLIMETRES)
            frames.append(SourceFrame(name if name.isdecimal() else f"{index:06d}", pose, color, depth, lens))
        left_out = len(colors.keys() | depths.keys()) - len(used)
        notes += [f"{left_out} frames lack colour, depth, calibration or pose and are left out"] if left_out else []
        whose = "cameras" if export.poses_are_of_cameras else "the robot, moved by local_transform"
        scale = frames[0].depth().shape[1] / lenses[0].pinhole.width
        return Source(
            color_camera.scaled(scale), color_camera, frames, [f"{export.poses.name} holds poses of {whose}", *notes]
        )


def find_export(path: Path) -> Export | None:
    """The parts of an export in a folder; None where one is missing or there are several maps."""
    colors = [folder for folder in path.glob(f"*{COLOR}") if folder.is_dir()]
    if len(colors) != 1:
        return None
    prefix = colors[0].name.removesuffix(COLOR)
    depths = path / f"{prefix}depth"
    calibrations = path / f"{prefix}calib"
    if not calibrations.is_dir():
        files = [*path.glob("*.yaml")]
        calibrations = files[0] if len(files) == 1 else calibrations
    of_cameras = (path / f"{prefix}camera_poses.txt", path / "camera_poses.txt")
    poses = [*of_cameras, path / f"{prefix}poses.txt", path / "poses.txt"]
    existing = next((file for file in poses if file.is_file()), None)
    if existing is None or not depths.is_dir() or not calibrations.exists() or calibrations.name == "scan.yaml":
        return None
    return Export(colors[0], depths, calibrations, existing, existing in of_cameras)


def read_poses(file: Path) -> list[Pose]:
    """The poses of a file, in its order; landmarks, whose ids are below 0, left out.

    Raises:
        InputError: a line is neither a time, a position and a quaternion, nor a matrix of 3 x 4.
    """
    poses = []
    for line_number, line in enumerate(file.read_text(errors="replace").splitlines(), 1):
        if line.startswith("#") or not line.strip():
            continue
        try:
            pose = pose_of_line([float(word) for word in line.split()], f"in line {line_number} of {file}")
        except ValueError as error:
            raise InputError(
                f"Line {line_number} of {file} is {line[:80]!r}; it must be time x y z qx qy qz qw, with or without "
                "an id, or 3 x 4 numbers: export with --poses_format 11."
            ) from error
        if pose.node is None or pose.node >= 0:
            poses.append(pose)
    return poses


def pose_of_line(numbers: Sequence[float], where: str) -> Pose:
    """The pose of the numbers of a line.

    Raises:
        ValueError: they are not as many as any format has, not finite, or hold no quaternion.
        InputError: a matrix is no rotation.
    """
    if not np.isfinite(numbers).all():
        raise ValueError("inf or nan")
    world_from_body = np.eye(4)
    if len(numbers) == 12:
        world_from_body[:3] = np.reshape(numbers, (3, 4))
        return Pose(rigid(world_from_body, where))
    if len(numbers) not in (8, 9) or abs(np.linalg.norm(numbers[4:8]) - 1) > 0.05:
        raise ValueError("no quaternion")
    world_from_body[:3, :3] = Rotation.from_quat(numbers[4:8]).as_matrix()
    world_from_body[:3, 3] = numbers[1:4]
    return Pose(world_from_body, numbers[0], int(numbers[8]) if len(numbers) == 9 else None)


def match_poses(names: Sequence[str], poses: Sequence[Pose], file: Path) -> dict[str, Float[np.ndarray, "4 4"]]:
    """The pose of every image that has one: by the node's id, else by time, else in order where there are as many.

    Raises:
        InputError: neither id nor time tells, and there are not as many.
    """
    by_node = {pose.node: pose.world_from_body for pose in poses if pose.node is not None}
    nodes = {name: int(name) for name in names if name.isdecimal()}
    if by_node and len(nodes) == len(names):
        return {name: by_node[node] for name, node in nodes.items() if node in by_node}
    by_time = sorted((pose.time, index) for index, pose in enumerate(poses) if pose.time is not None)
    if by_time and not nodes:
        times = np.array([time for time, _ in by_time])
        matched = {}
        for name in names:
            time = time_of(name, file)
            nearest = int(np.abs(times - time).argmin())
            if abs(times[nearest] - time) <= MAX_TIME_DIFFERENCE:
                matched[name] = poses[by_time[nearest][1]].world_from_body
        return matched
    if len(names) != len(poses):
        raise InputError(
            f"{file} has {len(poses)} poses without ids for {len(names)} images; export both with --images_id and "
            "--poses_format 11."
        )
    return {name: pose.world_from_body for name, pose in zip(names, poses, strict=True)}


def place(name: str) -> tuple[float, str]:
    """What sorts names by the id or time that they are, others last."""
    try:
        return float(name), name
    except ValueError:
        return np.inf, name


def time_of(name: str, file: Path) -> float:
    """The time (s) that is an image's name.

    Raises:
        InputError: it is none.
    """
    try:
        return float(name)
    except ValueError as error:
        raise InputError(
            f"The image {name} is called neither by an id nor by a time, by which {file} names poses; export again."
        ) from error


def read_calibrations(path: Path, names: Sequence[str]) -> Mapping[str, Calibration]:
    """The calibrations of the images that have one: of a file each, or of the one file of all.

    Raises:
        InputError: a file is damaged, or images are of several cameras side by side.
    """
    if path.is_file():
        return dict.fromkeys(names, read_calibration(path))
    if any((path / f"{name}_0.yaml").is_file() for name in names[:1]):
        raise InputError(f"Images of {path} are of several cameras side by side; record with one, or split them.")
    files = {name: path / f"{name}.yaml" for name in names}
    return {name: read_calibration(file) for name, file in files.items() if file.is_file()}


def read_calibration(file: Path) -> Calibration:
    """The camera of a calibration as OpenCV writes it.

    Raises:
        InputError: it is damaged, lacks an entry, or its lens is of a model that OpenCV lacks.
    """
    try:
        text = "\n".join(line for line in file.read_text().splitlines() if not line.startswith("%"))
        content = yaml.safe_load(text)
        matrix = matrix_of(content["camera_matrix"], (3, 3))
        stated = content.get("distortion_coefficients") or {"data": []}
        coefficients = [float(value) for value in np.ravel(stated["data"])]
        local = content.get("local_transform")
        robot_from_camera = np.eye(4)
        if local is not None:
            robot_from_camera[:3] = matrix_of(local, (3, 4))
        width, height = int(content["image_width"]), int(content["image_height"])
        camera = Camera(width, height, *(float(matrix[index]) for index in ((0, 0), (1, 1), (0, 2), (1, 2))))
        if not (np.isfinite([*matrix.ravel(), *coefficients]).all() and min(camera.fx, camera.fy, width, height) > 0):
            raise ValueError(f"the camera is {camera}, its distortion {coefficients}")
        is_fisheye = content.get("distortion_model") == FISHEYE
        if len(coefficients) > (4 if is_fisheye else 8):
            raise ValueError(f"{len(coefficients)} coefficients of distortion")
    except (OSError, yaml.YAMLError, KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
        what = reason(error)
        raise InputError(f"The calibration {file} is damaged or lacks an entry: {what}; export again.") from error
    robot_from_camera = rigid(robot_from_camera, f"local_transform of {file}")
    return Calibration(lens_of(camera, coefficients, is_fisheye), robot_from_camera)


def matrix_of(entry: Mapping[str, Any], shape: tuple[int, int]) -> Float[np.ndarray, "rows columns"]:
    """The matrix of an entry `rows, cols, data`.

    Raises:
        KeyError, TypeError, ValueError: there is none of this shape.
    """
    return np.array(entry["data"], dtype=np.float64).reshape(shape)
