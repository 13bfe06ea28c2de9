"""Rooms of Replica (Straub et al., 2019) as rendered for iMAP and distributed with NICE-SLAM (Zhu et al., CVPR 2022).

<scene>/results/frame000000.jpg   depth000000.png (16 bit, `scale` a metre)
<scene>/traj.txt                  a line a frame: 4 x 4 row by row, camera to world, x right, y down, z forward
cam_params.json                   in the scene or beside it: {"camera": {w, h, fx, fy, cx, cy, scale}}
"""

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

CAMERA_FILE: Final = "cam_params.json"
KEYS: Final = ("w", "h", "fx", "fy", "cx", "cy", "scale")  # of the camera in it


class Replica:
    """An Importer of one scene's folder."""

    name = "replica"
    needs = f"a folder with results/frame*.jpg, results/depth*.png and traj.txt, and {CAMERA_FILE} in or beside it"
    files = ("results/frame*.jpg", "results/depth*.png", "traj.txt", CAMERA_FILE)

    def recognise(self, path: Path) -> str | None:
        """Names traj.txt and the images, where the folder has both; else None."""
        is_scene = (path / "traj.txt").is_file() and any((path / "results").glob("frame*.jpg"))
        return "it holds traj.txt and results/frame*.jpg" if is_scene else None

    def read(self, path: Path) -> Source:
        """The frames with colour, depth and pose.

        Line n of traj.txt is of frame n or, where there are as many lines as frames, of the n-th frame.

        Raises:
            InputError: a file is missing or damaged, or no frame has all three.
        """
        camera, scale = read_camera(path)
        poses = read_trajectory(path / "traj.txt")
        colors = files_by_number(path / "results", "frame*.jpg")
        depths = files_by_number(path / "results", "depth*.png")
        lines = range(len(colors)) if len(colors) == len(poses) else colors
        line_of_frame = dict(zip(colors, lines, strict=True))
        pose_of_frame = {frame: poses[line] for frame, line in line_of_frame.items() if line < len(poses)}
        complete = [frame_number for frame_number in pose_of_frame if frame_number in depths]
        if not complete:
            raise InputError(
                f"No frame of {path} has colour, depth and pose: {len(colors)} frame*.jpg and {len(depths)} depth*.png "
                f"in results, {len(poses)} lines of traj.txt; unpack the scene again."
            )
        frames = [
            SourceFrame(
                f"{frame_number:06d}",
                pose_of_frame[frame_number],
                partial(Path, colors[frame_number]),
                partial(read_depth, depths[frame_number], scale),
            )
            for frame_number in complete
        ]
        left_out = len({*colors, *depths}) - len(complete)
        unused = len(poses) - len(pose_of_frame)
        notes = [f"{left_out} frames lack colour, depth or pose and are left out"] if left_out else []
        notes += [f"{unused} poses of traj.txt are of no frame"] if unused else []
        return Source(camera, camera, frames, notes)


def read_camera(folder: Path) -> tuple[Camera, float]:
    """The camera, and the depth images' units per metre.

    Raises:
        InputError: the file is missing, or a number is missing or not above 0.
    """
    files = [parent / CAMERA_FILE for parent in (folder, folder.resolve().parent)]
    file = next((file for file in files if file.is_file()), files[0])
    content = read_json(file)
    stated = content.get("camera") if isinstance(content, dict) else None
    values: list[Any] = [stated.get(key) for key in KEYS] if isinstance(stated, dict) else []
    if not (values and all(isinstance(value, int | float) for value in values)):
        raise InputError(f"{file} states the camera {stated!r}; it must have the numbers {', '.join(KEYS)}.")
    width, height, fx, fy, cx, cy, scale = values
    if not (min(width, height, fx, fy, scale) > 0 and np.isfinite(values).all()):
        raise InputError(f"{file} states the camera {stated!r}; sizes, focal lengths and scale must be positive.")
    return Camera(int(width), int(height), fx, fy, cx, cy), float(scale)


def read_trajectory(file: Path) -> Float[np.ndarray, "n 4 4"]:
    """`world_from_camera` (m) of every line.

    Raises:
        InputError: the file is missing or empty, a line has not 16 numbers, or one is no rotation and shift.
    """
    if file.is_file() and not file.stat().st_size:
        raise InputError(f"{file} is empty; it must have a line of 16 numbers a frame.")
    try:
        rows = np.loadtxt(file, dtype=np.float64, ndmin=2)
    except (OSError, ValueError) as error:
        raise InputError(f"{file} cannot be read as 16 numbers a line: {reason(error)}; unpack it again.") from error
    if rows.shape[1] != 16:
        raise InputError(f"{file} has {rows.shape[1]} numbers a line; 16 are needed, 4 x 4 row by row.")
    poses = rows.reshape(-1, 4, 4)
    return np.stack([rigid(pose, f"{line_index} of {file} (counted from 0)") for line_index, pose in enumerate(poses)])


def files_by_number(folder: Path, pattern: str) -> dict[int, Path]:
    """The files of a pattern such as `depth*.png` by the number in the place of the star, in order."""
    before, after = pattern.split("*")
    names = {path.name.removeprefix(before).removesuffix(after): path for path in folder.glob(pattern)}
    return dict(sorted((int(name), path) for name, path in names.items() if name.isdecimal()))
