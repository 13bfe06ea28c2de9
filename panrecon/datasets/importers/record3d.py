"""Recordings of Record3D, an app for iPhones and iPads with LiDAR (Simonik, 2020; marek-simonik/record3d).

<name>.r3d, a zip, or the folder it was unpacked to:
    metadata             JSON: w, h and K (3 x 3, by columns) of colour, dw and dh of depth, poses of all frames
                         [qx qy qz qw x y z] and, of late, perFrameIntrinsicCoeffs [fx fy cx cy] of all frames
    rgbd/<i>.jpg         colour, turned as the app shows it
    rgbd/<i>.depth       float32 metres by rows, compressed with LZFSE; nan where not measured
    rgbd/<i>.conf        bytes 0, 1 or 2, compressed with LZFSE; optional

or the app's other export, EXR + JPG, which has no confidence: EXR_RGBD/ or the folder that holds it, with
    metadata.json        the same JSON
    rgb/<i>.jpg          colour
    depth/<i>.exr        metres in one channel

Poses are world from camera in OpenGL's axes, of the images as they are stored (issues 33, 36 and 64 of the project).
"""

import importlib
import json
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from jaxtyping import Float, Shaped

from panrecon.datasets.importers.arkit import (
    encoded_size,
    export_notes,
    median_camera,
    most_confident,
    opencv_pose,
    pose_from_quaternion,
    resized,
)
from panrecon.datasets.importers.base import Source, SourceFrame, SourceImage
from panrecon.errors import InputError, import_optional
from panrecon.structures import Camera

LIDAR_SIZE: Final = (192, 256)  # width and height of depth, where an old file does not state them
MAX_BYTES: Final = 1 << 28  # of a file of a recording: the poses of many hours
NUMBERS_OF_K: Final = [0, 4, 6, 7]  # fx, fy, cx, cy of a 3 x 3 matrix by columns


@dataclass(frozen=True)
class Record3DFiles:
    """The files of a recording, inside a zip or in a folder; `names` are relative to it."""

    path: Path
    archive: zipfile.ZipFile | None
    names: frozenset[str]
    is_exr: bool = False

    @property
    def metadata_name(self) -> str:
        """The file of poses and intrinsics."""
        return "metadata.json" if self.is_exr else "metadata"

    @property
    def images(self) -> set[int]:
        """The frames that have an image."""
        return self._frame_indices("rgb/" if self.is_exr else "rgbd/", ".jpg")

    @property
    def depths(self) -> set[int]:
        """The frames that have depth."""
        return self._frame_indices(*(("depth/", ".exr") if self.is_exr else ("rgbd/", ".depth")))

    @property
    def confidences(self) -> set[int]:
        """The frames that have a map of confidence."""
        return self._frame_indices("rgbd/", ".conf")

    def content(self, name: str) -> bytes:
        """The bytes of a file.

        Raises:
            InputError: it is missing or damaged.
        """
        try:
            size = self.archive.getinfo(name).file_size if self.archive else (self.path / name).stat().st_size
            if size > MAX_BYTES:
                raise ValueError(f"it says to be {size / 1e9:.1f} GB large")
            return self.archive.read(name) if self.archive else (self.path / name).read_bytes()
        except (OSError, KeyError, zipfile.BadZipFile, zlib.error, EOFError, ValueError, RuntimeError) as error:
            raise InputError(f"{name} of {self.path} cannot be read: {error}; export the recording again.") from error

    def _frame_indices(self, folder: str, suffix: str) -> set[int]:
        stems = [
            name.removeprefix(folder).removesuffix(suffix)
            for name in self.names
            if name.startswith(folder) and name.endswith(suffix)
        ]
        return {int(stem) for stem in stems if stem.isdecimal()}

    def color_name(self, frame_index: int) -> str:
        """The file of a frame's image."""
        return f"{'rgb' if self.is_exr else 'rgbd'}/{frame_index}.jpg"

    def color(self, frame_index: int) -> SourceImage:
        """The image of a frame, a JPEG."""
        name = self.color_name(frame_index)
        return self.content(name) if self.archive else self.path / name

    def depth(self, frame_index: int, size: tuple[int, int]) -> Float[np.ndarray, "h w"]:
        """The depth (m) of a frame; 0 where not measured, or with less confidence than elsewhere in the image.

        `size` is (width, height).

        Raises:
            InputError: a file is missing, no LZFSE data or no EXR, or of another size.
        """
        if self.is_exr:
            return read_exr(self.path / f"depth/{frame_index}.exr", size)
        raw = self._unpacked(f"rgbd/{frame_index}.depth", np.dtype("<f4"), size)
        depth = np.where(np.isfinite(raw) & (raw > 0), raw, 0).astype(np.float32)
        name = f"rgbd/{frame_index}.conf"
        if name not in self.names:
            return depth
        confidence = self._unpacked(name, np.dtype(np.uint8), size)
        return most_confident(depth, confidence, f"frame {frame_index} of {self.path}")

    def _unpacked(self, name: str, kind: np.dtype[Any], size: tuple[int, int]) -> Shaped[np.ndarray, "h w"]:
        lzfse = import_lzfse()
        width, height = size
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
    """The JSON of a recording; poses are quaternions x, y, z, w and positions (m) in OpenGL's camera axes."""

    size: tuple[int, int]  # width, height of colour
    depth_size: tuple[int, int]
    poses: Float[np.ndarray, "n 7"]
    intrinsics: Float[np.ndarray, "n 4"]  # fx, fy, cx, cy


class Record3D:
    """An Importer of a recording, packed or unpacked."""

    name = "record3d"
    needs = "a Record3D recording: an .r3d file, or a folder with its metadata and rgbd/"
    files = ("metadata*", "rgbd")

    def recognise(self, path: Path) -> str | None:
        """Says by which files it is a recording or an EXR export; else None."""
        if path.suffix.lower() == ".r3d" and path.is_file():
            return "its name ends in .r3d"
        if (path / "metadata").is_file() and (path / "rgbd").is_dir():
            return "it holds metadata and rgbd/"
        return "it is an EXR + JPG export of Record3D" if exr_folder(path) else None

    def read(self, path: Path) -> Source:
        """The frames that have pose, image and depth, in order.

        Raises:
            InputError: a file is missing or damaged, or pyliblzfse or, of an EXR export, OpenEXR is not installed.
        """
        recording = open_recording(path)
        if recording.is_exr:
            import_openexr()
        else:
            import_lzfse()
        metadata = read_metadata(recording)
        posed = set(range(len(metadata.poses)))
        images = recording.images
        depths = recording.depths
        frame_indices = sorted(posed & images & depths)
        if not frame_indices:
            raise InputError(
                f"{path} has {len(posed)} poses, {len(images)} images and {len(depths)} depth images, but no number is "
                "common to them; export the recording again."
            )
        color, notes = color_camera(recording, metadata, frame_indices)
        left_out = [str(index) for index in sorted((posed | images | depths) - set(frame_indices))]
        without_confidence = len(set(frame_indices) - recording.confidences)
        return Source(
            resized(color, *metadata.depth_size, f"depth images of {path}"),
            color,
            [frame_of(recording, metadata, index) for index in frame_indices],
            notes + export_notes(left_out, without_confidence, len(frame_indices)),
        )


def exr_folder(path: Path) -> Path | None:
    """The app's EXR_RGBD/, which is the folder or in it; None where it is neither."""
    folders = (path, path / "EXR_RGBD")
    exports = (folder for folder in folders if (folder / "metadata.json").is_file() and any(folder.glob("depth/*.exr")))
    return next(exports, None)


def import_openexr() -> Any:
    """The module OpenEXR, which is optional.

    Raises:
        InputError: it is not installed.
    """
    return import_optional("OpenEXR", need="The depth of this export of Record3D is EXR; to read it")


def read_exr(file: Path, size: tuple[int, int]) -> Float[np.ndarray, "h w"]:
    """The depth (m) of an EXR of one channel, or of several that are the same; 0 where not measured.

    Raises:
        InputError: it is missing, damaged, or not of this width and height.
    """
    openexr = import_openexr()
    try:
        with openexr.File(str(file), separate_channels=True) as opened:
            values = next(iter(opened.channels().values())).pixels
    except (OSError, RuntimeError, ValueError, StopIteration) as error:
        raise InputError(f"{file} is no EXR with depth ({error}); export the recording again.") from error
    width, height = size
    if values.shape != (height, width):
        raise InputError(
            f"{file} has shape {values.shape}, not the {width} x {height} pixels (dw x dh) of its metadata; export the "
            "recording again."
        )
    return np.where(np.isfinite(values) & (values > 0), values, 0).astype(np.float32)


def import_lzfse() -> Any:
    """The module liblzfse of the package pyliblzfse, which is optional.

    Raises:
        InputError: it is not installed.
    """
    try:
        return importlib.import_module("liblzfse")
    except ImportError as error:
        raise InputError("Record3D's depth is compressed with LZFSE; to read it, pip install pyliblzfse.") from error


def open_recording(path: Path) -> Record3DFiles:
    """The files of an .r3d, of an unpacked one or of an EXR export.

    Raises:
        InputError: it cannot be opened.
    """
    exr = exr_folder(path)
    if exr is not None:
        files = [*exr.glob("rgb/*.jpg"), *exr.glob("depth/*.exr")]
        return Record3DFiles(exr, None, frozenset(f"{file.parent.name}/{file.name}" for file in files), is_exr=True)
    if path.is_dir():
        return Record3DFiles(path, None, frozenset(f"rgbd/{file.name}" for file in (path / "rgbd").glob("*")))
    try:
        archive = zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile, NotImplementedError) as error:
        raise InputError(f"{path} cannot be opened as an .r3d file: {error}; export the recording again.") from error
    return Record3DFiles(path, archive, frozenset(archive.namelist()))


def read_metadata(recording: Record3DFiles) -> Metadata:
    """The poses and intrinsics of all frames; those of `K` where the file has none of each frame.

    Raises:
        InputError: an entry is missing or misstated, or all poses are the same.
    """
    try:
        content = json.loads(recording.content(recording.metadata_name))
        poses = np.array(content["poses"], dtype=np.float64).reshape(-1, 7)
        intrinsics = np.array(content.get("perFrameIntrinsicCoeffs") or [], dtype=np.float64).reshape(-1, 4)
        common_intrinsics = np.array(content["K"], dtype=np.float64).reshape(1, 9)[:, NUMBERS_OF_K]
        size = int(content["w"]), int(content["h"])
        depth_size = int(content.get("dw", LIDAR_SIZE[0])), int(content.get("dh", LIDAR_SIZE[1]))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"The metadata of {recording.path} lack or misstate poses, K, w, h, dw or dh: {error!r}; export again."
        ) from error
    if len(poses) > 1 and (poses == poses[0]).all():
        raise InputError(f"All poses of {recording.path} are the same; record with the LiDAR camera, not with FaceID.")
    if len(intrinsics) not in (0, len(poses)):
        raise InputError(f"{recording.path} has {len(poses)} poses but {len(intrinsics)} intrinsics; export it again.")
    if not len(intrinsics):
        intrinsics = np.repeat(common_intrinsics, len(poses), axis=0)
    return Metadata(size, depth_size, poses, intrinsics)


def color_camera(
    recording: Record3DFiles, metadata: Metadata, frame_indices: Sequence[int]
) -> tuple[Camera, list[str]]:
    """The median of the frames' cameras at the size of their images, which the metadata need not state."""
    names = [str(index) for index in frame_indices]
    where = f"the metadata of {recording.path}"
    stated, notes = median_camera(metadata.intrinsics[frame_indices], names, metadata.size, where)
    first = recording.color_name(frame_indices[0])
    size = encoded_size(recording.content(first), f"{first} of {recording.path}")
    return resized(stated, *size, f"images of {recording.path}"), notes


def frame_of(recording: Record3DFiles, metadata: Metadata, frame_index: int) -> SourceFrame:
    """One frame, its images read when they are asked for.

    Raises:
        InputError: the quaternion of its pose is no rotation.
    """
    quaternion = metadata.poses[frame_index, :4].tolist()
    position = metadata.poses[frame_index, 4:].tolist()
    return SourceFrame(
        str(frame_index),
        opencv_pose(pose_from_quaternion(quaternion, position, f"frame {frame_index} of {recording.path}")),
        partial(recording.color, frame_index),
        partial(recording.depth, frame_index, metadata.depth_size),
    )
