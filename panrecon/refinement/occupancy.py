"""Which voxels in front of the mesh are occupied: an occupancy grid in log odds (OctoMap, Hornung et al. 2013).

A cell is a voxel that holds a pixel of some frame which measures something in front of the mesh. Frames that measure
something in it or beside it speak for it, those that see through it against it, the less the larger their depth noise
is there. A frame speaks the less for anything, the more of it lies in front of the mesh: its pose may be wrong.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float16, Int
from scipy.sparse import csr_array
from scipy.spatial import cKDTree
from scipy.special import erf, logit

from panrecon.geometry.projective import invert, nearest_pixel, project, transform
from panrecon.refinement.parameters import RefinementParameters
from panrecon.structures import Camera, View


@dataclass(frozen=True)
class DepthFrame:
    """Depth (m, 0 where not measured) from a pose, and the share of its measured pixels that lie in front of the mesh.

    All frames of a scan are held at once, so depth has half precision, of 2 mm at 4 m.
    """

    camera: Camera
    world_from_camera: Float[np.ndarray, "4 4"]
    depth: Float16[np.ndarray, "h w"]
    front_share: float

    @classmethod
    def of(cls, view: View, is_front: Bool[np.ndarray, "h w"]) -> "DepthFrame":
        """What a view measures, by which of its pixels lie in front of the mesh."""
        share = is_front.sum() / max((view.depth > 0).sum(), 1)
        return cls(view.camera, view.world_from_camera, view.depth.astype(np.float16), float(share))


@dataclass(frozen=True)
class OccupancyGrid:
    """Cells by the mean position (m, world) of their pixels, the cell of every pixel, and which frames hit each cell.

    A frame hits a cell by a pixel in it or near it.
    """

    position: Float[np.ndarray, "c 3"]
    cell_of_pixel: Int[np.ndarray, " n"]
    hits: csr_array

    @classmethod
    def of(
        cls,
        position: Float[np.ndarray, "n 3"],
        frame_of_pixel: Int[np.ndarray, " n"],
        frame_count: int,
        parameters: RefinementParameters,
    ) -> "OccupancyGrid":
        """The cells that hold these positions (m, world) of pixels."""
        index = np.floor(position / parameters.voxel_size).astype(np.int64)
        _, cell, count = np.unique(index, axis=0, return_inverse=True, return_counts=True)
        cell = cell.reshape(-1)
        mean = np.stack([np.bincount(cell, column, len(count)) for column in position.T], axis=1) / count[:, None]
        shape = (len(count), frame_count)
        pixels = csr_array((np.ones(len(cell), np.int32), (cell, frame_of_pixel)), shape=shape)
        return cls(mean, cell, csr_array(adjacency(mean, parameters.metres(parameters.neighbor_radius)) @ pixels))


def is_in_front(
    depth: Float[np.ndarray, "h w"], mesh_depth: Float[np.ndarray, "h w"], parameters: RefinementParameters
) -> Bool[np.ndarray, "h w"]:
    """Which pixels measure something in front of the mesh; depths in metres, 0 where there is none."""
    return (depth > 0) & (mesh_depth > 0) & (mesh_depth - depth > _gap(depth, parameters))


def occupied_cells(
    grid: OccupancyGrid, frames: Sequence[DepthFrame], parameters: RefinementParameters
) -> Int[np.ndarray, " o"]:
    """The cells whose posterior is at least the threshold."""
    required = float(logit(parameters.min_occupancy))
    greatest = np.diff(grid.hits.indptr) * np.log(parameters.hit_rate / parameters.clutter_rate)
    candidates = np.flatnonzero(greatest + np.log(parameters.occupancy_prior_odds) >= required)
    return candidates[log_odds(grid, candidates, frames, parameters) >= required]


def log_odds(
    grid: OccupancyGrid, cells: Int[np.ndarray, " m"], frames: Sequence[DepthFrame], parameters: RefinementParameters
) -> Float[np.ndarray, " m"]:
    """The posterior log odds that each of these cells is occupied."""
    cells_of_frame = grid.hits[cells].tocsc()
    total = np.full(len(cells), np.log(parameters.occupancy_prior_odds))
    for frame_index, frame in enumerate(frames):
        is_hit = np.zeros(len(cells), dtype=bool)
        is_hit[cells_of_frame.indices[slice(*cells_of_frame.indptr[frame_index : frame_index + 2])]] = True
        total += _log_likelihood_ratio(grid.position[cells], frame, is_hit, parameters)
    return total


def adjacency(position: Float[np.ndarray, "c 3"], radius: float) -> csr_array:
    """Which positions lie within `radius` (m) of one another, every one of itself."""
    a, b = cKDTree(position).query_pairs(radius, output_type="ndarray").reshape(-1, 2).T
    itself = np.arange(len(position))
    rows = np.concatenate([a, b, itself])
    columns = np.concatenate([b, a, itself])
    return csr_array((np.ones(len(rows), np.int32), (rows, columns)), shape=(len(position), len(position)))


def _gap(distance: Float[np.ndarray, "*n"], parameters: RefinementParameters) -> Float[np.ndarray, "*n"]:
    """How far (m) behind this distance (m) another surface lies at least that depth noise does not explain."""
    noise = parameters.depth_noise * distance**2
    return np.maximum(parameters.metres(parameters.min_gap), parameters.gap_deviations * noise)


def _log_likelihood_ratio(
    position: Float[np.ndarray, "c 3"],
    frame: DepthFrame,
    is_hit: Bool[np.ndarray, " c"],
    parameters: RefinementParameters,
) -> Float[np.ndarray, " c"]:
    """What a frame says for (above 0) or against cells at these positions, by whether it hits or sees through them.

    It hits an occupied cell at the hit rate, if its depth noise does not carry the pixel out of the neighbourhood, and
    a free one at the clutter rate or, with much in front of the mesh, more. Of others it says nothing.
    """
    pixel, distance = project(frame.camera, transform(invert(frame.world_from_camera), position))
    column, row, is_inside = nearest_pixel(frame.camera, pixel)
    depth = frame.depth[row, column].astype(np.float64)
    is_miss = ~is_hit & is_inside & (depth - distance > _gap(distance, parameters))
    noise = parameters.depth_noise * distance**2
    is_within = erf(parameters.metres(parameters.neighbor_radius) / (np.sqrt(2) * noise.clip(1e-9)))
    free = min(parameters.clutter_rate + frame.front_share, parameters.hit_rate)
    occupied = np.maximum(parameters.hit_rate * is_within, free)
    return np.where(is_hit, np.log(occupied / free), np.where(is_miss, np.log((1 - occupied) / (1 - free)), 0.0))
