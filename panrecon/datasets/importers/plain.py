"""A plain folder and a `scan.yaml` of ten lines that says what lies where:

color: color/*.jpg              # images; frames are those in all three, paired by the number in the name and, where
                                # folders share numbers, by the folder
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
from typing import Final

import numpy as np
import yaml
from jaxtyping import Float
from pydantic import BaseModel, ConfigDict, PositiveFloat, ValidationError

from panrecon.datasets.importers.base import Source, SourceFrame, pixels_of
from panrecon.datasets.importers.numbering import (
    FrameKey,
    files_by_key,
    natural,
    number_in,
    renumbered_notes,
)
from panrecon.datasets.importers.orientation import exif_orientation, upright_pixels
from panrecon.datasets.poses import read_pose
from panrecon.errors import InputError, reason
from panrecon.geometry.trajectory import PoseConvention, world_from_cameras
from panrecon.io.files import read_array
from panrecon.io.images import read_depth, read_size
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
    files = (NAME,)

    def recognise(self, path: Path) -> str | None:
        """Names scan.yaml, where the folder holds it; else None."""
        return f"it holds {NAME}" if (path / NAME).is_file() else None

    def read(self, path: Path) -> Source:
        """The frames that have colour, depth and pose, paired by the numbers in their names.

        Raises:
            InputError: scan.yaml is wrong, or what it names does not exist or is damaged.
        """
        description = read_description(path / NAME)
        colors = matching_files(path, description.color, "color")
        depths = matching_files(path, description.depth, "depth")
        poses = matching_files(path, description.poses, "poses")
        color_of_key, depth_of_key, pose_file_of_key = files_by_key(path, (colors, depths, poses))
        pose_of_key = read_poses(poses, pose_file_of_key, list(color_of_key))
        keys = [key for key in color_of_key if key in depth_of_key and key in pose_of_key]
        if not keys:
            examples = ", ".join(str(files[0].relative_to(path)) for files in (colors, depths, poses))
            raise InputError(f"No number is in the names of color, depth and poses alike ({examples}); mend {NAME}.")
        depth = depth_in_metres(depth_of_key[keys[0]], description.depth_scale)
        turns_alone = stands_upright(depth, color_of_key[keys[0]])
        read_image = upright_pixels if turns_alone else Path
        frames = [
            SourceFrame(
                key.number if len(color_of_key) == len({key.number for key in color_of_key}) else f"{index:06d}",
                world_from_cameras(pose_of_key[key][None], PoseConvention(description.poses_are, description.axes))[0],
                partial(read_image, color_of_key[key]),
                partial(depth_in_metres, depth_of_key[key], description.depth_scale),
            )
            for index, key in enumerate(keys)
        ]
        left_out = len(color_of_key.keys() | depth_of_key.keys() | pose_of_key.keys()) - len(keys)
        notes = [f"{left_out} frames lack an image or a pose and are left out"] if left_out else []
        notes += renumbered_notes(keys, [color_of_key[key].relative_to(path).parent for key in keys])
        notes += ["Colour alone is turned, as EXIF says: depth stands upright already."] if turns_alone else []
        camera, color_camera = read_cameras(description, pixels_of(read_image(color_of_key[keys[0]])), depth)
        return Source(camera, color_camera, frames, notes)


def read_description(file: Path) -> Description:
    """The content of a `scan.yaml`.

    Raises:
        InputError: it is no YAML, or a key is unknown, missing or of the wrong type.
    """
    try:
        content = yaml.safe_load(file.read_text())
        return Description.model_validate(content)
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(str(part) for part in problem["loc"]) or "the file"
        raise InputError(f"{file}: {where}: {problem['msg'].lower()}; see docs/import/plain.md.") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InputError(f"{file} is not YAML: {reason(error)}; see docs/import/plain.md.") from error


def matching_files(folder: Path, pattern: str, what: str) -> list[Path]:
    """The files of a pattern, in the order of the numbers in their names.

    Raises:
        InputError: there is none; the sentence says that it is the pattern of `what`.
    """
    paths = sorted(path for path in folder.glob(pattern) if path.is_file())
    if not paths:
        raise InputError(f"No file in {folder} is called {pattern!r}, as {NAME} says of {what}; mend the pattern.")
    return sorted(paths, key=lambda path: natural(number_in(path)))


def read_poses(
    paths: Sequence[Path], path_of_key: Mapping[FrameKey, Path], keys: Sequence[FrameKey]
) -> Mapping[FrameKey, Float[np.ndarray, "4 4"]]:
    """Poses as the files have them, by frame; `keys` are those of the images, in order.

    They are of one file each, or line by line of the only file, in the order of the images.

    Raises:
        InputError: a file is damaged, or the only file has another number of lines than there are images.
    """
    if len(paths) > 1 or len(keys) == 1:
        return {key: read_pose(path) for key, path in path_of_key.items()}
    (path,) = paths
    try:
        lines = np.loadtxt(path, dtype=np.float64, ndmin=2)
    except ValueError as error:
        raise InputError(f"{path} cannot be read as numbers: {reason(error)}; write 16 numbers a line.") from error
    if lines.shape != (len(keys), 16):
        raise InputError(
            f"{path} has {lines.shape[0]} lines of {lines.shape[1]} numbers; {len(keys)} lines of 16 are needed."
        )
    return {key: line.reshape(4, 4) for key, line in zip(keys, lines, strict=True)}


def depth_in_metres(path: Path, scale: float) -> Float[np.ndarray, "h w"]:
    """The depth (m) of a PNG of `scale` units per metre or of an .npy in metres; 0 where not measured or not finite.

    Raises:
        InputError: the file is damaged or no image of one channel.
    """
    if path.suffix != ".npy":
        return read_depth(path, scale)
    values = read_array(path)
    if values.ndim != 2 or values.dtype.kind not in "fiu":
        raise InputError(
            f"The depth {path} is {values.dtype} of shape {values.shape}; rows x columns in metres are needed."
        )
    return np.nan_to_num(values.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)


def stands_upright(depth: Float[np.ndarray, "h w"], color: Path) -> bool:
    """Whether depth has the shape of the colour image only after that is turned as its EXIF says."""
    width, height = read_size(color)
    as_stored = depth.shape[0] * width == depth.shape[1] * height
    as_turned = depth.shape[1] * width == depth.shape[0] * height
    return not as_stored and as_turned and exif_orientation(color) in (6, 8)


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
