"""Scans of 3D Scanner App, for iPhones and iPads with LiDAR (Laan Labs): its export of all data.

frame_00000.jpg       colour (1920 x 1440)
frame_00000.json      cameraPoseARFrame: 16 numbers, rows of world from camera in ARKit's axes (z backward);
                      intrinsics: 9 numbers, rows of the 3 x 3 matrix of the whole image
depth_00000.png       16 bit, mm (256 x 192), of the same view
conf_00000.png        0, 1 or 2; optional
info.json             of the scan as a whole, not needed

Only some of the frames have depth.
"""

import re
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import Float

from panrecon.datasets.importers.arkit import (
    confident_depth,
    export_notes,
    median_camera,
    opencv_pose,
    resized,
    sideways_notes,
)
from panrecon.datasets.importers.base import Source, SourceFrame
from panrecon.datasets.poses import rigid
from panrecon.errors import InputError
from panrecon.io.files import read_json
from panrecon.io.images import read_size

NUMBERS_OF_MATRIX: Final = [0, 4, 2, 5]  # fx, fy, cx, cy of a 3 x 3 matrix by rows


class ScannerApp:
    """An Importer of an unpacked export of all data."""

    name = "3d_scanner_app"
    needs = "a folder with frame_00000.jpg and .json and depth_00000.png, 3D Scanner App's export of all data"
    files = ("frame_*.jpg", "frame_*.json", "depth_*.png")

    def recognise(self, path: Path) -> str | None:
        """Names a frame, where there are image, camera and depth of one number; else None."""
        numbers = files_by_number(path, "depth", "png").keys() & files_by_number(path, "frame", "json").keys()
        return f"it holds frame_{min(numbers)}.json and depth_{min(numbers)}.png" if numbers else None

    def read(self, path: Path) -> Source:
        """The frames that have image, camera and depth, in order.

        Raises:
            InputError: a file is missing or damaged, or the cameras differ.
        """
        images = files_by_number(path, "frame", "jpg")
        cameras = files_by_number(path, "frame", "json")
        depths = files_by_number(path, "depth", "png")
        confidences = files_by_number(path, "conf", "png")
        names = sorted(images.keys() & cameras.keys() & depths.keys(), key=int)
        if not names:
            raise InputError(
                f"{path} has {len(images)} frame_*.jpg, {len(cameras)} frame_*.json and {len(depths)} depth_*.png, but "
                "none of one number; export all data of a LiDAR scan."
            )
        poses, intrinsics = zip(*[read_camera(cameras[name]) for name in names], strict=True)
        size = read_size(images[names[0]])
        color, notes = median_camera(np.stack(intrinsics), names, size, str(path))
        frames = [
            SourceFrame(
                name,
                pose,
                partial(Path, images[name]),
                partial(confident_depth, depths[name], confidences.get(name)),
            )
            for name, pose in zip(names, poses, strict=True)
        ]
        height, width = frames[0].depth().shape
        left_out = sorted((images.keys() | cameras.keys() | depths.keys()) - set(names), key=int)
        without_confidence = len(set(names) - confidences.keys())
        notes += [*export_notes(left_out, without_confidence, len(frames)), *sideways_notes(frames)]
        return Source(resized(color, width, height, f"depth images of {path}"), color, frames, notes)


def files_by_number(folder: Path, kind: str, suffix: str) -> dict[str, Path]:
    """The files such as frame_00000.jpg of a folder, by the digits in their names."""
    names = {file: re.fullmatch(rf"{kind}_(\d+)\.{suffix}", file.name) for file in folder.glob(f"{kind}_*.{suffix}")}
    return {match[1]: file for file, match in names.items() if match}


def read_camera(file: Path) -> tuple[Float[np.ndarray, "4 4"], Float[np.ndarray, "4"]]:
    """The pose (m, OpenCV's camera axes, world y up) and fx, fy, cx, cy (px) of a frame.

    Raises:
        InputError: an entry is missing or no number, or the pose no rotation.
    """
    content = read_json(file)
    try:
        pose = np.array(content["cameraPoseARFrame"], dtype=np.float64).reshape(4, 4)
        intrinsics = np.array(content["intrinsics"], dtype=np.float64).reshape(9)[NUMBERS_OF_MATRIX]
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{file} lacks or misstates cameraPoseARFrame or intrinsics ({error}); export again."
        ) from error
    return opencv_pose(rigid(pose, f"of {file}")), intrinsics
