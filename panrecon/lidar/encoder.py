"""Features of voxels from geometry alone: an MLP over points, then Cylinder3D's asymmetric sparse U-Net.

Cylinder3D: Zhu et al., CVPR 2021, with the widths of P3Former (Xiao et al., 2023).
"""

from itertools import pairwise
from typing import Final

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from panrecon.lidar.settings import EncoderSettings
from panrecon.lidar.sparse import Sites, Size3, SparseBackend, TorchBackend
from panrecon.lidar.voxels import ScanVoxels, cylinder_coordinates

POINT_CHANNELS: Final = 10  # offset to the voxel's centre (3), rho, phi, z, x, y, z, intensity
CUBE: Final[Size3] = (3, 3, 3)
ALONG_PHI: Final[Size3] = (1, 3, 3)  # axes of a kernel: rho, phi, z
ALONG_RHO: Final[Size3] = (3, 1, 3)


class VoxelBatchNorm(nn.BatchNorm1d):
    """Batch norm over voxels or points that does not update its statistics from fewer than two of them."""

    def forward(self, values: Float[Tensor, "V C"]) -> Float[Tensor, "V C"]:
        """Values normalized by their own statistics in training, else, or if there is only one, by the running ones."""
        if self.training and len(values) < 2:
            return nn.functional.batch_norm(values, self.running_mean, self.running_var, self.weight, self.bias)
        return super().forward(values)


def point_vectors(points: Float[Tensor, "n 4"], voxels: ScanVoxels) -> Float[Tensor, "n P"]:
    """The network's input for each point: cylinder offset from its voxel's centre, cylinder coordinates, x, y, z (m)
    and intensity."""
    cylinder = cylinder_coordinates(points[:, :3])
    offset = cylinder - voxels.centers[voxels.voxel_of_point]
    return torch.cat([offset, cylinder, points], dim=1)


class PointEncoder(nn.Module):
    """An MLP over points, its maximum over the points of each voxel, and a narrow layer."""

    def __init__(self, settings: EncoderSettings) -> None:
        super().__init__()
        widths = settings.point_mlp
        layers: list[nn.Module] = [VoxelBatchNorm(POINT_CHANNELS)]
        for inputs, outputs in pairwise((POINT_CHANNELS, *widths)):
            layers += [nn.Linear(inputs, outputs), VoxelBatchNorm(outputs), nn.ReLU()]
        self.mlp = nn.Sequential(*layers, nn.Linear(widths[-1], widths[-1]))
        self.compress = nn.Sequential(nn.Linear(widths[-1], settings.voxel_width), nn.ReLU())

    def forward(
        self, vectors: Float[Tensor, "n P"], voxel_of_point: Int[Tensor, " n"], count: int
    ) -> Float[Tensor, "V C"]:
        """Features of `count` voxels, each of which has a point."""
        encoded = self.mlp(vectors)
        voxel_of_value = voxel_of_point[:, None].expand_as(encoded)
        pooled = encoded.new_zeros(count, encoded.shape[1]).scatter_reduce(
            0, voxel_of_value, encoded, "amax", include_self=False
        )
        return self.compress(pooled)


class ConvolutionBlock(nn.Module):
    """Submanifold convolution, leaky ReLU, batch norm."""

    def __init__(self, backend: SparseBackend, inputs: int, outputs: int, kernel: Size3, key: str) -> None:
        super().__init__()
        self.convolution = backend.submanifold(inputs, outputs, kernel, key)
        self.norm = VoxelBatchNorm(outputs)

    def forward(self, values: Float[Tensor, "V C"], sites: Sites) -> Float[Tensor, "V D"]:
        """Values at the same sites."""
        return self.norm(nn.functional.leaky_relu(self.convolution(values, sites)))


class AsymmetricBlock(nn.Module):
    """The sum of two paths of asymmetric kernels in either order, which suit the cuboids of a road (Cylinder3D)."""

    def __init__(self, backend: SparseBackend, inputs: int, outputs: int, key: str) -> None:
        super().__init__()
        self.first = nn.ModuleList(
            [
                ConvolutionBlock(backend, inputs, outputs, ALONG_PHI, key),
                ConvolutionBlock(backend, outputs, outputs, ALONG_RHO, key),
            ]
        )
        self.second = nn.ModuleList(
            [
                ConvolutionBlock(backend, inputs, outputs, ALONG_RHO, key),
                ConvolutionBlock(backend, outputs, outputs, ALONG_PHI, key),
            ]
        )

    def forward(self, values: Float[Tensor, "V C"], sites: Sites) -> Float[Tensor, "V D"]:
        """Values at the same sites."""
        paths = []
        for path in (self.first, self.second):
            result = values
            for block in path:
                result = block(result, sites)
            paths.append(result)
        return paths[0] + paths[1]


class DownBlock(nn.Module):
    """An asymmetric block, then a strided convolution."""

    def __init__(self, backend: SparseBackend, inputs: int, outputs: int, stride: Size3, key: str) -> None:
        super().__init__()
        self.block = AsymmetricBlock(backend, inputs, outputs, key)
        self.pool = backend.strided(outputs, outputs, CUBE, stride, key)

    def forward(
        self, values: Float[Tensor, "V C"], sites: Sites
    ) -> tuple[Float[Tensor, "V D"], Float[Tensor, "W D"], Sites]:
        """Values for the skip connection, then values at coarser sites and those sites."""
        skip = self.block(values, sites)
        coarse_values, coarser_sites = self.pool(skip, sites)
        return skip, coarse_values, coarser_sites


class UpBlock(nn.Module):
    """An inverse convolution to finer sites, the skip connection added, then three convolutions."""

    def __init__(self, backend: SparseBackend, inputs: int, outputs: int, stride: Size3, key: str) -> None:
        super().__init__()
        self.entry = ConvolutionBlock(backend, inputs, outputs, CUBE, f"below {key}")
        self.unpool = backend.inverse(outputs, outputs, CUBE, stride, key)
        kernels = (ALONG_PHI, ALONG_RHO, CUBE)
        self.blocks = nn.ModuleList([ConvolutionBlock(backend, outputs, outputs, kernel, key) for kernel in kernels])

    def forward(
        self, values: Float[Tensor, "W C"], coarser: Sites, skip: Float[Tensor, "V D"], sites: Sites
    ) -> Float[Tensor, "V D"]:
        """Values at `sites` from values at `coarser` ones and the skip connection's."""
        result = self.unpool(self.entry(values, coarser), sites, coarser) + skip
        for block in self.blocks:
            result = block(result, sites)
        return result


class ContextModule(nn.Module):
    """Dimension-decomposition context modelling: values times the sum of gates along each axis (Cylinder3D)."""

    def __init__(self, backend: SparseBackend, width: int, key: str) -> None:
        super().__init__()
        kernels: tuple[Size3, ...] = ((3, 1, 1), (1, 3, 1), (1, 1, 3))
        self.gates = nn.ModuleList([backend.submanifold(width, width, kernel, key) for kernel in kernels])
        self.norms = nn.ModuleList([VoxelBatchNorm(width) for _ in kernels])

    def forward(self, values: Float[Tensor, "V C"], sites: Sites) -> Float[Tensor, "V C"]:
        """Gated values at the same sites."""
        gate = torch.zeros_like(values)
        for convolution, norm in zip(self.gates, self.norms, strict=True):
            gate = gate + torch.sigmoid(norm(convolution(values, sites)))
        return gate * values


class Encoder(nn.Module):
    """Cylinder3D's encoder: from points and their voxels to features of voxels; convolutions by `backend`."""

    def __init__(self, settings: EncoderSettings, backend: SparseBackend | None = None) -> None:
        super().__init__()
        layers = TorchBackend() if backend is None else backend
        levels = settings.level_widths
        self.points = PointEncoder(settings)
        self.entry = AsymmetricBlock(layers, settings.voxel_width, settings.entry_width, "level 0")
        widths = list(pairwise((settings.entry_width, *levels)))
        self.downs = nn.ModuleList(
            [DownBlock(layers, *widths[k], stride, f"level {k}") for k, stride in enumerate(settings.strides)]
        )
        below = [*levels[1:], levels[-1]]  # width of the level below each
        self.ups = nn.ModuleList(
            [UpBlock(layers, below[k], levels[k], stride, f"level {k}") for k, stride in enumerate(settings.strides)]
        )
        self.context = ContextModule(layers, levels[0], "level 0")
        self.output = nn.Linear(2 * levels[0], settings.output_width)

    def forward(self, points: Float[Tensor, "n 4"], voxels: ScanVoxels) -> Float[Tensor, "V C"]:
        """Features of voxels; points are x, y, z (m) in the sensor's frame and intensity."""
        values = self.points(point_vectors(points, voxels), voxels.voxel_of_point, len(voxels))
        sites = Sites(voxels.index, voxels.grid.shape)
        values = self.entry(values, sites)
        skips = []
        for down in self.downs:
            skip, values, coarser = down(values, sites)
            skips.append((skip, sites))
            sites = coarser
        for up, (skip, finer) in zip(reversed(self.ups), reversed(skips), strict=True):
            values = up(values, sites, skip, finer)
            sites = finer
        return self.output(torch.cat([self.context(values, sites), values], dim=1))
