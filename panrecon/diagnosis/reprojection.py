"""How well the depth of two frames agrees when one is moved into the other: what judges poses, scale and focal length.

After the consistency checks of multi-view stereo (Schönberger et al., ECCV 2016), with a soft threshold.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Int

from panrecon.diagnosis.sample import Sample
from panrecon.geometry import invert, nearest_pixel, project, transform
from panrecon.structures import Camera

TOLERANCE: Final = 0.02  # of the depth, where agreement is half: sensors are off by 0.3 to 1 % within a room

Pairs = Sequence[tuple[int, int]]


@dataclass(frozen=True)
class Agreement:
    """Of one frame's points: `share` in [0, 1] that is where the other frame measures it, points beside its image
    counted as 0; `fit` the same of those inside alone; `seen` the share inside.

    Points on a pixel without depth do not count.
    """

    share: float
    fit: float
    seen: float


NONE: Final = Agreement(0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Landing:
    """Where points of one frame come to lie in another: pixel, own depth and the one measured there (0 = none), m."""

    column: Int[np.ndarray, " p"]
    row: Int[np.ndarray, " p"]
    inside: Bool[np.ndarray, " p"]
    depth: Float[np.ndarray, " p"]
    measured: Float[np.ndarray, " p"]


def land(
    points: Float[np.ndarray, "p 3"], second_from_first: Float[np.ndarray, "4 4"], camera: Camera, depth: np.ndarray
) -> Landing:
    """Moves points into a camera and reads its depth image there."""
    pixels, z = project(camera, transform(second_from_first, points))
    column, row, inside = nearest_pixel(camera, pixels)
    return Landing(column, row, inside, z, np.where(inside, depth[row, column], 0))


def agreement(sample: Sample, poses: Float[np.ndarray, "n 4 4"], first: int, second: int) -> Agreement:
    """How the depth of frame `first` agrees with that of frame `second` at these poses."""
    points = sample.points[first]
    found = land(points, relative(poses, first, second), sample.camera, sample.frames[second].depth)
    known = found.measured > 0
    counted = len(points) - int((found.inside & ~known).sum())
    if not known.any() or not counted:
        return NONE
    off = (found.depth[known] - found.measured[known]) / (TOLERANCE * found.depth[known])
    agreeing = float((1 / (1 + off * off)).sum())
    return Agreement(agreeing / counted, agreeing / int(known.sum()), int(known.sum()) / counted)


def relative(poses: Float[np.ndarray, "n 4 4"], first: int, second: int) -> Float[np.ndarray, "4 4"]:
    """`second_from_first` of two cameras."""
    return invert(poses[second]) @ poses[first]


def angles(poses: Float[np.ndarray, "n 4 4"], gap: int) -> Float[np.ndarray, " m"]:
    """By which every camera is turned against the one `gap` frames later, rad."""
    trace = np.einsum("nij,nij->n", poses[:-gap, :3, :3], poses[gap:, :3, :3])
    return np.asarray(np.arccos(np.clip((trace - 1) / 2, -1, 1)))
