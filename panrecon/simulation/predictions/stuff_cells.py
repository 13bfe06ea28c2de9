"""Cells of the world that divide stuff into regions, the same in every view."""

from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.ndimage import distance_transform_edt

from panrecon.geometry.projective import transform, unproject
from panrecon.simulation.scene.shapes import pose
from panrecon.structures import Camera

Mask = Bool[np.ndarray, "h w"]

CELL: Final = 0.8  # m, side of a cell
_GRID_FROM_WORLD: Final = pose(yaw=0.5, pitch=0.6, roll=0.7)  # oblique, so that no floor or wall lies between two cells
_FIRST_CELL: Final = -(1 << 20)  # generators take no negative seeds


def world_positions(
    camera: Camera, world_from_camera: Float[np.ndarray, "4 4"], depth: Float[np.ndarray, "h w"]
) -> Float[np.ndarray, "h w 3"]:
    """The world point (m) at every pixel of a depth image (m); NaN where the depth is 0, which is not measured."""
    positions = transform(world_from_camera, unproject(camera, depth.astype(np.float64)))
    return np.where(depth[..., None] > 0, positions, np.nan)


def stuff_cells(mask: Mask, positions: Float[np.ndarray, "h w 3"]) -> list[tuple[tuple[int, int, int], Mask]]:
    """The cells of a mask's surface, three non-negative indices each, and the pixels in each; they make up the mask.

    `positions` are world points (m), NaN where not measured: such pixels lie in the cell of the nearest pixel of the
    mask that is measured. Empty where no pixel of the mask is.
    """
    is_measured = mask & np.isfinite(positions).all(axis=2)
    if not is_measured.any():
        return []
    nearest_row, nearest_column = distance_transform_edt(~is_measured, return_distances=False, return_indices=True)
    points = positions[nearest_row[mask], nearest_column[mask]]
    cell_of_pixel: Int[np.ndarray, "n 3"] = np.floor(transform(_GRID_FROM_WORLD, points) / CELL).astype(np.int64)
    cells, index_of_pixel = np.unique(cell_of_pixel - _FIRST_CELL, axis=0, return_inverse=True)
    index_image = np.full(mask.shape, -1)
    index_image[mask] = index_of_pixel.ravel()
    return [((int(x), int(y), int(z)), index_image == index) for index, (x, y, z) in enumerate(cells)]
