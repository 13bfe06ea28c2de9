"""Laws of objects found from votes, in a flat world of tiles."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy.sparse import csr_array

from panrecon.config import GraphSettings
from panrecon.graph.instances import adopt, associate, components, stuff_of_superface
from panrecon.graph.voting import Membership, membership, vote
from panrecon.structures import VOID, CategoryTable, Detections, SuperfaceGraph

from .conftest import CHAIR, FLOOR, TABLE, WALL, Shot, Tiles, detections, evidence_of, partition, solve


def truth(tiles: Tiles, table: CategoryTable) -> set[tuple[int, frozenset[int]]]:
    category, number = tiles.category.ravel(), tiles.number.ravel()
    pairs = set(zip(category.tolist(), number.tolist(), strict=True))
    return {
        (c, frozenset(np.flatnonzero((category == c) & (number == n)).tolist())) for c, n in pairs if table[c].thing
    }


def renamed_words(shot: Shot, word_of: dict[int, int]) -> Shot:
    category = np.array([word_of.get(int(row), int(row)) for row in shot.detections.category], np.int32)
    return Shot(shot.name, shot.superface, Detections(category, shot.detections.score, shot.detections.mask))


def with_leak(tiles: Tiles, name: str) -> Shot:
    """A frame in which one mask spans both chairs."""
    good = tiles.perfect(name)
    both = np.isin(tiles.number, (1, 2)).ravel()[good.superface]
    return Shot(name, good.superface, detections([CHAIR, FLOOR], [both, good.detections.mask[1]]))


def test_perfect_masks_give_perfect_labels(tiles: Tiles, walk: list[Shot], table: CategoryTable) -> None:
    found = solve(walk, table, tiles.count)
    assert_array_equal(found.of_superface.category, tiles.category.ravel())
    assert partition(found) == truth(tiles, table)
    is_thing = table.is_thing[found.of_superface.category]
    assert_array_equal(found.of_superface.instance != VOID, is_thing)


def test_the_order_of_frames_changes_nothing_at_all(tiles: Tiles, walk: list[Shot], table: CategoryTable) -> None:
    one, other = solve(walk, table, tiles.count), solve(walk[::-1], table, tiles.count)
    assert one.objects == other.objects
    assert_array_equal(one.of_superface.instance, other.of_superface.instance)


def test_the_names_of_frames_change_no_object(tiles: Tiles, walk: list[Shot], table: CategoryTable) -> None:
    names = [f"{number:02}" for number in np.random.default_rng(0).permutation(len(walk))]
    renamed = [Shot(name, shot.superface, shot.detections) for name, shot in zip(names, walk, strict=True)]
    assert partition(solve(renamed, table, tiles.count)) == truth(tiles, table)


@pytest.mark.parametrize("doubled", range(7))
def test_a_doubled_frame_changes_no_object(tiles: Tiles, walk: list[Shot], table: CategoryTable, doubled: int) -> None:
    again = Shot("again", walk[doubled].superface, walk[doubled].detections)
    assert partition(solve([*walk, again], table, tiles.count)) == truth(tiles, table)


def test_one_leaking_mask_does_not_merge_what_good_ones_keep_apart(
    tiles: Tiles, walk: list[Shot], table: CategoryTable
) -> None:
    assert partition(solve([*walk, with_leak(tiles, "leak")], table, tiles.count)) == truth(tiles, table)


def test_many_leaking_masks_do_merge(tiles: Tiles, walk: list[Shot], table: CategoryTable) -> None:
    leaks = [with_leak(tiles, f"leak{number}") for number in range(20)]
    merged = frozenset(np.flatnonzero(tiles.category.ravel() == CHAIR).tolist())
    assert (CHAIR, merged) in partition(solve([*walk, *leaks], table, tiles.count))


def test_an_object_needs_masks_in_enough_frames(tiles: Tiles, table: CategoryTable) -> None:
    walk = [tiles.perfect(str(number), slice(0, 5)) for number in range(3)]
    walk += [tiles.perfect(str(number), slice(5, 8)) for number in (3, 4)]  # the table is seen twice only
    found = {category for category, _ in partition(solve(walk, table, tiles.count, min_frames=3))}
    assert found == {CHAIR}
    assert partition(solve(walk, table, tiles.count, min_frames=2)) == truth(tiles, table)
    assert not solve(walk, table, tiles.count, min_frames=4).objects


def test_most_masks_decide_the_class(tiles: Tiles, walk: list[Shot], table: CategoryTable) -> None:
    wrong = [renamed_words(shot, {TABLE: CHAIR}) if number == 4 else shot for number, shot in enumerate(walk)]
    assert partition(solve(wrong, table, tiles.count)) == truth(tiles, table)
    all_wrong = [renamed_words(shot, {TABLE: CHAIR}) for shot in walk]
    assert {category for category, _ in partition(solve(all_wrong, table, tiles.count))} == {CHAIR}


def test_confidence_and_evidence_tell_agreement(tiles: Tiles, walk: list[Shot], table: CategoryTable) -> None:
    good = solve(walk, table, tiles.count).objects
    assert all(found.votes_against == 0 < found.votes_for for found in good)
    assert [found.confidence for found in good] == pytest.approx([1.0] * 3)
    wrong = [renamed_words(shot, {TABLE: CHAIR}) if number == 4 else shot for number, shot in enumerate(walk)]
    doubted = next(found for found in solve(wrong, table, tiles.count).objects if found.category == TABLE)
    assert 0 < doubted.confidence < 1
    assert doubted.frames == next(found.frames for found in good if found.category == TABLE)


def test_the_frames_of_an_object_are_those_with_its_masks(tiles: Tiles, walk: list[Shot], table: CategoryTable) -> None:
    for found in solve(walk, table, tiles.count).objects:
        seen_in = {shot.name for shot in walk if (shot.detections.category == found.category).any()}
        assert set(found.frames) <= seen_in
        assert len(set(found.frames)) == len(found.frames) >= 3
        assert list(found.frames) == sorted(found.frames)


def test_components_follow_won_votes_only() -> None:
    members = Membership(csr_array((6, 1)), np.array([True, True, True, True, True, False]))
    first, second = np.array([0, 1, 2, 0]), np.array([1, 2, 3, 4])
    graph = SuperfaceGraph(first, second, np.array([9.0, 4.0, 2.0, 1.0]), np.array([2.0, 4.0, 0.0, 0.0]))
    strict = GraphSettings(against_weight=1.5, min_votes=1.0)
    assert_array_equal(components(members, graph, strict), [0, 0, 1, 1, 2, VOID])
    as_in_the_paper = GraphSettings(against_weight=1.0, min_votes=0.0)
    assert_array_equal(components(members, graph, as_in_the_paper), [0, 0, 1, 1, 0, VOID])


def test_a_mask_belongs_to_the_component_it_covers_most(tiles: Tiles, table: CategoryTable) -> None:
    superface = tiles.superface_image()
    number = tiles.number.ravel()[superface]
    more_of_first = (number == 1) | ((number == 2) & (np.arange(superface.shape[1]) < 25))
    masks = [more_of_first, number == 3, number == 0, np.zeros_like(number, dtype=bool), number == 3]
    found = detections([CHAIR, TABLE, CHAIR, CHAIR, FLOOR], masks, [0.9, 0.8, 0.7, 0.6, 0.5])
    evidence = evidence_of([Shot("0", superface, found)], table, tiles.count)
    component = np.where(tiles.number.ravel() == 0, VOID, tiles.number.ravel() - 1).astype(np.int32)
    assert_array_equal(associate(evidence, component), [0, 2, VOID, VOID, VOID])


def test_a_piece_joins_the_object_whose_masks_hold_it(tiles: Tiles, table: CategoryTable) -> None:
    """Two of three frames detect chair 1, with a whole tile of the wall and less than half of the next."""
    superface = tiles.superface_image()
    wall, corner = superface == 1, (superface == 2) & (np.arange(superface.shape[1]) < 24)
    chair = tiles.is_part(CHAIR, 1).ravel()[superface]
    masks = [chair | wall | corner, chair | wall | corner]
    shots = [Shot(str(number), superface, detections([CHAIR], [mask])) for number, mask in enumerate(masks)]
    shots.append(Shot("2", superface, detections([FLOOR], [tiles.is_part(FLOOR, 0).ravel()[superface]])))
    evidence = evidence_of(shots, table, tiles.count)
    before = np.where(tiles.number.ravel() == 1, 0, VOID).astype(np.int32)
    after = adopt(evidence, before, np.array([0, 0, VOID]), 1, 0.5)
    assert_array_equal(np.flatnonzero(after != before), [1])
    assert after[1] == 0


def test_stuff_is_what_most_score_weighted_pixels_say(tiles: Tiles, table: CategoryTable) -> None:
    superface = tiles.superface_image()
    first_tile = superface == 0
    shots = [
        Shot("0", superface, detections([WALL], [first_tile], [0.9])),
        Shot("1", superface, detections([FLOOR], [first_tile], [0.5])),
        Shot("2", superface, detections([FLOOR, CHAIR], [first_tile, superface == 1], [0.3, 0.9])),
    ]
    stuff = stuff_of_superface(evidence_of(shots, table, tiles.count), table)
    assert stuff[0] == WALL
    assert (stuff[1:] == VOID).all()
    stuff = stuff_of_superface(
        evidence_of([*shots, Shot("3", shots[1].superface, shots[1].detections)], table, tiles.count), table
    )
    assert stuff[0] == FLOOR


def test_no_detection_at_all_gives_no_object(tiles: Tiles, table: CategoryTable) -> None:
    superface = tiles.superface_image()
    nothing = Detections(np.empty(0, np.int32), np.empty(0, np.float32), np.empty((0, *superface.shape), bool))
    evidence = evidence_of([Shot(str(number), superface, nothing) for number in range(3)], table, tiles.count)
    members = membership(evidence, GraphSettings().overlap)
    assert not len(vote(evidence, members).first)
    found = solve([Shot("0", superface, nothing)], table, tiles.count)
    assert not found.objects
    assert (found.of_superface.category == VOID).all()
