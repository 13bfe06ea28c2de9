"""Laws of rendering."""

import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from torch import Tensor

from panrecon.field.rendering import interval_opacity, render, render_probability, render_weights, top_k_samples


def random_distances(seed: int) -> Tensor:
    return torch.randn(50, 12, generator=torch.Generator().manual_seed(seed))


@given(seed=st.integers(0, 1000), sharpness=st.floats(1, 1e4))
def test_weights_are_shares_of_at_most_everything(seed: int, sharpness: float) -> None:
    weights = render_weights(random_distances(seed), torch.tensor(sharpness))
    assert weights.min() >= 0
    assert weights.sum(dim=1).max() <= 1 + 1e-5


def test_opacity_is_the_one_of_neus() -> None:
    sdf = 0.3 * random_distances(0).double()
    phi = torch.sigmoid(20 * sdf)
    expected = ((phi[:, :-1] - phi[:, 1:]) / phi[:, :-1]).clamp(min=0)
    actual = interval_opacity(sdf, torch.tensor(20.0, dtype=torch.float64))
    assert_allclose(actual.numpy(), expected.numpy(), atol=1e-12)


def test_a_sharp_surface_is_rendered_at_its_zero_crossing() -> None:
    depth = torch.linspace(0, 2, 15).expand(40, -1)
    surface = torch.linspace(0.3, 1.7, 40)
    weights = render_weights(surface[:, None] - depth, torch.tensor(1e4))
    assert_allclose(render(weights, depth[..., None])[:, 0].numpy(), surface.numpy(), atol=1e-5)


def test_only_the_first_of_two_surfaces_is_seen() -> None:
    depth = torch.linspace(0, 2, 101)[None]
    ball_then_wall = torch.minimum((depth - 0.8).abs() - 0.2, 1.8 - depth)
    weights = render_weights(ball_then_wall, torch.tensor(2000.0))
    assert_allclose(float((weights * depth).sum()), 0.6, atol=1e-3)


def test_a_ray_that_leaves_a_solid_sees_nothing() -> None:
    weights = render_weights(torch.linspace(-1, -0.1, 10)[None], torch.tensor(100.0))
    assert_allclose(weights.sum().item(), 0.0, atol=1e-6)


def test_gradients_are_finite_deep_inside_a_solid_and_on_flat_distance() -> None:
    sdf = torch.tensor([[5.0, 0.0, 0.0, -50.0, -50.0, -80.0]], requires_grad=True)
    torch.autograd.backward((render_weights(sdf, torch.tensor(1e4)) * torch.arange(6)).sum())
    assert sdf.grad is not None
    assert torch.isfinite(sdf.grad).all()


def test_labels_cannot_move_the_surface() -> None:
    sdf = (0.5 - torch.linspace(0, 1, 6))[None].requires_grad_()
    logits = torch.randn(1, 6, 3, requires_grad=True)
    weights = render_weights(sdf, torch.tensor(30.0))
    torch.autograd.backward(render_probability(weights, logits)[0, 0])
    assert sdf.grad is None
    assert logits.grad is not None


def test_the_heaviest_samples_carry_what_all_of_them_render() -> None:
    depth = torch.linspace(0, 2, 21).expand(5, -1)
    weights = render_weights(torch.linspace(0.4, 1.6, 5)[:, None] - depth, torch.tensor(400.0))
    positions = depth[..., None].expand(-1, -1, 3)
    top = top_k_samples(weights, 3)
    there = positions.flatten(0, 1)[top.rows].view(5, 3, 3)
    assert_allclose(render(top.shares, there).numpy(), render(weights, positions).numpy(), atol=0.02)
    assert_allclose(there[..., 0].numpy(), depth.gather(1, top.index).numpy())
    assert top_k_samples(weights, 99).index.shape == (5, 21)


def test_shares_of_the_heaviest_samples_sum_to_one_also_on_a_veil() -> None:
    weights = 0.1 * torch.rand(20, 9, generator=torch.Generator().manual_seed(0))
    assert_allclose(top_k_samples(weights, 3).shares.sum(dim=1).numpy(), 1, atol=1e-5)
    assert_allclose(top_k_samples(torch.zeros(2, 9), 3).shares.numpy(), 0)
