"""Boundaries between segments follow the appearance of the surface, and nothing else moves."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from panrecon.refinement.boundaries import boundary_vertices, within_boundary_distance
from panrecon.refinement.labelling import PanopticLabels, panoptic_labels, relabel_boundaries
from panrecon.refinement.parameters import RefinementParameters
from panrecon.refinement.segments import indices_by_group
from panrecon.structures import VOID, CategoryTable, Labels, SceneObject, TriangleMesh

WALL, FLOOR, CHAIR, TABLE, CLUTTER = range(5)
STEP = 0.02  # m between vertices
PARAMETERS = RefinementParameters(0.02)
SIDE = 41
RED, GREEN = (200, 40, 40), (40, 200, 40)


def sheet(colors: np.ndarray) -> TriangleMesh:
    """A flat square of SIDE x SIDE vertices around the origin; colours by [row, column]."""
    y, x = np.mgrid[:SIDE, :SIDE]
    vertices = np.stack([(x - SIDE // 2) * STEP, (y - SIDE // 2) * STEP, np.zeros_like(x)], axis=2)
    corner = (y[:-1, :-1] * SIDE + x[:-1, :-1]).ravel()
    lower = np.stack([corner, corner + 1, corner + SIDE], axis=1)
    upper = np.stack([corner + 1, corner + SIDE + 1, corner + SIDE], axis=1)
    faces = np.concatenate([lower, upper]).astype(np.int32)
    return TriangleMesh(vertices.reshape(-1, 3).astype(np.float32), faces, colors.reshape(-1, 3).astype(np.uint8))


def halves(boundary: float) -> np.ndarray:
    """Which vertices lie right of x = `boundary` (m), by [row, column]."""
    x = (np.arange(SIDE) - SIDE // 2) * STEP
    return np.broadcast_to(x > boundary, (SIDE, SIDE))


def painted(right: np.ndarray) -> np.ndarray:
    return np.where(right[..., None], RED, GREEN)


def stuff(right: np.ndarray) -> Labels:
    category = np.where(right, WALL, FLOOR).ravel().astype(np.int32)
    return Labels(category, np.full(category.shape, VOID, np.int32))


def decide(
    prior: Labels,
    mesh: TriangleMesh,
    table: CategoryTable,
    objects: tuple[int, ...] = (),
    parameters: RefinementParameters = PARAMETERS,
) -> PanopticLabels:
    """What is decided with an untrained field."""
    count = len(prior.category)
    heads = np.full((count, len(table)), 1 / len(table)), np.full((count, len(objects) + 1), 1 / (len(objects) + 1))
    scene_objects = [SceneObject(category, 1.0, 0.0, 0.0, (), ()) for category in objects]
    return panoptic_labels(*heads, prior, scene_objects, table, mesh, parameters)


@pytest.mark.parametrize("error", [-0.03, 0.03])
def test_a_boundary_moves_to_the_edge_of_the_colours(table: CategoryTable, error: float) -> None:
    decided = decide(stuff(halves(error)), sheet(painted(halves(0))), table).labels
    assert_array_equal(decided.category, stuff(halves(0)).category)


@pytest.mark.parametrize("is_frozen", [False, True])
def test_boundaries_are_relabelled_again_unless_vertices_are_frozen(table: CategoryTable, is_frozen: bool) -> None:
    true, changed = stuff(halves(0)), stuff(halves(0.03))
    mesh, frozen = sheet(painted(halves(0))), np.full(len(true.category), is_frozen)
    relabelled = relabel_boundaries(mesh, changed, decide(true, mesh, table).scores, PARAMETERS, frozen)
    assert_array_equal(relabelled.category, (changed if is_frozen else true).category)


@pytest.mark.parametrize(("voxels", "is_mended"), [(0.5, False), (2.5, True)])
def test_segments_farther_than_the_boundary_distance_are_not_taken(
    table: CategoryTable, voxels: float, is_mended: bool
) -> None:
    mesh, error = sheet(painted(halves(0))), stuff(halves(0.03))
    decided = decide(error, mesh, table, parameters=replace(PARAMETERS, boundary_distance=voxels)).labels
    assert_array_equal(decided.category, (stuff(halves(0)) if is_mended else error).category)


def test_where_all_looks_alike_nothing_moves(table: CategoryTable) -> None:
    prior = stuff(halves(0.03))
    decided = decide(prior, sheet(np.full((SIDE, SIDE, 3), 120)), table).labels
    assert_array_equal(decided.category, prior.category)


def test_what_is_all_boundary_keeps_its_vertices_though_it_looks_like_the_rest(table: CategoryTable) -> None:
    category, instance = np.full((SIDE, SIDE), FLOOR), np.full((SIDE, SIDE), VOID)
    category[18:23, 18:23], instance[18:23, 18:23] = CHAIR, 0
    prior = Labels(category.ravel().astype(np.int32), instance.ravel().astype(np.int32))
    decided = decide(prior, sheet(np.full((SIDE, SIDE, 3), 120)), table, (CHAIR,)).labels
    assert_array_equal(decided.instance, prior.instance)


def test_a_vertex_belongs_to_a_segment_that_touches_it(table: CategoryTable) -> None:
    """A strip of the wall's colour in the floor, out of the wall's boundary, stays floor."""
    right = halves(0)
    colors = painted(right)
    colors[:, 6:8] = RED  # 26 cm left of the wall, beside an object
    category = stuff(right).category.reshape(SIDE, SIDE).copy()
    instance = np.full((SIDE, SIDE), VOID)
    category[:, :6], instance[:, :6] = CHAIR, 0
    prior = Labels(category.ravel(), instance.ravel().astype(np.int32))
    decided = decide(prior, sheet(colors), table, (CHAIR,)).labels.category.reshape(SIDE, SIDE)
    assert (decided[:, 6:8] != WALL).all()


def test_the_order_of_vertices_does_not_matter(table: CategoryTable) -> None:
    prior, mesh = stuff(halves(0.03)), sheet(painted(halves(0)))
    order = np.random.default_rng(0).permutation(len(mesh.vertices))
    place = np.argsort(order)
    shuffled = TriangleMesh(mesh.vertices[order], place[mesh.faces].astype(np.int32), mesh.colors[order])
    decided = decide(Labels(prior.category[order], prior.instance[order]), shuffled, table).labels
    assert_array_equal(decided.category[place], decide(prior, mesh, table).labels.category)


def test_near_a_boundary_is_within_the_radius_and_no_farther() -> None:
    mesh = sheet(painted(halves(0)))
    segment = halves(0).ravel().astype(np.int64)
    x = mesh.vertices[:, 0].astype(np.float64)
    distance = np.where(x > 0, x - STEP, -x)  # to the last vertex of either side
    assert_array_equal(within_boundary_distance(mesh, segment, 0.05), distance <= 0.05)


@pytest.mark.parametrize("segment", [np.zeros(SIDE**2, np.int64), np.full(SIDE**2, VOID)])
def test_one_segment_or_none_has_no_boundary(segment: np.ndarray) -> None:
    assert not len(boundary_vertices(sheet(painted(halves(0))), segment, PARAMETERS).vertex)


def test_similarity_counts_only_the_interior() -> None:
    """Both sides of a boundary look wholly like themselves: labels between boundary and colour edge do not vote."""
    boundary = boundary_vertices(sheet(painted(halves(0))), halves(0.03).ravel().astype(np.int64), PARAMETERS)
    red = boundary.vertex[:, None] % SIDE > SIDE // 2
    own = np.where(red[:, 0], 1, 0)
    assert (boundary.similarity_to(own) > 10 * boundary.similarity_to(1 - own)).all()


def test_indices_are_listed_group_by_group_in_their_order() -> None:
    grouped = indices_by_group(np.array([2, VOID, 0, 2, VOID, 0]), 4)
    assert [index.tolist() for index in grouped] == [[2, 5], [], [0, 3], []]
    assert [index.tolist() for index in indices_by_group(np.zeros(0, np.int64), 2)] == [[], []]
