"""Nerfstudio's transforms.json with depth (Tancik et al., SIGGRAPH 2023; docs.nerf.studio, Data conventions).

Spectacular AI, KIRI Engine and the converters of Record3D and Polycam write it:

transforms.json     camera_model, fl_x, fl_y, cx, cy, w, h, k1 .. k4, p1, p2 of all frames or of each; `frames`, each
                    with file_path, depth_file_path, transform_matrix (4 x 4, camera to world, y up, z backward) and,
                    optional, depth_unit_scale_factor: metres a unit of depth, 0.001 where it is not stated
images              as file_path names them, beside transforms.json
depth               as depth_file_path names it: 16-bit PNG or .npy, along the optical axis, of the image's view

Pixel centres lie at halves there, at integers here. The world is that of the file: `applied_transform` is not undone.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from jaxtyping import Float

from panrecon.datasets.importers.base import Lens, Source, SourceFrame
from panrecon.datasets.importers.lenses import lens_of, shared_pinhole
from panrecon.datasets.importers.plain import depth_in_metres
from panrecon.datasets.poses import rigid
from panrecon.errors import InputError
from panrecon.geometry.projective import FLIP
from panrecon.io.files import read_json
from panrecon.io.images import read_size
from panrecon.structures import Camera

NAME: Final = "transforms.json"
METRES_PER_UNIT: Final = 0.001  # of depth, nerfstudio's default
PINHOLES: Final = ("PINHOLE", "SIMPLE_PINHOLE")
RADIAL_TANGENTIAL: Final = ("k1", "k2", "p1", "p2", "k3", "k4")
FISHEYE: Final = ("k1", "k2", "k3", "k4")
NEAREST_PLAUSIBLE: Final = 0.05  # m: a median depth below it is of another unit


class Nerfstudio:
    """An Importer of a folder with a transforms.json whose frames have depth, or of that file."""

    name = "nerfstudio"
    needs = f"a folder with {NAME} whose frames have a depth_file_path"
    files = (NAME,)

    def recognise(self, path: Path) -> str | None:
        """Names transforms.json, where the folder holds it or the path is it; else None."""
        return f"it holds {NAME}" if transforms_file(path).is_file() else None

    def read(self, path: Path) -> Source:
        """The frames whose image and depth exist, in the order of the file.

        Raises:
            InputError: the file is damaged, a pose is no rotation, or no frame has image and depth.
        """
        file = transforms_file(path)
        content = read_json(file)
        entries = content.get("frames") if isinstance(content, dict) else None
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise InputError(f"{file} has no list `frames`; it is not nerfstudio's, export the scan again.")
        scale = depth_scale(content, file)
        frames = []
        lenses = []
        for frame_index, entry in enumerate(entries):
            color = named_file(file, entry, "file_path")
            depth = named_file(file, entry, "depth_file_path")
            if color is not None and depth is not None:
                lens = read_lens({**content, **entry}, color, f"frame {frame_index} of {file}")
                lenses.append(lens)
                pose = read_pose(entry, f"of frame {frame_index} of {file}")
                frames.append(
                    SourceFrame(
                        f"{frame_index:06d}", pose, partial(Path, color), partial(scaled_depth, depth, scale), lens
                    )
                )
        if not frames:
            raise InputError(absence(entries, file))
        first = frames[0].depth()
        check_unit(first, file)
        color_camera, notes = shared_pinhole(lenses)
        left_out = len(entries) - len(frames)
        notes += [f"{left_out} frames of {NAME} have no image or no depth and are left out"] if left_out else []
        return Source(color_camera.scaled(first.shape[1] / lenses[0].pinhole.width), color_camera, frames, notes)


def transforms_file(path: Path) -> Path:
    """The file itself, or the one of the folder, whether it exists or not."""
    return path if path.name == NAME else path / NAME


def named_file(file: Path, entry: Mapping[str, Any], key: str) -> Path | None:
    """The file that a frame names, beside transforms.json; None where it names none or it does not exist."""
    name = entry.get(key)
    if not isinstance(name, str):
        return None
    candidates = [file.parent / name, file.parent / f"{name}.png"]  # without suffix in Blender's scenes
    return next((candidate for candidate in candidates if candidate.is_file()), None)


def absence(entries: Sequence[Mapping[str, Any]], file: Path) -> str:
    """What to say where no frame has both image and depth."""
    named = next((entry for entry in entries if isinstance(entry.get("depth_file_path"), str)), None)
    if named is None:
        return f"None of the {len(entries)} frames of {file} has a depth_file_path; export the scan with depth."
    return f"{named.get('file_path')!r} or {named['depth_file_path']!r} does not exist beside {file}; copy the images."


def depth_scale(content: Mapping[str, Any], file: Path) -> float:
    """Units of depth a metre.

    Raises:
        InputError: the file states no number above 0.
    """
    metres = content.get("depth_unit_scale_factor", METRES_PER_UNIT)
    if not (isinstance(metres, int | float) and np.isfinite(metres) and metres > 0):
        raise InputError(f"depth_unit_scale_factor of {file} is {metres!r}; it must be metres a unit of depth, 0.001.")
    return 1 / float(metres)


def scaled_depth(file: Path, scale: float) -> Float[np.ndarray, "h w"]:
    """The depth (m) of an image or an .npy of `scale` units a metre; 0 where it is not measured."""
    depth = depth_in_metres(file, scale)
    in_metres = depth / np.float32(scale) if file.suffix == ".npy" else depth
    return np.where(in_metres > 0, in_metres, np.float32(0))


def check_unit(depth: Float[np.ndarray, "h w"], file: Path) -> None:
    """Raises InputError where most of the depth is so near that its unit must be another."""
    measured = depth[depth > 0]
    if measured.size and np.median(measured) < NEAREST_PLAUSIBLE:
        raise InputError(
            f"The median depth of the first frame of {file} is {np.median(measured) * 1000:.2g} mm; state "
            "depth_unit_scale_factor there, metres a unit (1 for metres)."
        )


def read_pose(entry: Mapping[str, Any], what: str) -> Float[np.ndarray, "4 4"]:
    """`world_from_camera` (m) in OpenCV's axes; not finite where the file has it so.

    Raises:
        InputError: it is not 4 x 4 numbers, or no rotation and shift.
    """
    try:
        matrix = np.array(entry["transform_matrix"], dtype=np.float64).reshape(4, 4)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"transform_matrix {what} is not 4 x 4 numbers: {error}; export it again.") from error
    return rigid(matrix, what) @ FLIP


def read_lens(stated: Mapping[str, Any], image: Path, what: str) -> Lens:
    """The lens of a frame from what is stated of it and of all.

    Raises:
        InputError: a number is missing or wrong, or the model is none of OpenCV's.
    """
    model = stated.get("camera_model", "OPENCV")
    is_fisheye = model == "OPENCV_FISHEYE" or bool(stated.get("is_fisheye"))
    if model not in (*PINHOLES, "OPENCV", "OPENCV_FISHEYE", "SIMPLE_RADIAL", "RADIAL"):
        raise InputError(f"The camera_model of {what} is {model!r}; PINHOLE, OPENCV and OPENCV_FISHEYE are read.")
    try:
        width, height = (int(stated["w"]), int(stated["h"])) if "w" in stated and "h" in stated else read_size(image)
        fx = float(stated["fl_x"]) if "fl_x" in stated else width / 2 / np.tan(float(stated["camera_angle_x"]) / 2)
        fy = float(stated.get("fl_y", fx))
        cx = float(stated.get("cx", width / 2)) - 0.5
        cy = float(stated.get("cy", height / 2)) - 0.5
        names = () if model in PINHOLES else FISHEYE if is_fisheye else RADIAL_TANGENTIAL
        coefficients = [float(stated.get(name) or 0) for name in names]
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"The camera of {what} lacks or misstates {error}; export the scan again.") from error
    if not (np.isfinite([fx, fy, cx, cy, *coefficients]).all() and min(width, height, fx, fy) > 0):
        raise InputError(
            f"The camera of {what} is {width} x {height}, fl {fx:g} {fy:g}, c {cx:g} {cy:g}; export again."
        )
    return lens_of(Camera(width, height, fx, fy, cx, cy), coefficients, is_fisheye)
