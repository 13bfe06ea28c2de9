"""What the decoder starts from: one query for every base stuff class, and a free set for all else."""

from dataclasses import dataclass
from typing import Final

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from panrecon.lidar.fusion import VoxelVision
from panrecon.lidar.position import Placed
from panrecon.structures import VOID

APART: Final = 5.0  # m: places that far from each other do not compete


@dataclass(frozen=True)
class Start:
    """Queries before the first layer, and the voxel that each starts from, `VOID` for none."""

    values: Float[Tensor, "Q C"]
    seed: Int[Tensor, " Q"]


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
        vision: VoxelVision,
    ) -> Start:
        """`weights` and `semantic`: those of the auxiliary classifier and its logits; `stuff`: base stuff classes."""
        free = self.free.weight
        seed = torch.full((self.fixed + len(free),), VOID, dtype=torch.long, device=free.device)
        if self.start is not None and len(placed.places):
            unlike = 1 - likeness(semantic.detach().softmax(dim=1)[:, stuff], vision)
            looks = nn.functional.normalize(vision.values, dim=1)
            chosen = spread(placed.places, looks, unlike, self.sampled)
            seed[self.fixed : self.fixed + self.sampled] = chosen
            begin = self.start(torch.cat([placed.features[chosen], placed.position[chosen]], dim=1))
            free = torch.cat([free[: self.sampled] + begin, free[self.sampled :]])
        return Start(torch.cat([weights[self.get_buffer("fixed_classes")], free]), seed)


def likeness(probability: Float[Tensor, "V S"], vision: VoxelVision) -> Float[Tensor, " V"]:
    """How surely a voxel is of a known kind, and looks like the rest of that kind in this scan, in [0, 1].

    The classifier takes what it was never told of for something it knows; the vision features do not.
    """
    unit = nn.functional.normalize(vision.values, dim=1)
    seen = probability * vision.valid[:, None]
    prototypes = nn.functional.normalize(seen.T @ unit, dim=1)
    cosine = (unit @ prototypes.T).clamp(min=0)
    return (probability * torch.where(vision.valid[:, None], cosine, 1.0)).sum(dim=1)


def spread(
    places: Float[Tensor, "V 3"], looks: Float[Tensor, "V D"], weight: Float[Tensor, " V"], count: int
) -> Int[Tensor, " count"]:
    """Voxels chosen one by one: the greatest weight times distance, up to 1, to those chosen before."""
    chosen = []
    distance = torch.ones_like(weight)
    for _ in range(count):
        best = (weight * distance).argmax()
        chosen.append(best)
        apart = (places - places[best]).square().sum(dim=1) / APART**2
        apart = apart + (looks - looks[best]).square().sum(dim=1)
        distance = torch.minimum(distance, apart.sqrt())
    return torch.stack(chosen) if chosen else torch.zeros(0, dtype=torch.long, device=weight.device)
