"""Sparse convolutions by spconv (traveller59/spconv 2.3) behind our interface, for a GPU."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from panrecon.errors import InputError
from panrecon.lidar.sparse import Sites, Size3


class SpconvBackend:
    """Layers of spconv; names and layout of weights are those of `TorchBackend`, so that either loads the other's.

    Raises:
        InputError: spconv is not installed.
    """

    def __init__(self) -> None:
        try:
            import spconv.pytorch as spconv
        except ImportError as error:
            raise InputError(
                "The backend spconv is not installed; install spconv for your CUDA, or take torch."
            ) from error
        self.spconv: Any = spconv

    def submanifold(self, inputs: int, outputs: int, kernel: Size3, key: str) -> nn.Module:
        """A submanifold convolution; layers of one key and kernel share spconv's index pairs."""
        name = f"{key} {kernel}"
        return _SubmanifoldConvolution(
            self.spconv, self.spconv.SubMConv3d(inputs, outputs, kernel, bias=False, indice_key=name)
        )

    def strided(self, inputs: int, outputs: int, kernel: Size3, stride: Size3, key: str) -> nn.Module:
        """A strided convolution; the inverse of the same key and kernel uses its index pairs."""
        a, b, c = kernel
        padding = (a // 2, b // 2, c // 2)
        name = _strided_name(key, kernel)
        layer = self.spconv.SparseConv3d(inputs, outputs, kernel, stride, padding, bias=False, indice_key=name)
        return _StridedConvolution(self.spconv, layer)

    def inverse(self, inputs: int, outputs: int, kernel: Size3, stride: Size3, key: str) -> nn.Module:
        """The inverse of the strided convolution of the same key and kernel, which has to run before it."""
        name = _strided_name(key, kernel)
        layer = self.spconv.SparseInverseConv3d(inputs, outputs, kernel, bias=False, indice_key=name)
        return _InverseConvolution(self.spconv, layer)


def _strided_name(key: str, kernel: Size3) -> str:
    return f"{key} strided {kernel}"


class _Layer(nn.Module):
    def __init__(self, spconv: Any, layer: nn.Module) -> None:
        super().__init__()
        self.weight = layer.weight
        self._hidden = (spconv, layer)  # in a tuple, so that the weight is registered once, under its own name

    def run(self, values: Float[Tensor, "V C"], sites: Sites) -> Any:
        spconv, layer = self._hidden
        index = torch.cat([sites.index.new_zeros(len(sites), 1), sites.index], dim=1).int()
        return layer(spconv.SparseConvTensor(values, index, list(sites.shape), 1, indice_dict=sites.cache))


class _SubmanifoldConvolution(_Layer):
    def forward(self, values: Float[Tensor, "V C"], sites: Sites) -> Float[Tensor, "V D"]:
        return self.run(values, sites).features


class _StridedConvolution(_Layer):
    def forward(self, values: Float[Tensor, "V C"], sites: Sites) -> tuple[Float[Tensor, "W D"], Sites]:
        result = self.run(values, sites)
        a, b, c = result.spatial_shape
        return result.features, Sites(result.indices[:, 1:].long(), (a, b, c), result.indice_dict)


class _InverseConvolution(_Layer):
    def forward(self, values: Float[Tensor, "W C"], sites: Sites, coarser: Sites) -> Float[Tensor, "V D"]:
        return self.run(values, coarser).features
