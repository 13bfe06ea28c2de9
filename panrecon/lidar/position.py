"""Mixed position encoding of voxels: polar grid coordinates and Cartesian metres (P3Former, Xiao et al., 2023)."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from panrecon.lidar.settings import NetworkSettings
from panrecon.lidar.voxels import MAX_RANGE, ScanVoxels, cartesian_coordinates


@dataclass(frozen=True)
class VoxelFeatures:
    """Features of voxels with their position encoding added, that encoding alone, and the centres of the voxels."""

    features: Float[Tensor, "V C"]
    position_encoding: Float[Tensor, "V C"]
    xyz: Float[Tensor, "V 3"]  # m, in the sensor's frame


class MixedPosition(nn.Module):
    """Polar and Cartesian position encodings, added to the features.

    With `wavelengths` in the settings, Cartesian coordinates come with sine and cosine at that many wavelengths as well
    (ours): from a few scans a linear layer does not learn to separate objects metres apart in a hundred.
    """

    def __init__(self, settings: NetworkSettings) -> None:
        super().__init__()
        width = settings.width
        lengths = settings.shortest_wavelength * 2.0 ** torch.arange(settings.wavelengths)
        self.register_buffer("wavelengths", lengths, persistent=False)
        self.polar = nn.Sequential(nn.Linear(3, width), nn.LayerNorm(width))
        self.cartesian = nn.Sequential(nn.Linear(3 + 6 * settings.wavelengths, width), nn.LayerNorm(width))
        self.shared = nn.Sequential(nn.Linear(width, width), nn.LayerNorm(width), nn.ReLU())

    def forward(self, features: Float[Tensor, "V C"], voxels: ScanVoxels) -> VoxelFeatures:
        """The features, passed through the layer that all three inputs share, with their position encoding."""
        share_of_grid = voxels.index / torch.tensor(voxels.grid.shape, device=features.device)
        polar = self.shared(self.polar(share_of_grid.to(features.dtype)))
        xyz = cartesian_coordinates(voxels.centers).to(features.dtype)
        cartesian = self.shared(self.cartesian(self._with_waves(xyz)))
        encoding = polar + cartesian
        return VoxelFeatures(self.shared(features) + encoding, encoding, xyz)

    def _with_waves(self, xyz: Float[Tensor, "V 3"]) -> Float[Tensor, "V W"]:
        phase = (2 * torch.pi * xyz[:, :, None] / self.get_buffer("wavelengths")).flatten(1)
        return torch.cat([xyz / MAX_RANGE, phase.sin(), phase.cos()], dim=1)
