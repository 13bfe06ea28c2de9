"""What an importer gives: a posed RGB-D scan as it was found, its images read one by one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, UInt8

from panrecon.structures import Camera

Picture = Path | bytes | UInt8[np.ndarray, "h w 3"]  # a file as it is, an encoded JPEG or PNG, or RGB


@dataclass(frozen=True)
class SourceFrame:
    """One frame, its images read when they are asked for, in order.

    `world_from_camera` looks along +z with x right and y down (OpenCV), in metres; not finite where tracking was lost.
    `depth` gives metres along the optical axis, 0 where not measured.
    """

    name: str
    world_from_camera: Float[np.ndarray, "4 4"]
    color: Callable[[], Picture]
    depth: Callable[[], Float[np.ndarray, "h w"]]


@dataclass(frozen=True)
class Source:
    """A scan in a foreign format; `notes` say what was left out or taken for granted, a sentence each."""

    camera: Camera  # of the depth images
    color_camera: Camera
    frames: Sequence[SourceFrame]
    notes: Sequence[str] = ()
    color_from_depth: Float[np.ndarray, "4 4"] = field(default_factory=lambda: np.eye(4))

    @property
    def has_one_place(self) -> bool:
        """Whether depth and colour are seen from the same place in the same direction."""
        return np.allclose(self.color_from_depth, np.eye(4), atol=1e-6)


@runtime_checkable
class Importer(Protocol):
    """Reads one format. Everything it can complain of is an InputError."""

    @property
    def name(self) -> str:
        """As `--format` calls it."""

    @property
    def needs(self) -> str:
        """What a scan of this format looks like on disk, in one clause."""

    def recognise(self, path: Path) -> str | None:
        """Why `path` is of this format, in one clause; None where it is not. Looks at names and a few bytes only."""

    def read(self, path: Path) -> Source:
        """The scan; images are not read yet."""
