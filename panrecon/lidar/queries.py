"""Initial queries of the decoder: one for every base stuff class, and a free set for everything else."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from panrecon.lidar.fusion import VoxelVision
from panrecon.lidar.position import VoxelFeatures
from panrecon.lidar.settings import NetworkSettings
from panrecon.structures import VOID


@dataclass(frozen=True)
class InitialQueries:
    """Queries before the first decoder layer, and the voxel that each is anchored at, `VOID` for none."""

    values: Float[Tensor, "Q C"]
    anchor: Int[Tensor, " Q"]


class QueryInitializer(nn.Module):
    """Fixed queries come first; they are rows of the auxiliary semantic classifier's weights (P3Former).

    Of the free ones, the first `anchored_queries` of the settings also start from a voxel each, as those of Mask3D
    (Schult et al., ICRA 2023) from points: from a few scans queries do not learn to divide space among themselves.
    Voxels are taken that do not resemble base stuff and are far apart, so that things, base and novel, are among them.
    """

    def __init__(self, settings: NetworkSettings, fixed_classes: Int[Tensor, " K"]) -> None:
        super().__init__()
        width = settings.width
        self.free = nn.Embedding(settings.free_queries, width)
        self.anchored = settings.anchored_queries
        self.spacing = settings.anchor_spacing
        self.anchor_projection = nn.Linear(2 * width, width) if self.anchored else None
        self.register_buffer("fixed_classes", fixed_classes, persistent=False)

    @property
    def fixed(self) -> int:
        """The number of fixed queries."""
        return len(self.get_buffer("fixed_classes"))

    def forward(
        self,
        semantic_weights: Float[Tensor, "B C"],
        semantic_logits: Float[Tensor, "V B"],
        stuff: Int[Tensor, " S"],
        voxels: VoxelFeatures,
        vision: VoxelVision,
    ) -> InitialQueries:
        """Queries for a scan from its auxiliary semantic segmentation; `stuff` are the base stuff classes."""
        free = self.free.weight
        anchor = torch.full((self.fixed + len(free),), VOID, dtype=torch.long, device=free.device)
        if self.anchor_projection is not None and len(voxels.xyz):
            stuff_probability = semantic_logits.detach().softmax(dim=1)[:, stuff]
            weight = 1 - stuff_similarity(stuff_probability, vision)
            appearance = nn.functional.normalize(vision.values, dim=1)
            sampled = sample_anchors(voxels.xyz, appearance, weight, self.anchored, self.spacing)
            anchor[self.fixed : self.fixed + self.anchored] = sampled
            at_anchor = torch.cat([voxels.features[sampled], voxels.position_encoding[sampled]], dim=1)
            free = torch.cat([free[: self.anchored] + self.anchor_projection(at_anchor), free[self.anchored :]])
        return InitialQueries(torch.cat([semantic_weights[self.get_buffer("fixed_classes")], free]), anchor)


def stuff_similarity(probability: Float[Tensor, "V S"], vision: VoxelVision) -> Float[Tensor, " V"]:
    """How probably a voxel is of a base stuff class, times its cosine to that class's mean feature; in [0, 1].

    The classifier alone assigns novel classes to base ones with confidence; their vision features differ all the same.
    Cosines below 0 count as 0, those of voxels without vision features as 1.
    """
    unit = nn.functional.normalize(vision.values, dim=1)
    valid_probability = probability * vision.valid[:, None]
    prototypes = nn.functional.normalize(valid_probability.T @ unit, dim=1)
    cosine = (unit @ prototypes.T).clamp(min=0)
    return (probability * torch.where(vision.valid[:, None], cosine, 1.0)).sum(dim=1)


def sample_anchors(
    xyz: Float[Tensor, "V 3"],
    appearance: Float[Tensor, "V D"],
    weight: Float[Tensor, " V"],
    count: int,
    spacing: float,
) -> Int[Tensor, " count"]:
    """Voxels by weighted farthest point sampling: each maximizes weight times distance to those sampled before.

    The distance is Euclidean over position in units of `spacing` (m) and unit appearance vectors, truncated at 1. A
    voxel is sampled several times where `count` exceeds what is left.
    """
    anchors = []
    distance = torch.ones_like(weight)
    for _ in range(count):
        anchor = (weight * distance).argmax()
        anchors.append(anchor)
        squared = (xyz - xyz[anchor]).square().sum(dim=1) / spacing**2
        squared = squared + (appearance - appearance[anchor]).square().sum(dim=1)
        distance = torch.minimum(distance, squared.sqrt())
    return torch.stack(anchors) if anchors else torch.zeros(0, dtype=torch.long, device=weight.device)
