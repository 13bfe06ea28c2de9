"""Features of voxels from geometry alone: an MLP over points, then Cylinder3D's asymmetric sparse U-Net.

Cylinder3D: Zhu et al., CVPR 2021, with the sizes of P3Former (Xiao et al., 2023).
"""

from itertools import pairwise
from typing import Final

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from panrecon.lidar.settings import EncoderSizes
from panrecon.lidar.sparse import Sites, Size, SparseBackend, TorchBackend
from panrecon.lidar.voxels import Voxels, cylinder_coordinates

POINT_VALUES: Final = 10  # offset to the voxel's middle (3), rho, phi, z, x, y, z, intensity
CUBE: Final[Size] = (3, 3, 3)
FLAT, UPRIGHT = (1, 3, 3), (3, 1, 3)


class RowNorm(nn.BatchNorm1d):
    """Batch norm over rows that leaves its statistics alone where there are too few rows to have any."""

    def forward(self, values: Float[Tensor, "V C"]) -> Float[Tensor, "V C"]:
        if self.training and len(values) < 2:
            return nn.functional.batch_norm(values, self.running_mean, self.running_var, self.weight, self.bias)
        return super().forward(values)


def point_vectors(points: Float[Tensor, "n 4"], voxels: Voxels) -> Float[Tensor, "n P"]:
    """What the network is told of each point: x, y, z (m) and intensity, cylinder coordinates, place in its voxel."""
    cylinder = cylinder_coordinates(points[:, :3])
    offset = cylinder - voxels.centers[voxels.voxel_of_point]
    return torch.cat([offset, cylinder, points], dim=1)


class PointEncoder(nn.Module):
    """The largest answer of an MLP over the points of each voxel."""

    def __init__(self, sizes: EncoderSizes) -> None:
        super().__init__()
        layers: list[nn.Module] = [RowNorm(POINT_VALUES)]
        for inputs, outputs in pairwise((POINT_VALUES, *sizes.points)):
            layers += [nn.Linear(inputs, outputs), RowNorm(outputs), nn.ReLU()]
        self.mlp = nn.Sequential(*layers, nn.Linear(sizes.points[-1], sizes.points[-1]))
        self.compress = nn.Sequential(nn.Linear(sizes.points[-1], sizes.voxels), nn.ReLU())

    def forward(
        self, vectors: Float[Tensor, "n P"], voxel_of_point: Int[Tensor, " n"], count: int
    ) -> Float[Tensor, "V C"]:
        """Every one of the `count` voxels has a point."""
        encoded = self.mlp(vectors)
        where = voxel_of_point[:, None].expand_as(encoded)
        pooled = encoded.new_zeros(count, encoded.shape[1]).scatter_reduce(
            0, where, encoded, "amax", include_self=False
        )
        return self.compress(pooled)


class Block(nn.Module):
    """Submanifold convolution, leaky ReLU, norm."""

    def __init__(self, backend: SparseBackend, inputs: int, outputs: int, kernel: Size, key: str) -> None:
        super().__init__()
        self.convolution = backend.submanifold(inputs, outputs, kernel, key)
        self.norm = RowNorm(outputs)

    def forward(self, values: Float[Tensor, "V C"], sites: Sites) -> Float[Tensor, "V D"]:
        return self.norm(nn.functional.leaky_relu(self.convolution(values, sites)))


class Asymmetric(nn.Module):
    """Two paths of flat and upright kernels in either order, added: they fit boxes on a road."""

    def __init__(self, backend: SparseBackend, inputs: int, outputs: int, key: str) -> None:
        super().__init__()
        self.first = nn.ModuleList(
            [Block(backend, inputs, outputs, FLAT, key), Block(backend, outputs, outputs, UPRIGHT, key)]
        )
        self.second = nn.ModuleList(
            [Block(backend, inputs, outputs, UPRIGHT, key), Block(backend, outputs, outputs, FLAT, key)]
        )

    def forward(self, values: Float[Tensor, "V C"], sites: Sites) -> Float[Tensor, "V D"]:
        paths = []
        for path in (self.first, self.second):
            result = values
            for block in path:
                result = block(result, sites)
            paths.append(result)
        return paths[0] + paths[1]


class Down(nn.Module):
    """An asymmetric block, and its result at a coarser resolution."""

    def __init__(self, backend: SparseBackend, inputs: int, outputs: int, stride: Size, key: str) -> None:
        super().__init__()
        self.block = Asymmetric(backend, inputs, outputs, key)
        self.pool = backend.strided(outputs, outputs, CUBE, stride, key)

    def forward(
        self, values: Float[Tensor, "V C"], sites: Sites
    ) -> tuple[Float[Tensor, "V D"], Float[Tensor, "W D"], Sites]:
        skip = self.block(values, sites)
        coarse, coarser = self.pool(skip, sites)
        return skip, coarse, coarser


class Up(nn.Module):
    """Values of coarser sites brought back and added to those left behind on the way down."""

    def __init__(self, backend: SparseBackend, inputs: int, outputs: int, stride: Size, key: str) -> None:
        super().__init__()
        self.entry = Block(backend, inputs, outputs, CUBE, f"below {key}")
        self.unpool = backend.inverse(outputs, outputs, CUBE, stride, key)
        kernels = (FLAT, UPRIGHT, CUBE)
        self.blocks = nn.ModuleList([Block(backend, outputs, outputs, kernel, key) for kernel in kernels])

    def forward(
        self, values: Float[Tensor, "W C"], coarser: Sites, skip: Float[Tensor, "V D"], sites: Sites
    ) -> Float[Tensor, "V D"]:
        result = self.unpool(self.entry(values, coarser), sites, coarser) + skip
        for block in self.blocks:
            result = block(result, sites)
        return result


class Context(nn.Module):
    """Dimension decomposition: every value weighed by gates that look along one axis each."""

    def __init__(self, backend: SparseBackend, width: int, key: str) -> None:
        super().__init__()
        kernels: tuple[Size, ...] = ((3, 1, 1), (1, 3, 1), (1, 1, 3))
        self.gates = nn.ModuleList([backend.submanifold(width, width, kernel, key) for kernel in kernels])
        self.norms = nn.ModuleList([RowNorm(width) for _ in kernels])

    def forward(self, values: Float[Tensor, "V C"], sites: Sites) -> Float[Tensor, "V C"]:
        gate = torch.zeros_like(values)
        for look, norm in zip(self.gates, self.norms, strict=True):
            gate = gate + torch.sigmoid(norm(look(values, sites)))
        return gate * values


class Encoder(nn.Module):
    """Points and their voxels to features of voxels."""

    def __init__(self, sizes: EncoderSizes, backend: SparseBackend | None = None) -> None:
        super().__init__()
        maker = TorchBackend() if backend is None else backend
        self.points = PointEncoder(sizes)
        self.entry = Asymmetric(maker, sizes.voxels, sizes.entry, "level 0")
        widths = list(pairwise((sizes.entry, *sizes.levels)))
        self.downs = nn.ModuleList(
            [Down(maker, *widths[k], stride, f"level {k}") for k, stride in enumerate(sizes.strides)]
        )
        back = [*sizes.levels, sizes.levels[-1]]
        self.ups = nn.ModuleList(
            [Up(maker, back[k + 1], back[k], stride, f"level {k}") for k, stride in enumerate(sizes.strides)]
        )
        self.context = Context(maker, sizes.levels[0], "level 0")
        self.output = nn.Linear(2 * sizes.levels[0], sizes.output)

    def forward(self, points: Float[Tensor, "n 4"], voxels: Voxels) -> Float[Tensor, "V C"]:
        values = self.points(point_vectors(points, voxels), voxels.voxel_of_point, len(voxels))
        sites = Sites(voxels.index, voxels.grid.shape)
        values = self.entry(values, sites)
        passed = []
        for down in self.downs:
            skip, values, coarser = down(values, sites)
            passed.append((skip, sites))
            sites = coarser
        for up, (skip, finer) in zip(reversed(self.ups), reversed(passed), strict=True):
            values = up(values, sites, skip, finer)
            sites = finer
        return self.output(torch.cat([self.context(values, sites), values], dim=1))
