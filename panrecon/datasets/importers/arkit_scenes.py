"""Scenes of ARKitScenes (Baruch et al., NeurIPS 2021), as its raw data and its 3D detection part have them.

<id>/ or <id>/<id>_frames/
    lowres_wide/<id>_<t>.png                  colour (256 x 192), t in seconds
    lowres_depth/<id>_<t>.png                 16 bit, mm, of the same view
    lowres_wide_intrinsics/<id>_<t>.pincam    width height fx fy cx cy
    lowres_wide.traj                          a line a pose: t, rotation (axis times angle, rad), shift (m), camera from
                                              world, x right, y down, z forward
    confidence/<id>_<t>.png                   0, 1 or 2; optional
"""

import re
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from panrecon.datasets.importers.arkit import confident_depth, export_notes, median_camera, resized, sideways_notes
from panrecon.datasets.importers.base import Source, SourceFrame
from panrecon.datasets.importers.tum import interpolated, nearest
from panrecon.errors import InputError, reason

COLOR: Final = "lowres_wide"
DEPTH: Final = "lowres_depth"
CAMERAS: Final = "lowres_wide_intrinsics"
TRAJECTORY: Final = "lowres_wide.traj"
MAX_POSE_DIFFERENCE: Final = 0.1  # s between a frame and the nearest pose, as in the data set's own reader
MAX_CAMERA_DIFFERENCE: Final = 0.01  # s between a frame and its intrinsics, whose names are rounded otherwise


class ARKitScenes:
    """An Importer of one scene."""

    name = "arkit_scenes"
    needs = f"a folder with {COLOR}/, {DEPTH}/, {CAMERAS}/ and {TRAJECTORY}, a scene of ARKitScenes"
    files = (COLOR, DEPTH, CAMERAS, TRAJECTORY)

    def recognise(self, path: Path) -> str | None:
        """Names the trajectory, where there is one beside colour and depth; else None."""
        folder = scene_folder(path)
        return f"it holds {(folder / TRAJECTORY).relative_to(path)}" if folder is not None else None

    def read(self, path: Path) -> Source:
        """The frames that have colour, depth and intrinsics, by time; poses are interpolated.

        Raises:
            InputError: a file is missing or damaged, or the cameras differ.
        """
        folder = scene_folder(path)
        if folder is None:
            raise InputError(f"{path} has no {TRAJECTORY} beside {COLOR}/ and {DEPTH}/; unpack the scene again.")
        colors = files_by_time(folder / COLOR, "png")
        depths = files_by_time(folder / DEPTH, "png")
        cameras = files_by_time(folder / CAMERAS, "pincam")
        confidences = files_by_time(folder / "confidence", "png")
        common = sorted(colors.keys() & depths.keys())
        if not common or not cameras:
            raise InputError(
                f"{folder} has {len(colors)} images, {len(depths)} depth images of {len(common)} common times and "
                f"{len(cameras)} intrinsics; unpack the scene again."
            )
        camera_times = np.array(sorted(cameras))
        nearest_camera = camera_times[nearest(np.array(common), camera_times)]
        has_camera = np.abs(nearest_camera - common) <= MAX_CAMERA_DIFFERENCE
        times = np.array(common)[has_camera]
        if not len(times):
            raise InputError(f"No intrinsics of {folder / CAMERAS} are of an image's time; unpack the scene again.")
        stated = np.stack([read_pincam(cameras[time]) for time in nearest_camera[has_camera].tolist()])
        names = [f"{time:.3f}" for time in times.tolist()]
        size = int(stated[0, 0]), int(stated[0, 1])
        color, notes = median_camera(stated[:, 2:], names, size, str(folder))
        frames = [
            SourceFrame(
                f"{index:06d}",
                pose,
                partial(Path, colors[time]),
                partial(confident_depth, depths[time], confidences.get(time)),
            )
            for index, (time, pose) in enumerate(
                zip(times.tolist(), read_poses(folder / TRAJECTORY, times), strict=True)
            )
        ]
        height, width = frames[0].depth().shape
        left_out = [f"{time:.3f}" for time in sorted((colors.keys() | depths.keys()) - set(times.tolist()))]
        without_confidence = len(set(times.tolist()) - confidences.keys())
        notes += [*export_notes(left_out, without_confidence, len(frames)), *sideways_notes(frames)]
        return Source(resized(color, width, height, f"depth images of {folder}"), color, frames, notes)


def scene_folder(path: Path) -> Path | None:
    """The folder of the frames: the path, or the one in it that ends in _frames; None without either."""
    folders = [path, *sorted(path.glob("*_frames"))]
    parts = (TRAJECTORY, COLOR, DEPTH)
    return next((folder for folder in folders if all((folder / part).exists() for part in parts)), None)


def files_by_time(folder: Path, suffix: str) -> dict[float, Path]:
    """The files such as 47333462_2013.567.png, by the time (s) in their names."""
    names = {file: re.fullmatch(rf"\d+_(\d+\.\d+)\.{suffix}", file.name) for file in folder.glob(f"*.{suffix}")}
    return {float(match[1]): file for file, match in names.items() if match}


def read_pincam(file: Path) -> Float[np.ndarray, "6"]:
    """Width, height, fx, fy, cx, cy (px).

    Raises:
        InputError: the file holds anything else.
    """
    return read_numbers(file, 6).ravel()[:6]


def read_numbers(file: Path, columns: int) -> Float[np.ndarray, "lines columns"]:
    """The numbers of a text file of so many columns.

    Raises:
        InputError: it holds anything else, or nothing.
    """
    try:
        values = np.loadtxt(file, dtype=np.float64, ndmin=2)
    except (OSError, ValueError) as error:
        raise InputError(f"{file} cannot be read as {columns} numbers a line: {reason(error)}.") from error
    if not values.size or values.shape[1] != columns or not np.isfinite(values).all():
        raise InputError(f"{file} must have {columns} finite numbers a line; unpack the scene again.")
    return values


def read_poses(file: Path, times: Float[np.ndarray, " n"]) -> Float[np.ndarray, "n 4 4"]:
    """`world_from_camera` (m) at these times (s); nan where no pose is within 0.1 s.

    Raises:
        InputError: the file is damaged.
    """
    values = read_numbers(file, 7)
    values = values[np.unique(values[:, 0], return_index=True)[1]]
    world_from_camera = Rotation.from_rotvec(values[:, 1:4]).inv()
    positions = -world_from_camera.apply(values[:, 4:])
    poses = interpolated(values[:, 0], np.concatenate([positions, world_from_camera.as_quat()], axis=1), times)
    is_lost = np.abs(values[nearest(times, values[:, 0]), 0] - times) > MAX_POSE_DIFFERENCE
    return np.where(is_lost[:, None, None], np.nan, poses)
