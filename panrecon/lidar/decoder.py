"""Queries look at the voxels of their own masks, at each other, and tell masks and meanings after every layer.

Masked focal attention: P3Former (Xiao et al., 2023); gated update: K-Net (Zhang et al., NeurIPS 2021).
"""

from dataclasses import dataclass
from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from panrecon.lidar.classify import Classifier
from panrecon.lidar.fusion import VoxelVision
from panrecon.lidar.losses import mask_features
from panrecon.lidar.position import Placed
from panrecon.lidar.queries import Start
from panrecon.structures import VOID

UNLIKE: Final = 4.0  # of a mask's logit, by which the look of another kind lowers it at first
REACH_OF_QUERY: Final = 3.0  # m around its voxel that a query starts with, about half a vehicle


@dataclass(frozen=True)
class Prediction:
    """After one layer: logits of every query's mask, the part of them that position alone gives, and embeddings."""

    mask: Float[Tensor, "Q V"]
    position_mask: Float[Tensor, "Q V"]
    embedding: Float[Tensor, "Q D"]


@dataclass(frozen=True)
class Apart:
    """Of every voxel, how far it is from the one that a query starts from, and how unlike it it looks.

    Squared distances are seen from above (m^2), unlikeness is 1 - cosine of the vision features. Both are 0 for queries
    that start from no voxel, unlikeness also where either was in no image.
    """

    squared_distance: Float[Tensor, "Q V"]
    unlikeness: Float[Tensor, "Q V"]


def apart(start: Start, placed: Placed, vision: VoxelVision) -> Apart:
    """Queries and the voxels they start from, held against all voxels."""
    if not len(placed.places):
        none = placed.places.new_zeros(len(start.seed), 0)
        return Apart(none, none)
    begun = (start.seed != VOID)[:, None]
    steps = placed.places[start.seed, None, :2] - placed.places[None, :, :2]
    looks = nn.functional.normalize(vision.values, dim=1)
    both = begun & vision.valid[start.seed, None] & vision.valid
    return Apart(steps.square().sum(dim=2) * begun, torch.where(both, 1 - looks[start.seed] @ looks.T, 0.0))


def perceptron(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, outputs))


def silent(width: int) -> nn.Linear:
    """One number a query, 0 before training."""
    layer = nn.Linear(width, 1)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


class GatedUpdate(nn.Module):
    """What a query saw and what it was, mixed by gates that depend on both."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.seen = nn.Linear(width, 2 * width)
        self.known = nn.Linear(width, 2 * width)
        self.gates = nn.ModuleList([nn.Sequential(nn.Linear(width, width), nn.LayerNorm(width)) for _ in range(2)])
        self.norms = nn.ModuleList([nn.LayerNorm(width) for _ in range(2)])
        self.output = nn.Sequential(nn.Linear(width, width), nn.LayerNorm(width), nn.ReLU())

    def forward(self, seen: Float[Tensor, "Q C"], queries: Float[Tensor, "Q C"]) -> Float[Tensor, "Q C"]:
        seen_gate, seen_value = self.seen(seen).chunk(2, dim=1)
        known_gate, known_value = self.known(queries).chunk(2, dim=1)
        together = seen_gate * known_gate
        values = (norm(value) for norm, value in zip(self.norms, (seen_value, known_value), strict=True))
        gated = [torch.sigmoid(gate(together)) * value for gate, value in zip(self.gates, values, strict=True)]
        return self.output(gated[0] + gated[1])


class Layer(nn.Module):
    """Masked focal attention, self-attention, feed-forward."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.update = GatedUpdate(width)
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.attention_norm = nn.LayerNorm(width)
        self.feed = perceptron(width, hidden, width)
        self.feed_norm = nn.LayerNorm(width)

    def forward(
        self, queries: Float[Tensor, "Q C"], features: Float[Tensor, "V C"], mask: Float[Tensor, "Q V"]
    ) -> Float[Tensor, "Q C"]:
        """`mask`: the logits before. A query whose mask is empty sees zeros."""
        seen = (mask.detach() > 0).to(features.dtype) @ features
        updated = self.update(seen, queries)[None]
        attended = self.attention_norm(updated + self.attention(updated, updated, updated, need_weights=False)[0])
        return self.feed_norm(attended + self.feed(attended))[0]


class Decoder(nn.Module):
    """Layers, and the heads that all of them share.

    With `places`, masks of queries that start from a voxel fade with the distance from it, as far as the query says.
    With `looks`, they fade also with how unlike it a voxel looks, as much as the query says, and meanings hear of what
    the mask looks like.
    """

    def __init__(
        self,
        width: int,
        layers: int,
        heads: int,
        hidden: int,
        embedding: int,
        typical: float = 0.0,
        places: bool = False,
        looks: bool = False,
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList([Layer(width, heads, hidden) for _ in range(layers)])
        self.mask = perceptron(width, width, width)
        self.position = perceptron(width, width, width)
        self.reach = silent(width) if places else None
        self.taste = silent(width) if places and looks else None
        self.classifier = Classifier(width, embedding, typical, looks)

    def forward(self, start: Start, placed: Placed, vision: VoxelVision) -> list[Prediction]:
        """The predictions of the queries as they come, and after every layer."""
        queries, far = start.values, apart(start, placed, vision)
        found = [self.predict(queries, placed, far, vision)]
        for layer in self.layers:
            queries = layer(queries, placed.features, found[-1].mask)
            found.append(self.predict(queries, placed, far, vision))
        return found

    def predict(self, queries: Float[Tensor, "Q C"], placed: Placed, far: Apart, vision: VoxelVision) -> Prediction:
        scale = queries.shape[1] ** -0.5  # keeps logits of untrained queries of order 1
        position = scale * self.position(queries) @ placed.position.T
        if self.reach is not None:
            position = position - far.squared_distance / (2 * (REACH_OF_QUERY * self.reach(queries).exp()) ** 2)
        mask = scale * self.mask(queries) @ placed.features.T + position
        if self.taste is not None:
            mask = mask - UNLIKE * self.taste(queries).exp() * far.unlikeness
        looks, _ = mask_features(mask, vision.values, vision.valid)
        return Prediction(mask, position, self.classifier(queries, looks))
