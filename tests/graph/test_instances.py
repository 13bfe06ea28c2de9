"""Laws of objects found from masks, in a flat world of tiles, whatever the rule."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from panrecon.structures import VOID, CategoryTable, Detections, SceneObject

from .conftest import (
    CHAIR,
    FLOOR,
    RULES,
    TABLE,
    TILE,
    WALL,
    Shot,
    Tiles,
    detections,
    labels_of_vertices,
    partition,
    solve,
)

both_rules = pytest.mark.parametrize("rule", RULES)
seeds = st.integers(0, 2**32 - 1)


def objects_found(
    shots: list[Shot], tiles: Tiles, table: CategoryTable, rule: str = "consensus", **changed: int
) -> set[tuple[int, frozenset[int]]]:
    return partition(labels_of_vertices(solve(shots, table, tiles.superface_of_vertex, rule, **changed)))


def renamed_words(shot: Shot, word_of: dict[int, int]) -> Shot:
    category = np.array([word_of.get(int(row), int(row)) for row in shot.detections.category], np.int32)
    return Shot(shot.name, shot.vertex, Detections(category, shot.detections.score, shot.detections.mask))


def with_leak(tiles: Tiles, name: str) -> Shot:
    """A frame in which one mask spans both chairs."""
    good = tiles.perfect(name)
    both = np.isin(tiles.number, (1, 2)).ravel()[tiles.tile_image()]
    return Shot(name, good.vertex, detections([CHAIR, FLOOR], [both, good.detections.mask[1]]))


def noisy_walk(tiles: Tiles, seed: int) -> list[Shot]:
    """Windows of the world whose masks miss, leak into whole tiles, are doubled, and have wrong words."""
    rng = np.random.default_rng(seed)
    shots = []
    for number in range(10):
        start = int(rng.integers(0, 4))
        good = tiles.perfect(f"{number:02}", slice(start, start + 5))
        tile = tiles.tile_image()[:, start * TILE : (start + 5) * TILE]
        category, masks = [], []
        for word, mask in zip(good.detections.category, good.detections.mask, strict=True):
            if rng.random() < 0.3:
                continue
            leak = tile == rng.choice(tile.ravel()) if rng.random() < 0.3 else np.zeros_like(mask)
            copies = 2 if rng.random() < 0.2 else 1
            category += [int(rng.integers(0, 4)) if rng.random() < 0.1 else int(word)] * copies
            masks += [mask | leak] * copies
        if masks:
            score = rng.permutation(np.linspace(0.3, 0.9, len(masks))).tolist()
            shots.append(Shot(good.name, good.vertex, detections(category, masks, score)))
    return shots


@both_rules
def test_perfect_masks_give_perfect_labels(tiles: Tiles, walk: list[Shot], table: CategoryTable, rule: str) -> None:
    found = labels_of_vertices(solve(walk, table, tiles.superface_of_vertex, rule))
    assert_array_equal(found.category, tiles.labels_of_vertex.category)
    assert partition(found) == partition(tiles.labels_of_vertex)


@both_rules
@settings(deadline=None, max_examples=25)
@given(seed=seeds)
def test_the_order_of_frames_changes_nothing_at_all(tiles: Tiles, table: CategoryTable, rule: str, seed: int) -> None:
    shots = [Shot(s.name, s.vertex, s.detections, position=n) for n, s in enumerate(noisy_walk(tiles, seed))]
    mixed = [shots[number] for number in np.random.default_rng(seed).permutation(len(shots))]
    one, other = (solve(order, table, tiles.superface_of_vertex, rule) for order in (shots, mixed))
    assert one.instances.objects == other.instances.objects
    assert_array_equal(one.superface_of_vertex, other.superface_of_vertex)
    assert_array_equal(one.instances.of_superface.instance, other.instances.of_superface.instance)


@both_rules
@settings(deadline=None, max_examples=25)
@given(seed=seeds)
def test_names_of_frames_and_the_order_of_detections_change_no_object(
    tiles: Tiles, table: CategoryTable, rule: str, seed: int
) -> None:
    rng, shots, mixed = np.random.default_rng(seed), noisy_walk(tiles, seed), []
    for name, shot in zip(rng.permutation(len(shots)), shots, strict=True):
        order, found = rng.permutation(len(shot.detections)), shot.detections
        same = Detections(found.category[order], found.score[order], found.mask[order])
        mixed.append(Shot(f"frame {name}", shot.vertex, same))
    assert objects_found(mixed, tiles, table, rule) == objects_found(shots, tiles, table, rule)


@both_rules
@settings(deadline=None, max_examples=25)
@given(seed=seeds)
@example(seed=1771823)  # whose masks of the doubled frame decide whether an object is one
def test_a_doubled_frame_changes_nothing(tiles: Tiles, table: CategoryTable, rule: str, seed: int) -> None:
    shots = [Shot(s.name, s.vertex, s.detections, position=n) for n, s in enumerate(noisy_walk(tiles, seed))]
    chosen = shots[seed % len(shots)]
    doubled = [*shots, Shot("again", chosen.vertex, chosen.detections, chosen.position)]
    one, other = (labels_of_vertices(solve(s, table, tiles.superface_of_vertex, rule)) for s in (shots, doubled))
    assert_array_equal(one.category, other.category)
    assert partition(one) == partition(other)


@both_rules
def test_one_leaking_mask_does_not_merge_what_good_ones_keep_apart(
    tiles: Tiles, walk: list[Shot], table: CategoryTable, rule: str
) -> None:
    assert objects_found([*walk, with_leak(tiles, "leak")], tiles, table, rule) == partition(tiles.labels_of_vertex)


@both_rules
def test_many_leaking_masks_do_merge(tiles: Tiles, walk: list[Shot], table: CategoryTable, rule: str) -> None:
    leaks = [with_leak(tiles, f"leak{number}") for number in range(20)]
    merged = frozenset(np.flatnonzero(tiles.labels_of_vertex.category == CHAIR).tolist())
    assert (CHAIR, merged) in objects_found([*walk, *leaks], tiles, table, rule)


def test_a_cup_stays_one_though_most_masks_of_its_table_swallow_it(table: CategoryTable) -> None:
    """A table of four tiles with a small chair on it, for a cup: eight frames see one table, five see both."""
    category = np.array([[WALL] * 7, [TABLE, TABLE, CHAIR, TABLE, TABLE, WALL, WALL], [FLOOR] * 7])
    tiles = Tiles(category, np.where(category == WALL, 0, np.where(category == TABLE, 1, 2 * (category == CHAIR))))
    shown = [tiles.perfect(f"shown {number}") for number in range(5)]
    all_of_it = ((category == TABLE) | (category == CHAIR)).ravel()[tiles.tile_image()]
    swallowed = [
        Shot(f"swallowed {number}", tiles.vertex_image(), detections([TABLE], [all_of_it])) for number in range(8)
    ]
    assert objects_found([*swallowed, *shown], tiles, table) == partition(tiles.labels_of_vertex)
    assert len(objects_found([*swallowed, *shown], tiles, table, "panopticrecon")) == 1


def test_good_masks_cut_a_superface_that_spans_two_objects(tiles: Tiles, table: CategoryTable) -> None:
    walk = [tiles.perfect(str(number)) for number in range(30)]
    superface_of_vertex = tiles.superface_of_vertex.copy()
    superface_of_vertex[superface_of_vertex == 10] = 9  # tile 9 is of chair 1, tile 10 of chair 2
    found = labels_of_vertices(solve(walk, table, superface_of_vertex))
    assert partition(found) == partition(tiles.labels_of_vertex)


@both_rules
def test_an_object_needs_masks_in_enough_frames(tiles: Tiles, table: CategoryTable, rule: str) -> None:
    walk = [tiles.perfect(str(number), slice(0, 5)) for number in range(3)]
    walk += [tiles.perfect(str(number), slice(5, 8)) for number in (3, 4)]  # the table is seen twice only
    found = {category for category, _ in objects_found(walk, tiles, table, rule, min_frames=3)}
    assert found == {CHAIR}
    assert objects_found(walk, tiles, table, rule, min_frames=2) == partition(tiles.labels_of_vertex)
    assert not objects_found(walk, tiles, table, rule, min_frames=4)


@both_rules
def test_most_masks_decide_the_class(tiles: Tiles, walk: list[Shot], table: CategoryTable, rule: str) -> None:
    wrong = [renamed_words(shot, {TABLE: CHAIR}) if number == 4 else shot for number, shot in enumerate(walk)]
    assert objects_found(wrong, tiles, table, rule) == partition(tiles.labels_of_vertex)
    all_wrong = [renamed_words(shot, {TABLE: CHAIR}) for shot in walk]
    assert {category for category, _ in objects_found(all_wrong, tiles, table, rule)} == {CHAIR}


def objects_of(shots: list[Shot], tiles: Tiles, table: CategoryTable) -> tuple[SceneObject, ...]:
    return solve(shots, table, tiles.superface_of_vertex).instances.objects


def test_confidence_and_votes_tell_agreement(tiles: Tiles, walk: list[Shot], table: CategoryTable) -> None:
    good = objects_of(walk, tiles, table)
    assert all(found.votes_against == 0 < found.votes_for for found in good)
    wrong = [renamed_words(shot, {TABLE: CHAIR}) if number == 4 else shot for number, shot in enumerate(walk)]
    doubted, sure = (
        next(found for found in objects if found.category == TABLE)
        for objects in (objects_of(wrong, tiles, table), good)
    )
    assert 0 < doubted.confidence < sure.confidence <= 1
    assert doubted.frames == sure.frames


def test_an_object_names_its_masks(tiles: Tiles, walk: list[Shot], table: CategoryTable) -> None:
    by_name = {shot.name: shot.detections for shot in walk}
    for found in objects_of(walk, tiles, table):
        assert len(found.masks) == len(found.frames) >= 3
        assert list(found.frames) == sorted(found.frames)
        for mask in found.masks:
            assert mask.category == by_name[mask.frame].category[mask.detection] == found.category
            assert mask.score == by_name[mask.frame].score[mask.detection]


def test_frames_that_call_an_object_something_else_contradict_it(
    tiles: Tiles, walk: list[Shot], table: CategoryTable
) -> None:
    whole = tiles.vertex_image()
    wall = Shot("98 wall", whole, detections([WALL], [np.ones(whole.shape, bool)]))
    silent = Shot("97 silent", whole, detections([FLOOR], [tiles.is_part(FLOOR, 0).ravel()[tiles.tile_image()]]))
    for found in objects_of([*walk, wall, silent], tiles, table):
        assert found.contradicting == ("98 wall",)


@both_rules
def test_no_detection_at_all_gives_no_object(tiles: Tiles, table: CategoryTable, rule: str) -> None:
    vertex = tiles.vertex_image()
    nothing = Detections(np.empty(0, np.int32), np.empty(0, np.float32), np.empty((0, *vertex.shape), bool))
    found = solve([Shot(str(number), vertex, nothing) for number in range(3)], table, tiles.superface_of_vertex, rule)
    assert not found.instances.objects
    assert not len(found.graph.first)
    assert (found.instances.of_superface.category == VOID).all()


def test_masks_that_fit_and_agree_in_more_frames_make_an_object_surer(tiles: Tiles, table: CategoryTable) -> None:
    def confidence(shots: list[Shot]) -> float:
        return next(found.confidence for found in objects_of(shots, tiles, table) if found.category == TABLE)

    def half_a_table(name: str) -> Shot:
        good = tiles.perfect(name)
        half = good.detections.mask.copy()
        half[:, :, 6 * TILE :] &= good.detections.category[:, None, None] != TABLE
        return Shot(name, good.vertex, Detections(good.detections.category, good.detections.score, half))

    walk = [tiles.perfect(str(number)) for number in range(6)]
    assert 0.8 < confidence(walk) < 1
    assert confidence(walk[:3]) < confidence(walk)
    assert confidence([*walk[:5], renamed_words(walk[5], {TABLE: CHAIR})]) < confidence(walk)
    assert confidence([*walk[:5], half_a_table("5")]) < confidence(walk)
