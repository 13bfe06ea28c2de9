"""The hash volumes by compiled kernels on all cores of a CPU: parameters, features, gradients are the plain ones'."""

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.graph import increment_version

from panrecon.field.cpu import hash_kernels as kernels
from panrecon.field.encoding import VOLUMES, AppearanceAndSemantics, GeometryEncoding, HashVolumes, VolumeEncoding


class CpuHashVolumes(HashVolumes):
    """`HashVolumes` with features and Jacobian in one pass and a backward of its own; same parameters, any core count.

    The table must lie on the CPU, and positions have its precision. Differentiable once.
    """

    _sums: Tensor | None = None
    _zero_version: int | None = None  # of the sums when they were last known to be zero

    def clear_gradient(self) -> None:
        """Before a step: it is zero. From the first call on, backward adds to one and the same `table.grad`.

        A new gradient of the whole table at every call of the encoding would cost more than the kernels do.
        """
        if self._sums is None:
            self._sums = torch.zeros_like(self.table)
        elif self._sums._version != self._zero_version:
            kernels.clear(self._sums.numpy())
        self.table.grad = self._sums
        self.gradient_is_zero()

    def gradient_is_zero(self) -> None:
        """Marks it as zero after a step that left it so: `clear_gradient` then has work only if something is added."""
        if self._sums is not None and self.adds_in_place:
            self._zero_version = self._sums._version

    def __getstate__(self) -> dict[str, Any]:
        """A copy has sums of its own."""
        return self.__dict__ | {"_sums": None, "_zero_version": None}

    def forward(self, positions: Float[Tensor, "N 3"]) -> VolumeEncoding:
        """Features of all volumes and the Jacobian of the geometry volume."""
        geometry, color, semantics, instances, jacobian = _gather(self.table, positions, self, range(VOLUMES))
        return VolumeEncoding(color, semantics, instances, GeometryEncoding(geometry, jacobian))

    def geometry(self, positions: Float[Tensor, "N 3"]) -> GeometryEncoding:
        """Features and Jacobian of the geometry volume alone."""
        return GeometryEncoding(*_gather(self.table, positions, self, range(1)))

    def appearance_and_semantics(self, positions: Float[Tensor, "N 3"]) -> AppearanceAndSemantics:
        """Features of the other three volumes alone."""
        *features, _ = _gather(self.table, positions, self, range(1, VOLUMES))
        return AppearanceAndSemantics(*features)

    @property
    def adds_in_place(self) -> bool:
        """Whether backward adds to `table.grad` itself, and leaves autograd nothing to pass on."""
        return self._sums is not None and self.table.grad is self._sums

    def grid(self) -> kernels.Grid:
        resolutions = self.resolution.numpy().astype(np.uint64)
        first_row = self.first_row.numpy().astype(np.uint64)
        return kernels.Grid(resolutions, first_row, self.dense_levels, np.uint64(self.hash_mask))


class _Gather(torch.autograd.Function):
    """Features [N, E] of each volume and the Jacobian [N, E, 3] of the geometry or, without it, of nothing.

    Linear in the table.
    """

    @staticmethod
    def forward(
        ctx: Any, table: Tensor, positions: Tensor, encoding: CpuHashVolumes, volumes: range
    ) -> tuple[Tensor, ...]:
        features = table.new_empty(len(volumes), len(positions), encoding.width)
        jacobian = table.new_empty(len(positions), encoding.width if 0 in volumes else 0, 3)
        ctx.positions = positions.detach().contiguous().numpy()
        ctx.encoding = encoding
        ctx.volumes = volumes
        arrays = (values.detach().numpy() for values in (table, features, jacobian))
        kernels.gather(ctx.positions, encoding.grid(), *arrays, _columns(encoding, volumes))
        return *features, jacobian

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *output_grads: Tensor) -> tuple[Tensor | None, ...]:
        encoding: CpuHashVolumes = ctx.encoding
        in_place = encoding.table.grad if encoding.adds_in_place else None
        gradient = torch.zeros_like(encoding.table) if in_place is None else in_place
        *features_grad, jacobian_grad = (values.contiguous().numpy() for values in output_grads)
        cores = min(numba.get_num_threads(), encoding.levels)
        columns = _columns(encoding, ctx.volumes)
        kernels.scatter(
            ctx.positions, encoding.grid(), gradient.numpy(), tuple(features_grad), jacobian_grad, columns, cores
        )
        increment_version(gradient)
        return gradient if in_place is None else None, None, None, None


_gather: Callable[..., tuple[Tensor, ...]] = _Gather.apply


def _columns(encoding: HashVolumes, volumes: range) -> kernels.Columns:
    """The columns of these volumes in a row of the table."""
    width = encoding.features_per_level
    of_row = len(volumes) * width
    of_derivative = width if 0 in volumes else 0
    return kernels.Columns(np.uint64(volumes.start * width), (0,) * width, (0,) * of_row, (0,) * of_derivative)
