"""Sparse 3D convolutions: submanifold (Graham et al., CVPR 2018), strided, and the inverse of a strided one.

Layers work on values at `Sites`, the occupied cells of a grid. Whatever makes the three layers is a `SparseBackend`;
the one here gathers and multiplies in plain torch, on any device. It gathers in the backward pass too, so that results
do not depend on the order of threads. Weights are laid out as spconv's: outputs x kernel x inputs.
"""

from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from panrecon.lidar.voxels import flat_index, unflat_index

Size3 = tuple[int, int, int]  # of a grid, a kernel or a stride, along each axis
MAX_GATHERED: Final = 1 << 24  # values gathered at once: 64 MB


@dataclass(frozen=True)
class KernelMap:
    """Which input site meets which output site at which of the kernel's K offsets.

    `inputs` are the input sites of every output, `outputs` the output sites of every input: the same pairs from either
    side. Where there is none, the index is the number of sites.
    """

    inputs: Int[Tensor, "out K"]
    outputs: Int[Tensor, "in K"]

    @property
    def inverse(self) -> "KernelMap":
        """The same pairs with inputs and outputs exchanged."""
        return KernelMap(self.outputs, self.inputs)


@dataclass(frozen=True)
class Sites:
    """The occupied cells of a grid of `shape`, each once, in any order.

    Kernel maps and coarser sites are computed once and kept in `cache`.
    """

    index: Int[Tensor, "V 3"]
    shape: Size3
    cache: dict[Any, Any] = field(default_factory=dict, compare=False, repr=False)

    def __len__(self) -> int:
        return len(self.index)

    def neighbours(self, kernel: Size3) -> KernelMap:
        """The kernel map of a submanifold convolution, whose outputs are at the same sites as its inputs."""
        if kernel not in self.cache:
            self.cache[kernel] = _neighbours(self, kernel)
        return self.cache[kernel]

    def coarser(self, kernel: Size3, stride: Size3) -> tuple["Sites", KernelMap]:
        """The output sites of a strided convolution with a padding of half the kernel, and its kernel map."""
        if (kernel, stride) not in self.cache:
            self.cache[kernel, stride] = _coarser(self, kernel, stride)
        return self.cache[kernel, stride]


@runtime_checkable
class SparseBackend(Protocol):
    """Makes the three kinds of layers; none has a bias, and kernel sizes are odd.

    `key` names the resolution of the layer's finer sites: layers of the same key may share kernel maps.
    """

    def submanifold(self, inputs: int, outputs: int, kernel: Size3, key: str) -> nn.Module:
        """A submanifold convolution: (values, sites) -> values at the same sites."""
        ...

    def strided(self, inputs: int, outputs: int, kernel: Size3, stride: Size3, key: str) -> nn.Module:
        """A strided convolution: (values, sites) -> (values, coarser sites)."""
        ...

    def inverse(self, inputs: int, outputs: int, kernel: Size3, stride: Size3, key: str) -> nn.Module:
        """The inverse of a strided convolution: (values at coarser sites, sites, coarser sites) -> values at sites."""
        ...


class TorchBackend:
    """Layers in plain torch, on any device."""

    def submanifold(self, inputs: int, outputs: int, kernel: Size3, key: str) -> nn.Module:
        """A submanifold convolution; the key is not used."""
        return SubmanifoldConvolution(inputs, outputs, kernel)

    def strided(self, inputs: int, outputs: int, kernel: Size3, stride: Size3, key: str) -> nn.Module:
        """A strided convolution; the key is not used."""
        return StridedConvolution(inputs, outputs, kernel, stride)

    def inverse(self, inputs: int, outputs: int, kernel: Size3, stride: Size3, key: str) -> nn.Module:
        """The inverse of a strided convolution; the key is not used."""
        return InverseConvolution(inputs, outputs, kernel, stride)


class _Convolution(nn.Module):
    def __init__(self, inputs: int, outputs: int, kernel: Size3) -> None:
        super().__init__()
        assert all(size % 2 for size in kernel), kernel
        self.kernel = kernel
        self.weight = nn.Parameter(torch.empty(outputs, *kernel, inputs))
        nn.init.kaiming_uniform_(self.weight.view(outputs, -1), a=5**0.5)

    def convolve(self, values: Float[Tensor, "in C"], kernel_map: KernelMap) -> Float[Tensor, "out D"]:
        outputs = self.weight.shape[0]
        inputs = self.weight.shape[-1]
        matrix = self.weight.view(outputs, -1, inputs).permute(1, 2, 0)
        return _GatherMultiply.apply(values, matrix, kernel_map)  # type: ignore[no-untyped-call]


class SubmanifoldConvolution(_Convolution):
    """Outputs are at the sites of the inputs, so that occupied cells do not dilate (Graham et al., CVPR 2018)."""

    def forward(self, values: Float[Tensor, "V C"], sites: Sites) -> Float[Tensor, "V D"]:
        """Values at the same sites."""
        return self.convolve(values, sites.neighbours(self.kernel))


class StridedConvolution(_Convolution):
    """Outputs are at all cells of a coarser grid whose kernel covers an input."""

    def __init__(self, inputs: int, outputs: int, kernel: Size3, stride: Size3) -> None:
        super().__init__(inputs, outputs, kernel)
        self.stride = stride

    def forward(self, values: Float[Tensor, "V C"], sites: Sites) -> tuple[Float[Tensor, "W D"], Sites]:
        """Values at coarser sites, and those sites."""
        coarser, kernel_map = sites.coarser(self.kernel, self.stride)
        return self.convolve(values, kernel_map), coarser


class InverseConvolution(_Convolution):
    """A convolution back along the pairs of the strided convolution of the same kernel and stride."""

    def __init__(self, inputs: int, outputs: int, kernel: Size3, stride: Size3) -> None:
        super().__init__(inputs, outputs, kernel)
        self.stride = stride

    def forward(self, values: Float[Tensor, "W C"], sites: Sites, coarser: Sites) -> Float[Tensor, "V D"]:
        """Values at `sites`, the finer ones."""
        return self.convolve(values, sites.coarser(self.kernel, self.stride)[1].inverse)


class _GatherMultiply(torch.autograd.Function):
    """sum over k of values[inputs[:, k]] @ matrix[k], with nothing saved for the backward pass but the arguments."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, matrix: Tensor, kernel_map: KernelMap) -> Tensor:
        ctx.save_for_backward(values, matrix)
        ctx.kernel_map = kernel_map
        return _gather_multiply(values, matrix, kernel_map.inputs)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        values, matrix = ctx.saved_tensors
        of_values = of_matrix = None
        if ctx.needs_input_grad[0]:
            of_values = _gather_multiply(gradient, matrix.transpose(1, 2), ctx.kernel_map.outputs)
        if ctx.needs_input_grad[1]:
            of_matrix = values.new_zeros(matrix.shape[0] * matrix.shape[1], matrix.shape[2])
            for rows in _chunks(ctx.kernel_map.inputs, values.shape[1]):
                of_matrix += _gathered(values, ctx.kernel_map.inputs[rows]).T @ gradient[rows]
            of_matrix = of_matrix.view(matrix.shape)
        return of_values, of_matrix, None


def _gather_multiply(values: Tensor, matrix: Tensor, site: Tensor) -> Tensor:
    flat = matrix.reshape(-1, matrix.shape[2])
    parts = [_gathered(values, site[rows]) @ flat for rows in _chunks(site, values.shape[1])]
    return torch.cat(parts) if parts else values.new_zeros(0, matrix.shape[2])


def _gathered(values: Tensor, site: Tensor) -> Tensor:
    """Values at sites, K * C a row; 0 where there is no site."""
    padded = torch.cat([values, values.new_zeros(1, values.shape[1])])
    return padded.index_select(0, site.reshape(-1)).view(len(site), -1)


def _chunks(site: Tensor, width: int) -> list[slice]:
    size = max(1, MAX_GATHERED // max(1, site.shape[1] * width))
    return [slice(start, start + size) for start in range(0, len(site), size)]


def _neighbours(sites: Sites, kernel: Size3) -> KernelMap:
    offset = _offsets(kernel, sites.index.device) - torch.tensor(_half(kernel), device=sites.index.device)
    inputs = _site_at(sites, sites.index[:, None] + offset)
    return KernelMap(inputs, inputs.flip(1))  # the neighbour at an offset has the site at the opposite one


def _coarser(sites: Sites, kernel: Size3, stride: Size3) -> tuple[Sites, KernelMap]:
    tensor = partial(torch.tensor, device=sites.index.device)
    padding = _half(kernel)
    sizes = zip(sites.shape, padding, kernel, stride, strict=True)
    a, b, c = ((n + 2 * p - k) // s + 1 for n, p, k, s in sizes)
    shape = (a, b, c)
    scaled = sites.index[:, None] + tensor(padding) - _offsets(kernel, sites.index.device)
    cell = scaled.div(tensor(stride), rounding_mode="floor")
    valid = ((scaled % tensor(stride) == 0) & (cell >= 0) & (cell < tensor(shape))).all(dim=2)
    key = flat_index(cell, shape)
    occupied = torch.unique(key[valid])
    coarser = Sites(unflat_index(occupied, shape), shape)
    outputs = torch.where(valid, torch.searchsorted(occupied, key), len(occupied))
    inputs = torch.full((len(occupied) + 1, key.shape[1]), len(sites), device=key.device)
    offset_index = torch.arange(key.shape[1], device=key.device).expand_as(outputs)
    inputs[outputs, offset_index] = torch.arange(len(sites), device=key.device)[:, None].expand_as(outputs)
    return coarser, KernelMap(inputs[:-1], outputs)


def _site_at(sites: Sites, cell: Int[Tensor, "V K 3"]) -> Int[Tensor, "V K"]:
    """The site at each cell, the number of sites where the cell is not occupied."""
    inside = ((cell >= 0) & (cell < torch.tensor(sites.shape, device=cell.device))).all(dim=2)
    if not len(sites):
        return torch.zeros_like(inside, dtype=torch.long)
    sorted_keys, order = torch.sort(flat_index(sites.index, sites.shape))
    key = flat_index(cell, sites.shape)
    rank = torch.searchsorted(sorted_keys, key).clamp(max=len(sorted_keys) - 1)
    return torch.where(inside & (sorted_keys[rank] == key), order[rank], len(sites))


def _offsets(kernel: Size3, device: torch.device) -> Int[Tensor, "K 3"]:
    axes = [torch.arange(size, device=device) for size in kernel]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).reshape(-1, 3)


def _half(kernel: Size3) -> Size3:
    return kernel[0] // 2, kernel[1] // 2, kernel[2] // 2
