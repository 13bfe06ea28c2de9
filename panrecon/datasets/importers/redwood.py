"""Scans in Redwood's layout (Choi, Zhou, Koltun, CVPR 2015), which Open3D's reconstruction system reads and writes.

color/ (or image/, rgb/)      .jpg or .png with a number in the name
depth/                        .png of the same numbers (16 bit, mm, registered to colour)
*.log, scene/trajectory.log   five lines a pose: `i i i+1`, then 4 x 4, camera to world, x right, y down, z forward
camera_intrinsic.json, camera_primesense.json, intrinsic.json   (one of them, or PrimeSense's) PinholeCameraIntrinsic
"""

import re
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from jaxtyping import Float

from panrecon.datasets.importers.base import Source, SourceFrame
from panrecon.datasets.poses import rigid
from panrecon.errors import InputError, reason
from panrecon.io.files import read_json
from panrecon.io.images import read_depth
from panrecon.structures import Camera

IMAGES: Final = "*.[jp]*g"  # .jpg, .jpeg and .png
COLOR: Final = ("image", "rgb", "color")  # in Open3D's order
INTRINSICS: Final = ("camera_intrinsic.json", "camera_primesense.json", "intrinsic.json")
PRIMESENSE: Final = Camera(640, 480, 525.0, 525.0, 319.5, 239.5)  # Open3D's PrimeSenseDefault
DEPTH_SCALE: Final = 1000.0  # units a metre


class Redwood:
    """An Importer of a scan's folder."""

    name = "redwood"
    needs = "a folder with color/ (or image/, rgb/), depth/ and a trajectory in a .log file"
    files = ("color", "image", "rgb", "depth", "*.log")

    def recognise(self, path: Path) -> str | None:
        """Names the images and the trajectory, where the folder has both and depth/; else None."""
        logs = trajectories(path)
        color = color_folder(path)
        if not logs or color is None or not (path / "depth").is_dir():
            return None
        return f"it holds {color.name}/, depth/ and the trajectory {logs[0].name}"

    def read(self, path: Path) -> Source:
        """The frames with colour, depth and pose.

        Poses belong to the images in their order if there are as many of both, else to the `i`-th image from 0.

        Raises:
            InputError: a file is missing or damaged, or no frame has all three.
        """
        color = color_folder(path)
        if color is None:
            raise InputError(f"{path} has no image in {', '.join(COLOR)}; a Redwood scan has them in one of these.")
        colors = images_by_number(color)
        depths = images_by_number(path / "depth")
        log = find_trajectory(path)
        image_indices, poses = read_trajectory(log)
        if len(poses) == len(colors):
            image_indices = list(range(len(colors)))
        pose_of_image = dict(zip(image_indices, poses, strict=True))
        complete = [
            (frame_number, image_index)
            for image_index, frame_number in enumerate(colors)
            if frame_number in depths and image_index in pose_of_image
        ]
        if not complete:
            raise InputError(
                f"No frame of {path} has colour, depth and pose: {len(colors)} images in {color.name}, {len(depths)} "
                f"in depth, {len(poses)} poses in {log.name}; the numbers in the names must agree."
            )
        frames = [
            SourceFrame(
                f"{frame_number:06d}",
                pose_of_image[image_index],
                partial(Path, colors[frame_number]),
                partial(read_depth, depths[frame_number], DEPTH_SCALE),
            )
            for frame_number, image_index in complete
        ]
        camera, camera_note = find_camera(path, frames[0])
        left_out = len({*colors, *depths}) - len(complete)
        unused = sum(image_index >= len(colors) for image_index in image_indices)
        notes = [f"{left_out} frames lack colour, depth or pose and are left out"] if left_out else []
        notes += [f"{unused} poses of {log.name} are of no image"] if unused else []
        return Source(camera, camera, frames, [camera_note, *notes])


def color_folder(path: Path) -> Path | None:
    """The folder of colour images; None without one."""
    return next((path / name for name in COLOR if any((path / name).glob(IMAGES))), None)


def images_by_number(folder: Path) -> dict[int, Path]:
    """The images by the first number in their names (the second may be a time), in its order.

    Raises:
        InputError: an image has no number, or one that another has.
    """
    path_of_number: dict[int, Path] = {}
    for path in folder.glob(IMAGES):
        digits = re.search(r"\d+", path.stem)
        if digits is None or int(digits[0]) in path_of_number:
            raise InputError(f"The image {path} has no number of its own in its name; number the images of {folder}.")
        path_of_number[int(digits[0])] = path
    return dict(sorted(path_of_number.items()))


def trajectories(path: Path) -> list[Path]:
    """The .log files that begin like a trajectory, the one most likely meant first."""
    likely = [path / "trajectory.log", path / "scene" / "trajectory.log"]
    others = sorted(log for log in path.glob("*.log") if log not in likely)
    return [log for log in [*likely, *others] if log.is_file() and starts_with_metadata(log)]


def starts_with_metadata(log: Path) -> bool:
    """Whether the first line is of three integers, as a trajectory's is."""
    with log.open("rb") as file:
        return re.match(rb"\s*\d+\s+\d+\s+\d+\s*\n", file.read(200)) is not None


def find_trajectory(path: Path) -> Path:
    """The trajectory of a scan: trajectory.log, else the only .log that begins like one.

    Raises:
        InputError: there is none, or several.
    """
    logs = trajectories(path)
    if not logs:
        raise InputError(
            f"{path} has no .log file that begins with `0 0 1`, a trajectory of five lines a pose; add it."
        )
    if len(logs) > 1 and logs[0].name != "trajectory.log":
        names = ", ".join(log.name for log in logs)
        raise InputError(f"{path} has several trajectories, {names}; name the right one trajectory.log.")
    return logs[0]


def read_trajectory(log: Path) -> tuple[list[int], Float[np.ndarray, "n 4 4"]]:
    """The frame `i` and the pose (camera to world, m) of every five lines.

    Raises:
        InputError: lines are no numbers, a frame occurs twice, or a pose is no rotation and shift.
    """
    lines = [line.split() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    image_indices: list[int] = []
    poses = []
    for start in range(0, len(lines), 5):
        try:
            first, second, _ = map(int, lines[start])
            poses.append(np.array(lines[start + 1 : start + 5], dtype=np.float64).reshape(4, 4))
        except ValueError as error:
            raise InputError(
                f"Pose {start // 5} of {log} (counted from 0) is not `i i i+1` and 4 x 4: {reason(error)}; mend it."
            ) from error
        if first != second or first in image_indices:
            raise InputError(
                f"Pose {start // 5} of {log} is of {first} {second}; each must be of one frame, `i i i+1`."
            )
        image_indices.append(first)
    return image_indices, np.stack([rigid(pose, f"{n} of {log} (counted from 0)") for n, pose in enumerate(poses)])


def find_camera(path: Path, first: SourceFrame) -> tuple[Camera, str]:
    """The camera of a file, else PrimeSense's; and a note that says which.

    Raises:
        InputError: there is no file, and the images have another size than PrimeSense's.
    """
    file = next((path / name for name in INTRINSICS if (path / name).is_file()), None)
    if file is not None:
        return read_camera(file), f"intrinsics are those of {file.name}"
    height, width = first.depth().shape
    if (width, height) != (PRIMESENSE.width, PRIMESENSE.height):
        raise InputError(
            f"Images of {path} are {width} x {height} pixels, not 640 x 480 as PrimeSense's; add {INTRINSICS[0]}, "
            "Open3D's PinholeCameraIntrinsic of the camera."
        )
    return PRIMESENSE, "no file states intrinsics, PrimeSense's are taken: fx fy cx cy = (525.0, 525.0, 319.5, 239.5)"


def read_camera(file: Path) -> Camera:
    """The camera of Open3D's PinholeCameraIntrinsic, whose matrix is stored column by column.

    Raises:
        InputError: an entry is missing, or the matrix is that of no pinhole without skew.
    """
    content: Any = read_json(file)
    try:
        width = int(content["width"])
        height = int(content["height"])
        matrix = np.array(content["intrinsic_matrix"], dtype=np.float64).reshape(3, 3).T
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{file} has no width, height and intrinsic_matrix of 9 numbers ({error!r}); mend it."
        ) from error
    camera = Camera(width, height, *(float(matrix[index]) for index in ((0, 0), (1, 1), (0, 2), (1, 2))))
    if not (np.isfinite(matrix).all() and np.array_equal(camera.matrix, matrix) and min(camera.fx, camera.fy) > 0):
        raise InputError(
            f"The intrinsic_matrix of {file} is {content['intrinsic_matrix']}; it must be fx 0 0 0 fy 0 cx cy 1, "
            "column by column, without skew."
        )
    return camera
