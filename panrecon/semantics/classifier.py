"""A small network that learns class from distilled feature on labelled points, and then labels every point."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from panrecon.config import SemanticsSettings
from panrecon.semantics.lifting import LiftedFeatures
from panrecon.structures import VOID, PointSemantics
from panrecon.threads import one_thread

BATCH = 4096
LEARNING_RATE = 1e-2
HELD_OUT = 0.2  # share of the superfaces kept for early stopping and calibration
CHECK_EVERY = 20  # steps between looks at the held-out points
PATIENCE = 5  # looks without improvement
PREDICT_CHUNK = 65_536


@dataclass(frozen=True)
class FittedClassifier:
    """The network, its softmax temperature and its accuracy on superfaces it was not trained on."""

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
) -> FittedClassifier:
    """Trained on the points that have a feature and a category; whole groups (superfaces) are held out.

    Cross-entropy, every class of equal weight; stopped where the held-out loss no longer falls; probabilities
    calibrated there by one temperature (Guo et al., ICML 2017).
    """
    generator = torch.Generator().manual_seed(settings.seed)
    usable = (points.weight > 0) & (category != VOID)
    held_out = _held_out_groups(group, settings.seed)[group]
    train, check = (_tensors(points, category, usable & chosen) for chosen in (~held_out, held_out))
    network = _network(points.feature[usable], settings.hidden_width, category_count, generator)
    if len(train[1]):
        _optimise(network, train, check, category_count, settings.iterations, generator)
    temperature = _temperature(network, *check)
    return FittedClassifier(network, temperature, _accuracy(network, *check))


@one_thread()
@torch.no_grad()
def predict(classifier: FittedClassifier, points: LiftedFeatures) -> PointSemantics:
    """Class probabilities of every point that has a feature."""
    chunks = torch.split(torch.from_numpy(points.feature), PREDICT_CHUNK)
    logits = torch.cat([classifier.network(chunk) for chunk in chunks])
    probability = torch.softmax(logits / classifier.temperature, dim=1).numpy()
    return PointSemantics(np.where(points.weight[:, None] > 0, probability, 0).astype(np.float32))


def _held_out_groups(group: Int[np.ndarray, " V"], seed: int) -> Bool[np.ndarray, " G"]:
    return np.random.default_rng(seed).random(group.max(initial=0) + 1) < HELD_OUT


def _tensors(
    points: LiftedFeatures, category: Int[np.ndarray, " V"], chosen: Bool[np.ndarray, " V"]
) -> tuple[Tensor, Tensor]:
    return torch.from_numpy(points.feature[chosen]), torch.from_numpy(category[chosen].astype(np.int64))


class _Standardised(nn.Module):
    """Zero mean and unit deviation, by the training points."""

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
    train: tuple[Tensor, Tensor],
    check: tuple[Tensor, Tensor],
    categories: int,
    iterations: int,
    generator: torch.Generator,
) -> None:
    """Adam on batches in which every class is equally likely; keeps the weights of the best look."""
    feature, target = train
    balanced = 1 / torch.bincount(target, minlength=categories).clamp(min=1)[target].double()
    drawn = torch.multinomial(balanced, iterations * BATCH, replacement=True, generator=generator)
    optimiser = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE, weight_decay=1e-4)
    best, best_state, waited = float("inf"), _state(network), 0
    for step, batch in enumerate(drawn.view(iterations, BATCH)):
        optimiser.zero_grad()
        nn.functional.cross_entropy(network(feature[batch]), target[batch]).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        if step % CHECK_EVERY == 0 and len(check[1]):
            loss = _balanced_loss(network, *check)
            best, best_state, waited = (loss, _state(network), 0) if loss < best else (best, best_state, waited + 1)
            if waited > PATIENCE:
                break
    if len(check[1]):
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
    """The softmax temperature under which the held-out points are most likely; 1 where there are none."""
    if not len(target):
        return 1.0
    logits = network(feature)
    candidates = torch.logspace(-1, 1, 41)
    losses = torch.stack([nn.functional.cross_entropy(logits / one, target) for one in candidates])
    return float(candidates[losses.argmin()])


@torch.no_grad()
def _accuracy(network: nn.Module, feature: Tensor, target: Tensor) -> float:
    return float((network(feature).argmax(dim=1) == target).float().mean()) if len(target) else float("nan")
