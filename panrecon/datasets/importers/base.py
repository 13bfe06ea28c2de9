"""What an importer returns: a posed RGB-D scan of another tool, its images read one by one."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol, runtime_checkable

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from panrecon.errors import InputError
from panrecon.io.images import read_color, require_decodable
from panrecon.structures import Camera

SourceImage = Path | bytes | UInt8[np.ndarray, "h w 3"]  # a file as it is, an encoded JPEG or PNG, or RGB pixels
OWN_NAME: Final = "<scan>"  # at the beginning of a carried file's name: that of the folder that is written
SUFFIX_OF_MAGIC: Final = {b"\xff\xd8\xff": ".jpg", b"\x89PNG": ".png"}


@dataclass(frozen=True)
class Lens:
    """A pinhole and the distortion of OpenCV: none, k1 k2 p1 p2 k3 k4 k5 k6 or, of a fisheye lens, k1 k2 k3 k4."""

    pinhole: Camera
    distortion: tuple[float, ...] = ()
    is_fisheye: bool = False

    @property
    def is_pinhole(self) -> bool:
        """Whether nothing is distorted."""
        return not self.is_fisheye and not any(self.distortion)


@dataclass(frozen=True)
class SourceFrame:
    """One frame of a foreign scan; its images are read when `color` and `depth` are called, colour in order.

    `world_from_camera` (m) is of the depth camera, in OpenCV's axes (x right, y down, z forward); not finite where
    tracking was lost. `depth` returns metres along the optical axis, 0 where not measured. `lens` is that of the colour
    image and, scaled to its size, of the depth image, where they are not the scan's pinholes: `lenses.rectified` makes
    them so.
    """

    name: str
    world_from_camera: Float[np.ndarray, "4 4"]
    color: Callable[[], SourceImage]
    depth: Callable[[], Float[np.ndarray, "h w"]]
    lens: Lens | None = None


@dataclass(frozen=True)
class Source:
    """A scan in a foreign format; `notes` say what was left out or assumed, a sentence each.

    `color_from_depth` takes points (m) of the depth camera's frame into the colour camera's. `carried` are files and
    folders that are taken along as they are, by their paths in the folder that is written; `OWN_NAME` at the beginning
    of a path stands for this folder's name.
    """

    camera: Camera  # of the depth images
    color_camera: Camera
    frames: Sequence[SourceFrame]
    notes: Sequence[str] = ()
    color_from_depth: Float[np.ndarray, "4 4"] = field(default_factory=lambda: np.eye(4))
    carried: Mapping[str, Path] = field(default_factory=dict)

    @property
    def shares_viewpoint(self) -> bool:
        """Whether the depth and the colour camera have one centre and one orientation."""
        return np.allclose(self.color_from_depth, np.eye(4), atol=1e-6)


@runtime_checkable
class Importer(Protocol):
    """Reads one format; raises InputError for whatever a user can cause."""

    @property
    def name(self) -> str:
        """The format's name for `panrecon import --format`."""

    @property
    def needs(self) -> str:
        """The files of a scan of this format on disk, in one clause."""

    @property
    def files(self) -> tuple[str, ...]:
        """Glob patterns of these files and folders in the scan's folder; the nearest format has most of its own."""

    def recognise(self, path: Path) -> str | None:
        """Why `path` is of this format, in one clause; None where it is not. Reads names and a few bytes only."""

    def read(self, path: Path) -> Source:
        """The scan; images but the first are not read yet.

        Raises:
            InputError: a file is missing or damaged, or no frame has colour, depth and pose.
        """


def pixels_of(image: SourceImage) -> UInt8[np.ndarray, "h w 3"]:
    """RGB of an image, its pixels as they are stored.

    Raises:
        InputError: it is missing or damaged.
    """
    if isinstance(image, Path):
        return read_color(image)
    if isinstance(image, bytes):
        require_decodable(image, "inside the scan")
        is_encoded = any(image.startswith(magic) for magic in SUFFIX_OF_MAGIC)
        flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
        bgr = cv2.imdecode(np.frombuffer(image, np.uint8), flags) if is_encoded else None
        if bgr is None:
            raise InputError("An image inside the scan cannot be decoded as JPEG or PNG; export the scan again.")
        return np.ascontiguousarray(bgr[..., ::-1])
    return image
