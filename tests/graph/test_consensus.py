"""Laws of merging and of labels: the parts of the consensus rule by themselves."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from panrecon.graph.association import Association, assign_masks, detection_share, mask_iou
from panrecon.graph.consensus import affinity, agglomerate, group_masks, merge_mutual
from panrecon.graph.labelling import refine_to_vertices
from panrecon.graph.observation import aggregate_observations
from panrecon.graph.parameters import GraphParameters
from panrecon.graph.voting import PairVotes
from panrecon.structures import VOID, CategoryTable

from .conftest import CHAIR, FLOOR, TABLE, TILE, Shot, Tiles, detections, evidence_of, observations

PARAMETERS = GraphParameters()


def pair_votes(together: float, apart: float = 0, stuff: float = 0, unlabelled: float = 0) -> PairVotes:
    one = (np.array([value], dtype=np.float64) for value in (together, apart, stuff, unlabelled))
    return PairVotes(np.array([0]), np.array([1]), *one)


def test_affinity_is_the_share_of_frames_with_evidence() -> None:
    assert affinity(pair_votes(1000), PARAMETERS)[0] == pytest.approx(1, abs=1e-3)
    assert affinity(pair_votes(10, apart=10), PARAMETERS)[0] == pytest.approx(0.5, abs=0.01)
    assert (
        affinity(pair_votes(2), PARAMETERS)[0] < affinity(pair_votes(20), PARAMETERS)[0]
    )  # little evidence is no certainty
    for against in ({"apart": 1}, {"stuff": 1}, {"unlabelled": 1}):
        assert affinity(pair_votes(5, **against), PARAMETERS)[0] < affinity(pair_votes(5), PARAMETERS)[0]
    assert affinity(pair_votes(5, unlabelled=1), PARAMETERS)[0] > affinity(pair_votes(5, apart=1), PARAMETERS)[0]


@given(seed=st.integers(0, 2**32 - 1), count=st.integers(1, 12))
def test_only_pairs_that_are_each_others_best_merge(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    first, second = np.triu_indices(count, k=1)
    strength = np.zeros((count, count))
    strength[first, second] = rng.choice(np.linspace(0, 1, 6), len(first))  # many ties
    strength = strength + strength.T
    merged, fewer = merge_mutual(first, second, strength[first, second], 0.5, count)
    assert_array_equal(np.unique(merged), np.arange(fewer))
    for number in range(fewer):
        group = np.flatnonzero(merged == number)
        inner = strength[np.ix_(group, group)][np.triu_indices(len(group), k=1)]
        assert (inner > 0.5).all()
        assert (inner == strength[group].max(axis=1).max()).all()  # also among more than two: all tie
    if (strength > 0.5).any():
        assert fewer < count  # the strongest pair always merges


def test_units_that_all_tie_merge_at_once() -> None:
    first, second = np.triu_indices(50, k=1)
    merged, fewer = merge_mutual(first, second, np.full(len(first), 0.9), 0.5, 50)
    assert fewer == 1 and not merged.any()


def test_a_tie_that_not_all_share_goes_to_the_lower_number() -> None:
    merged, fewer = merge_mutual(np.array([0, 1]), np.array([1, 2]), np.array([0.9, 0.9]), 0.5, 3)
    assert merged.tolist() == [0, 0, 1] and fewer == 2


def test_clusters_of_perfect_masks_are_the_objects(tiles: Tiles, walk: list[Shot], table: CategoryTable) -> None:
    cluster, count = agglomerate(evidence_of(walk, table, tiles.superface_of_vertex), 0.5, PARAMETERS)
    number = tiles.number.ravel()
    assert count == 3
    assert_array_equal(cluster == VOID, number == 0)
    assert all(len(set(cluster[number == one].tolist())) == 1 for one in (1, 2, 3))


def test_masks_of_one_object_form_one_group(tiles: Tiles, walk: list[Shot], table: CategoryTable) -> None:
    evidence = evidence_of(walk, table, tiles.superface_of_vertex)
    things = np.flatnonzero(evidence.thing_mask)
    group, count = group_masks(evidence, things, 0.5, PARAMETERS)
    objects = [
        set(tiles.number.ravel()[evidence.covered.tocsc()[:, [mask]].tocoo().row].tolist()) for mask in things.tolist()
    ]
    assert count == 3 and all(len(one) == 1 for one in objects)
    assert len({(group[mask], *one) for mask, one in zip(things.tolist(), objects, strict=True)}) == 3
    assert (group[~evidence.thing_mask] == VOID).all()


def test_iou_is_taken_of_what_the_frame_sees(tiles: Tiles, table: CategoryTable) -> None:
    """A frame that sees half of chair 1 and masks that half and a tile of wall above it."""
    window = np.ascontiguousarray(tiles.vertex_image()[:, TILE:])
    tile = tiles.tile_image()[:, TILE:]
    shot = Shot("0", window, detections([CHAIR], [np.isin(tile, [1, 9])]))
    evidence = evidence_of([shot], table, tiles.superface_of_vertex)
    iou = mask_iou(evidence, np.where(tiles.number.ravel() > 0, tiles.number.ravel() - 1, VOID), 3)
    assert iou[:, 0].tolist() == [0.5, 0, 0]


def test_the_share_counts_only_frames_in_which_the_object_was_detected(tiles: Tiles, table: CategoryTable) -> None:
    """One frame detects chair 1 and a wall tile with it; nine see both and detect the floor alone."""
    tile, vertex = tiles.tile_image(), tiles.vertex_image()
    floor = np.isin(tile, np.arange(16, 24))
    shots = [Shot("0", vertex, detections([CHAIR], [np.isin(tile, [1, 8, 9])]))]
    shots += [Shot(str(number), vertex, detections([FLOOR], [floor])) for number in range(1, 10)]
    evidence = evidence_of(shots, table, tiles.superface_of_vertex)
    share = detection_share(evidence, np.where(evidence.thing_mask, 0, VOID).astype(np.int32), 1)
    assert_array_equal(np.flatnonzero(share[:, 0]), [1, 8, 9])
    assert share[[1, 8, 9], 0].tolist() == [1, 1, 1]


def test_of_two_objects_of_equal_iou_a_mask_joins_the_one_of_its_class(tiles: Tiles, table: CategoryTable) -> None:
    """Three frames show a chair and a table; a fourth masks one tile of each as a table."""
    tile, vertex = tiles.tile_image(), tiles.vertex_image()
    chair, bench, both = (np.isin(tile, tiles_of) for tiles_of in ((10, 11), (12, 13), (11, 12)))
    shots = [Shot(str(number), vertex, detections([CHAIR, TABLE], [chair, bench])) for number in range(3)]
    for category, expected in ((CHAIR, 0), (TABLE, 1)):
        evidence = evidence_of([*shots, Shot("9", vertex, detections([category], [both]))], table, tile.ravel())
        object_of_superface = np.full(tiles.count, VOID)
        object_of_superface[[10, 11]], object_of_superface[[12, 13]] = 0, 1
        assert assign_masks(evidence, object_of_superface, 2, 0.25, 0.3).tolist() == [0, 1] * 3 + [expected]


@pytest.mark.parametrize(("frames", "is_split"), [(2, False), (60, True)])
def test_many_good_masks_split_a_superface_and_few_do_not(
    tiles: Tiles, table: CategoryTable, frames: int, is_split: bool
) -> None:
    """Tiles 13 and 14, the table, and tile 15 of the wall are one superface; the masks hold a table of two tiles."""
    superface_of_vertex = tiles.superface_of_vertex.copy()
    superface_of_vertex[np.isin(superface_of_vertex, (14, 15))] = 13
    shots = [tiles.perfect(str(number)) for number in range(frames)]
    on_vertices = aggregate_observations(observations(shots, table), table, superface_of_vertex.size)
    evidence = on_vertices.grouped(superface_of_vertex, tiles.count)
    of_mask = np.where(evidence.category_of_mask == TABLE, 0, VOID).astype(np.int32)
    found = Association(np.where(np.arange(tiles.count) == 13, 0, VOID).astype(np.int32), of_mask, 1)
    labelled = refine_to_vertices(on_vertices, evidence, superface_of_vertex, found, table, PARAMETERS)
    of_vertex = labelled.object_of_superface[labelled.superface_of_vertex]
    held = sorted(set(tiles.superface_of_vertex[of_vertex == 0].tolist()))
    assert held == ([13, 14] if is_split else [13, 14, 15])
