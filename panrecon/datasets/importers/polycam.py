"""Raw data of Polycam, an app for iPhones and iPads with LiDAR (Polycam, 2022; PolyCam/polyform, README.md).

keyframes/images/<t>.jpg               colour (1024 x 768), t in microseconds
keyframes/cameras/<t>.json             fx, fy, cx, cy, often width, height; t_00 .. t_23, rows of world from camera
keyframes/corrected_images/<t>.jpg     undistorted; these two are there where the app has optimised the poses
keyframes/corrected_cameras/<t>.json
keyframes/depth/<t>.png                16 bit, mm (256 x 192), of the images as taken
keyframes/confidence/<t>.png           0, 127 or 255; optional

Poses have ARKit's axes, of the camera (x right, y up, z backward) and of the world (y up), though the app's meshes are
turned (`alignmentTransform` of mesh_info.json). Poses before and after optimisation are not mixed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
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

INTRINSICS: Final = ("fx", "fy", "cx", "cy")
CORRECTED: Final = "Images and poses are the corrected ones; depth, of the images before, is a little off at the edges."
UNCORRECTED: Final = "There are no corrected images and cameras: poses are as they were tracked, and may drift."


@dataclass(frozen=True)
class Keyframe:
    """The JSON of a keyframe: its pose (m, OpenCV's camera axes, world y up), and fx, fy, cx, cy in pixels."""

    world_from_camera: Float[np.ndarray, "4 4"]
    intrinsics: Float[np.ndarray, "4"]
    size: tuple[int, int]  # width, height


class Polycam:
    """An Importer of an unpacked raw data export."""

    name = "polycam"
    needs = "a folder with keyframes/, the raw data export of Polycam's developer mode, unpacked"
    files = ("keyframes",)

    def recognise(self, path: Path) -> str | None:
        """Names keyframes/, where it has cameras; else None."""
        keyframes = path / "keyframes"
        has_cameras = (keyframes / "cameras").is_dir() or (keyframes / "corrected_cameras").is_dir()
        return "it holds keyframes/ with cameras" if has_cameras else None

    def read(self, path: Path) -> Source:
        """The keyframes that have image, camera and depth, by time; corrected ones where there are any.

        Raises:
            InputError: a file is missing or damaged, or the cameras differ.
        """
        folder = path / "keyframes"
        corrected = all(files_by_time(folder / f"corrected_{kind}") for kind in ("images", "cameras"))
        prefix = "corrected_" if corrected else ""
        images = files_by_time(folder / f"{prefix}images")
        cameras = files_by_time(folder / f"{prefix}cameras")
        depths = files_by_time(folder / "depth")
        confidences = files_by_time(folder / "confidence")
        times = sorted(images.keys() & cameras.keys() & depths.keys())
        if not times:
            raise InputError(
                f"{folder} has {len(images)} images, {len(cameras)} cameras and {len(depths)} depth images, but "
                "none of the same name; record in LiDAR mode with developer mode on, and export raw data."
            )
        keyframes = [read_keyframe(cameras[time], images[time]) for time in times]
        names = [str(time) for time in times]
        check_sizes(keyframes, names, folder)
        intrinsics = np.stack([keyframe.intrinsics for keyframe in keyframes])
        color, notes = median_camera(intrinsics, names, keyframes[0].size, str(folder))
        frames = [
            SourceFrame(
                name,
                keyframe.world_from_camera,
                partial(Path, images[time]),
                partial(confident_depth, depths[time], confidences.get(time)),
            )
            for time, name, keyframe in zip(times, names, keyframes, strict=True)
        ]
        height, width = frames[0].depth().shape
        left_out = [str(time) for time in sorted((images.keys() | cameras.keys() | depths.keys()) - set(times))]
        without_confidence = len(set(times) - confidences.keys())
        notes += [
            CORRECTED if corrected else UNCORRECTED,
            *export_notes(left_out, without_confidence, len(frames)),
            *sideways_notes(frames),
        ]
        return Source(resized(color, width, height, f"depth images of {path}"), color, frames, notes)


def files_by_time(folder: Path) -> dict[int, Path]:
    """The files whose stems are times (microseconds), by time."""
    return {int(file.stem): file for file in folder.glob("*") if file.stem.isdecimal()}


def read_keyframe(path: Path, image: Path) -> Keyframe:
    """The camera of one keyframe, which has the size of its image where it states none.

    Raises:
        InputError: an entry is missing or no number, or the pose no rotation.
    """
    content = read_json(path)
    try:
        rows = [[float(content[f"t_{row}{column}"]) for column in range(4)] for row in range(3)]
        intrinsics = np.array([float(content[name]) for name in INTRINSICS])
        stated = "width" in content and "height" in content
        size = (int(content["width"]), int(content["height"])) if stated else read_size(image)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} lacks or misstates {error}; export the raw data again.") from error
    return Keyframe(opencv_pose(rigid(np.array([*rows, [0.0, 0.0, 0.0, 1.0]]), f"of {path}")), intrinsics, size)


def check_sizes(keyframes: Sequence[Keyframe], names: Sequence[str], folder: Path) -> None:
    """Raises InputError where the images differ in size."""
    for keyframe, name in zip(keyframes, names, strict=True):
        if keyframe.size != keyframes[0].size:
            raise InputError(
                f"The image {name} of {folder} is {keyframe.size[0]} x {keyframe.size[1]} pixels, {names[0]} is "
                f"{keyframes[0].size[0]} x {keyframes[0].size[1]}; all images of a scan need one size, "
                "remove the others."
            )
