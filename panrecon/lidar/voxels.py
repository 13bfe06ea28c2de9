"""Cylindrical voxels of a LiDAR scan: finer near the sensor, as its points are (Cylinder3D, Zhu et al., CVPR 2021)."""

import math
from dataclasses import dataclass
from typing import Final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from panrecon.structures import VOID

REACH: Final = 50.0  # m


@dataclass(frozen=True)
class CylinderGrid:
    """Cells over distance from the sensor's axis (m), angle around it (rad, from +x to +y) and height (m)."""

    shape: tuple[int, int, int]
    low: tuple[float, float, float]
    high: tuple[float, float, float]

    def __post_init__(self) -> None:
        if min(self.shape) < 1 or any(high <= low for low, high in zip(self.low, self.high, strict=True)):
            raise ValueError(f"A grid of {self.shape} cells from {self.low} to {self.high} holds nothing.")

    @property
    def cell(self) -> tuple[float, float, float]:
        """Extent of a cell along each axis."""
        rho, phi, z = ((high - low) / cells for low, high, cells in zip(self.low, self.high, self.shape, strict=True))
        return rho, phi, z


def grid_over(shape: tuple[int, int, int], z: tuple[float, float], reach: float = REACH) -> CylinderGrid:
    """All around, `reach` metres far, from the lowest to the highest `z` (m)."""
    return CylinderGrid(shape, (0.0, -math.pi, z[0]), (reach, math.pi, z[1]))


# P3Former (Xiao et al., 2023): 480 x 360 x 32 cells; heights by the mounting of the benchmarks' sensors.
SEMANTIC_KITTI: Final = grid_over((480, 360, 32), (-4.0, 2.0))
NUSCENES: Final = grid_over((480, 360, 32), (-5.0, 3.0))


@dataclass(frozen=True)
class Voxels:
    """The cells of a grid that hold points, in ascending order, and the cell of every point."""

    grid: CylinderGrid
    index: Int[Tensor, "V 3"]
    voxel_of_point: Int[Tensor, " n"]

    def __len__(self) -> int:
        return len(self.index)

    @property
    def centers(self) -> Float[Tensor, "V 3"]:
        """Cylinder coordinates of the cells' middles."""
        low, cell = (self.index.new_tensor(values, dtype=torch.float32) for values in (self.grid.low, self.grid.cell))
        return low + (self.index + 0.5) * cell


def cylinder_coordinates(xyz: Float[Tensor, "n 3"]) -> Float[Tensor, "n 3"]:
    """Distance from the z axis, angle around it and z."""
    return torch.stack([torch.hypot(xyz[:, 0], xyz[:, 1]), torch.atan2(xyz[:, 1], xyz[:, 0]), xyz[:, 2]], dim=1)


def cartesian_coordinates(cylinder: Float[Tensor, "n 3"]) -> Float[Tensor, "n 3"]:
    rho, phi, z = cylinder.unbind(dim=1)
    return torch.stack([rho * phi.cos(), rho * phi.sin(), z], dim=1)


def voxelize(xyz: Float[Tensor, "n 3"], grid: CylinderGrid) -> Voxels:
    """The voxels of points; those outside the grid count to its nearest cell, as in P3Former."""
    low, cell = (xyz.new_tensor(values) for values in (grid.low, grid.cell))
    highest = torch.tensor(grid.shape, device=xyz.device) - 1
    index = ((cylinder_coordinates(xyz) - low) / cell).floor().long()
    index = torch.minimum(index.clamp(min=0), highest)
    key, voxel_of_point = torch.unique(flat_index(index, grid.shape), return_inverse=True)
    return Voxels(grid, unflat_index(key, grid.shape), voxel_of_point)


def flat_index(index: Int[Tensor, "*n 3"], shape: tuple[int, int, int]) -> Int[Tensor, "*n"]:
    """One number a cell, in C order."""
    return (index[..., 0] * shape[1] + index[..., 1]) * shape[2] + index[..., 2]


def unflat_index(key: Int[Tensor, " n"], shape: tuple[int, int, int]) -> Int[Tensor, "n 3"]:
    last, rest = key % shape[2], key // shape[2]
    return torch.stack([rest // shape[1], rest % shape[1], last], dim=1)


def majority(label: Int[Tensor, " n"], voxel_of_point: Int[Tensor, " n"], count: int) -> Int[Tensor, " V"]:
    """The label that most points of a voxel have, `VOID` counted as one; the lowest of equals."""
    if not len(label):
        return label.new_full((count,), VOID)
    kinds, kind = torch.unique(label, return_inverse=True)
    pairs, votes = torch.unique(voxel_of_point * len(kinds) + kind, return_counts=True)
    voxel, kind = pairs // len(kinds), pairs % len(kinds)
    order = torch.argsort(votes * len(kinds) - kind, stable=True)  # the winner of a voxel comes last
    result = torch.full((count,), VOID, dtype=label.dtype, device=label.device)
    best = torch.full((count,), -1, dtype=torch.long, device=label.device)
    rank = torch.empty_like(order)
    rank[order] = torch.arange(len(order), device=label.device)
    best = best.scatter_reduce(0, voxel, rank, "amax")
    filled = best >= 0
    result[filled] = kinds[kind[order[best[filled]]]]
    return result
