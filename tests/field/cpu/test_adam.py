"""Laws of the compiled Adam: torch's is the other voice."""

import copy
from typing import Any

import numba
import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from torch import Tensor

from panrecon.field.cpu.adam import TableAdam
from panrecon.field.cpu.hash_encoding import CpuHashVolumes
from panrecon.field.cpu.hash_kernels import STRETCH
from panrecon.field.encoding import HashGrid, HashVolumes, level_resolutions

SETTINGS: dict[str, Any] = {"betas": (0.9, 0.99), "eps": 1e-15}
KINDS = (HashVolumes, CpuHashVolumes)


def volumes(kind: type[HashVolumes] = CpuHashVolumes) -> HashVolumes:
    torch.manual_seed(0)
    encoding = kind(HashGrid(level_resolutions(4, 5, 16), 2, log2_table_size=9))
    assert encoding.table.numel() > 5 * STRETCH
    assert encoding.table.numel() % STRETCH
    return encoding


def optimizer(encoding: HashVolumes, head: torch.nn.Parameter) -> torch.optim.Adam:
    groups: list[dict[str, Any]] = [{"params": [encoding.table], "lr": 1e-2}, {"params": [head], "lr": 3e-3}]
    if isinstance(encoding, CpuHashVolumes):
        return TableAdam(encoding, groups, **SETTINGS)
    return torch.optim.Adam(groups, **SETTINGS, fused=True)


def gradient_at(step: int, table: Tensor) -> Tensor:
    """Of sizes from 1e-8 to 1e4; none in the last columns, and at each step none in most of the rows."""
    generator = torch.Generator().manual_seed(step)
    size = 10 ** (12 * torch.rand(table.shape, generator=generator) - 8)
    gradient = (
        size * torch.randn(table.shape, generator=generator) * (torch.rand(len(table), 1, generator=generator) < 0.4)
    )
    gradient[:, 6:] = 0
    return gradient


def trained(kind: type[HashVolumes], steps: int = 6) -> tuple[HashVolumes, torch.nn.Parameter, torch.optim.Adam]:
    """A table and a head after steps of falling rates."""
    encoding, head = volumes(kind), torch.nn.Parameter(torch.ones(5))
    moved = optimizer(encoding, head)
    for step in range(steps):
        moved.param_groups[0]["lr"] = 1e-2 * 0.8**step
        encoding.clear_gradient()
        encoding.table.grad, head.grad = gradient_at(step, encoding.table), torch.full((5,), 1.0 - step)
        moved.step()
    return encoding, head, moved


@pytest.mark.parametrize("steps", [1, 6])
def test_table_and_head_move_as_by_torch_and_keep_its_state(steps: int) -> None:
    (plain, plain_head, by_torch), (fast, head, by_kernel) = (trained(kind, steps) for kind in KINDS)
    assert not torch.equal(plain.table, volumes().table)
    assert_allclose(fast.table.detach().numpy(), plain.table.detach().numpy(), rtol=1e-5, atol=1e-7)
    assert torch.equal(head, plain_head)
    actual, expected = by_kernel.state[fast.table], by_torch.state[plain.table]
    assert actual.keys() == expected.keys()
    for key, value in expected.items():
        assert (actual[key].dtype, actual[key].shape) == (value.dtype, value.shape)
        assert_allclose(actual[key].numpy(), value.numpy(), rtol=1e-5, atol=1e-7 * float(value.abs().max()))


def test_each_goes_on_from_the_others_state() -> None:
    (plain, _, by_torch), (fast, _, by_kernel) = (trained(kind) for kind in KINDS)
    fast.load_state_dict(plain.state_dict())
    by_kernel.load_state_dict(copy.deepcopy(by_torch.state_dict()))
    for encoding, moved in ((plain, by_torch), (fast, by_kernel)):
        encoding.table.grad = gradient_at(9, encoding.table)
        moved.step()
    assert by_kernel.state[fast.table]["step"] == 7
    assert_allclose(fast.table.detach().numpy(), plain.table.detach().numpy(), rtol=1e-5, atol=1e-7)


def test_what_never_had_a_gradient_stays_to_the_last_bit() -> None:
    encoding, _, moved = trained(CpuHashVolumes)
    assert torch.equal(encoding.table[:, 6:], volumes().table[:, 6:])
    assert not moved.state[encoding.table]["exp_avg_sq"][:, 6:].any()


def test_a_table_without_a_gradient_stays_and_has_no_state() -> None:
    encoding, head = volumes(), torch.nn.Parameter(torch.ones(5))
    moved = optimizer(encoding, head)
    head.grad = torch.ones(5)
    moved.step()
    assert torch.equal(encoding.table, volumes().table)
    assert encoding.table.grad is None
    assert list(moved.state) == [head]


def test_the_table_has_the_same_bits_on_any_number_of_cores() -> None:
    cores = numba.get_num_threads()
    tables = []
    for count in (1, cores):
        numba.set_num_threads(count)
        tables.append(trained(CpuHashVolumes)[0].table.detach().numpy())
    np.testing.assert_array_equal(tables[0], tables[1])


def learnt(encoding: HashVolumes) -> Tensor:
    """The gradient of a sum of features, after it was cleared and computed; a copy."""
    encoding.clear_gradient()
    found = encoding(torch.rand(300, 3, generator=torch.Generator().manual_seed(1)))
    torch.autograd.backward(found.color.square().sum() + found.geometry.jacobian.sum())
    assert encoding.table.grad is not None
    return encoding.table.grad.clone()


def test_after_a_step_the_gradient_is_zero_and_the_next_is_found_anew() -> None:
    encoding, head = volumes(), torch.nn.Parameter(torch.ones(5))
    moved = optimizer(encoding, head)
    for group in moved.param_groups:
        group["lr"] = 0.0
    first = learnt(encoding)
    moved.step()
    assert encoding.table.grad is not None
    assert not encoding.table.grad.any()
    assert torch.equal(learnt(encoding), first)  # after a step
    assert torch.equal(learnt(encoding), first)  # after none
    moved.step()
    encoding.table.grad.add_(1)
    assert torch.equal(learnt(encoding), first)  # after someone else added to it


def test_a_step_by_another_gradient_does_not_hide_what_was_added_to_ours() -> None:
    encoding, head = volumes(), torch.nn.Parameter(torch.ones(5))
    moved = optimizer(encoding, head)
    moved.param_groups[0]["lr"] = 0.0
    first = learnt(encoding)
    encoding.table.grad = gradient_at(0, encoding.table)
    moved.step()
    assert torch.equal(learnt(encoding), first)


@pytest.mark.parametrize("before", range(4))
def test_a_copy_takes_no_gradient_for_zero_that_is_not(before: int) -> None:
    """Whatever was done to the first: a copied tensor forgets how often it was written to."""
    encoding = volumes()
    for _ in range(before):
        learnt(encoding)
    assert torch.equal(learnt(copy.deepcopy(encoding)), learnt(volumes()))
