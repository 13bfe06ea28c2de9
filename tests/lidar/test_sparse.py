"""Sparse convolutions against dense ones, and against numerical gradients."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from panrecon.errors import InputError
from panrecon.lidar.sparse import Sites, Size3, SparseBackend, TorchBackend
from panrecon.lidar.spconv_backend import SpconvBackend
from panrecon.lidar.voxels import unflat_index

SHAPE = (7, 6, 5)
KERNELS: list[Size3] = [(3, 3, 3), (1, 3, 3), (3, 1, 3), (3, 1, 1), (1, 1, 3)]
STRIDES: list[Size3] = [(2, 2, 2), (2, 2, 1)]


def sites(count: int = 60) -> Sites:
    """In no order."""
    return Sites(unflat_index(torch.randperm(7 * 6 * 5)[:count], SHAPE), SHAPE)


def dense(values: Tensor, where: Sites) -> Tensor:
    grid = values.new_zeros(values.shape[1], *where.shape)
    grid[:, *where.index.T] = values.T
    return grid[None]


def kernel_of(layer: nn.Module) -> Tensor:
    weight = layer.weight
    assert isinstance(weight, Tensor)
    return weight.permute(0, 4, 1, 2, 3)


def padding(kernel: Size3) -> Size3:
    return kernel[0] // 2, kernel[1] // 2, kernel[2] // 2


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_submanifold_convolution_is_the_dense_one_read_at_its_sites(kernel: Size3) -> None:
    where, layer = sites(), TorchBackend().submanifold(4, 3, kernel, "")
    values = torch.randn(len(where), 4)
    full = nn.functional.conv3d(dense(values, where), kernel_of(layer), padding=padding(kernel))
    torch.testing.assert_close(layer(values, where), full[0][:, *where.index.T].T)


@pytest.mark.parametrize("stride", STRIDES)
def test_a_strided_convolution_is_the_dense_one_wherever_that_reaches(stride: Size3) -> None:
    where, layer = sites(12), TorchBackend().strided(4, 3, (3, 3, 3), stride, "")
    values = torch.randn(len(where), 4)
    found, coarser = layer(values, where)
    full = nn.functional.conv3d(dense(values, where), kernel_of(layer), stride=stride, padding=1)
    assert full.shape[2:] == coarser.shape
    torch.testing.assert_close(dense(found, coarser), full)
    reach = nn.functional.conv3d(dense(torch.ones(len(where), 1), where), torch.ones(1, 1, 3, 3, 3), None, stride, 1)
    assert len(coarser) == int((reach > 0).sum())


@pytest.mark.parametrize("stride", STRIDES)
def test_the_inverse_is_the_transposed_dense_convolution_at_the_sites(stride: Size3) -> None:
    where = sites(20)
    coarser, _ = where.coarser((3, 3, 3), stride)
    layer = TorchBackend().inverse(4, 3, (3, 3, 3), stride, "")
    values = torch.randn(len(coarser), 4)
    left = [n - ((m - 1) * s + 1) for n, m, s in zip(SHAPE, coarser.shape, stride, strict=True)]
    kernel = kernel_of(layer).transpose(0, 1)
    full = nn.functional.conv_transpose3d(dense(values, coarser), kernel, None, stride, 1, left)
    torch.testing.assert_close(layer(values, where, coarser), full[0][:, *where.index.T].T)


@pytest.mark.parametrize("make", ["submanifold", "strided", "inverse"])
def test_gradients_are_those_of_the_function(make: str) -> None:
    where = sites(9)
    coarser, _ = where.coarser((3, 3, 3), (2, 2, 2))
    backend = TorchBackend()
    layers: dict[str, tuple[nn.Module, Callable[[nn.Module, Tensor], Tensor], int]] = {
        "submanifold": (backend.submanifold(2, 2, (1, 3, 3), ""), lambda layer, v: layer(v, where), len(where)),
        "strided": (backend.strided(2, 2, (3, 3, 3), (2, 2, 2), ""), lambda layer, v: layer(v, where)[0], len(where)),
        "inverse": (
            backend.inverse(2, 2, (3, 3, 3), (2, 2, 2), ""),
            lambda layer, v: layer(v, where, coarser),
            len(coarser),
        ),
    }
    layer, call, count = layers[make]
    layer = layer.double()
    values = torch.randn(count, 2, dtype=torch.float64, requires_grad=True)
    weight = layer.weight
    assert isinstance(weight, Tensor)
    assert torch.autograd.gradcheck(lambda v, w: call(layer, v), (values, weight))


def test_gathering_in_pieces_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    where, layer = sites(), TorchBackend().submanifold(4, 3, (3, 3, 3), "")
    values = torch.randn(len(where), 4)
    whole = layer(values, where)
    monkeypatch.setattr("panrecon.lidar.sparse.MAX_GATHERED", 7 * 27 * 4)
    torch.testing.assert_close(layer(values, where), whole)


def test_no_site_gives_no_value() -> None:
    where = Sites(torch.zeros(0, 3, dtype=torch.long), SHAPE)
    values, backend = torch.zeros(0, 4), TorchBackend()
    assert backend.submanifold(4, 3, (3, 3, 3), "")(values, where).shape == (0, 3)
    found, coarser = backend.strided(4, 3, (3, 3, 3), (2, 2, 2), "")(values, where)
    assert found.shape == (0, 3)
    assert backend.inverse(3, 2, (3, 3, 3), (2, 2, 2), "")(found, where, coarser).shape == (0, 2)


def test_a_backend_that_is_not_installed_says_so() -> None:
    try:
        backend: SparseBackend = SpconvBackend()
    except InputError as error:
        assert "install spconv" in str(error)
    else:
        assert isinstance(backend, SparseBackend)


@pytest.mark.gpu()
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_spconv_agrees_with_plain_torch() -> None:
    pytest.importorskip("spconv")
    where = sites()
    there = Sites(where.index.cuda(), SHAPE)
    plain, fast, values = TorchBackend(), SpconvBackend(), torch.randn(len(where), 16)
    ours, theirs = (backend.submanifold(16, 16, (3, 3, 3), "a") for backend in (plain, fast))
    theirs.cuda().load_state_dict(ours.state_dict())
    torch.testing.assert_close(theirs(values.cuda(), there).cpu(), ours(values, where), atol=1e-4, rtol=1e-3)
    down, down_there = (backend.strided(16, 16, (3, 3, 3), (2, 2, 2), "a") for backend in (plain, fast))
    up, up_there = (backend.inverse(16, 16, (3, 3, 3), (2, 2, 2), "a") for backend in (plain, fast))
    down_there.cuda().load_state_dict(down.state_dict())
    up_there.cuda().load_state_dict(up.state_dict())
    found, coarser = down(values, where)
    found_there, coarser_there = down_there(values.cuda(), there)
    torch.testing.assert_close(
        up_there(found_there, there, coarser_there).cpu(), up(found, where, coarser), atol=1e-4, rtol=1e-3
    )
