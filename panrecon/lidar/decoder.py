"""Transformer decoder: queries attend to voxels inside their own masks and to each other; predictions at every layer.

Masked focal attention: P3Former (Xiao et al., 2023); gated update: K-Net (Zhang et al., NeurIPS 2021).
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from panrecon.lidar.classify import Classifier
from panrecon.lidar.fusion import VoxelVision
from panrecon.lidar.losses import mask_pooling
from panrecon.lidar.position import VoxelFeatures
from panrecon.lidar.queries import InitialQueries
from panrecon.lidar.settings import NetworkSettings
from panrecon.structures import VOID


@dataclass(frozen=True)
class Prediction:
    """Predictions at one layer: mask logits, the part of them due to position alone, and class embeddings.

    A voxel is inside a mask where its logit is above 0.
    """

    mask: Float[Tensor, "Q V"]
    position_mask: Float[Tensor, "Q V"]
    embedding: Float[Tensor, "Q D"]


@dataclass(frozen=True)
class AnchorDistances:
    """Distances of all voxels to the voxel that each query is anchored at; 0 for queries without an anchor.

    Squared distances are horizontal (m^2). Appearance distances are 1 - cosine of the vision features, in [0, 2], and 0
    where either voxel is in no image.
    """

    squared_distance: Float[Tensor, "Q V"]
    appearance_distance: Float[Tensor, "Q V"]


def anchor_distances(initial: InitialQueries, voxels: VoxelFeatures, vision: VoxelVision) -> AnchorDistances:
    """Horizontal and appearance distances between queries' anchors and all voxels of a scan."""
    if not len(voxels.xyz):
        empty = voxels.xyz.new_zeros(len(initial.anchor), 0)
        return AnchorDistances(empty, empty)
    anchor = initial.anchor
    has_anchor = (anchor != VOID)[:, None]
    offset = voxels.xyz[anchor, None, :2] - voxels.xyz[None, :, :2]
    appearance = nn.functional.normalize(vision.values, dim=1)
    both_valid = has_anchor & vision.valid[anchor, None] & vision.valid
    appearance_distance = torch.where(both_valid, 1 - appearance[anchor] @ appearance.T, 0.0)
    return AnchorDistances(offset.square().sum(dim=2) * has_anchor, appearance_distance)


def mlp(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    """Two linear layers with a ReLU between them."""
    return nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, outputs))


def zero_initialized_linear(width: int) -> nn.Linear:
    """A linear layer of one output that is 0 before training."""
    layer = nn.Linear(width, 1)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


class GatedUpdate(nn.Module):
    """K-Net's update: attended features and queries, mixed by gates that depend on both."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.from_features = nn.Linear(width, 2 * width)
        self.from_queries = nn.Linear(width, 2 * width)
        self.gates = nn.ModuleList([nn.Sequential(nn.Linear(width, width), nn.LayerNorm(width)) for _ in range(2)])
        self.norms = nn.ModuleList([nn.LayerNorm(width) for _ in range(2)])
        self.output = nn.Sequential(nn.Linear(width, width), nn.LayerNorm(width), nn.ReLU())

    def forward(self, attended: Float[Tensor, "Q C"], queries: Float[Tensor, "Q C"]) -> Float[Tensor, "Q C"]:
        """The updated queries; `attended` are the sums of voxel features that the queries attended to."""
        attended_gate, attended_value = self.from_features(attended).chunk(2, dim=1)
        query_gate, query_value = self.from_queries(queries).chunk(2, dim=1)
        joint_gate = attended_gate * query_gate
        values = (norm(value) for norm, value in zip(self.norms, (attended_value, query_value), strict=True))
        gated = [torch.sigmoid(gate(joint_gate)) * value for gate, value in zip(self.gates, values, strict=True)]
        return self.output(gated[0] + gated[1])


class DecoderLayer(nn.Module):
    """Masked focal attention with gated update, self-attention among queries, feed-forward network."""

    def __init__(self, width: int, heads: int, feed_forward_width: int) -> None:
        super().__init__()
        self.update = GatedUpdate(width)
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.attention_norm = nn.LayerNorm(width)
        self.feed_forward = mlp(width, feed_forward_width, width)
        self.feed_forward_norm = nn.LayerNorm(width)

    def forward(
        self, queries: Float[Tensor, "Q C"], features: Float[Tensor, "V C"], mask: Float[Tensor, "Q V"]
    ) -> Float[Tensor, "Q C"]:
        """The queries after the layer; `mask` are the logits at the layer before. An empty mask attends to zeros."""
        attended = (mask.detach() > 0).to(features.dtype) @ features
        updated = self.update(attended, queries)[None]
        mixed = self.attention_norm(updated + self.attention(updated, updated, updated, need_weights=False)[0])
        return self.feed_forward_norm(mixed + self.feed_forward(mixed))[0]


class Decoder(nn.Module):
    """Decoder layers, and the mask and class heads that all of them share.

    Mask logits of anchored queries decrease with the squared distance from the anchor, by a radius that the query
    predicts. With `appearance` in the settings they also decrease with the appearance distance, by a scale that the
    query predicts, and class embeddings depend on the mean vision feature inside the mask.
    """

    def __init__(self, settings: NetworkSettings, between_class_cosine: float = 0.0) -> None:
        super().__init__()
        width = settings.width
        anchored = settings.anchored_queries > 0
        self.anchor_radius = settings.anchor_radius
        self.appearance_scale = settings.appearance_scale
        self.layers = nn.ModuleList(
            [DecoderLayer(width, settings.heads, settings.feed_forward_width) for _ in range(settings.layers)]
        )
        self.mask = mlp(width, width, width)
        self.position = mlp(width, width, width)
        self.log_radius = zero_initialized_linear(width) if anchored else None
        self.log_appearance = zero_initialized_linear(width) if anchored and settings.uses_appearance else None
        self.classifier = Classifier(settings, between_class_cosine)

    def forward(self, initial: InitialQueries, voxels: VoxelFeatures, vision: VoxelVision) -> list[Prediction]:
        """Predictions of the initial queries and after every layer, `layers + 1` in all."""
        queries = initial.values
        distances = anchor_distances(initial, voxels, vision)
        predictions = [self.predict(queries, voxels, distances, vision)]
        for layer in self.layers:
            queries = layer(queries, voxels.features, predictions[-1].mask)
            predictions.append(self.predict(queries, voxels, distances, vision))
        return predictions

    def predict(
        self, queries: Float[Tensor, "Q C"], voxels: VoxelFeatures, distances: AnchorDistances, vision: VoxelVision
    ) -> Prediction:
        """Masks and class embeddings of queries, by the shared heads."""
        scale = queries.shape[1] ** -0.5  # keeps logits of untrained queries of order 1
        position_mask = scale * self.position(queries) @ voxels.position_encoding.T
        if self.log_radius is not None:
            radius = self.anchor_radius * self.log_radius(queries).exp()
            position_mask = position_mask - distances.squared_distance / (2 * radius**2)
        mask = scale * self.mask(queries) @ voxels.features.T + position_mask
        if self.log_appearance is not None:
            mask = mask - self.appearance_scale * self.log_appearance(queries).exp() * distances.appearance_distance
        appearance, _ = mask_pooling(mask, vision.values, vision.valid)
        return Prediction(mask, position_mask, self.classifier(queries, appearance))
