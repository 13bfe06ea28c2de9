"""The hash volumes by tiny-cuda-nn (Mueller 2021) on a CUDA device; same table, same features as the plain ones."""

from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from panrecon.errors import InputError
from panrecon.field.encoding import (
    VOLUMES,
    AppearanceAndSemantics,
    GeometryEncoding,
    HashGrid,
    HashVolumes,
    VolumeEncoding,
)

ROW_LENGTHS = (1, 2, 4, 8)  # features of a level that its kernels are built for
WHERE = "pip install git+https://github.com/NVlabs/tiny-cuda-nn/#subdirectory=bindings/torch"


class TcnnVolumes(HashVolumes):
    """`HashVolumes` whose rows tiny-cuda-nn gathers, a level at a time.

    A grid of its own for every level, of resolution + 1 nodes, has our cells where positions are moved by half a cell:
    its nodes lie at half integers. Its table is our level's part, as it is.

    Raises:
        InputError: tiny-cuda-nn is not installed, or has no kernel for so many features.
    """

    def __init__(self, grid: HashGrid) -> None:
        super().__init__(grid)
        try:
            import tinycudann
        except ImportError as error:
            raise InputError(
                f"field.encoding=tcnn needs tiny-cuda-nn: {WHERE}; or take field.encoding=auto."
            ) from error
        columns = VOLUMES * grid.features_per_level
        if columns not in ROW_LENGTHS:
            raise InputError(
                f"tiny-cuda-nn has no rows of {columns} numbers: field.features_per_level is "
                f"{grid.features_per_level}, take 1 or 2, or field.encoding=auto."
            )
        self._grids = tuple(_level(tinycudann, cells, columns, grid.log2_table_size) for cells in grid.resolutions)

    def forward(self, positions: Float[Tensor, "N 3"]) -> VolumeEncoding:
        """Features of all volumes and the Jacobian of the geometry volume."""
        rows, jacobian = self._rows_and_jacobian(positions)
        features = rows.view(-1, self.levels, VOLUMES, self.features_per_level)
        geometry, color, semantics, instances = features.transpose(1, 2).flatten(2).unbind(1)
        return VolumeEncoding(color, semantics, instances, GeometryEncoding(geometry, jacobian))

    def geometry(self, positions: Float[Tensor, "N 3"]) -> GeometryEncoding:
        """Features and Jacobian of the geometry volume alone."""
        return self(positions).geometry

    def appearance_and_semantics(self, positions: Float[Tensor, "N 3"]) -> AppearanceAndSemantics:
        """Features of the other three volumes."""
        return self(positions)

    def _rows_and_jacobian(
        self, positions: Float[Tensor, "N 3"]
    ) -> tuple[Float[Tensor, "N L D"], Float[Tensor, "N E 3"]]:
        """Features of every level's grid, and the derivatives of the first volume by position.

        Every level takes positions of its own: one backward a feature gives its derivatives on all levels.
        """
        learning = torch.is_grad_enabled()
        inside = positions.detach().clamp(0, 1)
        shifted_positions = tuple((inside - 0.5 / cells).requires_grad_() for cells in self.resolution.tolist())
        parts = torch.split(self.table, [*self.first_row.diff().tolist(), len(self.table) - int(self.first_row[-1])])
        with torch.enable_grad():
            levels = [
                torch.func.functional_call(grid, {"params": part.flatten()}, (shifted,))
                for grid, part, shifted in zip(self._grids, parts, shifted_positions, strict=True)
            ]
            rows = torch.stack(levels, dim=1)
            by_position = partial(
                torch.autograd.grad, inputs=shifted_positions, create_graph=learning, retain_graph=True
            )
            derivatives = [torch.stack(by_position(rows[..., k].sum()), dim=1) for k in range(self.features_per_level)]
        return rows if learning else rows.detach(), torch.stack(derivatives, dim=2).flatten(1, 2)


def _level(tinycudann: Any, resolution: int, columns: int, log2_table_size: int) -> torch.nn.Module:
    """One level, whose parameters are handed in at every call."""
    settings = {
        "otype": "Grid",
        "type": "Hash",
        "n_levels": 1,
        "n_features_per_level": columns,
        "log2_hashmap_size": log2_table_size,
        "base_resolution": resolution + 1,
        "per_level_scale": 1.0,
        "interpolation": "Smoothstep",
    }
    level: torch.nn.Module = tinycudann.Encoding(3, settings, dtype=torch.float32)
    level.params = torch.nn.Parameter(torch.empty(0), requires_grad=False)
    return level
