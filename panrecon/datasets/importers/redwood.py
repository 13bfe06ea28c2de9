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

    def recognise(self, path: Path) -> str | None:
        logs, color = trajectories(path), color_folder(path)
        if not logs or color is None or not (path / "depth").is_dir():
            return None
        return f"it holds {color.name}/, depth/ and the trajectory {logs[0].name}"

    def read(self, path: Path) -> Source:
        """Poses are the images' in their order if there are as many, else by their number `i`, counted from 0."""
        color = color_folder(path)
        if color is None:
            raise InputError(f"{path} has no image in {', '.join(COLOR)}; a Redwood scan has them in one of these.")
        colors, depths = numbered(color), numbered(path / "depth")
        log = find_trajectory(path)
        places, poses = read_trajectory(log)
        if len(poses) == len(colors):
            places = list(range(len(colors)))
        pose_at = dict(zip(places, poses, strict=True))
        kept = [(number, place) for place, number in enumerate(colors) if number in depths and place in pose_at]
        if not kept:
            raise InputError(
                f"No frame of {path} has colour, depth and pose: {len(colors)} images in {color.name}, {len(depths)} "
                f"in depth, {len(poses)} poses in {log.name}; the numbers in the names must agree."
            )
        frames = [
            SourceFrame(
                f"{number:06d}",
                pose_at[place],
                partial(Path, colors[number]),
                partial(read_depth, depths[number], DEPTH_SCALE),
            )
            for number, place in kept
        ]
        camera, taken = find_camera(path, frames[0])
        left, unused = len({*colors, *depths}) - len(kept), sum(place >= len(colors) for place in places)
        notes = [f"{left} frames lack colour, depth or pose and are left out"] if left else []
        notes += [f"{unused} poses of {log.name} are of no image"] if unused else []
        return Source(camera, camera, frames, [taken, *notes])


def color_folder(path: Path) -> Path | None:
    return next((path / name for name in COLOR if any((path / name).glob(IMAGES))), None)


def numbered(folder: Path) -> dict[int, Path]:
    """The images by the first number in their names (the second may be a time), in its order."""
    result: dict[int, Path] = {}
    for path in folder.glob(IMAGES):
        digits = re.search(r"\d+", path.stem)
        if digits is None or int(digits[0]) in result:
            raise InputError(f"The image {path} has no number of its own in its name; number the images of {folder}.")
        result[int(digits[0])] = path
    return dict(sorted(result.items()))


def trajectories(path: Path) -> list[Path]:
    """The .log files that begin like a trajectory, the one most likely meant first."""
    likely = [path / "trajectory.log", path / "scene" / "trajectory.log"]
    others = sorted(log for log in path.glob("*.log") if log not in likely)
    return [log for log in [*likely, *others] if log.is_file() and starts_with_metadata(log)]


def starts_with_metadata(log: Path) -> bool:
    with log.open("rb") as file:
        return re.match(rb"\s*\d+\s+\d+\s+\d+\s*\n", file.read(200)) is not None


def find_trajectory(path: Path) -> Path:
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
    """Number and pose of every five lines."""
    lines = [line.split() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    numbers, poses = [], []
    for start in range(0, len(lines), 5):
        try:
            first, second, _ = map(int, lines[start])
            poses.append(np.array(lines[start + 1 : start + 5], dtype=np.float64).reshape(4, 4))
        except ValueError as error:
            raise InputError(
                f"Pose {start // 5} of {log} (counted from 0) is not `i i i+1` and 4 x 4: {reason(error)}."
            ) from error
        if first != second or first in numbers:
            raise InputError(f"Pose {start // 5} of {log} is of {first} {second}; each is of one frame, `i i i+1`.")
        numbers.append(first)
    return numbers, np.stack([rigid(pose, f"{n} of {log} (counted from 0)") for n, pose in enumerate(poses)])


def find_camera(path: Path, first: SourceFrame) -> tuple[Camera, str]:
    """From a file, else PrimeSense's; and a note that says which."""
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
    """Its matrix lies column by column."""
    content: Any = read_json(file)
    try:
        width, height = int(content["width"]), int(content["height"])
        matrix = np.array(content["intrinsic_matrix"], dtype=np.float64).reshape(3, 3).T
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{file} has no width, height and intrinsic_matrix of 9 numbers: {error!r}.") from error
    camera = Camera(width, height, *(float(matrix[place]) for place in ((0, 0), (1, 1), (0, 2), (1, 2))))
    if not (np.isfinite(matrix).all() and np.array_equal(camera.matrix, matrix) and min(camera.fx, camera.fy) > 0):
        raise InputError(
            f"The intrinsic_matrix of {file} is {content['intrinsic_matrix']}; it must be fx 0 0 0 fy 0 cx cy 1, "
            "column by column, without skew."
        )
    return camera
