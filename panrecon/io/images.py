"""Colour, depth and label images."""

import io
import struct
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from jaxtyping import Float, Int, UInt8
from PIL import Image

from panrecon.errors import InputError, reason
from panrecon.io.files import atomic_write
from panrecon.io.kept import decoded
from panrecon.structures import VOID

FLAG_OF_REDUCTION: Final = {
    1: cv2.IMREAD_GRAYSCALE,
    2: cv2.IMREAD_REDUCED_GRAYSCALE_2,
    4: cv2.IMREAD_REDUCED_GRAYSCALE_4,
    8: cv2.IMREAD_REDUCED_GRAYSCALE_8,
}

MAX_PIXELS: Final = 50_000_000  # of an image: a phone's largest has 49 million; decoded it takes a few hundred MB
PNG, JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"  # how files begin
GREY: Final = 0  # PNG's colour types
PALETTE: Final = 3


def read_color(path: Path) -> UInt8[np.ndarray, "h w 3"]:
    """RGB, whatever channels the file has; pixels as they are stored, where depth and intrinsics know them, not as EXIF
    would turn them.

    Raises:
        InputError: it is missing or damaged.
    """
    return np.ascontiguousarray(decoded(path, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION, _read)[..., ::-1])


def read_small_gray(path: Path, reduction: int) -> UInt8[np.ndarray, "h w"]:
    """Grey levels of an image reduced by 1, 2, 4 or 8 while it is decoded, which is fast.

    Raises:
        InputError: it is missing or damaged.
    """
    return _read(path, FLAG_OF_REDUCTION[reduction] | cv2.IMREAD_IGNORE_ORIENTATION)


def read_size(path: Path) -> tuple[int, int]:
    """Width and height in pixels, from the header of the file alone.

    Raises:
        InputError: it is missing, no image, or has more than `MAX_PIXELS`.
    """
    try:
        return _stated_size(path, path)
    except OSError as error:
        raise InputError(f"The image {path} cannot be read; it is missing, damaged or no image, replace it.") from error


def require_decodable(encoded: bytes, name: str | Path) -> None:
    """Checks an encoded image before a decoder takes the memory that it says to need.

    Raises:
        InputError: it has more than `MAX_PIXELS`, or is a JPEG that does not say its size, or a PNG that is cut.
    """
    try:
        _stated_size(io.BytesIO(encoded), name)
    except OSError as error:
        if encoded.startswith((PNG, JPEG)):  # others, such as EXR, are OpenCV's alone
            raise InputError(_undecodable(name)) from error
    if encoded.startswith(PNG) and not _has_all_chunks(encoded):
        raise InputError(_undecodable(name))


def _has_all_chunks(png: bytes) -> bool:
    """Whether the chunks of a PNG are as long as they say, up to the last."""
    start = len(PNG)
    while start + 12 <= len(png):
        length, kind = struct.unpack_from(">I4s", png, start)
        start += 12 + length
        if kind == b"IEND":
            return start <= len(png)
    return False


def _stated_size(file: Path | io.BytesIO, name: str | Path) -> tuple[int, int]:
    try:
        with Image.open(file) as image:
            width, height = image.size
    except Image.DecompressionBombError as error:
        raise InputError(_too_large(name, reason(error))) from error
    except (SyntaxError, ValueError) as error:  # of damaged headers
        raise OSError(reason(error)) from error
    if width * height > MAX_PIXELS:
        raise InputError(_too_large(name, f"{width} x {height} pixels"))
    return width, height


def _undecodable(name: str | Path) -> str:
    return f"The image {name} cannot be decoded; it is damaged or no image, replace it."


def _too_large(name: str | Path, size: str) -> str:
    return f"The image {name} is too large ({size}); give one of at most {MAX_PIXELS // 10**6} million pixels."


def read_depth(path: Path, depth_scale: float) -> Float[np.ndarray, "h w"]:
    """Depth along the optical axis (m), of a file of `depth_scale` units per metre; 0 where not measured.

    Raises:
        InputError: it is missing, damaged, or no 16-bit image of one channel.
    """
    raw = decoded(path, cv2.IMREAD_UNCHANGED, _read)
    if raw.ndim != 2 or raw.dtype != np.uint16:
        raise InputError(f"The depth image {path} is {raw.dtype} {raw.shape}; a 16-bit image of one channel is needed.")
    return (raw / np.float32(depth_scale)).astype(np.float32)


def read_ids(path: Path) -> Int[np.ndarray, "h w"]:
    """An image of ids: grey levels of 1 to 16 bits as they are stored, or the indices into a palette.

    Raises:
        InputError: it is missing, damaged, or has several channels.
    """
    packed_bits = _packed_bits(path)
    if packed_bits is not None:
        return _read_packed(path, packed_bits)
    raw = decoded(path, cv2.IMREAD_UNCHANGED, _read)
    if raw.ndim != 2:
        raise InputError(f"The label image {path} has shape {raw.shape}; one channel of ids is needed.")
    return raw.astype(np.int32)


def has_8_bits(path: Path) -> bool:
    """Whether a PNG has one channel of 8 bits or less, which holds no id above 255."""
    bits, color_type = _png_format(path)
    return 0 < bits <= 8 and color_type in (GREY, PALETTE)


def _packed_bits(path: Path) -> int | None:
    """Bits a pixel of a PNG with a palette, or with grey levels of less than 8 bits, which OpenCV would change."""
    bits, color_type = _png_format(path)
    return bits if color_type == PALETTE or (color_type == GREY and 0 < bits < 8) else None


def _png_format(path: Path) -> tuple[int, int]:
    """Bits a sample and PNG's number of the colour type; zeros for a file of another format."""
    with path.open("rb") if path.is_file() else io.BytesIO() as file:
        header = file.read(26)
    return (header[24], header[25]) if len(header) == 26 and header.startswith(PNG) else (0, 0)


def _read_packed(path: Path, bits: int) -> Int[np.ndarray, "h w"]:
    read_size(path)
    try:
        with Image.open(path) as image:
            levels = np.asarray(image, dtype=np.int32)
            is_stretched = image.mode == "L"  # to 8 bits; palettes and single bits have modes of their own
    except (OSError, SyntaxError, ValueError) as error:
        raise InputError(_undecodable(path)) from error
    return levels // (255 // (2**bits - 1)) if is_stretched else levels


def read_instances(path: Path) -> Int[np.ndarray, "h w"]:
    """Instances from 0 of an image of ids, `VOID` where the file has 0."""
    return read_ids(path) + VOID


def write_image(path: Path, rgb: UInt8[np.ndarray, "h w 3"]) -> None:
    """Writes RGB as PNG or JPEG, by the suffix."""
    _write(path, rgb[..., ::-1])


def write_depth(path: Path, depth: Float[np.ndarray, "h w"], depth_scale: float = 1000.0) -> None:
    """Writes depth (m) as 16-bit PNG of `depth_scale` units per metre; 0 = not measured, or too far for 16 bits."""
    units = np.rint(depth * depth_scale)
    _write(path, np.where((units >= 0) & (units < 1 << 16), units, 0).astype(np.uint16))


def write_ids(path: Path, ids: Int[np.ndarray, "h w"]) -> None:
    """Writes ids as 16-bit PNG.

    Raises:
        InputError: an id does not fit 16 bits.
    """
    if ids.max(initial=0) > 65535:
        raise InputError(f"The id {ids.max()} does not fit the 16-bit image {path}; number the classes below 65536.")
    _write(path, ids.astype(np.uint16))


def write_instances(path: Path, instances: Int[np.ndarray, "h w"]) -> None:
    """Writes instances from 0 as 16-bit PNG of ids from 1, 0 where `VOID`."""
    write_ids(path, instances - VOID)


def _read(path: Path, flags: int) -> np.ndarray:
    if not path.is_file():
        raise InputError(f"The image {path} does not exist; every frame needs one.")
    encoded = path.read_bytes()
    require_decodable(encoded, path)
    image = cv2.imdecode(np.frombuffer(encoded, dtype=np.uint8), flags) if encoded else None
    if image is None:
        raise InputError(_undecodable(path))
    return image


def _write(path: Path, image: np.ndarray) -> None:
    options = [cv2.IMWRITE_JPEG_QUALITY, 92] if path.suffix.lower() in (".jpg", ".jpeg") else []
    with atomic_write(path) as partial:
        partial.write_bytes(cv2.imencode(path.suffix, np.ascontiguousarray(image), options)[1].tobytes())
