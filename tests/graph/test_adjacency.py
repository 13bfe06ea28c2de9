"""Laws of objects that no frame shows together."""

from dataclasses import replace

import numpy as np
import pytest

from panrecon.config import GraphSettings
from panrecon.graph.adjacency import SuperfaceAdjacency, superface_adjacency
from panrecon.graph.instances import infer_instances
from panrecon.structures import CategoryTable, TriangleMesh

from .conftest import CHAIR, TABLE, TILE, Shot, Tiles, detections, observations

LEFT, RIGHT = slice(0, 6), slice(6, 8)  # columns of tiles: each shows one half of the table
HALVES = (13, 14)


@pytest.fixture(scope="module")
def adjacency(tiles: Tiles) -> SuperfaceAdjacency:
    """Of the world of tiles as one flat sheet, a vertex a pixel."""
    rows, columns = tiles.tile_image().shape
    row, column = np.divmod(np.arange(rows * columns), columns)
    vertices = 0.02 * np.stack([column, row, np.zeros(rows * columns)], axis=1)
    corner = np.flatnonzero((row < rows - 1) & (column < columns - 1))
    below = corner + columns
    faces = np.concatenate([[corner, corner + 1, below], [corner + 1, below + 1, below]], axis=1).T
    grey = np.full((len(vertices), 3), 128, np.uint8)
    sheet = TriangleMesh(vertices.astype(np.float32), faces.astype(np.int32), grey)
    return superface_adjacency(sheet, tiles.superface_of_vertex)


def objects_with_halves(
    shots: list[Shot], tiles: Tiles, table: CategoryTable, adjacency: SuperfaceAdjacency
) -> list[int]:
    """The object at the middle of every half of the table."""
    seen = observations(shots, table)
    found = infer_instances(seen, tiles.superface_of_vertex, adjacency, table, GraphSettings())
    labels = found.instances.of_superface.at(found.superface_of_vertex)
    return [int(labels.instance[tiles.superface_of_vertex == half][TILE * TILE // 2]) for half in HALVES]


def passing_by(tiles: Tiles) -> list[Shot]:
    return [tiles.perfect(f"{number}", window) for number, window in enumerate([LEFT, RIGHT] * 3)]


def test_adjacency_is_of_the_edges_that_cross(adjacency: SuperfaceAdjacency) -> None:
    ends = np.sort(adjacency.superfaces, axis=1)
    between = (ends == HALVES).all(axis=1)
    assert (ends[:, 0] != ends[:, 1]).all()
    assert between.sum() == TILE + (TILE - 1)  # straight ones and diagonals
    assert (adjacency.dihedral_weight == 0).all()


def test_halves_that_no_frame_shows_together_are_one_object(
    tiles: Tiles, table: CategoryTable, adjacency: SuperfaceAdjacency
) -> None:
    one, other = objects_with_halves(passing_by(tiles), tiles, table, adjacency)
    assert one == other >= 0


def test_a_crease_between_them_keeps_them_apart(
    tiles: Tiles, table: CategoryTable, adjacency: SuperfaceAdjacency
) -> None:
    creased = replace(adjacency, dihedral_weight=np.ones(len(adjacency.dihedral_weight)))
    one, other = objects_with_halves(passing_by(tiles), tiles, table, creased)
    assert one != other and min(one, other) >= 0


def test_another_class_keeps_them_apart(tiles: Tiles, table: CategoryTable, adjacency: SuperfaceAdjacency) -> None:
    shots = passing_by(tiles)
    for number in (1, 3, 5):
        found = shots[number].detections
        category = np.where(found.category == TABLE, CHAIR, found.category).astype(np.int32)
        shots[number] = replace(shots[number], detections=replace(found, category=category))
    one, other = objects_with_halves(shots, tiles, table, adjacency)
    assert one != other and min(one, other) >= 0


def test_a_frame_that_shows_them_apart_keeps_them_apart(
    tiles: Tiles, table: CategoryTable, adjacency: SuperfaceAdjacency
) -> None:
    tile = tiles.tile_image()
    apart = Shot("9", tiles.vertex_image(), detections([TABLE, TABLE], [tile == half for half in HALVES]))
    one, other = objects_with_halves([*passing_by(tiles), apart], tiles, table, adjacency)
    assert one != other and min(one, other) >= 0
