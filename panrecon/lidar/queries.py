"""What the decoder starts from: one query for every base stuff class, and a free set for all else."""

from typing import Final

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from panrecon.lidar.position import Placed
from panrecon.lidar.voxels import Voxels, cartesian_coordinates

APART: Final = 5.0  # m: places that far from each other do not compete


class Queries(nn.Module):
    """Fixed queries are rows of the auxiliary classifier's weights, as in P3Former; they come first.

    Of the free ones, the first `sampled` also start from a voxel each, as Mask3D's (Schult et al., ICRA 2023) do from
    points: a few scans do not teach queries to divide space among themselves. Voxels are taken that are unlike all base
    stuff, and apart: things, known or not, are among them.
    """

    def __init__(self, width: int, free: int, sampled: int, fixed_classes: Int[Tensor, " K"]) -> None:
        super().__init__()
        self.free = nn.Embedding(free, width)
        self.sampled = sampled
        self.start = nn.Linear(2 * width, width) if sampled else None
        self.register_buffer("fixed_classes", fixed_classes, persistent=False)

    @property
    def fixed(self) -> int:
        """How many have a class of their own."""
        return len(self.get_buffer("fixed_classes"))

    def forward(
        self,
        weights: Float[Tensor, "B C"],
        semantic: Float[Tensor, "V B"],
        stuff: Int[Tensor, " S"],
        placed: Placed,
        voxels: Voxels,
    ) -> Float[Tensor, "Q C"]:
        """`weights` and `semantic`: those of the auxiliary classifier and its logits; `stuff`: base stuff classes."""
        free = self.free.weight
        if self.start is not None and len(voxels):
            unlike = 1 - semantic.detach().softmax(dim=1)[:, stuff].sum(dim=1)
            chosen = spread(cartesian_coordinates(voxels.centers), unlike, self.sampled)
            begin = self.start(torch.cat([placed.features[chosen], placed.position[chosen]], dim=1))
            free = torch.cat([free[: self.sampled] + begin, free[self.sampled :]])
        return torch.cat([weights[self.get_buffer("fixed_classes")], free])


def spread(places: Float[Tensor, "V 3"], weight: Float[Tensor, " V"], count: int) -> Int[Tensor, " count"]:
    """Places chosen one by one: the greatest weight times distance (m, up to `APART`) to those chosen before."""
    chosen = []
    distance = torch.full_like(weight, APART)
    for _ in range(count):
        best = (weight * distance).argmax()
        chosen.append(best)
        distance = torch.minimum(distance, torch.linalg.vector_norm(places - places[best], dim=1))
    return torch.stack(chosen) if chosen else torch.zeros(0, dtype=torch.long, device=weight.device)
