"""Where a voxel is, said twice: in cells of the cylinder and in metres (P3Former, Xiao et al., 2023)."""

from dataclasses import dataclass
from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from panrecon.lidar.voxels import REACH, Voxels, cartesian_coordinates

SHORTEST: Final = 4.0  # m, the first wavelength; each is twice the one before


@dataclass(frozen=True)
class Placed:
    """Features of voxels that know their place, and the encoding of the place alone."""

    features: Float[Tensor, "V C"]
    position: Float[Tensor, "V C"]
    places: Float[Tensor, "V 3"]  # x, y, z, m


class MixedPosition(nn.Module):
    """Polar and Cartesian encodings, added to the features.

    With `waves`, Cartesian coordinates come with sine and cosine at that many wavelengths as well: a few scans do not
    teach a linear layer to tell objects apart that are metres from each other in a hundred.
    """

    def __init__(self, width: int, waves: int = 0) -> None:
        super().__init__()
        self.register_buffer("lengths", SHORTEST * 2.0 ** torch.arange(waves), persistent=False)
        self.polar = nn.Sequential(nn.Linear(3, width), nn.LayerNorm(width))
        self.cartesian = nn.Sequential(nn.Linear(3 + 6 * waves, width), nn.LayerNorm(width))
        self.shared = nn.Sequential(nn.Linear(width, width), nn.LayerNorm(width), nn.ReLU())

    def forward(self, features: Float[Tensor, "V C"], voxels: Voxels) -> Placed:
        share = voxels.index / torch.tensor(voxels.grid.shape, device=features.device)
        polar = self.shared(self.polar(share.to(features.dtype)))
        places = cartesian_coordinates(voxels.centers).to(features.dtype)
        cartesian = self.shared(self.cartesian(self._waves(places)))
        position = polar + cartesian
        return Placed(self.shared(features) + position, position, places)

    def _waves(self, places: Float[Tensor, "V 3"]) -> Float[Tensor, "V W"]:
        phase = (2 * torch.pi * places[:, :, None] / self.get_buffer("lengths")).flatten(1)
        return torch.cat([places / REACH, phase.sin(), phase.cos()], dim=1)
