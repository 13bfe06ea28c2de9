"""ScanNet's `.sens` files (Dai et al., CVPR 2017), version 4: one stream of compressed frames behind a header.

The frames are stepped over once to learn where they lie; their images are read when they are asked for.
"""

import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
from jaxtyping import Float

from panrecon.datasets.importers.base import Source, SourceFrame, SourceImage
from panrecon.datasets.poses import rigid
from panrecon.errors import InputError
from panrecon.geometry.projective import invert
from panrecon.io.images import MAX_PIXELS
from panrecon.structures import Camera

VERSION: Final = 4
COLOR_CODES: Final = {0: "raw", 1: "png", 2: "jpeg"}
DEPTH_CODES: Final = {0: "raw_ushort", 1: "zlib_ushort"}
HEADER: Final = struct.Struct("<16f16f16f16fiiIIIIfQ")  # behind the sensor's name
FRAME: Final = struct.Struct("<16fQQQQ")  # pose, two time stamps, bytes of colour and of depth


@dataclass(frozen=True)
class Header:
    """What all frames share; `depth_scale` is in units per metre, `color_from_depth` in metres."""

    color: Camera
    depth: Camera
    color_from_depth: Float[np.ndarray, "4 4"]
    color_code: str
    depth_code: str
    depth_scale: float
    frames: int


@dataclass(frozen=True)
class FrameLocation:
    """The pose (m) of a frame, and where its images lie in the file: offset and length in bytes."""

    world_from_camera: Float[np.ndarray, "4 4"]
    color: tuple[int, int]
    depth: tuple[int, int]


class Sens:
    """An Importer of one `.sens` file, or of a folder that holds one."""

    name = "sens"
    needs = "a .sens file of ScanNet"
    files = ("*.sens",)

    def recognise(self, path: Path) -> str | None:
        """Names the .sens file; None where there is not just one."""
        file = sens_file(path)
        return f"{file.name} is a .sens file of ScanNet" if file is not None else None

    def read(self, path: Path) -> Source:
        """All frames, those without a finite pose too.

        Raises:
            InputError: the file is cut, of another version, or compressed in a way not known.
        """
        file = sens_file(path)
        if file is None:
            raise InputError(f"{path} is no .sens file, nor a folder that holds just one; name the file.")
        with file.open("rb") as stream:
            header = read_header(stream, file)
            locations = list(read_frame_locations(stream, file, header.frames))
        digits = len(str(max(len(locations) - 1, 0)))
        frames = [
            SourceFrame(
                f"{frame_index:0{digits}d}",
                location.world_from_camera,
                partial(read_color, file, header, location.color),
                partial(read_depth, file, header, location.depth),
            )
            for frame_index, location in enumerate(locations)
        ]
        return Source(header.depth, header.color, frames, color_from_depth=header.color_from_depth)


def sens_file(path: Path) -> Path | None:
    """The .sens file at a path, or the only one of the folder there; else None."""
    files = sorted(path.glob("*.sens")) if path.is_dir() else [path]
    return files[0] if len(files) == 1 and files[0].suffix == ".sens" and files[0].is_file() else None


def read_header(stream: BinaryIO, file: Path) -> Header:
    """The header, with which the stream begins.

    Raises:
        InputError: it is cut, of another version, or names a compression that is not known.
    """
    version, name_length = struct.unpack("<IQ", exactly(stream, 12, file))
    if version != VERSION:
        raise InputError(f"{file} is version {version} of the .sens format; convert it to {VERSION}.")
    exactly(stream, name_length, file)
    values = HEADER.unpack(exactly(stream, HEADER.size, file))
    color_matrix, shared_from_color, depth_matrix, shared_from_depth = (
        np.array(values[start : start + 16]).reshape(4, 4) for start in (0, 16, 32, 48)
    )
    color_code, depth_code, color_width, color_height, depth_width, depth_height, scale, frames = values[64:]
    if not (np.isfinite(scale) and scale > 0):
        raise InputError(f"{file} states {scale:g} units of depth a metre; it needs more than 0, export it again.")
    for width, height in ((color_width, color_height), (depth_width, depth_height)):
        if not 0 < width * height <= MAX_PIXELS:
            raise InputError(f"{file} states images of {width} x {height} pixels; no camera has, export it again.")
    return Header(
        camera_of(color_matrix, color_width, color_height),
        camera_of(depth_matrix, depth_width, depth_height),
        invert(rigid(shared_from_color, f"of the colour camera in {file}"))
        @ rigid(shared_from_depth, f"of the depth camera in {file}"),
        codec_name(COLOR_CODES, color_code, "colour", file),
        codec_name(DEPTH_CODES, depth_code, "depth", file),
        scale,
        frames,
    )


def codec_name(codes: dict[int, str], code: int, what: str, file: Path) -> str:
    """The compression of a code.

    Raises:
        InputError: the code is not known.
    """
    if code not in codes:
        names = ", ".join(codes.values())
        raise InputError(f"The {what} images of {file} have the compression code {code}; convert them to {names}.")
    return codes[code]


def camera_of(matrix: Float[np.ndarray, "4 4"], width: int, height: int) -> Camera:
    """The camera of an intrinsic matrix, for images of this size in pixels."""
    fx, fy, cx, cy = (float(matrix[index]) for index in ((0, 0), (1, 1), (0, 2), (1, 2)))
    return Camera(width, height, fx, fy, cx, cy)


def read_frame_locations(stream: BinaryIO, file: Path, frames: int) -> Iterator[FrameLocation]:
    """Where every frame lies, stepping over its images; poses where tracking was lost are not finite.

    Raises:
        InputError: the file ends too early.
    """
    end = file.stat().st_size
    for frame_index in range(frames):
        *pose, _, _, color_bytes, depth_bytes = FRAME.unpack(exactly(stream, FRAME.size, file))
        start = stream.tell()
        if start + color_bytes + depth_bytes > end:
            raise InputError(f"{file} ends in frame {frame_index} of {frames}; it is cut, download it again.")
        yield FrameLocation(np.array(pose).reshape(4, 4), (start, color_bytes), (start + color_bytes, depth_bytes))
        stream.seek(start + color_bytes + depth_bytes)


def exactly(stream: BinaryIO, count: int, file: Path) -> bytes:
    """The next `count` bytes; memory for more than the file has is never asked for.

    Raises:
        InputError: the file ends before.
    """
    data = stream.read(count) if count <= file.stat().st_size else b""
    if len(data) < count:
        raise InputError(f"{file} ends at byte {stream.tell()}; it is cut or no .sens file, download it again.")
    return data


def read_color(file: Path, header: Header, location: tuple[int, int]) -> SourceImage:
    """A colour image as it is encoded, or RGB where it is not.

    Raises:
        InputError: it is raw and has another number of bytes than its size needs.
    """
    data = bytes_at(file, location)
    if header.color_code != "raw":
        return data
    return shaped(data, np.dtype(np.uint8), (header.color.height, header.color.width, 3), file)


def read_depth(file: Path, header: Header, location: tuple[int, int]) -> Float[np.ndarray, "h w"]:
    """A depth image (m); 0 where not measured.

    Raises:
        InputError: it is damaged.
    """
    data = bytes_at(file, location)
    if header.depth_code == "zlib_ushort":
        try:
            unpacker = zlib.decompressobj()
            data = unpacker.decompress(data, 2 * header.depth.width * header.depth.height + 1)
            if not unpacker.eof:
                raise zlib.error("it is cut, or larger than it should be")
        except zlib.error as error:
            raise InputError(f"A depth image of {file} is damaged ({error}); download it again.") from error
    raw = shaped(data, np.dtype("<u2"), (header.depth.height, header.depth.width), file)
    return (raw / np.float32(header.depth_scale)).astype(np.float32)


def bytes_at(file: Path, location: tuple[int, int]) -> bytes:
    """The bytes at an offset, of a length."""
    offset, length = location
    with file.open("rb", buffering=io.DEFAULT_BUFFER_SIZE) as stream:
        stream.seek(offset)
        return stream.read(length)


def shaped(data: bytes, kind: np.dtype, shape: tuple[int, ...], file: Path) -> np.ndarray:
    """The numbers of an image.

    Raises:
        InputError: there are too few or too many bytes.
    """
    if len(data) != kind.itemsize * np.prod(shape):
        raise InputError(f"An image of {file} has {len(data)} bytes, not those of shape {shape}; download it again.")
    return np.frombuffer(data, kind).reshape(shape)
