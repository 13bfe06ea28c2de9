"""Objects without a name: what stands out and no mask explains is one; walls and floors that no mask saw are none."""

from dataclasses import replace

import numpy as np
import pytest
from jaxtyping import Bool, Int
from scipy.sparse import csr_array

from panrecon.graph.votes import VertexVotes
from panrecon.layout.scene import scene_layout
from panrecon.refinement.parameters import RefinementParameters
from panrecon.refinement.unknown import (
    UnknownObjects,
    pieces_of,
    unexplained_log_odds,
    unknown_objects,
    with_unknown_objects,
)
from panrecon.structures import VOID, Category, CategoryTable, Labels, TriangleMesh
from tests.layout.scenes import cameras, joined, rectangle

VOXEL_SIZE = 0.04
PARAMETERS = RefinementParameters(VOXEL_SIZE)
SIZE = (4.0, 3.0)  # m, of the room
SLOPE = 0.06  # m, in the ground plan, from the floor to the top of a block
TABLE = CategoryTable((Category(1, "wall", thing=False), Category(2, "chair", thing=True)))
Block = tuple[tuple[float, float], tuple[float, float], float]  # two corners in the ground plan, and the height
CRATE: Block = ((0.8, 0.8), (1.5, 1.4), 0.6)
TABLE_TOP: Block = ((2.0, 1.0), (3.2, 2.0), 0.7)
VASE: Block = ((2.4, 1.3), (2.8, 1.7), 1.1)
BACK: Block = ((2.0, 1.0), (2.2, 2.0), 1.2)


def floor_with(*blocks: Block) -> TriangleMesh:
    """One connected surface: the floor and the blocks on it, each at least as high as those before it."""
    x, y = (np.linspace(0, side, round(side / (VOXEL_SIZE / 2)) + 1) for side in SIZE)
    x, y = np.meshgrid(x, y, indexing="ij")
    height = np.zeros_like(x)
    for (left, front), (right, back), top in blocks:
        outside = np.maximum(np.maximum(left - x, x - right), np.maximum(front - y, y - back))
        height = np.maximum(height, top * (1 - outside / SLOPE).clip(0, 1))
    index = np.arange(x.size).reshape(x.shape)
    a, b, c, d = (part.ravel() for part in (index[:-1, :-1], index[1:, :-1], index[1:, 1:], index[:-1, 1:]))
    faces = np.concatenate([np.stack([a, b, c], axis=1), np.stack([a, c, d], axis=1)])
    colors = np.full((x.size, 3), 128, np.uint8)
    return TriangleMesh(
        np.stack([x, y, height], axis=2).reshape(-1, 3).astype(np.float32), faces.astype(np.int32), colors
    )


def walls() -> TriangleMesh:
    """The room's walls, normals inwards."""
    length, width = SIZE
    return joined(
        rectangle((0, 0, 0), (0, 0, 2.5), (length, 0, 0)),
        rectangle((0, width, 0), (length, 0, 0), (0, 0, 2.5)),
        rectangle((0, 0, 0), (0, width, 0), (0, 0, 2.5)),
        rectangle((length, 0, 0), (0, 0, 2.5), (0, width, 0)),
    )


def is_of(mesh: TriangleMesh, block: Block) -> Bool[np.ndarray, " V"]:
    """The vertices on a block and on its sides, but for its foot and above it."""
    (left, front), (right, back), top = block
    x, y, z = mesh.vertices.T
    inside = (x > left - SLOPE) & (x < right + SLOPE) & (y > front - SLOPE) & (y < back + SLOPE)
    return np.asarray(inside & (z > 0.05) & (z < top + 0.01))


def objects(
    mesh: TriangleMesh, is_unexplained: Bool[np.ndarray, " V"], instance: Int[np.ndarray, " V"] | None = None
) -> UnknownObjects:
    """The objects without a name, where masks of all views leave out the unexplained vertices and no others."""
    count = len(mesh.vertices)
    wall = csr_array(np.stack([~is_unexplained * 0.8, np.zeros(count)], axis=1))
    votes = VertexVotes(csr_array((count, 0)), wall, is_unexplained * 0.95)
    instance = np.full(count, VOID) if instance is None else instance
    labels = Labels((instance != VOID).astype(np.int32), instance.astype(np.int32))
    layout = scene_layout(mesh, cameras(np.random.default_rng(0)), VOXEL_SIZE)
    return unknown_objects(mesh, votes, layout, labels, PARAMETERS)


def iou(first: Bool[np.ndarray, " V"], second: Bool[np.ndarray, " V"]) -> float:
    return float(np.sum(first & second) / np.sum(first | second))


def test_a_block_that_no_mask_explains_is_one_object() -> None:
    mesh = joined(floor_with(CRATE, TABLE_TOP), walls())
    crate = is_of(mesh, CRATE)
    found = objects(mesh, crate)
    assert len(found.confidence) == 1
    assert iou(found.of_vertex == 0, crate) > 0.8


def test_where_masks_explain_everything_there_is_no_object() -> None:
    mesh = joined(floor_with(CRATE, TABLE_TOP), walls())
    assert not len(objects(mesh, np.zeros(len(mesh.vertices), bool)).confidence)


def test_floors_and_walls_that_no_mask_saw_are_no_objects() -> None:
    mesh = joined(floor_with(CRATE), walls())
    found = objects(mesh, np.ones(len(mesh.vertices), bool))
    assert len(found.confidence) == 1
    assert iou(found.of_vertex == 0, is_of(mesh, CRATE)) > 0.8


@pytest.mark.parametrize(("color", "count"), [(128, 0), (20, 1)], ids=["patch of the wall", "picture"])
def test_a_patch_of_a_wall_is_an_object_if_it_looks_unlike_the_wall(color: int, count: int) -> None:
    mesh = joined(floor_with(), walls())
    x, y, z = mesh.vertices.T
    patch = (x > 1.5) & (x < 2.3) & (y < 1e-6) & (z > 1.2) & (z < 1.8)
    patch &= np.arange(len(x)) >= len(floor_with().vertices)
    colors = np.where(patch[:, None], color, mesh.colors).astype(np.uint8)
    assert len(objects(replace(mesh, colors=colors), patch).confidence) == count


def test_what_stands_on_an_object_is_another() -> None:
    mesh = joined(floor_with(TABLE_TOP, VASE), walls())
    both = is_of(mesh, TABLE_TOP) | is_of(mesh, VASE)
    found = objects(mesh, both)
    vase = is_of(mesh, VASE) & (mesh.vertices[:, 2] > TABLE_TOP[2] + 0.02)
    assert len(found.confidence) == 2
    assert max(iou(found.of_vertex == index, vase) for index in range(2)) > 0.8


def test_what_goes_on_beneath_the_top_is_of_the_same_object() -> None:
    """The back of a chair."""
    mesh = joined(floor_with(TABLE_TOP, BACK), walls())
    assert len(objects(mesh, is_of(mesh, TABLE_TOP) | is_of(mesh, BACK)).confidence) == 1


@pytest.mark.parametrize(("gap", "count"), [(0.5, 2), (0.06, 1)])
def test_surface_that_lies_near_to_each_other_is_one_piece(gap: float, count: int) -> None:
    other: Block = ((1.5 + 2 * SLOPE + gap, 0.8), (2.2 + 2 * SLOPE + gap, 1.4), 0.6)
    mesh = joined(floor_with(CRATE, other), walls())
    layout = scene_layout(mesh, cameras(np.random.default_rng(0)), VOXEL_SIZE)
    both = (is_of(mesh, CRATE) | is_of(mesh, other)) & (mesh.vertices[:, 2] > 0.1)
    assert len(pieces_of(mesh, both, layout, PARAMETERS).area) == count


def log_odds(unmasked: float = 0.5, of_stuff: float = 0.0) -> float:
    votes = VertexVotes(csr_array((1, 0)), csr_array(np.array([[of_stuff, 0.0]])), np.array([unmasked]))
    labels = Labels(np.zeros(1, np.int32), np.full(1, VOID, np.int32))
    return float(unexplained_log_odds(votes, labels, PARAMETERS.unknown)[0])


def test_views_without_a_mask_speak_for_an_object_and_shares_of_the_stuff_against_it() -> None:
    assert log_odds(unmasked=0.9) > log_odds(unmasked=0.2)
    assert log_odds(of_stuff=0.2) > log_odds(of_stuff=0.8)


def test_what_masks_made_an_object_stays_one() -> None:
    mesh = joined(floor_with(CRATE, TABLE_TOP), walls())
    crate = is_of(mesh, CRATE)
    found = objects(mesh, crate | is_of(mesh, TABLE_TOP), instance=np.where(crate, 0, VOID))
    assert len(found.confidence) == 1
    assert not (found.of_vertex[crate] != VOID).any()


def test_unknown_objects_get_instances_after_those_of_the_scene() -> None:
    labels = Labels(np.array([0, 1, 0, 1], np.int32), np.array([VOID, 0, VOID, 1], np.int32))
    unknown = UnknownObjects(np.array([VOID, VOID, 0, 1]), np.array([0.9, 0.7]))
    table = TABLE.with_unknown()
    final = with_unknown_objects(labels, unknown, first=2, table=table)
    np.testing.assert_array_equal(final.category, [0, 1, 2, 2])
    np.testing.assert_array_equal(final.instance, [VOID, 0, 2, 3])
    assert [scene_object.confidence for scene_object in unknown.scene_objects(table)] == [0.9, 0.7]
