"""Each loss on a case with a known value or gradient."""

import math

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from torch import Tensor

from panrecon.field import losses
from panrecon.structures import VOID

TRUNCATION = 0.1  # m
BAND = 1.5 * TRUNCATION
DECAY = 0.5 / TRUNCATION


def test_depth_is_the_mean_error_in_metres() -> None:
    assert_allclose(losses.depth_loss(torch.tensor([1.0, 2.0]), torch.tensor([1.5, 1.9])).item(), 0.3, atol=1e-6)


def oblique_wall(angle: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Ray, depths, true distances and normals at a wall through (0, 0, 2) turned by `angle` from facing the camera."""
    normal = torch.tensor([math.sin(angle), 0.0, -math.cos(angle)])
    direction = torch.tensor([[0.2, 0.0, 1.0]])
    measured = -2 * math.cos(angle) / (direction @ normal)
    depth = measured[:, None] + torch.tensor([[-0.08, -0.02, 0.03]])
    distance = (depth[..., None] * direction[:, None] - torch.tensor([0.0, 0.0, 2.0])) @ normal
    return direction, depth, distance, normal.expand(1, 3, 3)


@pytest.mark.parametrize("angle", [0.0, 0.5, -1.0])
def test_the_true_distance_of_an_oblique_wall_costs_nothing(angle: float) -> None:
    direction, depth, distance, normals = oblique_wall(angle)
    measured = torch.tensor([float(depth[0, 0]) + 0.08])
    along_ray = losses.distance_along_ray(measured, depth, direction)
    cosine = losses.incidence_cosine(direction, normals, 0.2)
    assert_allclose(losses.surface_loss(distance, along_ray, cosine, BAND).item(), 0.0, atol=1e-6)
    assert losses.surface_loss(distance + 0.01, along_ray, cosine, BAND).item() == pytest.approx(0.01, abs=1e-5)


def test_the_surface_term_ignores_samples_beyond_the_band() -> None:
    along_ray = torch.tensor([[1.0, 0.1, -0.5]])
    sdf = torch.tensor([[9.0, 0.1, 9.0]])
    assert losses.surface_loss(sdf, along_ray, torch.ones(1, 3), BAND).item() == 0.0


def test_free_space_is_claimed_strictly_in_front_of_the_surface() -> None:
    along_ray = torch.tensor([[1.0, 0.05, -0.05, -1.0]])
    sdf = torch.full((1, 4), -0.2, requires_grad=True)
    torch.autograd.backward(losses.free_space_loss(sdf, along_ray, BAND, DECAY))
    assert sdf.grad is not None
    assert_allclose(sdf.grad.numpy(), np.array([[-5 * math.exp(1.0), 0, 0, 0]]), atol=1e-4)


@pytest.mark.parametrize(("sdf", "cost"), [(0.4, 0.0), (1.0, 0.0), (1.3, 0.3), (-0.1, math.expm1(0.5))])
def test_free_distance_lies_between_zero_and_the_way_to_the_surface(sdf: float, cost: float) -> None:
    actual = losses.free_space_loss(torch.tensor([[sdf]]), torch.tensor([[1.0]]), BAND, DECAY)
    assert actual.item() == pytest.approx(cost, abs=1e-6)


def test_eikonal_loss_wants_a_gradient_of_one_and_cares_more_far_from_the_surface() -> None:
    gradient = torch.tensor([[[2.0, 0.0, 0.0], [0.0, 1.0, 0.0]]])
    assert losses.eikonal_loss(torch.tensor([[0.49, 3.0]]), gradient, 0.1 * TRUNCATION).item() == pytest.approx(
        0.25, abs=1e-6
    )
    flat = torch.zeros(1, 1, 3, requires_grad=True)
    torch.autograd.backward(losses.eikonal_loss(torch.ones(1, 1), flat, 0.1 * TRUNCATION))
    assert flat.grad is not None
    assert torch.isfinite(flat.grad).all()


def test_color_is_the_mean_square() -> None:
    assert losses.color_loss(torch.zeros(1, 3), torch.tensor([[0.3, 0.0, 0.0]])).item() == pytest.approx(0.03)


def test_a_label_costs_the_negative_log_of_its_rendered_probability() -> None:
    probability = torch.tensor([[0.5, 0.25, 0.25], [0.1, 0.8, 0.1]], requires_grad=True)
    loss = losses.label_loss(probability, torch.tensor([0, 1]), torch.ones(2))
    assert loss.item() == pytest.approx(-(math.log(0.5) + math.log(0.8)) / 2, abs=1e-5)
    torch.autograd.backward(loss)
    assert probability.grad is not None
    assert_allclose(probability.grad.numpy(), np.array([[-1, 0, 0], [0, -0.625, 0]]), atol=1e-4)


def test_confidence_and_class_weight_weigh_the_mean() -> None:
    probability = torch.tensor([[0.5, 0.5], [0.1, 0.9]])
    target = torch.tensor([0, 0])
    certain = losses.label_loss(probability, target, torch.tensor([1.0, 0.0]))
    assert certain.item() == pytest.approx(math.log(2), abs=1e-5)
    target = torch.tensor([0, 1])
    balanced = losses.label_loss(probability, target, torch.ones(2), torch.tensor([3.0, 1.0]))
    assert balanced.item() == pytest.approx(-(3 * math.log(0.5) + math.log(0.9)) / 4, abs=1e-5)


@pytest.mark.parametrize("labels", [0, 3])
def test_void_alone_costs_nothing_and_has_no_gradient(labels: int) -> None:
    probability = torch.full((4, labels), 0.3, requires_grad=True)
    loss = losses.label_loss(probability, torch.full((4,), VOID), torch.ones(4))
    torch.autograd.backward(loss)
    assert loss.item() == 0.0
    assert probability.grad is not None
    assert_allclose(probability.grad.numpy(), np.zeros((4, labels)))


def test_an_impossible_label_has_a_finite_cost() -> None:
    probability = torch.tensor([[0.0, 1.0]], requires_grad=True)
    loss = losses.label_loss(probability, torch.tensor([0]), torch.ones(1))
    torch.autograd.backward(loss)
    assert math.isfinite(loss.item())
    assert probability.grad is not None
    assert torch.isfinite(probability.grad).all()


def test_features_cost_their_mean_square_and_nothing_where_there_are_none() -> None:
    assert losses.feature_loss(torch.ones(2, 4), torch.zeros(2, 4)).item() == 1.0
    assert losses.feature_loss(torch.ones(2, 0), torch.zeros(2, 0)).item() == 0.0
