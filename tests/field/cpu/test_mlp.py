"""Laws of the compiled heads: equal to their plain twins, on any number of cores."""

import numba
import pytest
import torch
from numpy.testing import assert_allclose
from torch import Tensor, nn

from panrecon.field.cpu.mlp_kernels import LANES, PART
from panrecon.field.encoding import GeometryEncoding
from panrecon.field.field import Geometry, GeometryHead, Network, mlp

COUNTS = (0, 1, LANES + 3, 2 * PART + 5)


def of_geometry(count: int, width: int, hidden: int, dtype: torch.dtype, compiled: bool) -> list[Tensor]:
    """All a head gives, and the gradients of a sum of it."""
    torch.manual_seed(0)
    head = GeometryHead(width, hidden, initial_distance=0.1).to(dtype)
    features = (0.1 * torch.randn(count, width, dtype=dtype)).requires_grad_()
    jacobian = torch.randn(count, width, 3, dtype=dtype).requires_grad_()
    positions, encoding = torch.rand(count, 3, dtype=dtype), GeometryEncoding(features, jacobian)
    found: Geometry = head(positions, encoding) if compiled else head.plain(positions, encoding)
    weights = torch.randn(count, dtype=dtype), torch.randn(count, 3, dtype=dtype)
    inputs = [features, jacobian, *head.parameters()]
    gradients = torch.autograd.grad([found.sdf, found.gradient], inputs, weights)
    return [found.sdf.detach(), found.gradient.detach(), found.hidden, *gradients]


def of_network(
    count: int, widths: tuple[int, int, int], layers: int, dtype: torch.dtype, compiled: bool
) -> list[Tensor]:
    """What it gives, and the gradients of a sum of it."""
    torch.manual_seed(0)
    built = mlp(*widths, layers=layers).to(dtype)
    assert isinstance(built, Network)
    for layer in built:
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.bias)
    inputs = torch.randn(count, widths[0], dtype=dtype, requires_grad=True)
    outputs = built(inputs) if compiled else built.plain(inputs)
    gradients = torch.autograd.grad(outputs, [inputs, *built.parameters()], torch.randn(count, widths[2], dtype=dtype))
    return [outputs.detach(), *gradients]


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize(("width", "hidden"), [(24, 64), (9, 13)])
def test_the_geometry_is_the_plain_one(count: int, width: int, hidden: int) -> None:
    compiled, plain = (of_geometry(count, width, hidden, torch.float64, kind) for kind in (True, False))
    for actual, expected in zip(compiled, plain, strict=True):
        largest = float(expected.abs().max()) if expected.numel() else 0.0
        assert_allclose(actual.numpy(), expected.numpy(), rtol=0, atol=2e-7 * largest)


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize(("widths", "layers"), [((38, 64, 3), 3), ((7, 10, 65), 2)])
def test_networks_are_the_plain_ones(count: int, widths: tuple[int, int, int], layers: int) -> None:
    compiled, plain = (of_network(count, widths, layers, torch.float64, kind) for kind in (True, False))
    for actual, expected in zip(compiled, plain, strict=True):
        assert_allclose(actual.numpy(), expected.numpy(), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("learning", [(0, 1, 2), (0, 2), (0,), (1,), ()])
def test_inputs_side_by_side_are_one_and_learn_where_they_are_to(learning: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    built = mlp(16, 12, 5, layers=3)
    assert isinstance(built, Network)
    inputs = [torch.randn(PART + 9, width) for width in (9, 4, 3)]
    for place in learning:
        inputs[place].requires_grad_()
    together = torch.cat(inputs, dim=1)
    taught = [*(inputs[place] for place in learning), *built.parameters()]
    weights = torch.randn(len(together), 5)
    outputs, expected = built(*inputs), built.plain(together)
    assert torch.equal(outputs, built(together))
    for actual, wanted in zip(
        torch.autograd.grad(outputs, taught, weights), torch.autograd.grad(expected, taught, weights), strict=True
    ):
        assert_allclose(actual.numpy(), wanted.numpy(), rtol=1e-4, atol=1e-5 * float(wanted.abs().max()))


def test_a_head_without_outputs_has_nothing_to_send_back() -> None:
    outputs = mlp(8, 8, 0, layers=2)(torch.rand(3, 8, requires_grad=True))
    assert outputs.shape == (3, 0)
    assert not outputs.requires_grad


def test_one_kind_of_loss_alone_trains_the_geometry() -> None:
    torch.manual_seed(0)
    head, features = GeometryHead(4, 8, initial_distance=0.1), torch.rand(5, 4, requires_grad=True)
    encoding, positions = GeometryEncoding(features, torch.rand(5, 4, 3)), torch.rand(5, 3)
    for part in ("sdf", "gradient"):
        compiled, plain = (
            torch.autograd.grad(getattr(found, part).sum(), head.hidden.weight)[0]
            for found in (head(positions, encoding), head.plain(positions, encoding))
        )
        assert_allclose(compiled.numpy(), plain.numpy(), atol=1e-5 * float(plain.abs().max()))


def test_what_is_no_number_stays_so() -> None:
    inputs = torch.rand(3, 8)
    inputs[1, 2] = torch.nan
    geometry = GeometryHead(8, 8, initial_distance=0.1)(torch.rand(3, 3), GeometryEncoding(inputs, torch.rand(3, 8, 3)))
    for values in (geometry.sdf, mlp(8, 8, 2, layers=3)(inputs)[:, 0]):
        assert values.isnan().tolist() == [False, True, False]


def test_heads_give_the_same_bits_on_any_number_of_cores() -> None:
    cores, results = numba.get_num_threads(), []
    for count in (1, cores):
        numba.set_num_threads(count)
        geometry = of_geometry(5000, 24, 64, torch.float32, compiled=True)
        results.append([*geometry, *of_network(5000, (96, 64, 20), 2, torch.float32, compiled=True)])
    for one, many in zip(*results, strict=True):
        assert torch.equal(one, many)
