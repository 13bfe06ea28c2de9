"""Frozen vision features of points, averaged over voxels and fused with LiDAR features."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from panrecon.lidar.voxels import ScanVoxels


@dataclass(frozen=True)
class VoxelVision:
    """Mean vision features of voxels; voxels that are not `valid` are in no image, and their features are zero."""

    values: Float[Tensor, "V D"]
    valid: Bool[Tensor, " V"]


def voxel_vision(values: Float[Tensor, "n D"], valid: Bool[Tensor, " n"], voxels: ScanVoxels) -> VoxelVision:
    """Mean vision features over the valid points of each voxel (OpenScene, Peng et al., CVPR 2023); no gradient."""
    valid_point = valid.nonzero().squeeze(1)
    voxel = voxels.voxel_of_point[valid_point]
    total = values.new_zeros(len(voxels), values.shape[1]).index_add_(0, voxel, values[valid_point])
    count = torch.bincount(voxel, minlength=len(voxels))
    return VoxelVision((total / count.clamp(min=1)[:, None]).detach(), count > 0)


class Fusion(nn.Module):
    """Concatenates LiDAR and vision features of voxels, with a flag for validity, and projects them to `width`.

    A `lidar` or `vision` of 0 columns leaves that input out.
    """

    def __init__(self, lidar: int, vision: int, width: int) -> None:
        super().__init__()
        self.vision = vision
        self.projection = nn.Linear(lidar + (vision + 1 if vision else 0), width)
        self.norm = nn.LayerNorm(width)

    def forward(self, lidar: Float[Tensor, "V C"], vision: VoxelVision) -> Float[Tensor, "V W"]:
        """Fused features; `lidar` has no columns where the network has no encoder."""
        parts = [lidar]
        if self.vision:
            # Components of a D-dimensional unit vector are small beside normalized features: scaled to unit variance.
            parts += [self.vision**0.5 * nn.functional.normalize(vision.values, dim=1), vision.valid[:, None].float()]
        return nn.functional.gelu(self.norm(self.projection(torch.cat(parts, dim=1))))
