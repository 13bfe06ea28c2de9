"""A plain folder and a `scan.yaml` of ten lines that says what lies where:

color: color/*.jpg              # images; frames are those in all three, paired by the number in the name
depth: depth/*.png              # 16 bit, or .npy in metres
poses: pose/*.txt               # 4 x 4, one a frame; or one file, 16 numbers a line, in the order of the images
depth_scale: 1000               # units of the PNGs a metre
poses_are: camera_to_world      # or world_to_camera
axes: opencv                    # x right, y down, z forward; or opengl: x right, y up, z backward
camera: {fx: 577.6, fy: 578.7, cx: 318.9, cy: 242.7}
color_camera: {fx: 1170.2, fy: 1170.2, cx: 647.7, cy: 483.8}   # where its images are of another size than the depth's
"""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import yaml
from jaxtyping import Float
from pydantic import BaseModel, ConfigDict, PositiveFloat, ValidationError

from panrecon.datasets.importers.base import Source, SourceFrame
from panrecon.datasets.label_images import in_order
from panrecon.datasets.poses import read_pose
from panrecon.errors import InputError, reason
from panrecon.geometry.projective import as_world_from_camera
from panrecon.io.images import read_color, read_depth
from panrecon.structures import Axes, Camera, PosesAre

NAME: Final = "scan.yaml"


class Strict(BaseModel):
    """A part of `scan.yaml`: unknown keys, nan and inf are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Intrinsics(Strict):
    """Focal lengths and centre in pixels; centres of pixels lie at integers."""

    fx: PositiveFloat
    fy: PositiveFloat
    cx: float
    cy: float


class Description(Strict):
    """The content of `scan.yaml`; `depth_scale` is in units per metre."""

    color: str
    depth: str
    poses: str
    depth_scale: PositiveFloat = 1000.0
    poses_are: PosesAre = "camera_to_world"
    axes: Axes = "opencv"
    camera: Intrinsics
    color_camera: Intrinsics | None = None


class Plain:
    """An Importer of a folder with a `scan.yaml`."""

    name = "plain"
    needs = f"a folder with a {NAME}"

    def recognise(self, path: Path) -> str | None:
        """Names scan.yaml, where the folder holds it; else None."""
        return f"it holds {NAME}" if (path / NAME).is_file() else None

    def read(self, path: Path) -> Source:
        """The frames that have colour, depth and pose, paired by the numbers in their names.

        Raises:
            InputError: scan.yaml is wrong, or what it names does not exist or is damaged.
        """
        description = read_description(path / NAME)
        colors = files_by_number(path, description.color, "color")
        depths = files_by_number(path, description.depth, "depth")
        poses = read_poses(path, description, list(colors))
        names = [name for name in colors if name in depths and name in poses]
        if not names:
            raise InputError(
                f"No number is in the names of color, depth and poses of {path / NAME} alike; give a frame one number."
            )
        frames = [
            SourceFrame(
                name,
                as_world_from_camera(poses[name], description.poses_are, description.axes),
                partial(Path, colors[name]),
                partial(depth_in_metres, depths[name], description.depth_scale),
            )
            for name in names
        ]
        left_out = max(len(colors), len(depths)) - len(names)
        notes = [f"{left_out} frames lack an image or a pose and are left out"] if left_out else []
        camera, color_camera = read_cameras(description, read_color(colors[names[0]]), frames[0].depth())
        return Source(camera, color_camera, frames, notes)


def read_description(file: Path) -> Description:
    """The content of a `scan.yaml`.

    Raises:
        InputError: it is no YAML, or a key is unknown, missing or of the wrong type.
    """
    try:
        content = yaml.safe_load(file.read_text())
        return Description.model_validate(content)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{file} is not YAML: {reason(error)}; see docs/import/plain.md.") from error
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(str(part) for part in problem["loc"]) or "the file"
        raise InputError(f"{file}: {where}: {problem['msg'].lower()}; see docs/import/plain.md.") from error


def files_by_number(folder: Path, pattern: str, what: str) -> dict[str, Path]:
    """The files of a pattern, by the number in their names, in its order.

    Raises:
        InputError: there is none; the sentence says that it is the pattern of `what`.
    """
    paths = in_order(path for path in folder.glob(pattern) if path.is_file())
    if not paths:
        raise InputError(f"No file in {folder} is called {pattern!r}, as {NAME} says of {what}; mend the pattern.")
    return {number_in(path): path for path in paths}


def number_in(path: Path) -> str:
    """The digits of a file's stem without leading zeros, or the stem where it has none."""
    digits = "".join(character for character in path.stem if character.isdigit())
    return str(int(digits)) if digits else path.stem


def read_poses(folder: Path, description: Description, names: Sequence[str]) -> Mapping[str, Float[np.ndarray, "4 4"]]:
    """Poses as the files have them, by the name of the frame.

    They are of one file each, paired by the number in its name, or line by line of the only file, in the order of the
    images.

    Raises:
        InputError: a file is damaged, or the only file has another number of lines than there are images.
    """
    files = files_by_number(folder, description.poses, "poses")
    if len(files) > 1 or len(names) == 1:
        return {name: read_pose(path) for name, path in files.items()}
    (path,) = files.values()
    try:
        lines = np.loadtxt(path, dtype=np.float64, ndmin=2)
    except ValueError as error:
        raise InputError(f"{path} cannot be read as numbers: {reason(error)}; write 16 numbers a line.") from error
    if lines.shape != (len(names), 16):
        raise InputError(
            f"{path} has {lines.shape[0]} lines of {lines.shape[1]} numbers; {len(names)} lines of 16 are needed."
        )
    return {name: line.reshape(4, 4) for name, line in zip(names, lines, strict=True)}


def depth_in_metres(path: Path, scale: float) -> Float[np.ndarray, "h w"]:
    """The depth (m) of a PNG of `scale` units per metre or of an .npy in metres; 0 where not measured or not finite.

    Raises:
        InputError: the file is damaged or no image of one channel.
    """
    if path.suffix != ".npy":
        return read_depth(path, scale)
    try:
        values: Any = np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise InputError(f"The depth {path} cannot be read: {error}; write it again.") from error
    if values.ndim != 2:
        raise InputError(f"The depth {path} has shape {values.shape}; rows x columns in metres are needed.")
    return np.nan_to_num(values.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)


def read_cameras(description: Description, color: np.ndarray, depth: Float[np.ndarray, "h w"]) -> tuple[Camera, Camera]:
    """The cameras of depth and of colour; where only one is stated the other is the same, scaled to its images.

    Raises:
        InputError: only one is stated, and the images differ in their ratio of width to height.
    """
    camera = Camera(depth.shape[1], depth.shape[0], **description.camera.model_dump())
    if description.color_camera is not None:
        return camera, Camera(color.shape[1], color.shape[0], **description.color_camera.model_dump())
    scaled = camera.scaled(color.shape[1] / depth.shape[1])
    if (scaled.height, scaled.width) != color.shape[:2]:
        raise InputError(
            f"Colour is {color.shape[1]} x {color.shape[0]} pixels and depth {depth.shape[1]} x {depth.shape[0]}, of "
            f"another shape; state color_camera in {NAME}."
        )
    return camera, scaled
