"""Sequences of the TUM RGB-D benchmark (Sturm et al., IROS 2012) and of others in its layout (ETH3D SLAM, Bonn).

rgb.txt, depth.txt      a line an image: timestamp (s) and file name; '#' begins a comment, here and below, and may name
                        the camera (freiburg1); a first line of column names needs no '#'
groundtruth.txt         a line a pose: timestamp tx ty tz qx qy qz qw, the colour camera in the world
rgb/*.png, depth/*.png  as the lists name them; depth is 16 bit, 5000 a metre, registered to colour
calibration.txt or camera.txt (optional): fx fy cx cy of images without distortion
"""

import re
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial.transform import Rotation, Slerp

from panrecon.datasets.importers.base import Source, SourceFrame
from panrecon.errors import InputError
from panrecon.io.images import read_depth
from panrecon.structures import VOID, Camera

IMAGE: Final = ("timestamp", "filename")  # the columns of a list of images
POSE: Final = ("timestamp", "tx", "ty", "tz", "qx", "qy", "qz", "qw")  # and of a trajectory
COLUMNS: Final = {"rgb.txt": IMAGE, "depth.txt": IMAGE, "groundtruth.txt": POSE}
DEPTH_SCALE: Final = 5000.0  # units a metre
MAX_TIME_DIFFERENCE: Final = 0.02  # s between image, depth and pose of a frame, as in the benchmark's associate.py
SIZE: Final = (640, 480)  # of the images whose intrinsics follow
INTRINSICS: Final = {  # fx, fy, cx, cy by the benchmark's page "File Formats"
    "freiburg1": (517.3, 516.5, 318.6, 255.3),
    "freiburg2": (520.9, 521.0, 325.1, 249.7),
    "freiburg3": (535.4, 539.2, 320.1, 247.6),
    "ROS default": (525.0, 525.0, 319.5, 239.5),
}


class Tum:
    """An Importer of a sequence of the TUM RGB-D benchmark."""

    name = "tum"
    needs = f"a folder with {', '.join(COLUMNS)}"
    files = tuple(COLUMNS)

    def recognise(self, path: Path) -> str | None:
        """Names the three lists, where the folder has all; else None."""
        return f"it holds {', '.join(COLUMNS)}" if all((path / file).is_file() for file in COLUMNS) else None

    def read(self, path: Path) -> Source:
        """The pairs of images with a pose within 20 ms; poses are interpolated at the time of the depth image.

        Raises:
            InputError: a list is missing or damaged, or no pair of images has a pose.
        """
        color_times, colors = read_list(path / "rgb.txt")
        depth_times, depths = read_list(path / "depth.txt")
        pose_times, values = read_list(path / "groundtruth.txt")
        depth_of_color = mutual_nearest(color_times, depth_times)
        paired = np.flatnonzero(depth_of_color != VOID)
        times = depth_times[depth_of_color[paired]]
        posed = np.abs(pose_times[nearest(times, pose_times)] - times) <= MAX_TIME_DIFFERENCE
        if not posed.any():
            raise InputError(
                f"No image of {path} has both a depth image and a pose within 20 ms: colour begins at second "
                f"{color_times[0]:f}, depth at {depth_times[0]:f}, poses at {pose_times[0]:f}; use one clock."
            )
        poses = interpolated(pose_times, values.astype(np.float64), times[posed])
        frames = [
            SourceFrame(
                f"{color_index:06d}",
                pose,
                partial(Path, path / colors[color_index, 0]),
                partial(read_depth, path / depths[depth_of_color[color_index], 0], DEPTH_SCALE),
            )
            for color_index, pose in zip(paired[posed], poses, strict=True)
        ]
        height, width = frames[0].depth().shape
        camera, camera_note = find_camera(path, width, height)
        missing = {"depth image": len(colors) - len(paired), "pose": int((~posed).sum())}
        left_out = [f"{n} frames have no {what} within 20 ms and are left out" for what, n in missing.items() if n]
        return Source(camera, camera, frames, [camera_note, *left_out])


def read_list(file: Path) -> tuple[Float[np.ndarray, " n"], np.ndarray]:
    """Timestamps (s), ascending, each once, and the other words of their lines (n x columns); lost poses left out.

    Raises:
        InputError: the file is missing or empty, or a line has not its columns.
    """
    if not file.is_file():
        raise InputError(f"There is no file {file}; a TUM sequence needs {', '.join(COLUMNS)}.")
    columns = COLUMNS[file.name]
    words_of_time: dict[float, list[str]] = {}
    for line_number, line in enumerate(file.read_text(errors="replace").splitlines(), 1):
        is_header = line.startswith("#") or (line_number == 1 and has_no_number(line))
        words = [] if is_header else line.replace(",", " ").split()
        values = numbers(words, columns) if words else [np.nan]
        if values is None:
            raise InputError(f"Line {line_number} of {file} is {line[:80]!r}; it must be {' '.join(columns)}.")
        if not np.isnan(values).any():
            words_of_time[values[0]] = words[1:]
    if not words_of_time:
        raise InputError(f"{file} has no line of {' '.join(columns)}; export it again.")
    times = sorted(words_of_time)
    return np.array(times), np.array([words_of_time[time] for time in times])


def has_no_number(line: str) -> bool:
    """Whether a line is of words alone, such as names of columns."""
    return not any(character.isdigit() for character in line)


def numbers(words: list[str], columns: tuple[str, ...]) -> list[float] | None:
    """The numbers of a line, nan where tracking was lost; None where it is no such line, or its rotation none."""
    try:
        values = [float(word) for word, column in zip(words, columns, strict=True) if column != "filename"]
    except ValueError:
        return None
    is_rotation = columns != POSE or not abs(np.linalg.norm(values[4:]) - 1) > 0.05
    return values if is_rotation and not np.isinf(values).any() else None


def nearest(times: Float[np.ndarray, " n"], others: Float[np.ndarray, " m"]) -> Int[np.ndarray, " n"]:
    """Index of the nearest of `others`, which ascend; times in seconds."""
    after = np.searchsorted(others, times).clip(0, len(others) - 1)
    before = (after - 1).clip(0)
    return np.where(np.abs(others[before] - times) <= np.abs(others[after] - times), before, after)


def mutual_nearest(times: Float[np.ndarray, " n"], others: Float[np.ndarray, " m"]) -> Int[np.ndarray, " n"]:
    """Index of the nearest of `others`, if it is within 20 ms and has no nearer one itself; else `VOID`."""
    other = nearest(times, others)
    mutual = nearest(others, times)[other] == np.arange(len(times))
    return np.where(mutual & (np.abs(others[other] - times) <= MAX_TIME_DIFFERENCE), other, VOID)


def interpolated(
    pose_times: Float[np.ndarray, " n"], poses: Float[np.ndarray, "n 7"], times: Float[np.ndarray, " m"]
) -> Float[np.ndarray, "m 4 4"]:
    """`world_from_camera` (m) between the poses before and after: position linearly, rotation by slerp.

    `poses` are tx ty tz qx qy qz qw.
    """
    inside = times.clip(pose_times[0], pose_times[-1])
    rotations = Rotation.from_quat(poses[:, 3:])
    constant = rotations[np.zeros(len(times), np.int64)]
    interpolated_rotations = Slerp(pose_times, rotations)(inside) if len(poses) > 1 else constant
    result = np.tile(np.eye(4), (len(times), 1, 1))
    result[:, :3, :3] = interpolated_rotations.as_matrix()
    result[:, :3, 3] = np.stack([np.interp(inside, pose_times, poses[:, axis]) for axis in range(3)], axis=1)
    return result


def find_camera(folder: Path, width: int, height: int) -> tuple[Camera, str]:
    """The camera of a file, else of the folder's name or of a comment in rgb.txt, else the ROS default; with a note.

    Raises:
        InputError: there is no file and the images are not 640 x 480 pixels, or the file is damaged.
    """
    for file in (folder / "calibration.txt", folder / "camera.txt"):
        if file.is_file():
            return Camera(width, height, *read_calibration(file)), f"intrinsics are those of {file.name}"
    if (width, height) != SIZE:
        raise InputError(
            f"Images of {folder} are {width} x {height} pixels, those of the benchmark 640 x 480; write fx fy cx cy of "
            f"the camera into {folder / 'calibration.txt'}."
        )
    comments = [line for line in (folder / "rgb.txt").read_text(errors="replace").splitlines() if line.startswith("#")]
    names = [re.search(r"(?:freiburg|fr)([123])(?!\d)", text) for text in (folder.resolve().name, *comments)]
    known = next((name for name in names if name), None)
    name = f"freiburg{known[1]}" if known else "ROS default"
    return Camera(width, height, *INTRINSICS[name]), f"intrinsics are those of {name}: fx fy cx cy = {INTRINSICS[name]}"


def read_calibration(file: Path) -> list[float]:
    """fx, fy, cx, cy of a text file.

    Raises:
        InputError: it holds anything else.
    """
    try:
        values = np.loadtxt(file, dtype=np.float64, ndmin=1).ravel().tolist()
    except ValueError as error:
        raise InputError(f"{file} cannot be read as numbers: {error}; it must be fx fy cx cy.") from error
    if len(values) != 4 or not (np.isfinite(values).all() and min(values[:2]) > 0):
        raise InputError(f"{file} holds {values}; it must be fx fy cx cy of images without distortion.")
    return values
