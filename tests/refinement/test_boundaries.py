"""Borders of segments follow the look of the surface, and nothing else moves."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from panrecon.refinement.boundaries import borders, members, near_border
from panrecon.refinement.labelling import panoptic_labels
from panrecon.structures import VOID, CategoryTable, Labels, SceneObject, TriangleMesh

WALL, FLOOR, CHAIR, TABLE, CLUTTER = range(5)
STEP = 0.02  # m between vertices
REACH = 0.1  # m of the field
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


def halves(border: float) -> np.ndarray:
    """Which vertices lie right of x = `border` (m), by [row, column]."""
    x = (np.arange(SIDE) - SIDE // 2) * STEP
    return np.broadcast_to(x > border, (SIDE, SIDE))


def painted(right: np.ndarray) -> np.ndarray:
    return np.where(right[..., None], RED, GREEN)


def stuff(right: np.ndarray) -> Labels:
    category = np.where(right, WALL, FLOOR).ravel().astype(np.int32)
    return Labels(category, np.full(category.shape, VOID, np.int32))


def decide(
    known: Labels,
    mesh: TriangleMesh,
    table: CategoryTable,
    objects: tuple[int, ...] = (),
    revised: Callable[[Labels], tuple[Labels, np.ndarray]] | None = None,
) -> Labels:
    """What is decided with a field that knows nothing."""
    count = len(known.category)
    heads = np.full((count, len(table)), 1 / len(table)), np.full((count, len(objects) + 1), 1 / (len(objects) + 1))
    found = [SceneObject(category, 1.0, 0.0, 0.0, (), ()) for category in objects]
    return panoptic_labels(*heads, known, found, table, mesh, REACH, revised).labels


@pytest.mark.parametrize("error", [-0.03, 0.03])
def test_a_border_moves_to_the_edge_of_the_colours(table: CategoryTable, error: float) -> None:
    found = decide(stuff(halves(error)), sheet(painted(halves(0))), table)
    assert_array_equal(found.category, stuff(halves(0)).category)


@pytest.mark.parametrize("is_settled", [False, True])
def test_revised_labels_are_decided_anew_unless_they_are_settled(table: CategoryTable, is_settled: bool) -> None:
    true, revised = stuff(halves(0)), stuff(halves(0.03))
    settled = np.full(len(true.category), is_settled)
    found = decide(true, sheet(painted(halves(0))), table, revised=lambda labels: (revised, settled))
    assert_array_equal(found.category, (revised if is_settled else true).category)


def test_what_is_revised_is_decided_before(table: CategoryTable) -> None:
    heard: list[Labels] = []

    def revised(labels: Labels) -> tuple[Labels, np.ndarray]:
        heard.append(labels)
        return labels, np.zeros(len(labels.category), dtype=bool)

    decide(stuff(halves(0.03)), sheet(painted(halves(0))), table, revised=revised)
    assert_array_equal(heard[0].category, stuff(halves(0)).category)


def test_where_all_looks_alike_nothing_moves(table: CategoryTable) -> None:
    known = stuff(halves(0.03))
    found = decide(known, sheet(np.full((SIDE, SIDE, 3), 120)), table)
    assert_array_equal(found.category, known.category)


def test_what_is_all_border_keeps_its_vertices_though_it_looks_like_the_rest(table: CategoryTable) -> None:
    category, instance = np.full((SIDE, SIDE), FLOOR), np.full((SIDE, SIDE), VOID)
    category[18:23, 18:23], instance[18:23, 18:23] = CHAIR, 0
    known = Labels(category.ravel().astype(np.int32), instance.ravel().astype(np.int32))
    found = decide(known, sheet(np.full((SIDE, SIDE, 3), 120)), table, (CHAIR,))
    assert_array_equal(found.instance, known.instance)


def test_a_vertex_belongs_to_a_segment_that_touches_it(table: CategoryTable) -> None:
    """A strip of the wall's colour in the floor, out of the wall's reach, stays floor."""
    right = halves(0)
    colors = painted(right)
    colors[:, 6:8] = RED  # 26 cm left of the wall, beside an object
    category = stuff(right).category.reshape(SIDE, SIDE).copy()
    instance = np.full((SIDE, SIDE), VOID)
    category[:, :6], instance[:, :6] = CHAIR, 0
    known = Labels(category.ravel(), instance.ravel().astype(np.int32))
    found = decide(known, sheet(colors), table, (CHAIR,)).category.reshape(SIDE, SIDE)
    assert (found[:, 6:8] != WALL).all()


def test_the_order_of_vertices_does_not_matter(table: CategoryTable) -> None:
    known, mesh = stuff(halves(0.03)), sheet(painted(halves(0)))
    order = np.random.default_rng(0).permutation(len(mesh.vertices))
    place = np.argsort(order)
    shuffled = TriangleMesh(mesh.vertices[order], place[mesh.faces].astype(np.int32), mesh.colors[order])
    found = decide(Labels(known.category[order], known.instance[order]), shuffled, table)
    assert_array_equal(found.category[place], decide(known, mesh, table).category)


def test_near_a_border_is_within_its_reach_and_no_farther() -> None:
    mesh = sheet(painted(halves(0)))
    segment = halves(0).ravel().astype(np.int64)
    x = mesh.vertices[:, 0].astype(np.float64)
    distance = np.where(x > 0, x - STEP, -x)  # to the last vertex of either side
    assert_array_equal(near_border(mesh, segment, 0.05), distance <= 0.05)


@pytest.mark.parametrize("segment", [np.zeros(SIDE**2, np.int64), np.full(SIDE**2, VOID)])
def test_one_segment_or_none_has_no_border(segment: np.ndarray) -> None:
    assert not len(borders(sheet(painted(halves(0))), segment, REACH).vertex)


def test_likeness_counts_only_the_inside() -> None:
    """Both sides of a border look wholly like themselves: labels between border and colour edge do not vote."""
    found = borders(sheet(painted(halves(0))), halves(0.03).ravel().astype(np.int64), REACH)
    red = found.vertex[:, None] % SIDE > SIDE // 2
    own = np.where(red[:, 0], 1, 0)
    assert (found.likeness_of(own) > 10 * found.likeness_of(1 - own)).all()


def test_members_are_listed_group_by_group_in_their_order() -> None:
    found = members(np.array([2, VOID, 0, 2, VOID, 0]), 4)
    assert [some.tolist() for some in found] == [[2, 5], [], [0, 3], []]
    assert [some.tolist() for some in members(np.zeros(0, np.int64), 2)] == [[], []]
