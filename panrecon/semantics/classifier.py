"""A point classifier: a small MLP from lifted features to classes, trained on the labelled points of the scene."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from panrecon.config import SemanticsSettings
from panrecon.semantics.lifting import LiftedFeatures
from panrecon.semantics.parameters import SemanticsParameters
from panrecon.structures import VOID, PointSemantics
from panrecon.threads import one_thread

PREDICT_CHUNK: Final = 65_536  # points
LabelledPoints = tuple[Tensor, Tensor]  # features and classes of points


@dataclass(frozen=True)
class FittedClassifier:
    """The network, its softmax temperature, and its accuracy on held-out superfaces (NaN where none was labelled)."""

    network: nn.Module
    temperature: float
    held_out_accuracy: float


@one_thread()
def fit_classifier(
    points: LiftedFeatures,
    category: Int[np.ndarray, " V"],
    group: Int[np.ndarray, " V"],
    category_count: int,
    settings: SemanticsSettings,
    parameters: SemanticsParameters = SemanticsParameters(),
) -> FittedClassifier:
    """The classifier trained on the points that have a feature and a category; whole groups (superfaces) are held out.

    Class-balanced cross-entropy with early stopping on the held-out points, on which probabilities are calibrated by
    temperature scaling (Guo et al., ICML 2017). Points of category `VOID` are not used.
    """
    generator = torch.Generator().manual_seed(settings.seed)
    usable = (points.weight > 0) & (category != VOID)
    is_held_out = _held_out_groups(group, settings.seed, parameters.held_out_share)[group]
    training = _labelled_points(points, category, usable & ~is_held_out)
    held_out = _labelled_points(points, category, usable & is_held_out)
    network = _network(points.feature[usable], settings.hidden_width, category_count, generator)
    if len(training[1]):
        _optimise(network, training, held_out, category_count, settings.iterations, parameters, generator)
    temperature = _temperature(network, *held_out)
    return FittedClassifier(network, temperature, _accuracy(network, *held_out))


@one_thread()
@torch.no_grad()
def predict(classifier: FittedClassifier, points: LiftedFeatures) -> PointSemantics:
    """Class probabilities of every point, all 0 where it has no feature."""
    chunks = torch.split(torch.from_numpy(points.feature), PREDICT_CHUNK)
    logits = torch.cat([classifier.network(chunk) for chunk in chunks])
    probability = torch.softmax(logits / classifier.temperature, dim=1).numpy()
    return PointSemantics(np.where(points.weight[:, None] > 0, probability, 0).astype(np.float32))


def _held_out_groups(group: Int[np.ndarray, " V"], seed: int, share: float) -> Bool[np.ndarray, " G"]:
    return np.random.default_rng(seed).random(group.max(initial=0) + 1) < share


def _labelled_points(
    points: LiftedFeatures, category: Int[np.ndarray, " V"], selected: Bool[np.ndarray, " V"]
) -> LabelledPoints:
    return torch.from_numpy(points.feature[selected]), torch.from_numpy(category[selected].astype(np.int64))


class _Standardised(nn.Module):
    """Normalises features to zero mean and unit deviation over the training points."""

    mean: Tensor
    scale: Tensor

    def __init__(self, features: Float[np.ndarray, "n D"]) -> None:
        super().__init__()
        deviation = features.std(axis=0) if len(features) else np.ones(features.shape[1], np.float32)
        mean = features.mean(axis=0) if len(features) else np.zeros(features.shape[1], np.float32)
        self.register_buffer("mean", torch.from_numpy(mean))
        self.register_buffer("scale", torch.from_numpy(1 / np.maximum(deviation, 1e-6)))

    def forward(self, feature: Tensor) -> Tensor:
        return (feature - self.mean) * self.scale


def _network(features: Float[np.ndarray, "n D"], width: int, categories: int, generator: torch.Generator) -> nn.Module:
    network = nn.Sequential(
        _Standardised(features), nn.Linear(features.shape[1], width), nn.GELU(), nn.Linear(width, categories)
    )
    with torch.no_grad():
        for layer in network:
            if isinstance(layer, nn.Linear):
                layer.weight.normal_(0, layer.in_features**-0.5, generator=generator)
                layer.bias.zero_()
    return network


def _optimise(
    network: nn.Module,
    training: LabelledPoints,
    held_out: LabelledPoints,
    category_count: int,
    iterations: int,
    parameters: SemanticsParameters,
    generator: torch.Generator,
) -> None:
    """Adam on class-balanced batches; leaves the weights of the lowest held-out loss in the network."""
    feature, target = training
    balanced = 1 / torch.bincount(target, minlength=category_count).clamp(min=1)[target].double()
    drawn = torch.multinomial(balanced, iterations * parameters.batch_size, replacement=True, generator=generator)
    optimiser = torch.optim.Adam(
        network.parameters(), lr=parameters.learning_rate, weight_decay=parameters.weight_decay
    )
    lowest_loss = float("inf")
    best_state = _state(network)
    without_improvement = 0
    for step, batch in enumerate(drawn.view(iterations, parameters.batch_size)):
        optimiser.zero_grad()
        nn.functional.cross_entropy(network(feature[batch]), target[batch]).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        if step % parameters.check_interval == 0 and len(held_out[1]):
            loss = _balanced_loss(network, *held_out)
            if loss < lowest_loss:
                lowest_loss = loss
                best_state = _state(network)
                without_improvement = 0
            else:
                without_improvement += 1
            if without_improvement > parameters.patience:
                break
    if len(held_out[1]):
        network.load_state_dict(best_state)


def _state(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


@torch.no_grad()
def _balanced_loss(network: nn.Module, feature: Tensor, target: Tensor) -> float:
    logits = network(feature)
    weight = 1 / torch.bincount(target, minlength=logits.shape[1]).clamp(min=1).to(logits.dtype)
    return float(nn.functional.cross_entropy(logits, target, weight=weight))


@torch.no_grad()
def _temperature(network: nn.Module, feature: Tensor, target: Tensor) -> float:
    """The softmax temperature of the greatest likelihood of the held-out points; 1 where there are none."""
    if not len(target):
        return 1.0
    logits = network(feature)
    candidates = torch.logspace(-1, 1, 41)
    losses = torch.stack([nn.functional.cross_entropy(logits / temperature, target) for temperature in candidates])
    return float(candidates[losses.argmin()])


@torch.no_grad()
def _accuracy(network: nn.Module, feature: Tensor, target: Tensor) -> float:
    return float((network(feature).argmax(dim=1) == target).float().mean()) if len(target) else float("nan")
