"""What an importer returns: a posed RGB-D scan of another tool, its images read one by one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, UInt8

from panrecon.structures import Camera

SourceImage = Path | bytes | UInt8[np.ndarray, "h w 3"]  # a file as it is, an encoded JPEG or PNG, or RGB pixels


@dataclass(frozen=True)
class SourceFrame:
    """One frame of a foreign scan; its images are read when `color` and `depth` are called, once a frame and in order.

    `world_from_camera` (m) is of the depth camera, in OpenCV's axes (x right, y down, z forward); not finite where
    tracking was lost. `depth` returns metres along the optical axis, 0 where not measured.
    """

    name: str
    world_from_camera: Float[np.ndarray, "4 4"]
    color: Callable[[], SourceImage]
    depth: Callable[[], Float[np.ndarray, "h w"]]


@dataclass(frozen=True)
class Source:
    """A scan in a foreign format; `notes` say what was left out or assumed, a sentence each.

    `color_from_depth` takes points (m) of the depth camera's frame into the colour camera's.
    """

    camera: Camera  # of the depth images
    color_camera: Camera
    frames: Sequence[SourceFrame]
    notes: Sequence[str] = ()
    color_from_depth: Float[np.ndarray, "4 4"] = field(default_factory=lambda: np.eye(4))

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

    def recognise(self, path: Path) -> str | None:
        """Why `path` is of this format, in one clause; None where it is not. Reads names and a few bytes only."""

    def read(self, path: Path) -> Source:
        """The scan; images but the first are not read yet.

        Raises:
            InputError: a file is missing or damaged, or no frame has colour, depth and pose.
        """
