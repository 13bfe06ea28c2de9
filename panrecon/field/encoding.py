"""Multi-resolution hash volumes with their Jacobian written out (Instant-NGP, Mueller et al. 2022).

An encoding is linear in its table, so features and their derivatives by position are both plain weighted sums of
table rows. Losses on gradients of the field therefore need first-order differentiation only.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from panrecon.field.parameters import FieldParameters

VOLUMES: Final = 4  # geometry, colour, semantics, instances: the order of a table row
HASH_PRIMES: Final = (1, 2654435761, 805459861)  # Instant-NGP, equation 4
ROW_BLOCK: Final = 8  # a level has a multiple of so many rows, as in tiny-cuda-nn


@dataclass(frozen=True)
class GeometryEncoding:
    """Features of the geometry volume and their derivatives by position in [0, 1]^3."""

    features: Float[Tensor, "N E"]
    jacobian: Float[Tensor, "N E 3"]


@dataclass(frozen=True)
class AppearanceAndSemantics:
    """Features of the colour, semantics and instance volumes."""

    color: Float[Tensor, "N E"]
    semantics: Float[Tensor, "N E"]
    instances: Float[Tensor, "N E"]


@dataclass(frozen=True)
class VolumeEncoding(AppearanceAndSemantics):
    """Features of all four volumes at the same positions."""

    geometry: GeometryEncoding


@runtime_checkable
class Encoding(Protocol):
    """The volumes of a field; `width` is the number E of features of each volume.

    Differentiable by the parameters, not by the positions. Positions outside [0, 1]^3 read the nearest cell.
    """

    width: int

    def __call__(self, positions: Float[Tensor, "N 3"]) -> VolumeEncoding: ...

    def geometry(self, positions: Float[Tensor, "N 3"]) -> GeometryEncoding: ...

    def appearance_and_semantics(self, positions: Float[Tensor, "N 3"]) -> AppearanceAndSemantics: ...

    def parameters(self) -> Iterator[nn.Parameter]: ...

    def clear_gradient(self) -> None: ...


def level_resolutions(levels: int, base: int, finest: int) -> tuple[int, ...]:
    """Cells along an axis of each level, from `base` to `finest` in equal ratios."""
    growth = math.exp(math.log(finest / base) / max(levels - 1, 1))
    return tuple(math.floor(base * growth**level + 1e-6) for level in range(levels))


@dataclass(frozen=True)
class HashGrid:
    """The cells along an axis of each level, coarsest first, and how many features a volume has on each.

    A level has at most 2^`log2_table_size` rows. The table begins with numbers drawn evenly from -`initial_range` to
    `initial_range`.
    """

    resolutions: tuple[int, ...]
    features_per_level: int
    log2_table_size: int
    initial_range: float = FieldParameters.initial_table_range


class HashVolumes(nn.Module):
    """The plain torch encoding: four volumes of one set of resolutions, hence one set of corners and one gather.

    Row r of `table` holds the F features of the geometry, colour, semantics and instance volume side by side. Levels
    that fit into 2^`log2_table_size` rows are indexed densely, x fastest as in tiny-cuda-nn, finer ones by the spatial
    hash of Instant-NGP.
    """

    def __init__(self, grid: HashGrid) -> None:
        super().__init__()
        resolutions = grid.resolutions
        limit = 2**grid.log2_table_size
        rows = [min(-(-((resolution + 1) ** 3) // ROW_BLOCK) * ROW_BLOCK, limit) for resolution in resolutions]
        self.dense_levels = sum((resolution + 1) ** 3 <= limit for resolution in resolutions)
        self.levels = len(resolutions)
        self.features_per_level = grid.features_per_level
        self.width = len(resolutions) * grid.features_per_level
        self.hash_mask = limit - 1
        self.resolution: Int[Tensor, " L"]
        self.first_row: Int[Tensor, " L"]
        self.register_buffer("resolution", torch.tensor(resolutions), persistent=False)
        self.register_buffer("first_row", torch.tensor([0, *rows[:-1]]).cumsum(0), persistent=False)
        self.table = nn.Parameter(torch.empty(sum(rows), VOLUMES * grid.features_per_level))
        nn.init.uniform_(self.table, -grid.initial_range, grid.initial_range)

    def forward(self, positions: Float[Tensor, "N 3"]) -> VolumeEncoding:
        """Features of all volumes and the Jacobian of the geometry volume."""
        rows, weights = self._corners(positions, self.table)
        features = torch.bmm(weights[:, :1], rows).view(-1, self.levels, VOLUMES, self.features_per_level)
        geometry, color, semantics, instances = features.transpose(1, 2).flatten(2).unbind(1)
        jacobian = torch.bmm(weights[:, 1:], rows[..., : self.features_per_level])
        return VolumeEncoding(color, semantics, instances, GeometryEncoding(geometry, self._as_jacobian(jacobian)))

    def geometry(self, positions: Float[Tensor, "N 3"]) -> GeometryEncoding:
        """Features and Jacobian of the geometry volume alone."""
        rows, weights = self._corners(positions, self.table[:, : self.features_per_level])
        features, *jacobian = torch.bmm(weights, rows).unbind(1)
        stacked = torch.stack(jacobian, dim=1)
        return GeometryEncoding(features.reshape(-1, self.width), self._as_jacobian(stacked))

    def appearance_and_semantics(self, positions: Float[Tensor, "N 3"]) -> AppearanceAndSemantics:
        """Features of the other three volumes alone."""
        rows, weights = self._corners(positions, self.table[:, self.features_per_level :])
        features = torch.bmm(weights[:, :1], rows).view(-1, self.levels, VOLUMES - 1, self.features_per_level)
        return AppearanceAndSemantics(*features.transpose(1, 2).flatten(2).unbind(1))

    def clear_gradient(self) -> None:
        """Removes the table's gradient, before a step."""
        self.table.grad = None

    def corner_rows(self, positions: Float[Tensor, "N 3"]) -> Int[Tensor, "N L 8"]:
        """Table rows of the eight corners of every position's cell, z slowest and x fastest."""
        cell, _ = self._cell(positions)
        corners = torch.stack([cell, cell + 1], dim=-1)
        dense = self._dense_rows(corners[:, : self.dense_levels])
        hashed = self._hashed_rows(corners[:, self.dense_levels :])
        return torch.cat([dense, hashed], dim=1) + self.first_row[:, None]

    def _corners(
        self, positions: Float[Tensor, "N 3"], table: Float[Tensor, "rows F"]
    ) -> tuple[Float[Tensor, "M 8 F"], Float[Tensor, "M 4 8"]]:
        """Table rows at the corners of every position and level, and `corner_weights`."""
        index = self.corner_rows(positions).flatten()
        rows = table.index_select(0, index).view(-1, 8, table.shape[1])
        return rows, self.corner_weights(positions).flatten(0, 1)

    def corner_weights(self, positions: Float[Tensor, "N 3"]) -> Float[Tensor, "N L 4 8"]:
        """Smoothstep weight of every corner and its derivatives by x, y and z."""
        _, offset = self._cell(positions)
        smooth = offset * offset * (3 - 2 * offset)
        derivative = 6 * offset * (1 - offset) * self.resolution[:, None]
        x, y, z = torch.stack((1 - smooth, smooth), dim=-1).unbind(2)
        dx, dy, dz = torch.stack((-derivative, derivative), dim=-1).unbind(2)
        zy = _outer(z, y)
        products = (_outer(zy, x), _outer(zy, dx), _outer(_outer(z, dy), x), _outer(_outer(dz, y), x))
        return torch.stack(products, dim=2)

    def _cell(self, positions: Float[Tensor, "N 3"]) -> tuple[Int[Tensor, "N L 3"], Float[Tensor, "N L 3"]]:
        """Integer cell and position inside it, per level."""
        scaled = positions.clamp(0, 1)[:, None] * self.resolution[:, None]
        cell = torch.minimum(scaled.long(), self.resolution[:, None] - 1)
        return cell, scaled - cell

    def _dense_rows(self, corners: Int[Tensor, "N dense 3 2"]) -> Int[Tensor, "N dense 8"]:
        side = self.resolution[: self.dense_levels, None] + 1
        x, y, z = corners.unbind(2)
        return _combine(torch.add, x, y * side, z * side * side)

    def _hashed_rows(self, corners: Int[Tensor, "N hashed 3 2"]) -> Int[Tensor, "N hashed 8"]:
        x, y, z = (axis * prime for axis, prime in zip(corners.unbind(2), HASH_PRIMES, strict=True))
        return torch.bitwise_and(_combine(torch.bitwise_xor, x, y, z), self.hash_mask)

    def _as_jacobian(self, derivatives: Float[Tensor, "M 3 F"]) -> Float[Tensor, "N E 3"]:
        by_level = derivatives.view(-1, self.levels, 3, self.features_per_level)
        return by_level.transpose(2, 3).reshape(-1, self.width, 3)


def _outer(a: Float[Tensor, "N L a"], b: Float[Tensor, "N L b"]) -> Float[Tensor, "N L ab"]:
    return (a[..., None] * b[..., None, :]).flatten(2)


def _combine(
    operation: Callable[[Tensor, Tensor], Tensor],
    x: Int[Tensor, "N L 2"],
    y: Int[Tensor, "N L 2"],
    z: Int[Tensor, "N L 2"],
) -> Int[Tensor, "N L 8"]:
    """One number per corner from one per axis and side."""
    zy = operation(z[..., None], y[..., None, :])
    return operation(zy[..., None], x[..., None, None, :]).flatten(2)
