"""Frozen vision features of points, brought to voxels and joined with those of the LiDAR."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from panrecon.lidar.voxels import Voxels


@dataclass(frozen=True)
class VoxelVision:
    """Mean vision features of voxels; those that are not `valid` were in no image and are zero."""

    values: Float[Tensor, "V D"]
    valid: Bool[Tensor, " V"]


def voxel_vision(values: Float[Tensor, "n D"], valid: Bool[Tensor, " n"], voxels: Voxels) -> VoxelVision:
    """The mean over the points of each voxel that an image shows (as OpenScene, Peng et al., CVPR 2023, has points)."""
    seen = valid.nonzero().squeeze(1)
    voxel = voxels.voxel_of_point[seen]
    total = values.new_zeros(len(voxels), values.shape[1]).index_add_(0, voxel, values[seen])
    count = torch.bincount(voxel, minlength=len(voxels))
    return VoxelVision((total / count.clamp(min=1)[:, None]).detach(), count > 0)


class Fusion(nn.Module):
    """LiDAR and vision features of a voxel to one, with a flag for what no camera saw. Either may be left out."""

    def __init__(self, lidar: int, vision: int, width: int) -> None:
        super().__init__()
        self.vision = vision
        self.join = nn.Linear(lidar + (vision + 1 if vision else 0), width)
        self.norm = nn.LayerNorm(width)

    def forward(self, lidar: Float[Tensor, "V C"], vision: VoxelVision) -> Float[Tensor, "V W"]:
        """A `lidar` of no columns stands for none."""
        parts = [lidar]
        if self.vision:
            # Unit vectors of D numbers are small beside normed features: brought to the same size.
            parts += [self.vision**0.5 * nn.functional.normalize(vision.values, dim=1), vision.valid[:, None].float()]
        return nn.functional.gelu(self.norm(self.join(torch.cat(parts, dim=1))))
