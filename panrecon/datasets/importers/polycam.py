"""Raw data of Polycam, an app for iPhones and iPads with LiDAR (Polycam, 2022; PolyCam/polyform, README.md).

keyframes/images/<t>.jpg               colour (1024 x 768), t in microseconds
keyframes/cameras/<t>.json             fx, fy, cx, cy, width, height of colour; t_00 .. t_23, rows of world from camera
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

from panrecon.datasets.importers.arkit import median_camera, most_confident, notes_of, opencv_pose, resized, side_notes
from panrecon.datasets.importers.base import Source, SourceFrame
from panrecon.datasets.poses import rigid
from panrecon.errors import InputError
from panrecon.io.files import read_json
from panrecon.io.images import read_depth, read_ids

INTRINSICS: Final = ("fx", "fy", "cx", "cy")
CORRECTED: Final = "Images and poses are the corrected ones; depth, of the images before, is a little off at the edges."
UNCORRECTED: Final = "There are no corrected images and cameras: poses are as they were tracked, and may drift."


@dataclass(frozen=True)
class View:
    """What the JSON of a keyframe says."""

    world_from_camera: Float[np.ndarray, "4 4"]
    intrinsics: Float[np.ndarray, "4"]
    size: tuple[int, int]  # width, height


class Polycam:
    """An Importer of an unpacked raw data export."""

    name = "polycam"
    needs = "a folder with keyframes/, the raw data export of Polycam's developer mode, unpacked"

    def recognise(self, path: Path) -> str | None:
        keyframes = path / "keyframes"
        found = (keyframes / "cameras").is_dir() or (keyframes / "corrected_cameras").is_dir()
        return "it holds keyframes/ with cameras" if found else None

    def read(self, path: Path) -> Source:
        """Raises: InputError where a file is missing or damaged, or the cameras differ."""
        keyframes = path / "keyframes"
        corrected = all(numbered(keyframes / f"corrected_{kind}") for kind in ("images", "cameras"))
        images, cameras = (numbered(keyframes / f"{'corrected_' * corrected}{kind}") for kind in ("images", "cameras"))
        depths, confidences = numbered(keyframes / "depth"), numbered(keyframes / "confidence")
        kept = sorted(images.keys() & cameras.keys() & depths.keys())
        if not kept:
            raise InputError(
                f"{keyframes} has {len(images)} images, {len(cameras)} cameras and {len(depths)} depth images, but "
                "none of the same name; record in LiDAR mode with developer mode on, and export raw data."
            )
        views = [read_view(cameras[number]) for number in kept]
        names = [str(number) for number in kept]
        check_sizes(views, names, keyframes)
        rows = np.stack([view.intrinsics for view in views])
        color, notes = median_camera(rows, names, views[0].size, str(keyframes))
        frames = [
            SourceFrame(
                name,
                view.world_from_camera,
                partial(Path, images[number]),
                partial(depth_in_metres, depths[number], confidences.get(number)),
            )
            for number, name, view in zip(kept, names, views, strict=True)
        ]
        height, width = frames[0].depth().shape
        left_out = [str(number) for number in sorted((images.keys() | cameras.keys() | depths.keys()) - set(kept))]
        unsure = len(set(kept) - confidences.keys())
        notes += [
            CORRECTED if corrected else UNCORRECTED,
            *notes_of(left_out, unsure, len(frames)),
            *side_notes(frames),
        ]
        return Source(resized(color, width, height, f"depth images of {path}"), color, frames, notes)


def numbered(folder: Path) -> dict[int, Path]:
    """The files whose stems are times."""
    return {int(file.stem): file for file in folder.glob("*") if file.stem.isdecimal()}


def read_view(path: Path) -> View:
    content = read_json(path)
    try:
        rows = [[float(content[f"t_{row}{column}"]) for column in range(4)] for row in range(3)]
        intrinsics = np.array([float(content[name]) for name in INTRINSICS])
        size = int(content["width"]), int(content["height"])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} lacks or misstates {error}; export the raw data again.") from error
    return View(opencv_pose(rigid(np.array([*rows, [0.0, 0.0, 0.0, 1.0]]), f"of {path}")), intrinsics, size)


def check_sizes(views: Sequence[View], names: Sequence[str], keyframes: Path) -> None:
    for view, name in zip(views, names, strict=True):
        if view.size != views[0].size:
            raise InputError(
                f"The image {name} of {keyframes} is {view.size[0]} x {view.size[1]} pixels, {names[0]} is "
                f"{views[0].size[0]} x {views[0].size[1]}; all images of a scan need one size, remove the others."
            )


def depth_in_metres(file: Path, confidence: Path | None) -> Float[np.ndarray, "h w"]:
    depth = read_depth(file, 1000.0)
    return most_confident(depth, read_ids(confidence), str(file)) if confidence else depth
