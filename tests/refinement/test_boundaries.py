"""Vertices near boundaries between segments, and what they look like."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from panrecon.refinement.boundaries import (
    BoundaryVertices,
    appearance_descriptor,
    boundary_vertices,
    within_boundary_distance,
)
from panrecon.refinement.parameters import EnergyParameters
from panrecon.refinement.segments import indices_by_group
from panrecon.structures import VOID
from tests.refinement.sheets import SIDE, VOXEL_SIZE, halves, painted, sheet

PARAMETERS = EnergyParameters()
RADIUS = 0.05


def compared(segment: np.ndarray, colors: np.ndarray, segment_count: int = 2) -> BoundaryVertices:
    mesh = sheet(colors)
    descriptor = appearance_descriptor(mesh, VOXEL_SIZE, PARAMETERS)
    return boundary_vertices(mesh, descriptor, segment, segment_count, RADIUS)


def test_near_a_boundary_is_within_the_radius_and_no_farther() -> None:
    mesh = sheet(painted(halves(0)))
    segment = halves(0).ravel().astype(np.int64)
    x = mesh.vertices[:, 0].astype(np.float64)
    distance = np.where(x > 0, x - VOXEL_SIZE, -x)  # to the last vertex of either side
    assert_array_equal(within_boundary_distance(mesh, segment, RADIUS), distance <= RADIUS)


@pytest.mark.parametrize("segment", [np.zeros(SIDE**2, np.int64), np.arange(SIDE**2)])
def test_one_segment_has_no_boundary_and_what_is_all_boundary_no_interior(segment: np.ndarray) -> None:
    compared_vertices = compared(segment, painted(halves(0)), SIDE**2)
    assert not len(compared_vertices.vertex)
    assert compared_vertices.similarity_to(np.zeros((0, 3), np.int64)).shape == (0, 3)


def test_similarity_counts_only_the_interior() -> None:
    """Both sides of a boundary look wholly like themselves: labels between boundary and colour edge do not vote."""
    boundary = compared(halves(0.03).ravel().astype(np.int64), painted(halves(0)))
    is_red = boundary.vertex % SIDE > SIDE // 2
    own, other = boundary.similarity_to(np.stack([is_red, ~is_red], axis=1).astype(np.int64)).T
    assert (own > 10 * other).all()


def test_nothing_is_said_against_a_segment_without_an_interior() -> None:
    """A cup of the table's colour: it is as similar as the most similar segment, here the table."""
    segment = np.zeros((SIDE, SIDE), np.int64)
    segment[18:23, 18:23] = 1
    boundary = compared(segment.ravel(), np.full((SIDE, SIDE, 3), 120))
    table, cup = boundary.similarity_to(np.tile([0, 1], (len(boundary.vertex), 1))).T
    assert (table > 1).all()
    assert_allclose(cup, table)


def test_distances_are_measured_in_the_scales_of_the_parameters() -> None:
    mesh = sheet(painted(halves(0)))
    descriptor = appearance_descriptor(mesh, VOXEL_SIZE, PARAMETERS)
    coarse = replace(PARAMETERS, appearance_distance=2 * PARAMETERS.appearance_distance)
    assert_allclose(appearance_descriptor(mesh, VOXEL_SIZE, coarse)[:, :3], descriptor[:, :3] / 2, rtol=1e-6)
    left, right = descriptor[0], descriptor[SIDE - 1]
    width = (SIDE - 1) / PARAMETERS.appearance_distance  # in voxels
    assert_allclose(right[:3] - left[:3], [width, 0, 0], rtol=1e-5)
    assert_allclose(np.abs(right[3:6] - left[3:6]), [160 / 255 / PARAMETERS.color_scale] * 2 + [0], rtol=1e-5)
    assert_array_equal(right[6:], left[6:])


def test_indices_are_listed_group_by_group_in_their_order() -> None:
    grouped = indices_by_group(np.array([2, VOID, 0, 2, VOID, 0]), 4)
    assert [index.tolist() for index in grouped] == [[2, 5], [], [0, 3], []]
    assert [index.tolist() for index in indices_by_group(np.zeros(0, np.int64), 2)] == [[], []]
