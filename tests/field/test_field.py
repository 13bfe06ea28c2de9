"""Laws of the field's network."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from panrecon.config import FieldSettings
from panrecon.field.encoding import HashVolumes
from panrecon.field.field import PanopticField, SceneBox, build_field

BOX = SceneBox(np.array([-1.0, 2.0, 0.5]), np.array([3.0, 4.0, 1.0]))


def field(categories: int = 3, instances: int = 2, feature_width: int = 4) -> PanopticField:
    torch.manual_seed(0)
    settings = FieldSettings(levels=3, features_per_level=2, log2_table_size=8)
    built = build_field(BOX, settings, categories, instances, feature_width)
    assert isinstance(built.encoding, HashVolumes)
    torch.nn.init.normal_(built.encoding.table, std=0.3)
    return built


def points(count: int = 30) -> torch.Tensor:
    shares = torch.rand(count, 3, generator=torch.Generator().manual_seed(1))
    return torch.tensor(BOX.origin + shares.numpy() * BOX.size, dtype=torch.float32)


def test_the_gradient_is_the_slope_of_distance_in_metres() -> None:
    network, where, step = field().double(), points().double(), 1e-6
    gradient = network.geometry(where).gradient
    for axis in range(3):
        move = step * torch.eye(3, dtype=torch.float64)[axis]
        slope = (network.geometry(where + move).sdf - network.geometry(where - move).sdf) / (2 * step)
        assert_allclose(gradient[:, axis].detach().numpy(), slope.detach().numpy(), atol=1e-5)


def test_losses_on_the_gradient_train_by_first_order_derivatives() -> None:
    network, where = field().double(), points(4).double()
    assert isinstance(network.encoding, HashVolumes)
    table = network.encoding.table
    torch.autograd.backward((network.geometry(where).gradient.square()).sum())
    assert table.grad is not None
    row = int(table.grad.abs().sum(dim=1).argmax())
    sums = []
    for change in (1e-6, -2e-6):
        with torch.no_grad():
            table[row, 0] += change
            sums.append(float(network.geometry(where).gradient.square().sum()))
    assert float(table.grad[row, 0]) == pytest.approx((sums[0] - sums[1]) / 2e-6, rel=1e-4)


def test_outputs_have_the_widths_of_the_scene() -> None:
    sample = field(5, 7, 6)(points(10))
    assert sample.color.shape == (10, 3)
    assert (sample.category.shape, sample.instance.shape, sample.feature.shape) == ((10, 5), (10, 8), (10, 6))
    assert sample.color.min() >= 0
    assert sample.color.max() <= 1


def test_a_scene_without_things_labels_or_features_has_none() -> None:
    sample = field(0, 0, 0)(points(10))
    assert (sample.category.shape, sample.instance.shape, sample.feature.shape) == ((10, 0), (10, 1), (10, 0))


@pytest.mark.parametrize("head", ["category", "instance", "feature"])
def test_labels_do_not_reach_the_geometry(head: str) -> None:
    network = field()
    assert isinstance(network.encoding, HashVolumes)
    torch.autograd.backward(getattr(network(points()), head).square().sum())
    table = network.encoding.table
    assert table.grad is not None
    assert_allclose(table.grad[:, :2].numpy(), 0)
    assert all(parameter.grad is None for parameter in network.geometry_head.parameters())


def test_a_frozen_surface_gets_no_gradient_from_colour() -> None:
    network = field()
    assert isinstance(network.encoding, HashVolumes)
    with torch.no_grad():
        geometry = network.geometry(points())
    torch.autograd.backward(network.appearance_and_semantics(points(), geometry).color.square().sum())
    table = network.encoding.table
    assert table.grad is not None
    assert_allclose(table.grad[:, :2].numpy(), 0)
    assert table.grad[:, 2:4].abs().max() > 0


def test_what_lies_on_a_known_surface_is_what_the_whole_field_says() -> None:
    network, rows = field().double(), torch.tensor([4, 1, 9])
    everywhere, known = network(points().double()), network.geometry(points().double())
    there = network.appearance_and_semantics(points().double()[rows], known.at(rows))
    for name in ("color", "feature", "category", "instance"):
        assert_allclose(
            getattr(there, name).detach().numpy(), getattr(everywhere, name)[rows].detach().numpy(), atol=1e-12
        )


def test_the_box_maps_its_longest_side_to_one() -> None:
    network = field()
    corners = torch.tensor(np.stack([BOX.origin, BOX.origin + BOX.size]), dtype=torch.float32)
    assert_allclose(network.unit_positions(corners).numpy(), np.array([[0, 0, 0], [0.75, 1, 0.25]]), atol=1e-6)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_gives_the_field_of_the_cpu() -> None:
    network, where = field(), points()
    expected = network(where)
    actual = network.cuda()(where.cuda())
    assert_allclose(actual.geometry.sdf.detach().cpu().numpy(), expected.geometry.sdf.detach().numpy(), atol=1e-4)
    assert_allclose(actual.category.detach().cpu().numpy(), expected.category.detach().numpy(), atol=1e-4)
