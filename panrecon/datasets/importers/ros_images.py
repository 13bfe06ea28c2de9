"""Images and cameras of ROS's messages (sensor_msgs Image, CompressedImage, CameraInfo), of both ROS 1 and ROS 2."""

import struct
from typing import Any, Final

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from panrecon.datasets.importers.base import Lens, SourceImage
from panrecon.datasets.importers.lenses import lens_of
from panrecon.errors import InputError
from panrecon.io.images import require_decodable
from panrecon.structures import Camera

DEPTH_TYPES: Final[dict[str, np.dtype[Any]]] = {
    "16UC1": np.dtype(np.uint16),
    "mono16": np.dtype(np.uint16),
    "32FC1": np.dtype(np.float32),
}
CHANNELS_OF_COLOR: Final = {"rgb8": 3, "bgr8": 3, "rgba8": 4, "bgra8": 4, "mono8": 1}
TO_RGB: Final = {
    "rgb8": None,
    "bgr8": cv2.COLOR_BGR2RGB,
    "rgba8": cv2.COLOR_RGBA2RGB,
    "bgra8": cv2.COLOR_BGRA2RGB,
    "mono8": cv2.COLOR_GRAY2RGB,
}
PACKED_DEPTH: Final = "compressedDepth"
PACKED_HEADER: Final = struct.Struct("<iff")  # of compressedDepth: a format, and two numbers of inverse depth
MILLIMETRES: Final = 1000.0  # a metre
FISHEYE: Final = ("equidistant", "fisheye")


def is_depth(message: Any) -> bool:
    """Whether an image holds depth."""
    return getattr(message, "encoding", "") in DEPTH_TYPES or PACKED_DEPTH in getattr(message, "format", "")


def is_color(message: Any) -> bool:
    """Whether an image holds colour, or grey, in a form that is read."""
    is_packed = hasattr(message, "format") and PACKED_DEPTH not in message.format
    return is_packed or getattr(message, "encoding", "") in CHANNELS_OF_COLOR


def color_of(message: Any, where: str) -> SourceImage:
    """The colour of a message: JPEG or PNG as it is, or RGB.

    Raises:
        InputError: the message is damaged.
    """
    if hasattr(message, "format"):
        return bytes(message.data)
    channels = CHANNELS_OF_COLOR[message.encoding]
    pixels = _pixels(message, np.dtype(np.uint8), channels, where)
    conversion = TO_RGB[message.encoding]
    rgb: UInt8[np.ndarray, "h w 3"] = pixels if conversion is None else cv2.cvtColor(pixels, conversion)
    return np.ascontiguousarray(rgb)


def depth_of(message: Any, where: str) -> Float[np.ndarray, "h w"]:
    """The depth of a message (m); 0 where not measured.

    Raises:
        InputError: the message is damaged.
    """
    if hasattr(message, "format"):
        return _unpacked_depth(message, where)
    kind = DEPTH_TYPES[message.encoding]
    values = _pixels(message, kind, 1, where)[..., 0]
    return _cleaned(values if kind == np.float32 else values / np.float32(MILLIMETRES))


def lens_in(message: Any, where: str) -> Lens:
    """The lens of a CameraInfo.

    Raises:
        InputError: its numbers are none of a camera.
    """
    matrix = np.asarray(getattr(message, "k", getattr(message, "K", None)), dtype=np.float64)
    coefficients = np.asarray(getattr(message, "d", getattr(message, "D", ())), dtype=np.float64).tolist()
    is_fisheye = message.distortion_model in FISHEYE
    most = 4 if is_fisheye else 8
    is_camera = matrix.size == 9 and np.isfinite([*matrix.ravel(), *coefficients]).all()
    if not is_camera or min(matrix.flat[0], matrix.flat[4], message.width, message.height) <= 0:
        raise InputError(f"{where} states the camera {matrix.tolist()}, {coefficients}, which is none; record it anew.")
    if any(coefficients[most:]):
        raise InputError(f"{where} states {len(coefficients)} coefficients of a lens; at most {most} are read.")
    numbers = (float(matrix.flat[index]) for index in (0, 4, 2, 5))
    return lens_of(Camera(message.width, message.height, *numbers), coefficients[:most], is_fisheye)


def _pixels(message: Any, kind: np.dtype, channels: int, where: str) -> np.ndarray:
    kind = kind.newbyteorder(">" if message.is_bigendian else "<")
    width = message.width * channels * kind.itemsize
    data = np.asarray(message.data, dtype=np.uint8)
    if message.step < width or data.size != message.step * message.height or not data.size:
        raise InputError(
            f"{where} is said to be {message.width} x {message.height} pixels of {message.encoding} in {data.size} "
            "bytes, which does not fit; record it anew."
        )
    lines = np.ascontiguousarray(data.reshape(message.height, message.step)[:, :width])
    return lines.view(kind).reshape(message.height, message.width, channels)


def _unpacked_depth(message: Any, where: str) -> Float[np.ndarray, "h w"]:
    """compressedDepth of image_transport: millimetres as PNG, or metres as quantised inverse depth."""
    content = bytes(message.data)
    encoded = content[PACKED_HEADER.size :]
    require_decodable(encoded, where)
    raw = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_UNCHANGED) if encoded else None
    if raw is None or raw.ndim != 2 or raw.dtype != np.uint16:
        raise InputError(f"{where} is no PNG of 16 bits; record depth raw or as compressedDepth with PNG.")
    if not message.format.startswith("32FC1"):
        return _cleaned(raw / np.float32(MILLIMETRES))
    _, scale, offset = PACKED_HEADER.unpack_from(content)
    with np.errstate(divide="ignore", invalid="ignore"):
        metres = scale / (raw.astype(np.float32) - np.float32(offset))
    return _cleaned(np.where(raw > 0, metres, np.float32(0)))


def _cleaned(depth: np.ndarray) -> Float[np.ndarray, "h w"]:
    return np.where(np.isfinite(depth) & (depth > 0), depth, 0).astype(np.float32)
