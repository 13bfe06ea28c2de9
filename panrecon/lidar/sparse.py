"""Sparse 3D convolutions: submanifold (Graham et al., CVPR 2018), strided, and the inverse of a strided one.

The layers work on the values of `Sites`, the occupied cells of a grid. Any maker of the three layers is a
`SparseBackend`; this one gathers and multiplies in plain torch, on any device. Both directions only gather, so that
results do not depend on the order of threads. Weights are laid out as spconv's: outputs x kernel x inputs.
"""

from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from panrecon.lidar.voxels import flat_index, unflat_index

Size = tuple[int, int, int]
GATHERED: Final = 1 << 24  # numbers gathered at once: 64 MB


@dataclass(frozen=True)
class KernelMap:
    """Which input meets which output at which of the kernel's K places; the number of sites where none does.

    `inputs` are those of every output, `outputs` those of every input: the same pairs, read from either side.
    """

    inputs: Int[Tensor, "out K"]
    outputs: Int[Tensor, "in K"]

    @property
    def inverse(self) -> "KernelMap":
        return KernelMap(self.outputs, self.inputs)


@dataclass(frozen=True)
class Sites:
    """The occupied cells of a grid, each once; maps and coarser sites are found once and kept in `found`."""

    index: Int[Tensor, "V 3"]
    shape: Size
    found: dict[Any, Any] = field(default_factory=dict, compare=False, repr=False)

    def __len__(self) -> int:
        return len(self.index)

    def neighbours(self, kernel: Size) -> KernelMap:
        """The map of a submanifold convolution: outputs are where inputs are."""
        if kernel not in self.found:
            self.found[kernel] = _neighbours(self, kernel)
        return self.found[kernel]

    def coarser(self, kernel: Size, stride: Size) -> tuple["Sites", KernelMap]:
        """The cells that a strided convolution padded by half a kernel reaches, and its map."""
        if (kernel, stride) not in self.found:
            self.found[kernel, stride] = _coarser(self, kernel, stride)
        return self.found[kernel, stride]


@runtime_checkable
class SparseBackend(Protocol):
    """Makes the three layers, none of which has a bias; kernels are odd.

    `submanifold`: (values, sites) -> values. `strided`: (values, sites) -> (values, coarser sites). `inverse`: (values
    of coarser sites, sites, coarser sites) -> values of sites. `key` names the sites' resolution: layers share pairs.
    """

    def submanifold(self, inputs: int, outputs: int, kernel: Size, key: str) -> nn.Module: ...

    def strided(self, inputs: int, outputs: int, kernel: Size, stride: Size, key: str) -> nn.Module: ...

    def inverse(self, inputs: int, outputs: int, kernel: Size, stride: Size, key: str) -> nn.Module: ...


class TorchBackend:
    """Plain torch."""

    def submanifold(self, inputs: int, outputs: int, kernel: Size, key: str) -> nn.Module:
        return Submanifold(inputs, outputs, kernel)

    def strided(self, inputs: int, outputs: int, kernel: Size, stride: Size, key: str) -> nn.Module:
        return Strided(inputs, outputs, kernel, stride)

    def inverse(self, inputs: int, outputs: int, kernel: Size, stride: Size, key: str) -> nn.Module:
        return Inverse(inputs, outputs, kernel, stride)


class _Convolution(nn.Module):
    def __init__(self, inputs: int, outputs: int, kernel: Size) -> None:
        super().__init__()
        assert all(size % 2 for size in kernel), kernel
        self.kernel = kernel
        self.weight = nn.Parameter(torch.empty(outputs, *kernel, inputs))
        nn.init.kaiming_uniform_(self.weight.view(outputs, -1), a=5**0.5)

    def convolve(self, values: Float[Tensor, "in C"], pairs: KernelMap) -> Float[Tensor, "out D"]:
        outputs, inputs = self.weight.shape[0], self.weight.shape[-1]
        matrix = self.weight.view(outputs, -1, inputs).permute(1, 2, 0)
        return _Gather.apply(values, matrix, pairs)  # type: ignore[no-untyped-call]


class Submanifold(_Convolution):
    def forward(self, values: Float[Tensor, "V C"], sites: Sites) -> Float[Tensor, "V D"]:
        return self.convolve(values, sites.neighbours(self.kernel))


class Strided(_Convolution):
    def __init__(self, inputs: int, outputs: int, kernel: Size, stride: Size) -> None:
        super().__init__(inputs, outputs, kernel)
        self.stride = stride

    def forward(self, values: Float[Tensor, "V C"], sites: Sites) -> tuple[Float[Tensor, "W D"], Sites]:
        coarser, pairs = sites.coarser(self.kernel, self.stride)
        return self.convolve(values, pairs), coarser


class Inverse(_Convolution):
    """Takes values back along the pairs of the strided convolution of the same kernel and stride."""

    def __init__(self, inputs: int, outputs: int, kernel: Size, stride: Size) -> None:
        super().__init__(inputs, outputs, kernel)
        self.stride = stride

    def forward(self, values: Float[Tensor, "W C"], sites: Sites, coarser: Sites) -> Float[Tensor, "V D"]:
        return self.convolve(values, sites.coarser(self.kernel, self.stride)[1].inverse)


class _Gather(torch.autograd.Function):
    """sum over k of values[inputs[:, k]] @ matrix[k], remembering no more than its arguments."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, matrix: Tensor, pairs: KernelMap) -> Tensor:
        ctx.save_for_backward(values, matrix)
        ctx.pairs = pairs
        return _gather_multiply(values, matrix, pairs.inputs)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        values, matrix = ctx.saved_tensors
        of_values = of_matrix = None
        if ctx.needs_input_grad[0]:
            of_values = _gather_multiply(gradient, matrix.transpose(1, 2), ctx.pairs.outputs)
        if ctx.needs_input_grad[1]:
            of_matrix = values.new_zeros(matrix.shape[0] * matrix.shape[1], matrix.shape[2])
            for rows in _chunks(ctx.pairs.inputs, values.shape[1]):
                of_matrix += _gathered(values, ctx.pairs.inputs[rows]).T @ gradient[rows]
            of_matrix = of_matrix.view(matrix.shape)
        return of_values, of_matrix, None


def _gather_multiply(values: Tensor, matrix: Tensor, place: Tensor) -> Tensor:
    flat = matrix.reshape(-1, matrix.shape[2])
    parts = [_gathered(values, place[rows]) @ flat for rows in _chunks(place, values.shape[1])]
    return torch.cat(parts) if parts else values.new_zeros(0, matrix.shape[2])


def _gathered(values: Tensor, place: Tensor) -> Tensor:
    """Rows of K * C numbers, 0 where no site is."""
    padded = torch.cat([values, values.new_zeros(1, values.shape[1])])
    return padded.index_select(0, place.reshape(-1)).view(len(place), -1)


def _chunks(place: Tensor, width: int) -> list[slice]:
    size = max(1, GATHERED // max(1, place.shape[1] * width))
    return [slice(start, start + size) for start in range(0, len(place), size)]


def _neighbours(sites: Sites, kernel: Size) -> KernelMap:
    shift = _offsets(kernel, sites.index.device) - torch.tensor(_half(kernel), device=sites.index.device)
    inputs = _find(sites, sites.index[:, None] + shift)
    return KernelMap(inputs, inputs.flip(1))  # the neighbour at a shift sees the site at the opposite one


def _coarser(sites: Sites, kernel: Size, stride: Size) -> tuple[Sites, KernelMap]:
    tensor = partial(torch.tensor, device=sites.index.device)
    padding = _half(kernel)
    sizes = zip(sites.shape, padding, kernel, stride, strict=True)
    a, b, c = ((n + 2 * p - k) // s + 1 for n, p, k, s in sizes)
    shape = (a, b, c)
    scaled = sites.index[:, None] + tensor(padding) - _offsets(kernel, sites.index.device)
    reached = scaled.div(tensor(stride), rounding_mode="floor")
    valid = ((scaled % tensor(stride) == 0) & (reached >= 0) & (reached < tensor(shape))).all(dim=2)
    key = flat_index(reached, shape)
    occupied = torch.unique(key[valid])
    coarser = Sites(unflat_index(occupied, shape), shape)
    outputs = torch.where(valid, torch.searchsorted(occupied, key), len(occupied))
    inputs = torch.full((len(occupied) + 1, key.shape[1]), len(sites), device=key.device)
    place = torch.arange(key.shape[1], device=key.device).expand_as(outputs)
    inputs[outputs, place] = torch.arange(len(sites), device=key.device)[:, None].expand_as(outputs)
    return coarser, KernelMap(inputs[:-1], outputs)


def _find(sites: Sites, wanted: Int[Tensor, "V K 3"]) -> Int[Tensor, "V K"]:
    """The sites at cells, their number where a cell is not occupied."""
    inside = ((wanted >= 0) & (wanted < torch.tensor(sites.shape, device=wanted.device))).all(dim=2)
    if not len(sites):
        return torch.zeros_like(inside, dtype=torch.long)
    keys, order = torch.sort(flat_index(sites.index, sites.shape))
    key = flat_index(wanted, sites.shape)
    place = torch.searchsorted(keys, key).clamp(max=len(keys) - 1)
    return torch.where(inside & (keys[place] == key), order[place], len(sites))


def _offsets(kernel: Size, device: torch.device) -> Int[Tensor, "K 3"]:
    axes = [torch.arange(size, device=device) for size in kernel]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).reshape(-1, 3)


def _half(kernel: Size) -> Size:
    return kernel[0] // 2, kernel[1] // 2, kernel[2] // 2
