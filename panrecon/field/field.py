"""The panoptic field: signed distance, colour, class, instance and distilled feature of every point of a scene.

Architecture: PanopticRecon (Yu et al. 2024); signed distance and sharpness: NeuS (Wang et al. 2021).
"""

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, assert_never

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from panrecon.config import FieldSettings
from panrecon.field.cpu.compiled import ensure_compiled
from panrecon.field.cpu.hash_encoding import CpuHashVolumes
from panrecon.field.cpu.mlp import distance, network
from panrecon.field.encoding import (
    AppearanceAndSemantics,
    Encoding,
    GeometryEncoding,
    HashGrid,
    HashVolumes,
    level_resolutions,
)
from panrecon.field.parameters import FieldParameters

SOFTPLUS_BETA: Final = 100.0  # NeuS: nearly a ReLU, but with a second derivative


@dataclass(frozen=True)
class SceneBox:
    """The world region the field covers (m); `side` is its longest side, mapped to [0, 1]."""

    origin: Float[np.ndarray, "3"]
    size: Float[np.ndarray, "3"]

    @property
    def side(self) -> float:
        return float(self.size.max())


@dataclass(frozen=True)
class Geometry:
    """Signed distance (m, positive in free space), its gradient by world position, and the hidden layer behind it."""

    sdf: Float[Tensor, " n"]
    gradient: Float[Tensor, "n 3"]
    hidden: Float[Tensor, "n H"]

    def at(self, rows: Int[Tensor, " m"]) -> "Geometry":
        """That of some of the points."""
        return Geometry(*(values.index_select(0, rows) for values in (self.sdf, self.gradient, self.hidden)))


@dataclass(frozen=True)
class FieldSample:
    """The field at n points: `color` in [0, 1], `category` and `instance` as logits (last instance: none)."""

    geometry: Geometry
    color: Float[Tensor, "n 3"]
    feature: Float[Tensor, "n D"]
    category: Float[Tensor, "n C"]
    instance: Float[Tensor, "n I1"]


class GeometryHead(nn.Module):
    """An MLP of one hidden layer from position and features to signed distance, with its gradient in closed form.

    On a CPU by compiled kernels. Losses cannot read the hidden layer. Untrained, the distance is about
    `initial_distance` (m) everywhere.
    """

    def __init__(self, encoding_width: int, hidden_width: int, initial_distance: float) -> None:
        super().__init__()
        self.hidden = nn.Linear(encoding_width + 3, hidden_width)
        self.distance = nn.Linear(hidden_width, 1)
        nn.init.constant_(self.distance.bias, initial_distance)

    def forward(self, positions: Float[Tensor, "n 3"], encoding: GeometryEncoding) -> Geometry:
        """Distance and gradient by `positions`, chained through the Jacobian of the encoding."""
        if not positions.is_cpu:
            return self.plain(positions, encoding)
        inputs = (positions, encoding.features, encoding.jacobian, SOFTPLUS_BETA)
        layers = (self.hidden.weight, self.hidden.bias, self.distance.weight, self.distance.bias)
        return Geometry(*distance(*inputs, *layers))

    def plain(self, positions: Float[Tensor, "n 3"], encoding: GeometryEncoding) -> Geometry:
        """The same in plain torch, on any device."""
        before = self.hidden(torch.cat([encoding.features, positions], dim=1))
        hidden = nn.functional.softplus(before, beta=SOFTPLUS_BETA)
        by_input = (self.distance.weight * torch.sigmoid(SOFTPLUS_BETA * before)) @ self.hidden.weight
        through_features = (by_input[:, None, :-3] @ encoding.jacobian).squeeze(1)
        return Geometry(self.distance(hidden).squeeze(1), through_features + by_input[:, -3:], hidden.detach())


class PanopticField(nn.Module):
    """Signed distance, colour, feature, class and instance at world points.

    Labels read the hidden layer of the geometry without a gradient: noise in them cannot bend the surface.
    """

    def __init__(
        self,
        encoding: Encoding,
        box: SceneBox,
        hidden_width: int,
        truncation: float,
        categories: int,
        instances: int,
        feature_width: int = 0,
        parameters: FieldParameters = FieldParameters(),
    ) -> None:
        super().__init__()
        self.encoding = encoding
        self.truncation = truncation  # m: its distance and labels are supervised so near to a surface
        self.side = box.side
        self.origin: Float[Tensor, 3]
        self.register_buffer("origin", torch.tensor(box.origin, dtype=torch.float32), persistent=False)
        width = encoding.width
        self.geometry_head = GeometryHead(width, hidden_width, parameters.initial_distance * truncation)
        self.color_head = mlp(width + 6, hidden_width, 3, layers=3)
        self.feature_head = mlp(width, hidden_width, feature_width, layers=2)
        self.category_head = mlp(width + hidden_width, hidden_width, categories, layers=2)
        self.instance_head = mlp(width, hidden_width, instances + 1, layers=2)
        initial_sharpness = parameters.initial_sharpness / truncation
        self.log_sharpness = nn.Parameter(torch.tensor(math.log(initial_sharpness) / 10))

    @property
    def sharpness(self) -> Float[Tensor, ""]:
        """Slope of the sigmoid that turns distance into opacity, 1/m."""
        return torch.exp(10 * self.log_sharpness)

    def unit_positions(self, points: Float[Tensor, "n 3"]) -> Float[Tensor, "n 3"]:
        """World points in the coordinates of the encoding."""
        return (points - self.origin) / self.side

    def geometry(self, points: Float[Tensor, "n 3"]) -> Geometry:
        """The surface at world points, without the other volumes."""
        positions = self.unit_positions(points)
        return self._in_metres(self.geometry_head(positions, self.encoding.geometry(positions)))

    def appearance_and_semantics(
        self, points: Float[Tensor, "n 3"], geometry: Geometry, directions: Float[Tensor, "n 3"] | None = None
    ) -> FieldSample:
        """Everything at world points whose geometry is known, seen along unit `directions`.

        Colour reaches the geometry through its normals, where it has a gradient.
        """
        return self._sample(geometry, self.encoding.appearance_and_semantics(self.unit_positions(points)), directions)

    def forward(self, points: Float[Tensor, "n 3"], directions: Float[Tensor, "n 3"] | None = None) -> FieldSample:
        """Everything at world points seen along unit `directions`; without them, straight onto the surface."""
        positions = self.unit_positions(points)
        encoding = self.encoding(positions)
        geometry = self._in_metres(self.geometry_head(positions, encoding.geometry))
        return self._sample(geometry, encoding, directions)

    def _sample(
        self, geometry: Geometry, encoding: AppearanceAndSemantics, directions: Float[Tensor, "n 3"] | None
    ) -> FieldSample:
        normals = nn.functional.normalize(geometry.gradient, dim=1)
        seen_along = -normals if directions is None else directions
        return FieldSample(
            geometry,
            torch.sigmoid(self.color_head(encoding.color, normals, seen_along)),
            self.feature_head(encoding.semantics),
            self.category_head(encoding.semantics, geometry.hidden),
            self.instance_head(encoding.instances),
        )

    def _in_metres(self, unit: Geometry) -> Geometry:
        return Geometry(unit.sdf, unit.gradient / self.side, unit.hidden)


class NoOutput(nn.Module):
    """The head of a quantity the scene does not have: zero columns, which send nobody a gradient of zeros."""

    def forward(self, inputs: Float[Tensor, "n _"], *more: Float[Tensor, "n _"]) -> Float[Tensor, "n 0"]:
        return inputs.new_empty(len(inputs), 0)


class Network(nn.Sequential):
    """Linear layers with ReLU between them, of inputs side by side; on a CPU by compiled kernels."""

    def forward(self, *inputs: Float[Tensor, "n _"]) -> Float[Tensor, "n O"]:
        return network(len(inputs), *inputs, *self.parameters()) if inputs[0].is_cpu else self.plain(*inputs)

    def plain(self, *inputs: Float[Tensor, "n _"]) -> Float[Tensor, "n O"]:
        """The same in plain torch, on any device."""
        together = inputs[0] if len(inputs) == 1 else torch.cat(inputs, dim=1)
        outputs: Tensor = super().forward(together)  # type: ignore[no-untyped-call]
        return outputs


def mlp(inputs: int, hidden: int, outputs: int, layers: int) -> nn.Module:
    """`layers` linear layers with ReLU between them; nothing where there are no outputs."""
    if outputs == 0:
        return NoOutput()
    widths = [inputs, *[hidden] * (layers - 1), outputs]
    modules: list[nn.Module] = []
    for a, b in pairwise(widths):
        modules += [nn.Linear(a, b), nn.ReLU()]
    return Network(*modules[:-1])


def build_field(
    box: SceneBox,
    settings: FieldSettings,
    categories: int,
    instances: int,
    feature_width: int,
    device: torch.device | None = None,
    parameters: FieldParameters = FieldParameters(),
) -> PanopticField:
    """An untrained field whose finest cell is `settings.finest_cell` metres; drawn from torch's global generator.

    Encoded by compiled kernels on a CPU, the default, and elsewhere as `settings.encoding` says; the parameters are the
    same.
    """
    finest = max(settings.base_resolution, round(box.side / settings.finest_cell))
    resolutions = level_resolutions(settings.levels, settings.base_resolution, finest)
    volumes = _volumes(settings, device or torch.device("cpu"))
    grid = HashGrid(resolutions, settings.features_per_level, settings.log2_table_size, parameters.initial_table_range)
    sizes = (categories, instances, feature_width)
    field = PanopticField(volumes(grid), box, settings.hidden_width, settings.truncation, *sizes, parameters)
    return field.to(device)


def _volumes(settings: FieldSettings, device: torch.device) -> type[HashVolumes]:
    match settings.encoding, device.type:
        case _, "cpu":
            ensure_compiled()
            return CpuHashVolumes
        case "auto", _:
            return HashVolumes
        case "tcnn", _:
            from panrecon.field.tcnn import TcnnVolumes

            return TcnnVolumes
        case _:
            assert_never(settings.encoding)
