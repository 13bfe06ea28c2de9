"""The whole network: a scan and the vision features of its points to masks of voxels and what they mean.

Open-vocabulary panoptic segmentation of LiDAR by 2D-3D vision-language distillation (arXiv 2401.02402, ECCV 2024).
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from panrecon.lidar.classify import Vocabulary
from panrecon.lidar.decoder import Decoder, Prediction
from panrecon.lidar.encoder import Encoder
from panrecon.lidar.fusion import Fusion, VoxelVision, voxel_vision
from panrecon.lidar.position import MixedPosition
from panrecon.lidar.queries import Queries
from panrecon.lidar.settings import NetworkSizes
from panrecon.lidar.sparse import SparseBackend
from panrecon.lidar.voxels import Voxels, voxelize


@dataclass(frozen=True)
class ScanInput:
    """All that the network sees of a scan: x, y, z (m) and intensity of points, vision features and which have any."""

    points: Float[Tensor, "n 4"]
    features: Float[Tensor, "n D"]
    valid: Bool[Tensor, " n"]

    def to(self, device: torch.device) -> "ScanInput":
        return ScanInput(self.points.to(device), self.features.to(device), self.valid.to(device))


@dataclass(frozen=True)
class Output:
    """Predictions after every layer, last at the end; `semantic` are logits of base classes, for training alone."""

    voxels: Voxels
    vision: VoxelVision
    semantic: Float[Tensor, "V B"]
    predictions: list[Prediction]
    seed: Int[Tensor, " Q"]


class PanopticNetwork(nn.Module):
    """Knows the number of base classes and which of them are stuff; words are given when classes are wanted.

    `typical`: the cosine between names of different classes, from which the classifier starts.
    """

    def __init__(
        self,
        sizes: NetworkSizes,
        base_is_thing: Bool[np.ndarray, " B"],
        backend: SparseBackend | None = None,
        typical: float = 0.0,
    ) -> None:
        super().__init__()
        self.sizes = sizes
        width = sizes.width
        self.encoder = Encoder(sizes.encoder, backend) if sizes.geometry else None
        self.fusion = Fusion(width if sizes.geometry else 0, sizes.embedding if sizes.vision else 0, width)
        self.position = MixedPosition(width, sizes.waves)
        self.semantic = nn.Linear(width, len(base_is_thing))
        stuff = np.flatnonzero(~base_is_thing) if sizes.fixed_queries else np.empty(0, np.int64)
        self.queries = Queries(width, sizes.free_queries, sizes.sampled_queries, torch.from_numpy(stuff))
        self.register_buffer("stuff", torch.from_numpy(np.flatnonzero(~base_is_thing)), persistent=False)
        places = sizes.sampled_queries > 0
        shape = (width, sizes.layers, sizes.heads, sizes.hidden, sizes.embedding)
        self.decoder = Decoder(*shape, typical, places, sizes.looks and sizes.vision)

    def forward(self, scan: ScanInput) -> Output:
        voxels = voxelize(scan.points[:, :3], self.sizes.grid)
        vision = voxel_vision(scan.features, scan.valid, voxels)
        none = scan.points.new_zeros(len(voxels), 0)
        lidar = none if self.encoder is None else self.encoder(scan.points, voxels)
        placed = self.position(self.fusion(lidar, vision), voxels)
        semantic = self.semantic(placed.features)
        looks = vision if self.sizes.vision else VoxelVision(*map(torch.zeros_like, (vision.values, vision.valid)))
        queries = self.queries(self.semantic.weight, semantic, self.get_buffer("stuff"), placed, looks)
        predictions = self.decoder(queries, placed, looks)
        return Output(voxels, vision, semantic, predictions, queries.seed)

    def class_logits(self, prediction: Prediction, words: Vocabulary) -> Float[Tensor, "Q C"]:
        return self.decoder.classifier.logits(prediction.embedding, words)
