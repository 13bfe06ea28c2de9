"""Laws of objects that claim the same surface: few bad masks take nothing from what most frames agree on."""

import numpy as np
import pytest
from jaxtyping import Bool
from numpy.testing import assert_array_equal

from panrecon.graph.association import Association, detection_share
from panrecon.graph.evidence import Evidence
from panrecon.graph.parameters import GraphParameters
from panrecon.graph.rivals import merge_duplicates, share_among_rivals
from panrecon.structures import VOID, CategoryTable

from .conftest import CHAIR, TABLE, Shot, Tiles, detections, evidence_of, labels_of_vertices, partition, solve

PARAMETERS = GraphParameters()
Masks = list[tuple[int, tuple[int, ...]]]  # of a frame: class and tiles
SMALL: tuple[int, ...] = (9, 10)
LARGE: tuple[int, ...] = (8, 9, 10, 11)  # chair 1 is the tiles 8 and 9, chair 2 is 10 and 11


def mask_of(tiles: Tiles, held: tuple[int, ...]) -> Bool[np.ndarray, "h w"]:
    return np.isin(tiles.tile_image(), held)


def shots_of(tiles: Tiles, masks_of_frame: list[Masks]) -> list[Shot]:
    """A frame of the whole world for every list of masks."""
    vertex = tiles.vertex_image()
    return [
        Shot(f"{frame:02}", vertex, detections([c for c, _ in masks], [mask_of(tiles, held) for _, held in masks]))
        for frame, masks in enumerate(masks_of_frame)
    ]


def shares(
    tiles: Tiles, table: CategoryTable, small_frames: int, large_frames: int
) -> tuple[Evidence, np.ndarray, np.ndarray]:
    """The evidence, the objects of masks (0 the small, 1 the large), and the shares where no frame has both."""
    frames: list[Masks] = [[(CHAIR, SMALL)]] * small_frames + [[(TABLE, LARGE)]] * large_frames
    evidence = evidence_of(shots_of(tiles, frames), table, tiles.superface_of_vertex)
    object_of_mask = (evidence.category_of_mask == TABLE).astype(np.int32)
    return evidence, object_of_mask, share_among_rivals(evidence, object_of_mask, 2, PARAMETERS)


def test_a_large_object_of_few_frames_yields_to_a_smaller_one_of_many(tiles: Tiles, table: CategoryTable) -> None:
    evidence, object_of_mask, share = shares(tiles, table, small_frames=9, large_frames=2)
    assert (detection_share(evidence, object_of_mask, 2)[list(LARGE), 1] == 1).all()
    assert_array_equal(share[list(SMALL)], [[1, 0]] * 2)
    assert_array_equal(share[[8, 11]], [[0, 1]] * 2)  # what it alone claims remains


def test_a_small_object_of_few_frames_keeps_its_surface_on_a_large_one(tiles: Tiles, table: CategoryTable) -> None:
    evidence, object_of_mask, share = shares(tiles, table, small_frames=2, large_frames=9)
    assert_array_equal(share, detection_share(evidence, object_of_mask, 2))


def duplicates(tiles: Tiles, table: CategoryTable, categories: tuple[int, int], joint_frames: int) -> Association:
    """Two objects that claim chair 1 and three tiles: frames of either, and frames that hold one half each."""
    wide = (8, 9, 10)
    frames: list[Masks] = [[(categories[0], (8, 9))]] * 4
    frames += [[(categories[1], wide)]] * 4
    frames += [[(categories[0], (8,)), (categories[1], (9, 10))]] * joint_frames
    evidence = evidence_of(shots_of(tiles, frames), table, tiles.superface_of_vertex)
    object_of_mask = np.array([0] * 4 + [1] * 4 + [0, 1] * joint_frames, dtype=np.int32)
    object_of_superface = np.full(tiles.count, VOID, dtype=np.int32)
    object_of_superface[[8, 9]] = 0
    object_of_superface[10] = 1
    return merge_duplicates(evidence, Association(object_of_superface, object_of_mask, 2), PARAMETERS)


def test_objects_that_claim_one_surface_and_no_frame_tells_apart_are_one(tiles: Tiles, table: CategoryTable) -> None:
    merged = duplicates(tiles, table, (CHAIR, CHAIR), joint_frames=0)
    assert merged.count == 1
    assert (merged.object_of_mask == 0).all()  # the masks of both are kept
    assert_array_equal(np.flatnonzero(merged.object_of_superface == 0), [8, 9, 10])


@pytest.mark.parametrize(("categories", "joint_frames"), [((CHAIR, TABLE), 0), ((CHAIR, CHAIR), 4)])
def test_objects_of_two_classes_or_of_one_frame_stay_two(
    tiles: Tiles, table: CategoryTable, categories: tuple[int, int], joint_frames: int
) -> None:
    assert duplicates(tiles, table, categories, joint_frames).count == 2


def test_two_leaks_over_many_objects_change_no_object(tiles: Tiles, walk: list[Shot], table: CategoryTable) -> None:
    """Two frames mask both chairs and the table as one table."""
    leak = (8, 9, 10, 11, 13, 14)
    leaking = [Shot(f"leak{n}", tiles.vertex_image(), detections([TABLE], [mask_of(tiles, leak)])) for n in range(2)]
    expected = labels_of_vertices(solve(walk, table, tiles.superface_of_vertex))
    result = labels_of_vertices(solve([*walk, *leaking], table, tiles.superface_of_vertex))
    assert partition(result) == partition(expected)
