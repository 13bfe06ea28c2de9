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

from panrecon.datasets.importers.arkit import median_camera, most_confident, notes_of, pose_of, resized, side_notes
from panrecon.datasets.importers.base import Source, SourceFrame
from panrecon.datasets.importers.video import Video
from panrecon.errors import InputError
from panrecon.io.images import read_depth, read_ids
from panrecon.structures import Camera

POSE: Final = ["x", "y", "z", "qx", "qy", "qz", "qw"]
INTRINSICS: Final = ["fx", "fy", "cx", "cy"]


@dataclass(frozen=True)
class Line:
    """One of odometry.csv; intrinsics are nan where it states none."""

    world_from_camera: Float[np.ndarray, "4 4"]
    intrinsics: Float[np.ndarray, "4"]


class Stray:
    """An Importer of a recording's folder."""

    name = "stray"
    needs = "a Stray Scanner folder with rgb.mp4, odometry.csv, camera_matrix.csv and depth/"

    def recognise(self, path: Path) -> str | None:
        found = all((path / name).is_file() for name in ("rgb.mp4", "odometry.csv"))
        return "it holds rgb.mp4 and odometry.csv" if found else None

    def read(self, path: Path) -> Source:
        """Raises: InputError where a file is missing or damaged, or no frame has a pose, a depth and a colour."""
        lines, video = read_odometry(path / "odometry.csv"), Video(path / "rgb.mp4")
        depths = numbered(path / "depth")
        kept = sorted(number for number in lines if number in depths and number < video.count)
        if not kept:
            raise InputError(
                f"{path} has no frame with a pose, a depth image and a colour: {len(lines)} lines of odometry.csv, "
                f"{len(depths)} images in depth/, {video.count} frames of rgb.mp4; copy the whole folder."
            )
        maps = {number: path / "confidence" / f"{number:06d}.png" for number in kept}
        frames = [
            SourceFrame(
                f"{number:06d}",
                lines[number].world_from_camera,
                partial(video.frame, number),
                partial(depth_in_metres, depths[number], maps[number]),
            )
            for number in kept
        ]
        color, notes = color_camera(path, lines, kept, video.size)
        height, width = frames[0].depth().shape
        left_out = [f"{number:06d}" for number in sorted((lines.keys() | depths.keys()) - set(kept))]
        unsure = sum(not file.is_file() for file in maps.values())
        camera = resized(color, width, height, f"depth images of {path}")
        return Source(camera, color, frames, notes + notes_of(left_out, unsure, len(frames)) + side_notes(frames))


def numbered(folder: Path) -> dict[int, Path]:
    """The depth images by the numbers of their frames."""
    files = [file for file in folder.glob("*") if file.suffix in (".png", ".npy")]
    return {int(file.stem): file for file in files if file.stem.isdecimal()}


def read_odometry(path: Path) -> dict[int, Line]:
    """The lines by the number of their frame, which is the one of its depth image and its place in the video."""
    try:
        rows = [[cell.strip() for cell in row] for row in csv.reader(path.read_text("utf-8-sig").splitlines()) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} cannot be read as a table: {error}; copy the recording again.") from error
    columns = rows.pop(0) if rows and "x" in rows[0] else POSE
    missing = [name for name in POSE if name not in columns]
    if missing:
        raise InputError(f"{path} has no column {missing[0]!r}, only {', '.join(columns)}; copy the recording again.")
    lines: dict[int, Line] = {}
    for place, row in enumerate(rows):
        what = f"line {place + 1 + (columns is not POSE)} of {path}"
        values = numbers(row, columns, what)
        number = int(values.get("frame", place))
        if number in lines:
            raise InputError(f"Frame {number} occurs again in {what}; remove one of the two.")
        pose = pose_of([values[name] for name in POSE[3:]], [values[name] for name in POSE[:3]], what)
        lines[number] = Line(pose, np.array([values.get(name, np.nan) for name in INTRINSICS]))
    return lines


def numbers(row: Sequence[str], columns: Sequence[str], what: str) -> dict[str, float]:
    """By the names of the columns; nan where nothing is stated."""
    try:
        values = {name: float(cell or "nan") for name, cell in zip(columns, row, strict=True)}
    except ValueError as error:
        raise InputError(f"{len(columns)} numbers are needed in {what}, not {', '.join(row)!r}; remove it.") from error
    if not np.isfinite(values.get("frame", 0)):
        raise InputError(f"There is no number of a frame in {what}; remove it.")
    return values


def color_camera(
    path: Path, lines: Mapping[int, Line], kept: Sequence[int], size: tuple[int, ...]
) -> tuple[Camera, list[str]]:
    """The median of what odometry.csv states of the frames, else that of camera_matrix.csv."""
    stated = {number: lines[number].intrinsics for number in kept if np.isfinite(lines[number].intrinsics).all()}
    if stated:
        names = [f"{number:06d}" for number in stated]
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
    depth = read_array(file) if file.suffix == ".npy" else read_depth(file, 1000.0)
    return most_confident(depth, read_ids(confidence), str(file)) if confidence.is_file() else depth


def read_array(file: Path) -> Float[np.ndarray, "h w"]:
    """Metres of an .npy in millimetres."""
    try:
        values = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"The depth {file} cannot be read: {error}; copy the recording again.") from error
    if values.ndim != 2 or values.dtype != np.uint16:
        raise InputError(
            f"The depth {file} is {values.dtype} of shape {values.shape}; 16-bit rows x columns are needed."
        )
    return values.astype(np.float32) / np.float32(1000)
