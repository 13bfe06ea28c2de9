"""How well the depth of two frames agrees when one is reprojected into the other: scores poses, scale, focal length.

After the consistency checks of multi-view stereo (Schönberger et al., ECCV 2016), with a soft threshold.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float, Int

from panrecon.diagnosis.sample import Sample
from panrecon.geometry.projective import invert, nearest_pixel, project, transform
from panrecon.geometry.trajectory import inverses
from panrecon.structures import Camera

Pairs = Sequence[tuple[int, int]]  # indices of a first and a second frame
MAX_STEP: Final = 1.2  # of depth between neighbouring pixels of one surface


@dataclass(frozen=True)
class Agreement:
    """What the points of a first frame are in a second one's depth image, for each of k pairs of frames.

    Counts of points: `agreeing` lie on the second's surface, `conflicting` float before it, where the second camera
    sees through them; each point is shared out between the two by how far it is off. Points behind the surface are
    hidden, which tells nothing; `inside` are all that the second image shows or hides, `points` all but those on its
    holes.
    """

    agreeing: Float[np.ndarray, " k"]
    conflicting: Float[np.ndarray, " k"]
    inside: Float[np.ndarray, " k"]
    points: Float[np.ndarray, " k"]

    @property
    def fit(self) -> Float[np.ndarray, " k"]:
        """The share in [0, 1] of the points that could be seen again that agree; 0 where there is none."""
        return self.agreeing / np.maximum(self.agreeing + self.conflicting, 1e-9)

    @property
    def overlap(self) -> Float[np.ndarray, " k"]:
        """The share in [0, 1] of the points that lie inside the second image; 0 without points."""
        return self.inside / np.maximum(self.points, 1)

    @property
    def score(self) -> Float[np.ndarray, " k"]:
        """What agrees less what conflicts, in [-1, 1] of the points: what no image shows speaks for nothing."""
        return (self.agreeing - self.conflicting) / np.maximum(self.points, 1)


def agreement(
    points: Float[np.ndarray, "k p 3"],
    depth: Float[np.ndarray, "k h w"],
    second_from_first: Float[np.ndarray, "k 4 4"],
    camera: Camera,
    tolerance: float,
) -> Agreement:
    """How first frames' points (m, camera's frame; z = 0 is none) agree with second frames' depth images (m), by pair.

    A point that is off by `tolerance` of its depth agrees by half (Cauchy weight). Between pixels inverse depth is
    linear, as on planes; where neighbours belong to several surfaces, any depth between them agrees.
    """
    motion = second_from_first.astype(np.float32)
    x, y, z = (
        points[..., 0] * row[:, 0:1] + points[..., 1] * row[:, 1:2] + points[..., 2] * row[:, 2:3] + row[:, 3:4]
        for row in (motion[:, axis] for axis in range(3))
    )
    is_point = points[..., 2] > 0
    is_ahead = is_point & (z > 1e-6)
    safe_z = np.where(is_ahead, z, 1)
    u = camera.fx * x / safe_z + camera.cx
    v = camera.fy * y / safe_z + camera.cy
    is_inside = is_ahead & (u > -0.5) & (v > -0.5) & (u < camera.width - 0.5) & (v < camera.height - 0.5)
    column = np.clip(np.where(is_inside, u, 0), 0, camera.width - 1)
    row = np.clip(np.where(is_inside, v, 0), 0, camera.height - 1)
    nearest, farthest = _inverse_depth_between_pixels(depth, column, row)
    is_measured = is_inside & (nearest > 0)
    before = np.maximum(1 / safe_z - nearest, 0) * safe_z
    behind = np.maximum(farthest - 1 / safe_z, 0) * safe_z
    error = np.where(is_measured, before + behind, 0) / tolerance
    weight = 1 / (1 + error * error)
    agreeing = np.where(is_measured, weight, 0).sum(axis=1)
    conflicting = np.where(is_measured & (before > 0), 1 - weight, 0).sum(axis=1)
    inside = is_measured.sum(axis=1)
    counted = is_point.sum(axis=1) - (is_inside & ~is_measured).sum(axis=1)
    return Agreement(*(np.asarray(count, np.float64) for count in (agreeing, conflicting, inside, counted)))


def _inverse_depth_between_pixels(
    depth: Float[np.ndarray, "k h w"], u: Float[np.ndarray, "k p"], v: Float[np.ndarray, "k p"]
) -> tuple[Float[np.ndarray, "k p"], Float[np.ndarray, "k p"]]:
    """The inverse depth (1/m) of the nearest and of the farthest surface there may be at a position; 0 = none.

    Both are the interpolated one where the four pixels around lie on one surface.
    """
    height, width = depth.shape[1:]
    column = np.minimum(u.astype(np.int64), width - 2)
    row = np.minimum(v.astype(np.int64), height - 2)
    right = (u - column).astype(np.float32)
    down = (v - row).astype(np.float32)
    first = (np.arange(len(depth))[:, None] * height + row) * width + column
    flat = depth.reshape(-1)
    corners = [np.take(flat, first + step) for step in (0, 1, width, width + 1)]
    inverses_of_corners = [np.divide(1, d, where=d > 0, out=np.zeros_like(d)) for d in corners]
    a, b, c, d = inverses_of_corners
    nearest = np.maximum(np.maximum(a, b), np.maximum(c, d))
    missing_as_near = (np.where(value > 0, value, nearest) for value in inverses_of_corners)
    farthest = np.minimum.reduce(list(missing_as_near))
    is_complete = (a > 0) & (b > 0) & (c > 0) & (d > 0)
    is_one_surface = is_complete & (nearest < MAX_STEP * farthest)
    between = (a * (1 - right) + b * right) * (1 - down) + (c * (1 - right) + d * right) * down
    return np.where(is_one_surface, between, nearest), np.where(is_one_surface, between, farthest)


def neighbour_agreement(sample: Sample, tolerance: float) -> Agreement:
    """The agreement of every frame with the next one; one value fewer than frames."""
    return pair_agreement(sample, [(index, index + 1) for index in range(len(sample) - 1)], tolerance)


def pair_agreement(sample: Sample, pairs: Pairs, tolerance: float) -> Agreement:
    """The agreement of pairs of frames at the poses of the sample, of the first in the second and the other way."""
    if not pairs:
        return Agreement(*np.zeros((4, 0)))
    first, second = ([pair[side] for pair in pairs] for side in range(2))
    there, back = (_one_way(sample, first, second, tolerance), _one_way(sample, second, first, tolerance))
    return Agreement(
        there.agreeing + back.agreeing,
        there.conflicting + back.conflicting,
        there.inside + back.inside,
        there.points + back.points,
    )


def _one_way(sample: Sample, first: list[int], second: list[int], tolerance: float) -> Agreement:
    depth = np.stack([sample.frames[index].depth for index in second])
    motion = inverses(sample.poses[second]) @ sample.poses[first]
    return agreement(sample.points[first], depth, motion, sample.camera, tolerance)


@dataclass(frozen=True)
class Reprojection:
    """Points of one frame in another: nearest pixel, own depth there, and the depth measured there (0 = none), m."""

    column: Int[np.ndarray, " p"]
    row: Int[np.ndarray, " p"]
    depth: Float[np.ndarray, " p"]
    measured: Float[np.ndarray, " p"]


def reproject(
    points: Float[np.ndarray, "p 3"], second_from_first: Float[np.ndarray, "4 4"], camera: Camera, depth: np.ndarray
) -> Reprojection:
    """Points (m, first camera's frame) in a second camera, with what its depth image (m) measures at their pixels."""
    pixels, z = project(camera, transform(second_from_first, points))
    column, row, inside = nearest_pixel(camera, pixels)
    return Reprojection(column, row, z, np.where(inside, depth[row, column], 0))


def relative_pose(poses: Float[np.ndarray, "n 4 4"], first: int, second: int) -> Float[np.ndarray, "4 4"]:
    """`second_from_first` of two cameras."""
    return invert(poses[second]) @ poses[first]


def rotation_angles(poses: Float[np.ndarray, "n 4 4"], gap: int) -> Float[np.ndarray, " m"]:
    """The angle (rad) by which every camera is rotated against the one `gap` frames later."""
    trace = np.einsum("nij,nij->n", poses[:-gap, :3, :3], poses[gap:, :3, :3])
    return np.asarray(np.arccos(np.clip((trace - 1) / 2, -1, 1)))
