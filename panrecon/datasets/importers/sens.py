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

from panrecon.datasets.importers.base import Picture, Source, SourceFrame
from panrecon.errors import InputError
from panrecon.structures import Camera

VERSION: Final = 4
COLOR_CODES: Final = {0: "raw", 1: "png", 2: "jpeg"}
DEPTH_CODES: Final = {0: "raw_ushort", 1: "zlib_ushort"}
HEADER: Final = struct.Struct("<16f16f16f16fiiIIIIfQ")  # behind the sensor's name
FRAME: Final = struct.Struct("<16fQQQQ")  # pose, two time stamps, bytes of colour and of depth


@dataclass(frozen=True)
class Header:
    """What all frames share; matrices row by row, `depth_scale` units per metre."""

    color: Camera
    depth: Camera
    color_from_depth: Float[np.ndarray, "4 4"]
    color_code: str
    depth_code: str
    depth_scale: float
    frames: int


@dataclass(frozen=True)
class Place:
    """Where a frame's images lie in the file, bytes."""

    world_from_camera: Float[np.ndarray, "4 4"]
    color: tuple[int, int]
    depth: tuple[int, int]


class Sens:
    """An Importer of one `.sens` file, or of a folder that holds one."""

    name = "sens"
    needs = "a .sens file of ScanNet"

    def recognise(self, path: Path) -> str | None:
        file = sens_file(path)
        return f"{file.name} is a .sens file of ScanNet" if file is not None else None

    def read(self, path: Path) -> Source:
        """Raises: InputError where the file is cut, of another version, or compressed in a way not known."""
        file = sens_file(path)
        if file is None:
            raise InputError(f"{path} is no .sens file, nor a folder that holds just one; name the file.")
        with file.open("rb") as stream:
            header = read_header(stream, file)
            places = list(read_places(stream, file, header.frames))
        digits = len(str(max(len(places) - 1, 0)))
        frames = [
            SourceFrame(
                f"{number:0{digits}d}",
                place.world_from_camera,
                partial(read_color, file, header, place.color),
                partial(read_depth, file, header, place.depth),
            )
            for number, place in enumerate(places)
        ]
        return Source(header.depth, header.color, frames, color_from_depth=header.color_from_depth)


def sens_file(path: Path) -> Path | None:
    """The file itself, or the only one of a folder."""
    found = sorted(path.glob("*.sens")) if path.is_dir() else [path] if path.suffix == ".sens" else []
    return found[0] if len(found) == 1 and found[0].is_file() else None


def read_header(stream: BinaryIO, file: Path) -> Header:
    version, name_length = struct.unpack("<IQ", exactly(stream, 12, file))
    if version != VERSION:
        raise InputError(f"{file} is version {version} of the .sens format; only {VERSION}, ScanNet's, is read.")
    exactly(stream, name_length, file)
    values = HEADER.unpack(exactly(stream, HEADER.size, file))
    color_matrix, color_place, depth_matrix, depth_place = (
        np.array(values[start : start + 16]).reshape(4, 4) for start in (0, 16, 32, 48)
    )
    color_code, depth_code, color_width, color_height, depth_width, depth_height, scale, frames = values[64:]
    return Header(
        camera_of(color_matrix, color_width, color_height),
        camera_of(depth_matrix, depth_width, depth_height),
        np.linalg.inv(color_place) @ depth_place,
        known(COLOR_CODES, color_code, "colour", file),
        known(DEPTH_CODES, depth_code, "depth", file),
        scale,
        frames,
    )


def known(codes: dict[int, str], code: int, what: str, file: Path) -> str:
    if code not in codes:
        names = ", ".join(codes.values())
        raise InputError(f"The {what} images of {file} are compressed with code {code}; read are {names}.")
    return codes[code]


def camera_of(matrix: Float[np.ndarray, "4 4"], width: int, height: int) -> Camera:
    fx, fy, cx, cy = (float(matrix[index]) for index in ((0, 0), (1, 1), (0, 2), (1, 2)))
    return Camera(width, height, fx, fy, cx, cy)


def read_places(stream: BinaryIO, file: Path, frames: int) -> Iterator[Place]:
    """Steps over the images; poses of frames where tracking was lost are not finite."""
    end = file.stat().st_size
    for number in range(frames):
        *pose, _, _, color_bytes, depth_bytes = FRAME.unpack(exactly(stream, FRAME.size, file))
        start = stream.tell()
        if start + color_bytes + depth_bytes > end:
            raise InputError(f"{file} ends in frame {number} of {frames}; it is cut or damaged, download it again.")
        yield Place(np.array(pose).reshape(4, 4), (start, color_bytes), (start + color_bytes, depth_bytes))
        stream.seek(start + color_bytes + depth_bytes)


def exactly(stream: BinaryIO, count: int, file: Path) -> bytes:
    """So many bytes; asks for no more memory than the file has bytes."""
    data = stream.read(count) if count <= file.stat().st_size else b""
    if len(data) < count:
        raise InputError(f"{file} ends at byte {stream.tell()}; it is cut or no .sens file, download it again.")
    return data


def read_color(file: Path, header: Header, place: tuple[int, int]) -> Picture:
    data = bytes_at(file, place)
    if header.color_code != "raw":
        return data
    return shaped(data, np.dtype(np.uint8), (header.color.height, header.color.width, 3), file)


def read_depth(file: Path, header: Header, place: tuple[int, int]) -> Float[np.ndarray, "h w"]:
    data = bytes_at(file, place)
    if header.depth_code == "zlib_ushort":
        try:
            data = zlib.decompress(data)
        except zlib.error as error:
            raise InputError(f"A depth image of {file} is damaged ({error}); download it again.") from error
    raw = shaped(data, np.dtype("<u2"), (header.depth.height, header.depth.width), file)
    return (raw / np.float32(header.depth_scale)).astype(np.float32)


def bytes_at(file: Path, place: tuple[int, int]) -> bytes:
    with file.open("rb", buffering=io.DEFAULT_BUFFER_SIZE) as stream:
        stream.seek(place[0])
        return stream.read(place[1])


def shaped(data: bytes, kind: np.dtype, shape: tuple[int, ...], file: Path) -> np.ndarray:
    if len(data) != kind.itemsize * np.prod(shape):
        raise InputError(f"An image of {file} has {len(data)} bytes, not those of {shape}; download it again.")
    return np.frombuffer(data, kind).reshape(shape)
