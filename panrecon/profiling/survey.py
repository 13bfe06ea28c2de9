"""Which frames are sampled, and how much surface the others see besides."""

from dataclasses import replace
from itertools import cycle, islice
from typing import Final

import cv2
import numpy as np
from jaxtyping import Int

from panrecon.geometry.projective import transform, unproject
from panrecon.io.images import read_depth
from panrecon.io.scan import DepthOfFrame
from panrecon.structures import Frame, Scan
from panrecon.visualization import evenly_spaced

SURVEYED: Final = 300  # depth images, at most, that tell how much surface there is besides
CELL: Final = 0.16  # m
PIXEL_STEP: Final = 8


def some_of(scan: Scan, wanted: int) -> Scan:
    """The scan with at most so many of its frames, evenly spread."""
    return replace(scan, frames=tuple(scan.frames[index] for index in evenly_spaced(len(scan.frames), wanted)))


def inner_of(scan: Scan, wanted: int) -> Scan:
    """The same, but its ends, where people set out with the camera towards the floor, come last."""
    inner = replace(scan, frames=some_of(scan, wanted + 2).frames[1:-1])
    return inner if len(inner.frames) >= wanted else some_of(scan, wanted)


def repeated(scan: Scan, wanted: int) -> Scan:
    """So many frames: the scan's over and over, each time under another name."""
    frames = enumerate(islice(cycle(scan.frames), wanted))
    return replace(scan, frames=tuple(replace(frame, name=f"{index}-{frame.name}") for index, frame in frames))


def share_seen(whole: Scan, some: Scan, depth_max: float, measure: DepthOfFrame | None = None) -> float:
    """The share of what `whole` measures within `depth_max` (m) that lies in cells where `some` measure; in (0, 1].

    Cells of `CELL` metres; of at most `SURVEYED` frames; 1 where nothing is measured. `measure` computes the depth of
    the frames of `whole` where they have no images of it.
    """
    seen = np.unique(np.concatenate([_cells(some, frame, depth_max) for frame in some.frames]))
    cells = (_cells(whole, frame, depth_max, measure) for frame in some_of(whole, SURVEYED).frames)
    measured, known = np.sum([(len(indices), np.isin(indices, seen).sum()) for indices in cells], axis=0)
    return float(max(known, 1) / max(measured, 1))


def _cells(scan: Scan, frame: Frame, depth_max: float, measure: DepthOfFrame | None = None) -> Int[np.ndarray, " n"]:
    """A number for the cell of every measured point, of every `PIXEL_STEP`-th pixel each way."""
    coarse = scan.camera.scaled(1 / PIXEL_STEP)
    depth = measure(frame) if measure else read_depth(frame.depth, scan.depth_scale)
    small = cv2.resize(depth, (coarse.width, coarse.height), interpolation=cv2.INTER_NEAREST_EXACT)
    fused = (small > 0) & (small <= depth_max)
    x, y, z = np.floor(transform(frame.world_from_camera, unproject(coarse, small)[fused]) / CELL).astype(np.int64).T
    return (x << 42) + (y << 21) + z
