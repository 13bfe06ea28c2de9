"""The hash volumes on a CPU's cores, by compiled kernels; equal to the plain ones and trained alike."""

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from panrecon.field import kernels
from panrecon.field.encoding import VOLUMES, GeometryEncoding, HashVolumes, VolumeEncoding


class FastHashVolumes(HashVolumes):
    """`HashVolumes` with features and Jacobian in one pass and a backward of its own; same parameters, any core count.

    The table must lie on the CPU, and positions have its precision. Differentiable once.
    """

    _sums: Tensor | None = None

    def clear_gradient(self) -> None:
        """Before a step: it is zero. From the first call on, backward adds to one and the same `table.grad`.

        A new gradient of the whole table at every call of the encoding would cost more than the kernels do.
        """
        if self._sums is None:
            self._sums = torch.zeros_like(self.table)
        kernels.clear(self._sums.numpy())
        self.table.grad = self._sums

    def forward(self, positions: Float[Tensor, "N 3"]) -> VolumeEncoding:
        """Features of all volumes and the Jacobian of the geometry volume."""
        features, jacobian = _gather(self.table, positions, self, VOLUMES)
        geometry, color, semantics, instances = features.unbind(0)
        return VolumeEncoding(GeometryEncoding(geometry, jacobian), color, semantics, instances)

    def geometry(self, positions: Float[Tensor, "N 3"]) -> GeometryEncoding:
        """Features and Jacobian of the geometry volume alone."""
        features, jacobian = _gather(self.table, positions, self, 1)
        return GeometryEncoding(features.squeeze(0), jacobian)

    @property
    def adds_in_place(self) -> bool:
        """Whether backward adds to `table.grad` itself, and leaves autograd nothing to pass on."""
        return self._sums is not None and self.table.grad is self._sums

    def grid(self) -> kernels.Grid:
        resolutions, first_row = (values.numpy().astype(np.uint64) for values in (self.resolution, self.first_row))
        return kernels.Grid(resolutions, first_row, self.dense_levels, np.uint64(self.hash_mask))


class _Gather(torch.autograd.Function):
    """Features [volumes, N, E] and the Jacobian [N, E, 3] of the first volume, linear in the table."""

    @staticmethod
    def forward(
        ctx: Any, table: Tensor, positions: Tensor, encoding: FastHashVolumes, volumes: int
    ) -> tuple[Tensor, Tensor]:
        features = table.new_empty(volumes, len(positions), encoding.width)
        jacobian = table.new_empty(len(positions), encoding.width, 3)
        ctx.positions, ctx.encoding, ctx.volumes = positions.detach().contiguous().numpy(), encoding, volumes
        arrays = (values.detach().numpy() for values in (table, features, jacobian))
        kernels.gather(ctx.positions, encoding.grid(), *arrays, *_lengths(encoding, volumes))
        return features, jacobian

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, of_features: Tensor, of_jacobian: Tensor) -> tuple[Tensor | None, ...]:
        encoding: FastHashVolumes = ctx.encoding
        kept = encoding.table.grad if encoding.adds_in_place else None
        gradient = torch.zeros_like(encoding.table) if kept is None else kept
        arrays = (values.contiguous().numpy() for values in (gradient, of_features, of_jacobian))
        cores = min(numba.get_num_threads(), encoding.levels)
        lengths = _lengths(encoding, ctx.volumes)
        kernels.scatter(ctx.positions, encoding.grid(), *arrays, *lengths, cores)
        return gradient if kept is None else None, None, None, None


_gather: Callable[..., tuple[Tensor, Tensor]] = _Gather.apply


def _lengths(encoding: HashVolumes, volumes: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Tuples as long as a level has features in one volume, and in all of them."""
    return (0,) * encoding.features_per_level, (0,) * (volumes * encoding.features_per_level)
