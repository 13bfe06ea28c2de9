"""Laws of the over-segmentation."""

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from panrecon.config import GraphSettings
from panrecon.geometry.mesh import mesh_edges
from panrecon.graph.kernels import felzenszwalb_huttenlocher
from panrecon.graph.superfaces import color_step, dihedral_weight, superfaces
from panrecon.structures import TriangleMesh

SETTINGS = GraphSettings()


def fine_box(inside_out: bool) -> TriangleMesh:
    """A box of 1 m with 16 x 16 cells a side; inside out it is a room."""
    box = trimesh.creation.box()
    for _ in range(4):
        box = box.subdivide()
    if inside_out:
        box.invert()
    grey = np.full((len(box.vertices), 3), 150, np.uint8)
    return TriangleMesh(box.vertices.astype(np.float32), box.faces.astype(np.int32), grey)


def sheet(columns: int, rows: int) -> TriangleMesh:
    """A flat grey sheet of cells of 5 cm, vertices row by row."""
    x, y = np.meshgrid(np.arange(columns), np.arange(rows))
    vertices = 0.05 * np.stack([x.ravel(), y.ravel(), np.zeros(x.size)], axis=1)
    corner = (np.arange(rows - 1)[:, None] * columns + np.arange(columns - 1)).ravel()
    faces = [[corner, corner + 1, corner + columns], [corner + 1, corner + columns + 1, corner + columns]]
    grey = np.full((len(vertices), 3), 128, np.uint8)
    return TriangleMesh(vertices.astype(np.float32), np.concatenate(faces, axis=1).T.astype(np.int32), grey)


def plain_segments(edges: np.ndarray, weight: np.ndarray, count: int, threshold: float, min_size: int) -> list[int]:
    """Felzenszwalb & Huttenlocher's definition, with sets."""
    segment_of = {node: {node} for node in range(count)}
    internal = {frozenset([node]): 0.0 for node in range(count)}

    def join(a: set[int], b: set[int], inner: float) -> None:
        united = a | b
        internal[frozenset(united)] = inner
        segment_of.update(dict.fromkeys(united, united))

    order = sorted(range(len(weight)), key=lambda edge: weight[edge])
    for edge in order:
        a, b = (segment_of[int(node)] for node in edges[edge])
        limit = min(internal[frozenset(part)] + threshold / len(part) for part in (a, b))
        if a is not b and weight[edge] <= limit:
            join(a, b, float(weight[edge]))
    for edge in order:
        a, b = (segment_of[int(node)] for node in edges[edge])
        if a is not b and min(len(a), len(b)) < min_size:
            join(a, b, float("inf"))
    firsts = sorted({min(segment) for segment in segment_of.values()})
    return [firsts.index(min(segment_of[node])) for node in range(count)]


@settings(deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(1, 30),
    threshold=st.sampled_from([0.01, 0.3, 2.0]),
    min_size=st.integers(1, 5),
)
def test_the_kernel_equals_its_plain_twin(seed: int, count: int, threshold: float, min_size: int) -> None:
    rng = np.random.default_rng(seed)
    edges = rng.integers(0, count, (rng.integers(0, 4 * count), 2))
    weight = rng.choice([rng.random(len(edges)), rng.integers(0, 4, len(edges)) / 4])  # the second has many ties
    segment = felzenszwalb_huttenlocher(edges, weight, count, threshold, min_size)
    assert_array_equal(segment, plain_segments(edges, weight, count, threshold, min_size))


@pytest.mark.parametrize("inside_out", [False, True])
def test_no_superface_of_a_box_spans_two_sides(inside_out: bool) -> None:
    mesh = fine_box(inside_out)
    superface = superfaces(mesh, SETTINGS)
    on_side = np.isclose(np.abs(mesh.vertices), 0.5)
    inner = on_side.sum(axis=1) == 1
    axis = on_side.argmax(axis=1)
    side = 2 * axis + (np.take_along_axis(mesh.vertices, axis[:, None], axis=1)[:, 0] > 0)
    sides_of = {number: set(side[inner & (superface == number)].tolist()) for number in np.unique(superface)}
    assert max(map(len, sides_of.values())) == 1
    assert len(sides_of) >= 6
    assert set().union(*sides_of.values()) == set(range(6))


def test_superfaces_are_numbered_without_gaps_and_large_enough() -> None:
    superface = superfaces(fine_box(False), SETTINGS)
    size = np.bincount(superface)
    assert size.min() >= SETTINGS.superface_min_vertices
    assert_array_equal(np.unique(superface), np.arange(len(size)))


def test_a_flat_sheet_is_one_superface() -> None:
    assert not superfaces(sheet(20, 20), SETTINGS).any()


def test_a_colour_edge_cuts_a_flat_sheet_exactly_there() -> None:
    mesh = sheet(20, 20)
    left = np.arange(400) % 20 < 8
    mesh.colors[left] = (200, 30, 30)
    assert_array_equal(superfaces(mesh, SETTINGS), ~left)
    assert not superfaces(mesh, SETTINGS.model_copy(update={"color_weight": 0.0})).any()


def test_a_ball_bends_by_the_square_of_what_a_hollow_bends() -> None:
    sphere = trimesh.creation.icosphere(subdivisions=2)
    grey = np.full((len(sphere.vertices), 3), 150, np.uint8)
    ball = TriangleMesh(sphere.vertices.astype(np.float32), sphere.faces.astype(np.int32), grey)
    hollow = TriangleMesh(ball.vertices, ball.faces[:, ::-1], grey)
    edges = mesh_edges(ball.faces)
    normals = sphere.vertices
    expected = 1 - np.einsum("ij,ij->i", normals[edges[:, 0]], normals[edges[:, 1]])
    assert_allclose(dihedral_weight(hollow, edges), expected, rtol=0.3)
    assert_allclose(dihedral_weight(ball, edges), dihedral_weight(hollow, edges) ** 2, atol=1e-9)


def test_black_beside_white_is_the_largest_step_of_colour() -> None:
    mesh = sheet(2, 2)
    mesh.colors[:] = [(0, 0, 0), (255, 255, 255), (0, 0, 0), (0, 0, 0)]
    step = color_step(mesh, np.array([[0, 1], [0, 2]]))
    assert_allclose(step, [3**0.5, 0])
