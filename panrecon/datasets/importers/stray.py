"""Recordings of Stray Scanner, an app for iPhones and iPads with LiDAR (Stray Robots, 2021; strayrobots/scanner).

rgb.mp4                  colour, one frame a depth image, as the sensor lies (1920 x 1440)
depth/000000.png         16 bit, mm (256 x 192); .npy of the same in recordings of 2021
confidence/000000.png    0, 1 or 2; optional
odometry.csv             timestamp, frame, x, y, z, qx, qy, qz, qw and, of late, fx, fy, cx, cy of each frame;
                         the first versions wrote x, y, z, qx, qy, qz, qw alone, without a header
camera_matrix.csv        3 x 3, of the colour images

The app turns ARKit's camera axes to OpenCV's before it writes a pose (its OdometryEncoder): we take them as they are.
A rotation that the video states is for players: depth and poses are not rotated, so its frames are not either.
"""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import Float

from panrecon.datasets.importers.arkit import (
    export_notes,
    median_camera,
    most_confident,
    pose_from_quaternion,
    resized,
    sideways_notes,
)
from panrecon.datasets.importers.base import Source, SourceFrame
from panrecon.datasets.importers.video import Video
from panrecon.errors import InputError
from panrecon.io.files import read_array
from panrecon.io.images import read_depth, read_ids
from panrecon.structures import Camera

POSE: Final = ["x", "y", "z", "qx", "qy", "qz", "qw"]
INTRINSICS: Final = ["fx", "fy", "cx", "cy"]


@dataclass(frozen=True)
class OdometryLine:
    """A line of odometry.csv: a pose (m, OpenCV's camera axes), and fx, fy, cx, cy (pixels), nan where not stated."""

    world_from_camera: Float[np.ndarray, "4 4"]
    intrinsics: Float[np.ndarray, "4"]


class Stray:
    """An Importer of a recording's folder."""

    name = "stray"
    needs = "a Stray Scanner folder with rgb.mp4, odometry.csv, camera_matrix.csv and depth/"
    files = ("rgb.mp4", "odometry.csv", "camera_matrix.csv", "depth")

    def recognise(self, path: Path) -> str | None:
        """Names rgb.mp4 and odometry.csv, where the folder has both; else None."""
        is_recording = all((path / name).is_file() for name in ("rgb.mp4", "odometry.csv"))
        return "it holds rgb.mp4 and odometry.csv" if is_recording else None

    def read(self, path: Path) -> Source:
        """The frames with pose, depth and colour, in order.

        Raises:
            InputError: a file is missing or damaged, or no frame has all three.
        """
        lines = read_odometry(path / "odometry.csv")
        video = Video(path / "rgb.mp4")
        depths = depths_by_frame(path / "depth")
        complete = sorted(frame for frame in lines if frame in depths and frame < video.count)
        if not complete:
            raise InputError(
                f"{path} has no frame with a pose, a depth image and a colour: {len(lines)} lines of odometry.csv, "
                f"{len(depths)} images in depth/, {video.count} frames of rgb.mp4; copy the whole folder."
            )
        confidences = {frame: path / "confidence" / f"{frame:06d}.png" for frame in complete}
        frames = [
            SourceFrame(
                f"{frame:06d}",
                lines[frame].world_from_camera,
                partial(video.frame, frame),
                partial(depth_in_metres, depths[frame], confidences[frame]),
            )
            for frame in complete
        ]
        color, notes = color_camera(path, lines, complete, video.size)
        height, width = frames[0].depth().shape
        left_out = [f"{frame:06d}" for frame in sorted((lines.keys() | depths.keys()) - set(complete))]
        without_confidence = sum(not file.is_file() for file in confidences.values())
        camera = resized(color, width, height, f"depth images of {path}")
        notes += [*export_notes(left_out, without_confidence, len(frames)), *sideways_notes(frames)]
        return Source(camera, color, frames, notes)


def depths_by_frame(folder: Path) -> dict[int, Path]:
    """The depth images by the indices of their frames."""
    files = [file for file in folder.glob("*") if file.suffix in (".png", ".npy")]
    return {int(file.stem): file for file in files if file.stem.isdecimal()}


def read_odometry(path: Path) -> dict[int, OdometryLine]:
    """The lines by their frame, which is the number of its depth image and counts the frames of the video from 0.

    Raises:
        InputError: the file is missing, a column is missing, a line is damaged, or a frame occurs twice.
    """
    try:
        lines_of_cells = csv.reader(path.read_text("utf-8-sig").splitlines())
        rows = [[cell.strip() for cell in cells] for cells in lines_of_cells if cells]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} cannot be read as a table: {error}; copy the recording again.") from error
    columns = rows.pop(0) if rows and "x" in rows[0] else POSE
    missing = [name for name in POSE if name not in columns]
    if missing:
        raise InputError(f"{path} has no column {missing[0]!r}, only {', '.join(columns)}; copy the recording again.")
    lines: dict[int, OdometryLine] = {}
    for row_index, cells in enumerate(rows):
        what = f"line {row_index + 1 + (columns is not POSE)} of {path}"
        values = numbers(cells, columns, what)
        frame = int(values.get("frame", row_index))
        if frame in lines:
            raise InputError(f"Frame {frame} occurs again in {what}; remove one of the two.")
        pose = pose_from_quaternion([values[name] for name in POSE[3:]], [values[name] for name in POSE[:3]], what)
        lines[frame] = OdometryLine(pose, np.array([values.get(name, np.nan) for name in INTRINSICS]))
    return lines


def numbers(row: Sequence[str], columns: Sequence[str], what: str) -> dict[str, float]:
    """The numbers of a row by their columns' names; nan where a cell is empty.

    Raises:
        InputError: there are too few or too many cells, or one is no number.
    """
    try:
        values = {name: float(cell or "nan") for name, cell in zip(columns, row, strict=True)}
    except ValueError as error:
        raise InputError(f"{len(columns)} numbers are needed in {what}, not {', '.join(row)!r}; remove it.") from error
    if not np.isfinite(values.get("frame", 0)):
        raise InputError(f"There is no number of a frame in {what}; remove it.")
    return values


def color_camera(
    path: Path, lines: Mapping[int, OdometryLine], frames: Sequence[int], size: tuple[int, ...]
) -> tuple[Camera, list[str]]:
    """The median of the intrinsics that odometry.csv states of the frames, else those of camera_matrix.csv; and notes.

    Raises:
        InputError: neither states intrinsics of images of this size (width, height), or they differ too much.
    """
    stated = {frame: lines[frame].intrinsics for frame in frames if np.isfinite(lines[frame].intrinsics).all()}
    if stated:
        names = [f"{frame:06d}" for frame in stated]
        return median_camera(np.stack(list(stated.values())), names, size, str(path / "odometry.csv"))
    file = path / "camera_matrix.csv"
    try:
        matrix = np.loadtxt(file, delimiter=",", dtype=np.float64)
    except (OSError, ValueError) as error:
        raise InputError(f"{file} cannot be read as 3 x 3 numbers: {error}; copy the recording again.") from error
    if matrix.shape != (3, 3):
        raise InputError(f"{file} holds numbers of shape {matrix.shape}, not 3 x 3; copy the recording again.")
    return median_camera(matrix[None, [0, 1, 0, 1], [0, 1, 2, 2]], [file.name], size, str(file))


def depth_in_metres(file: Path, confidence: Path) -> Float[np.ndarray, "h w"]:
    """The depth (m) of the highest confidence in the image, all of it without a map of confidence; 0 elsewhere."""
    depth = read_millimetres(file) if file.suffix == ".npy" else read_depth(file, 1000.0)
    return most_confident(depth, read_ids(confidence), str(file)) if confidence.is_file() else depth


def read_millimetres(file: Path) -> Float[np.ndarray, "h w"]:
    """The depth (m) of an .npy in millimetres.

    Raises:
        InputError: it is damaged, or no 16-bit image of one channel.
    """
    values = read_array(file)
    if values.ndim != 2 or values.dtype != np.uint16:
        raise InputError(
            f"The depth {file} is {values.dtype} of shape {values.shape}; 16-bit rows x columns are needed."
        )
    return values.astype(np.float32) / np.float32(1000)
