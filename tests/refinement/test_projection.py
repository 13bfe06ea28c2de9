"""Vertices near a boundary are projected onto their segment's surface; discontinuities belong to what stands out."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy.spatial.transform import Rotation

from panrecon.refinement.parameters import RefinementParameters
from panrecon.refinement.projection import project_boundaries
from panrecon.structures import VOID, Labels, TriangleMesh

FLOOR, WALL = 0, 1
PARAMETERS = RefinementParameters(0.02)
STEP = 0.01  # m between vertices
LENGTH = 41  # vertices along the edge
PROFILE = 81  # and across it
ROUNDING = 0.03  # m: radius of the fillet between floor and wall


def corner(rounding: float = ROUNDING, noise: float = 0.0, step: float = STEP) -> TriangleMesh:
    """A floor (z = 0) that turns up into a wall (x = 0), with a fillet between them; the room is at x, z > 0."""
    along = (np.arange(PROFILE) - PROFILE // 2) * step  # metres from the middle of the fillet, up the wall
    straight = np.pi / 4 * rounding
    angle = (
        np.clip(along / rounding, -np.pi / 4, np.pi / 4) + np.pi / 4 if rounding else np.where(along > 0, np.pi / 2, 0)
    )
    beyond = np.maximum(np.abs(along) - straight, 0)
    x = rounding * (1 - np.sin(angle)) + np.where(along < 0, beyond, 0)
    z = rounding * (1 - np.cos(angle)) + np.where(along > 0, beyond, 0)
    y = np.arange(LENGTH) * step
    profile = np.stack([x, np.zeros(PROFILE), z], axis=1)
    vertices = profile[None] + np.stack([np.zeros(LENGTH), y, np.zeros(LENGTH)], axis=1)[:, None]
    vertices = vertices.reshape(-1, 3) + noise * np.random.default_rng(0).standard_normal((LENGTH * PROFILE, 3))
    first = (np.arange(LENGTH - 1)[:, None] * PROFILE + np.arange(PROFILE - 1)).ravel()
    lower = np.stack([first, first + 1, first + PROFILE], axis=1)
    upper = np.stack([first + 1, first + PROFILE + 1, first + PROFILE], axis=1)
    return TriangleMesh(
        vertices, np.concatenate([lower, upper]).astype(np.int32), np.full((len(vertices), 3), 9, np.uint8)
    )


def floor_and_wall() -> Labels:
    category = np.where(np.arange(PROFILE) > PROFILE // 2, WALL, FLOOR)
    return stuff(np.tile(category, LENGTH))


def stuff(category: np.ndarray) -> Labels:
    return Labels(category.astype(np.int32), np.full(len(category), VOID, np.int32))


def off_the_planes(mesh: TriangleMesh, labels: Labels) -> np.ndarray:
    """How far every vertex lies from the plane of its label, m."""
    return np.abs(np.where(labels.category == FLOOR, mesh.vertices[:, 2], mesh.vertices[:, 0]))


@pytest.mark.parametrize(("step", "left"), [(0.01, 0.002), (0.02, 0.005)])
def test_a_rounded_corner_becomes_sharp(step: float, left: float) -> None:
    mesh, labels = corner(step=step), floor_and_wall()
    assert off_the_planes(mesh, labels).max() > 0.008
    assert off_the_planes(project_boundaries(mesh, labels, PARAMETERS).mesh, labels).max() < left


def test_noise_near_a_boundary_is_averaged_out_by_the_interior_of_the_segment() -> None:
    labels, rounded = floor_and_wall(), corner(noise=0.004)
    near = np.tile(np.abs(np.arange(PROFILE) - PROFILE // 2) < 4, LENGTH)
    sharp = project_boundaries(rounded, labels, PARAMETERS).mesh
    before, after = (off_the_planes(mesh, labels)[near].mean() for mesh in (rounded, sharp))
    assert after < 0.4 * before


def test_vertices_far_from_boundaries_stay_and_so_do_faces_and_colours() -> None:
    mesh = corner(noise=0.004)
    projected = project_boundaries(mesh, floor_and_wall(), PARAMETERS).mesh
    far = np.tile(np.abs(np.arange(PROFILE) - PROFILE // 2) > 12, LENGTH)
    assert_array_equal(projected.vertices[far], mesh.vertices[far])
    assert (projected.vertices[~far] != mesh.vertices[~far]).any()
    assert_array_equal(projected.faces, mesh.faces)
    assert_array_equal(projected.colors, mesh.colors)


def test_a_surface_of_one_segment_stays_as_it_is() -> None:
    mesh = corner(noise=0.004)
    projected = project_boundaries(mesh, stuff(np.full(LENGTH * PROFILE, FLOOR)), PARAMETERS).mesh
    assert_array_equal(projected.vertices, mesh.vertices)


def test_a_boundary_on_a_plane_moves_no_vertex_off_it() -> None:
    mesh = corner(rounding=0.0)
    flat = TriangleMesh(mesh.vertices[:, [2, 1, 2]] * [1, 1, 0] + mesh.vertices * [1, 0, 0], mesh.faces, mesh.colors)
    projected = project_boundaries(flat, floor_and_wall(), PARAMETERS).mesh
    np.testing.assert_allclose(projected.vertices[:, 2], 0, atol=1e-9)


def test_an_edge_within_a_segment_stays() -> None:
    """Two segments that both turn the corner, one beside the other: to which plane would the edge's vertices go?"""
    mesh, beside = corner(rounding=0.0), np.repeat(np.arange(LENGTH) > LENGTH // 2, PROFILE)
    projected = project_boundaries(mesh, stuff(np.where(beside, WALL, FLOOR)), PARAMETERS).mesh
    np.testing.assert_allclose(projected.vertices, mesh.vertices, atol=1e-3)


def test_beside_what_has_no_label_only_the_labelled_side_moves() -> None:
    mesh, labels = corner(), floor_and_wall()
    floor = labels.category == FLOOR
    half = Labels(np.where(floor, FLOOR, VOID).astype(np.int32), labels.instance)
    projected = project_boundaries(mesh, half, PARAMETERS).mesh
    assert_array_equal(projected.vertices[~floor], mesh.vertices[~floor])
    assert off_the_planes(projected, labels)[floor].max() < 0.002


def test_what_is_too_narrow_to_have_an_interior_stays() -> None:
    """An object along the corner."""
    mesh, labels = corner(), floor_and_wall()
    ribbon = np.tile(np.abs(np.arange(PROFILE) - PROFILE // 2) <= 1, LENGTH)
    category, instance = np.where(ribbon, 2, labels.category), np.where(ribbon, 0, VOID)
    projected = project_boundaries(mesh, Labels(category.astype(np.int32), instance.astype(np.int32)), PARAMETERS).mesh
    assert_array_equal(projected.vertices[ribbon], mesh.vertices[ribbon])


def test_it_does_not_matter_where_the_scene_lies() -> None:
    mesh, labels = corner(noise=0.002), floor_and_wall()
    turn, shift = Rotation.from_euler("xyz", [0.4, -1.1, 2.0]).as_matrix(), np.array([3.0, -2.0, 1.0])
    moved = TriangleMesh(mesh.vertices @ turn.T + shift, mesh.faces, mesh.colors)
    expected = project_boundaries(mesh, labels, PARAMETERS).mesh.vertices @ turn.T + shift
    np.testing.assert_allclose(project_boundaries(moved, labels, PARAMETERS).mesh.vertices, expected, atol=1e-6)


def slab(height: float) -> tuple[TriangleMesh, Labels, np.ndarray]:
    """A slab of this height (m) on the floor, as it is fused: the step is a slope, and the masks end halfway down.

    Also every vertex's number along the profile.
    """
    place = np.tile(np.arange(PROFILE), LENGTH)
    x, y = place * STEP, np.repeat(np.arange(LENGTH), PROFILE) * STEP
    z = height * np.clip((place - PROFILE // 2) / 4, 0, 1)
    faces, colors = corner().faces, corner().colors
    category = np.where(place >= PROFILE // 2 + 2, WALL, FLOOR)
    return TriangleMesh(np.stack([x, y, z], axis=1), faces, colors), stuff(category), place


@pytest.mark.parametrize("height", [0.005, 0.02, 0.05])
def test_a_depth_discontinuity_belongs_to_what_stands_out(height: float) -> None:
    mesh, labels, place = slab(height)
    first = place[labels.category == WALL].min()
    labels = Labels(labels.category, np.where(labels.category == WALL, 5, VOID).astype(np.int32))
    projected = project_boundaries(mesh, labels, PARAMETERS).labels
    assert_array_equal(projected.category, np.where(place >= first - 1, WALL, FLOOR))
    assert_array_equal(projected.instance, np.where(place >= first - 1, 5, VOID))


@pytest.mark.parametrize("height", [0.0, 0.001, -0.001])
def test_a_print_on_a_surface_stays_as_large_as_it_is(height: float) -> None:
    mesh, labels, _ = slab(height)
    assert_array_equal(project_boundaries(mesh, labels, PARAMETERS).labels.category, labels.category)


@pytest.mark.parametrize("inside", [True, False])
@pytest.mark.parametrize("bend", [5, 15, 24, 40, 90])
def test_a_bend_is_no_discontinuity(bend: float, inside: bool) -> None:
    """Degrees between floor and wall, seen from the side where they lean towards one another and from the other."""
    labels, flat = floor_and_wall(), corner(rounding=0.0)
    along = np.tile((np.arange(PROFILE) - PROFILE // 2) * STEP, LENGTH)
    angle = np.where(along > 0, np.deg2rad(bend), 0)
    vertices = np.stack([along * np.cos(angle), flat.vertices[:, 1], along * np.sin(angle)], axis=1)
    seen = TriangleMesh(vertices, flat.faces[:, ::-1] if inside else flat.faces, flat.colors)
    assert_array_equal(project_boundaries(seen, labels, PARAMETERS).labels.category, labels.category)


def test_void_takes_part_in_no_discontinuity() -> None:
    mesh, labels, _ = slab(0.05)
    for missing in (FLOOR, WALL):
        some = stuff(np.where(labels.category == missing, VOID, labels.category))
        assert_array_equal(project_boundaries(mesh, some, PARAMETERS).labels.category, some.category)


def test_of_two_surfaces_that_stand_out_the_higher_takes_the_discontinuity() -> None:
    """A low and a high slab side by side on the floor: where they meet, a vertex of the floor touches both."""
    mesh, labels, place = slab(0.05)
    along = np.repeat(np.arange(LENGTH), PROFILE)
    foot = place == PROFILE // 2 + 1
    for higher, first in ((2, along < LENGTH // 2), (3, along >= LENGTH // 2)):
        height = np.where(first, 1.0, 0.4)[:, None]
        two = TriangleMesh(mesh.vertices * np.hstack([height**0, height**0, height]), mesh.faces, mesh.colors)
        category = np.where(labels.category == FLOOR, FLOOR, np.where(along < LENGTH // 2, 2, 3))
        projected = project_boundaries(two, stuff(category), PARAMETERS).labels.category[foot]
        assert set(projected) == {2, 3}
        assert (projected == higher).sum() >= (category[place == PROFILE // 2 + 2] == higher).sum()
