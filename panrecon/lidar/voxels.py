"""Cylindrical voxels of a LiDAR scan: finer near the sensor, as its points are (Cylinder3D, Zhu et al., CVPR 2021).

Cylinder coordinates are (rho, phi, z) in the sensor's frame: distance from its vertical axis (m), angle around the axis
from +x to +y (rad, in [-pi, pi]), and height (m).
"""

import math
from dataclasses import dataclass
from typing import Final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from panrecon.structures import VOID

MAX_RANGE: Final = 50.0  # m; P3Former (Xiao et al., 2023)


@dataclass(frozen=True)
class CylinderGrid:
    """A regular grid over cylinder coordinates: the number of cells and the bounds along each axis.

    Raises:
        ValueError: an axis has no cell or no extent.
    """

    shape: tuple[int, int, int]
    low: tuple[float, float, float]
    high: tuple[float, float, float]

    def __post_init__(self) -> None:
        """Checks that the grid has cells of positive extent."""
        if min(self.shape) < 1 or any(high <= low for low, high in zip(self.low, self.high, strict=True)):
            raise ValueError(f"A grid of {self.shape} cells from {self.low} to {self.high} holds nothing.")

    @property
    def cell(self) -> tuple[float, float, float]:
        """Extent of a cell along rho (m), phi (rad) and z (m)."""
        rho, phi, z = ((high - low) / cells for low, high, cells in zip(self.low, self.high, self.shape, strict=True))
        return rho, phi, z


def grid_over(shape: tuple[int, int, int], z: tuple[float, float], max_range: float = MAX_RANGE) -> CylinderGrid:
    """The grid all around the sensor up to `max_range` (m), between the lowest and the highest `z` (m)."""
    return CylinderGrid(shape, (0.0, -math.pi, z[0]), (max_range, math.pi, z[1]))


# P3Former (Xiao et al., 2023): 480 x 360 x 32 cells; heights by the mounting of the benchmarks' sensors.
SEMANTIC_KITTI: Final = grid_over((480, 360, 32), (-4.0, 2.0))
NUSCENES: Final = grid_over((480, 360, 32), (-5.0, 3.0))


@dataclass(frozen=True)
class ScanVoxels:
    """The voxels of a scan: the grid's cells that hold points, in ascending order, and the voxel of every point."""

    grid: CylinderGrid
    index: Int[Tensor, "V 3"]
    voxel_of_point: Int[Tensor, " n"]

    def __len__(self) -> int:
        return len(self.index)

    @property
    def centers(self) -> Float[Tensor, "V 3"]:
        """Cylinder coordinates of the voxels' centres."""
        low = self.index.new_tensor(self.grid.low, dtype=torch.float32)
        cell = self.index.new_tensor(self.grid.cell, dtype=torch.float32)
        return low + (self.index + 0.5) * cell


def cylinder_coordinates(xyz: Float[Tensor, "n 3"]) -> Float[Tensor, "n 3"]:
    """Cylinder coordinates of points in the sensor's frame (m)."""
    return torch.stack([torch.hypot(xyz[:, 0], xyz[:, 1]), torch.atan2(xyz[:, 1], xyz[:, 0]), xyz[:, 2]], dim=1)


def cartesian_coordinates(cylinder: Float[Tensor, "n 3"]) -> Float[Tensor, "n 3"]:
    """Points in the sensor's frame (m) from cylinder coordinates; the inverse of `cylinder_coordinates`."""
    rho, phi, z = cylinder.unbind(dim=1)
    return torch.stack([rho * phi.cos(), rho * phi.sin(), z], dim=1)


def voxelize(xyz: Float[Tensor, "n 3"], grid: CylinderGrid) -> ScanVoxels:
    """The voxels of points in the sensor's frame (m); points outside the grid belong to its nearest cell (P3Former)."""
    low = xyz.new_tensor(grid.low)
    cell = xyz.new_tensor(grid.cell)
    highest = torch.tensor(grid.shape, device=xyz.device) - 1
    index = ((cylinder_coordinates(xyz) - low) / cell).floor().long()
    index = torch.minimum(index.clamp(min=0), highest)
    key, voxel_of_point = torch.unique(flat_index(index, grid.shape), return_inverse=True)
    return ScanVoxels(grid, unflat_index(key, grid.shape), voxel_of_point)


def flat_index(index: Int[Tensor, "*n 3"], shape: tuple[int, int, int]) -> Int[Tensor, "*n"]:
    """One integer for each cell of a grid of `shape`, in C order; injective for indices inside the grid only."""
    return (index[..., 0] * shape[1] + index[..., 1]) * shape[2] + index[..., 2]


def unflat_index(key: Int[Tensor, " n"], shape: tuple[int, int, int]) -> Int[Tensor, "n 3"]:
    """The cells of flat indices; the inverse of `flat_index`."""
    third = key % shape[2]
    first_two = key // shape[2]
    return torch.stack([first_two // shape[1], first_two % shape[1], third], dim=1)


def majority(label: Int[Tensor, " n"], voxel_of_point: Int[Tensor, " n"], count: int) -> Int[Tensor, " V"]:
    """The most frequent label of the points of each of `count` voxels, `VOID` where a voxel has no point.

    `VOID` is counted as a label like any other; of equally frequent labels the lowest is taken.
    """
    if not len(label):
        return label.new_full((count,), VOID)
    distinct, label_index = torch.unique(label, return_inverse=True)
    pairs, votes = torch.unique(voxel_of_point * len(distinct) + label_index, return_counts=True)
    voxel = pairs // len(distinct)
    label_index = pairs % len(distinct)
    order = torch.argsort(votes * len(distinct) - label_index, stable=True)  # a voxel's most frequent label comes last
    rank = torch.empty_like(order)
    rank[order] = torch.arange(len(order), device=label.device)
    best = torch.full((count,), -1, dtype=torch.long, device=label.device)
    best = best.scatter_reduce(0, voxel, rank, "amax")
    has_point = best >= 0
    result = torch.full((count,), VOID, dtype=label.dtype, device=label.device)
    result[has_point] = distinct[label_index[order[best[has_point]]]]
    return result
