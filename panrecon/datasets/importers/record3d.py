"""Recordings of Record3D, an app for iPhones and iPads with LiDAR (Simonik, 2020; marek-simonik/record3d).

<name>.r3d, a zip, or the folder it was unpacked to:
    metadata             JSON: w, h and K (3 x 3, by columns) of colour, dw and dh of depth, poses of all frames
                         [qx qy qz qw x y z] and, of late, perFrameIntrinsicCoeffs [fx fy cx cy] of all frames
    rgbd/<i>.jpg         colour, turned as the app shows it
    rgbd/<i>.depth       float32 metres by rows, compressed with LZFSE; nan where not measured
    rgbd/<i>.conf        bytes 0, 1 or 2, compressed with LZFSE; optional

Poses are world from camera in OpenGL's axes, of the images as they are stored (issues 33, 36 and 64 of the project).
The app's other export, EXR + JPG, is recognised but not read: OpenCV comes without EXR, and confidence is not in it.
"""

import importlib
import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from jaxtyping import Float, Shaped

from panrecon.datasets.importers.arkit import (
    median_camera,
    most_confident,
    notes_of,
    opencv_pose,
    pose_of,
    resized,
    size_of,
)
from panrecon.datasets.importers.base import Picture, Source, SourceFrame
from panrecon.errors import InputError
from panrecon.structures import Camera

LIDAR_SIZE: Final = (192, 256)  # width and height of depth, where an old file does not state them
NUMBERS_OF_K: Final = [0, 4, 6, 7]  # fx, fy, cx, cy of a 3 x 3 matrix by columns


@dataclass(frozen=True)
class Recording:
    """The files of a recording, inside a zip or in a folder."""

    path: Path
    archive: zipfile.ZipFile | None
    names: frozenset[str]

    def content(self, name: str) -> bytes:
        try:
            return self.archive.read(name) if self.archive else (self.path / name).read_bytes()
        except (OSError, KeyError, zipfile.BadZipFile, EOFError, ValueError) as error:
            raise InputError(f"{name} of {self.path} cannot be read: {error}; export the recording again.") from error

    def numbers(self, suffix: str) -> set[int]:
        """Of the frames that have such a file."""
        stems = [name[len("rgbd/") : -len(suffix)] for name in self.names if name.endswith(suffix)]
        return {int(stem) for stem in stems if stem.isdecimal()}

    def color(self, number: int) -> Picture:
        name = f"rgbd/{number}.jpg"
        return self.content(name) if self.archive else self.path / name

    def depth(self, number: int, size: tuple[int, int]) -> Float[np.ndarray, "h w"]:
        """Metres; 0 where not measured, or less surely than elsewhere in the image."""
        raw = self._unpacked(f"rgbd/{number}.depth", np.dtype("<f4"), size)
        depth = np.where(np.isfinite(raw) & (raw > 0), raw, 0).astype(np.float32)
        name = f"rgbd/{number}.conf"
        if name not in self.names:
            return depth
        confidence = self._unpacked(name, np.dtype(np.uint8), size)
        return most_confident(depth, confidence, f"frame {number} of {self.path}")

    def _unpacked(self, name: str, kind: np.dtype[Any], size: tuple[int, int]) -> Shaped[np.ndarray, "h w"]:
        lzfse, (width, height) = import_lzfse(), size
        try:
            content = lzfse.decompress(self.content(name))
        except (lzfse.error, MemoryError) as error:  # what damaged data ask for may not fit
            raise InputError(f"{name} of {self.path} is no LZFSE data ({error}); export it again.") from error
        if len(content) != width * height * kind.itemsize:
            raise InputError(
                f"{name} of {self.path} holds {len(content)} bytes, not the {width * height * kind.itemsize} of "
                f"{width} x {height} pixels (dw x dh of its metadata); export the recording again."
            )
        return np.frombuffer(content, kind).reshape(height, width)


@dataclass(frozen=True)
class Metadata:
    """What the JSON says, of all frames."""

    size: tuple[int, int]  # width, height
    depth_size: tuple[int, int]
    poses: Float[np.ndarray, "n 7"]
    intrinsics: Float[np.ndarray, "n 4"]  # fx, fy, cx, cy


class Record3D:
    """An Importer of a recording, packed or unpacked."""

    name = "record3d"
    needs = "a Record3D recording: an .r3d file, or a folder with its metadata and rgbd/"

    def recognise(self, path: Path) -> str | None:
        if path.suffix.lower() == ".r3d" and path.is_file():
            return "its name ends in .r3d"
        if (path / "metadata").is_file() and (path / "rgbd").is_dir():
            return "it holds metadata and rgbd/"
        return "it is an EXR + JPG export of Record3D" if is_exr_export(path) else None

    def read(self, path: Path) -> Source:
        """Raises: InputError where a file is missing or damaged, or pyliblzfse is not installed."""
        import_lzfse()
        recording = opened(path)
        metadata = read_metadata(recording)
        posed, images, depths = set(range(len(metadata.poses))), recording.numbers(".jpg"), recording.numbers(".depth")
        kept = sorted(posed & images & depths)
        if not kept:
            raise InputError(
                f"{path} has {len(posed)} poses, {len(images)} images and {len(depths)} depth images, but no number is "
                "common to them; export the recording again."
            )
        color, notes = color_camera(recording, metadata, kept)
        left_out = [str(number) for number in sorted((posed | images | depths) - set(kept))]
        unsure = len(set(kept) - recording.numbers(".conf"))
        return Source(
            resized(color, *metadata.depth_size, f"depth images of {path}"),
            color,
            [frame_of(recording, metadata, number) for number in kept],
            notes + notes_of(left_out, unsure, len(kept)),
        )


def is_exr_export(path: Path) -> bool:
    """Whether it is EXR_RGBD/ or holds it."""
    folders = [path, path / "EXR_RGBD"]
    return any((folder / "metadata.json").is_file() and any(folder.glob("depth/*.exr")) for folder in folders)


def import_lzfse() -> Any:
    """The module liblzfse of the package pyliblzfse, which we do not require."""
    try:
        return importlib.import_module("liblzfse")
    except ImportError as error:
        raise InputError("Record3D's depth is compressed with LZFSE; to read it, pip install pyliblzfse.") from error


def opened(path: Path) -> Recording:
    if is_exr_export(path):
        raise InputError(f"{path} is an EXR + JPG export, which is not read; export from the app as .r3d.")
    if path.is_dir():
        return Recording(path, None, frozenset(f"rgbd/{file.name}" for file in (path / "rgbd").glob("*")))
    try:
        archive = zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} cannot be opened as an .r3d file: {error}; export the recording again.") from error
    return Recording(path, archive, frozenset(archive.namelist()))


def read_metadata(recording: Recording) -> Metadata:
    try:
        content = json.loads(recording.content("metadata"))
        poses = np.array(content["poses"], dtype=np.float64).reshape(-1, 7)
        each = np.array(content.get("perFrameIntrinsicCoeffs") or [], dtype=np.float64).reshape(-1, 4)
        whole = np.array(content["K"], dtype=np.float64).reshape(1, 9)[:, NUMBERS_OF_K]
        size = int(content["w"]), int(content["h"])
        depth_size = int(content.get("dw", LIDAR_SIZE[0])), int(content.get("dh", LIDAR_SIZE[1]))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"The metadata of {recording.path} lack or misstate poses, K, w, h, dw or dh: {error!r}; export again."
        ) from error
    if len(poses) > 1 and (poses == poses[0]).all():
        raise InputError(f"All poses of {recording.path} are the same; record with the LiDAR camera, not with FaceID.")
    if len(each) not in (0, len(poses)):
        raise InputError(f"{recording.path} has {len(poses)} poses but {len(each)} intrinsics; export it again.")
    return Metadata(size, depth_size, poses, each if len(each) else np.repeat(whole, len(poses), axis=0))


def color_camera(recording: Recording, metadata: Metadata, kept: Sequence[int]) -> tuple[Camera, list[str]]:
    """The median of the frames' cameras at the size of their images, which the metadata need not state."""
    names, where = [str(number) for number in kept], f"the metadata of {recording.path}"
    stated, notes = median_camera(metadata.intrinsics[kept], names, metadata.size, where)
    first = f"rgbd/{kept[0]}.jpg"
    size = size_of(recording.content(first), f"{first} of {recording.path}")
    return resized(stated, *size, f"images of {recording.path}"), notes


def frame_of(recording: Recording, metadata: Metadata, number: int) -> SourceFrame:
    quaternion, position = metadata.poses[number, :4].tolist(), metadata.poses[number, 4:].tolist()
    return SourceFrame(
        str(number),
        opencv_pose(pose_of(quaternion, position, f"frame {number} of {recording.path}")),
        partial(recording.color, number),
        partial(recording.depth, number, metadata.depth_size),
    )
