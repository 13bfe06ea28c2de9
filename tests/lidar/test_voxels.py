"""Laws of cylindrical voxels."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from panrecon.lidar.voxels import (
    NUSCENES,
    SEMANTIC_KITTI,
    cartesian_coordinates,
    cylinder_coordinates,
    grid_over,
    majority,
    voxelize,
)
from panrecon.structures import VOID

GRID = grid_over((10, 12, 4), (-2.0, 2.0), 20.0)


def points(count: int = 300, reach: float = 14.0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(1).uniform(-1, 1, (count, 3))).float() * torch.tensor(
        [reach, reach, 2]
    )


def test_every_point_lies_in_its_voxel() -> None:
    xyz = points()
    voxels = voxelize(xyz, GRID)
    offset = cylinder_coordinates(xyz) - voxels.centers[voxels.voxel_of_point]
    assert (offset.abs() <= torch.tensor(GRID.cell) / 2 + 1e-5).all()


def test_voxels_are_few_sorted_and_each_has_a_point() -> None:
    voxels = voxelize(points(), GRID)
    rows = voxels.index.tolist()
    assert rows == sorted({tuple(row): row for row in rows}.values())
    assert sorted(set(voxels.voxel_of_point.tolist())) == list(range(len(voxels)))


def test_the_order_of_points_does_not_matter() -> None:
    xyz, order = points(), torch.randperm(300)
    one, other = voxelize(xyz, GRID), voxelize(xyz[order], GRID)
    assert one.index.equal(other.index)
    assert one.voxel_of_point[order].equal(other.voxel_of_point)


def test_points_outside_count_to_the_nearest_cell() -> None:
    xyz = torch.tensor([[100.0, 0.5, 0.1], [0.0, 3.0, 50.0], [0.0, 3.0, -50.0]])
    index = voxelize(xyz, GRID)
    rho, _, z = index.index[index.voxel_of_point].unbind(dim=1)
    assert rho.tolist()[0] == 9
    assert z.tolist()[1:] == [3, 0]


def test_cylinder_coordinates_lead_back() -> None:
    torch.testing.assert_close(cartesian_coordinates(cylinder_coordinates(points())), points())


def test_the_papers_grids_are_480_by_360_by_32() -> None:
    for grid, low, high in zip((SEMANTIC_KITTI, NUSCENES), (-4.0, -5.0), (2.0, 3.0), strict=True):
        assert grid.shape == (480, 360, 32)
        assert grid.low == (0.0, -math.pi, low)
        assert grid.high == (50.0, math.pi, high)


def test_no_point_makes_no_voxel() -> None:
    assert len(voxelize(torch.zeros(0, 3), GRID)) == 0


def test_a_grid_that_holds_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="holds nothing"):
        grid_over((10, 0, 4), (-2.0, 2.0))


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(VOID, 3)), max_size=40))
@settings(deadline=None)
def test_the_majority_is_that_of_counting(pairs: list[tuple[int, int]]) -> None:
    voxel, label = (torch.tensor([pair[k] for pair in pairs], dtype=torch.long) for k in (0, 1))
    expected = []
    for number in range(6):
        mine = [b for a, b in pairs if a == number]
        expected.append(max(sorted(set(mine)), key=mine.count) if mine else VOID)
    assert majority(label, voxel, 6).tolist() == expected
