"""Laws of pixels, rays and samples."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from jaxtyping import Float
from numpy.testing import assert_allclose

from panrecon.field.field import SceneBox
from panrecon.field.sampling import (
    FieldData,
    PixelSampler,
    Rays,
    balanced_weight,
    bilinear_features,
    box_depths,
    guided_depths,
    near_depths,
)
from panrecon.structures import VOID, Camera

TRUNCATION = 0.1  # m
MIN_DEPTH = 0.3  # m


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def test_rays_at_the_measured_depth_end_on_the_surface(
    room: FieldData, surface_points: Float[np.ndarray, "n 3"]
) -> None:
    pixel = torch.arange(0, room.depth.size, 97)
    batch = PixelSampler(room).at(pixel)
    ends = batch.rays.at(batch.depth[:, None]).squeeze(1)
    assert_allclose(ends.numpy(), surface_points[pixel.numpy()], atol=1e-4)


def test_a_batch_carries_what_lies_at_its_pixels(room: FieldData) -> None:
    pixel = torch.arange(0, room.depth.size, 97)
    batch = PixelSampler(room).at(pixel)
    assert_allclose(batch.color.numpy() * 255, room.color.reshape(-1, 3)[pixel.numpy()], atol=1e-3)
    assert (batch.category.numpy() == room.category.ravel()[pixel.numpy()]).all()
    none = room.instance.ravel()[pixel.numpy()] == VOID
    assert (batch.instance.numpy()[none] == room.instances).all()


def test_samples_rise_and_surround_the_measured_depth() -> None:
    surface = torch.tensor([2.0, 0.9, 0.35])
    depth = guided_depths(surface, TRUNCATION, near=8, free=4, min_depth=MIN_DEPTH, generator=seeded())
    assert (depth.diff(dim=1) >= 0).all()
    assert ((depth[:, 4:] - surface[:, None]).abs() <= 0.1).all()
    assert (depth[:2, :4] >= MIN_DEPTH).all()
    assert (depth[:, :4] <= surface[:, None] - 0.1 + 1e-6).all()


def test_samples_of_a_street_lie_as_those_of_a_room_a_fifth_of_its_size() -> None:
    room, street = (near_depths(k * torch.tensor([1.0, 2.0]), k * TRUNCATION, 4, seeded()) for k in (1, 5))
    assert_allclose(street.numpy(), 5 * room.numpy(), rtol=1e-6)


def test_each_stratum_has_one_sample_and_the_middle_without_chance() -> None:
    surface = torch.full((500,), 1.0)
    stratum = ((near_depths(surface, TRUNCATION, 5, seeded()) - 0.9) / 0.04).floor()
    assert (stratum == torch.arange(5)).all()
    assert_allclose(near_depths(surface[:1], TRUNCATION, 2).numpy(), [[0.95, 1.05]], atol=1e-6)


def test_rays_without_depth_are_sampled_where_they_cross_the_box() -> None:
    box = SceneBox(np.array([1.0, -1.0, -1.0]), np.array([2.0, 2.0, 2.0]))
    rays = Rays(torch.zeros(3, 3), torch.tensor([[1.0, 0, 0], [2.0, 0, 0], [0, 0, 1.0]]))
    assert_allclose(box_depths(rays, box, 2).numpy(), np.array([[1.5, 2.5], [0.75, 1.25], [0, 0]]), atol=1e-5)


def test_half_of_a_batch_is_labelled_and_all_of_it_measured(room: FieldData) -> None:
    rare = np.full_like(room.category, VOID)
    rare[0, 10, 10:14] = 1
    holes = room.depth.copy()
    holes[:, :20] = 0
    holes[0, 10, 10:14] = 1.0
    data = replace(room, category=rare, instance=np.full_like(rare, VOID), depth=holes)
    batch = PixelSampler(data).draw(400, seeded(), 0.5)
    assert (batch.category == 1).sum() >= 200
    assert (batch.depth > 0).all()
    assert (batch.instance[batch.category == 1] == room.instances).all()
    assert (batch.instance[batch.category == VOID] == VOID).all()


def test_one_seed_draws_one_batch(room: FieldData) -> None:
    sampler = PixelSampler(room)
    first, second = sampler.draw(64, seeded(), 0.5), sampler.draw(64, seeded(), 0.5)
    assert torch.equal(first.rays.direction, second.rays.direction)
    assert torch.equal(first.category, second.category)


def test_a_scan_without_any_depth_is_refused(room: FieldData) -> None:
    with pytest.raises(ValueError, match="None of the 8 depth images"):
        PixelSampler(replace(room, depth=np.zeros_like(room.depth)))


def test_rare_labels_weigh_more_and_equally_common_or_unseen_ones_nothing_special() -> None:
    assert_allclose(balanced_weight(torch.tensor([7, 7, 0])).numpy(), 1)
    weight = balanced_weight(torch.tensor([900, 100]))
    assert weight[1] / weight[0] == pytest.approx(3)


def test_features_are_linear_between_cells_and_constant_beyond() -> None:
    camera = Camera(80, 60, 50.0, 50.0, 39.5, 29.5)
    columns, rows = torch.meshgrid(torch.arange(8.0), torch.arange(6.0), indexing="xy")
    grid = torch.stack([columns, rows], dim=-1)[None].half()
    u, v = torch.tensor([4.5, 9.5, 77.0, 0.0]), torch.tensor([4.5, 34.5, 59.0, 0.0])
    read = bilinear_features(grid, camera, torch.zeros(4, dtype=torch.long), u, v)
    assert_allclose(read.numpy(), np.array([[0, 0], [0.5, 3], [7, 5], [0, 0]]), atol=1e-3)
