"""The network: from a scan and the vision features of its points to masks of voxels and their class embeddings.

Open-vocabulary panoptic segmentation of LiDAR by 2D-3D vision-language distillation (arXiv 2401.02402, ECCV 2024).
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from panrecon.lidar.classify import TextEmbeddings
from panrecon.lidar.decoder import Decoder, Prediction
from panrecon.lidar.encoder import Encoder
from panrecon.lidar.fusion import Fusion, VoxelVision, voxel_vision
from panrecon.lidar.position import MixedPosition
from panrecon.lidar.queries import QueryInitializer
from panrecon.lidar.settings import NetworkSettings
from panrecon.lidar.sparse import SparseBackend
from panrecon.lidar.voxels import ScanVoxels, voxelize


@dataclass(frozen=True)
class ScanInput:
    """Points (x, y, z in metres in the sensor's frame, and intensity) and their vision features.

    Points that are not `valid` are in no image, and their features are zero.
    """

    points: Float[Tensor, "n 4"]
    features: Float[Tensor, "n D"]
    valid: Bool[Tensor, " n"]

    def to(self, device: torch.device) -> "ScanInput":
        """The same, on a device."""
        return ScanInput(self.points.to(device), self.features.to(device), self.valid.to(device))


@dataclass(frozen=True)
class NetworkOutput:
    """Voxels of a scan, their vision features, and predictions at every layer of the decoder, the final one last.

    `semantic` are the auxiliary classifier's logits of base classes; `anchor` is the voxel that each query starts from,
    `VOID` for none.
    """

    voxels: ScanVoxels
    vision: VoxelVision
    semantic: Float[Tensor, "V B"]
    predictions: list[Prediction]
    anchor: Int[Tensor, " Q"]


class PanopticNetwork(nn.Module):
    """Predicts masks and class embeddings; text embeddings are given afterwards, to `class_logits`.

    Of the classes it knows only how many are base, and which of these are stuff. `between_class_cosine` is the mean
    cosine between names of different base classes, which the classifier's bias starts from.
    """

    def __init__(
        self,
        settings: NetworkSettings,
        base_is_thing: Bool[np.ndarray, " B"],
        backend: SparseBackend | None = None,
        between_class_cosine: float = 0.0,
    ) -> None:
        super().__init__()
        self.settings = settings
        width = settings.width
        stuff = torch.from_numpy(np.flatnonzero(~base_is_thing))
        lidar_width = width if settings.geometry else 0
        vision_width = settings.embedding_width if settings.vision else 0
        self.encoder = Encoder(settings.encoder, backend) if settings.geometry else None
        self.fusion = Fusion(lidar_width, vision_width, width)
        self.position = MixedPosition(settings)
        self.semantic = nn.Linear(width, len(base_is_thing))
        self.queries = QueryInitializer(settings, stuff if settings.fixed_queries else stuff[:0])
        self.register_buffer("stuff", stuff.clone(), persistent=False)
        self.decoder = Decoder(settings, between_class_cosine)

    def forward(self, scan: ScanInput) -> NetworkOutput:
        """Predictions for one scan."""
        voxels = voxelize(scan.points[:, :3], self.settings.grid)
        vision = voxel_vision(scan.features, scan.valid, voxels)
        no_features = scan.points.new_zeros(len(voxels), 0)
        lidar = no_features if self.encoder is None else self.encoder(scan.points, voxels)
        voxel_features = self.position(self.fusion(lidar, vision), voxels)
        semantic = self.semantic(voxel_features.features)
        used_vision = vision if self.settings.vision else _no_vision(vision)
        stuff = self.get_buffer("stuff")
        initial = self.queries(self.semantic.weight, semantic, stuff, voxel_features, used_vision)
        predictions = self.decoder(initial, voxel_features, used_vision)
        return NetworkOutput(voxels, vision, semantic, predictions, initial.anchor)

    def class_logits(self, prediction: Prediction, text_embeddings: TextEmbeddings) -> Float[Tensor, "Q C"]:
        """Logits of independent sigmoids for the classes of the text embeddings, whatever classes training had."""
        return self.decoder.classifier.logits(prediction.embedding, text_embeddings)


def _no_vision(vision: VoxelVision) -> VoxelVision:
    return VoxelVision(torch.zeros_like(vision.values), torch.zeros_like(vision.valid))
