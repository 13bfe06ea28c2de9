"""Laws of membership and votes."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from panrecon.graph.evidence import MIN_VISIBLE_PIXELS, frame_overlap
from panrecon.graph.voting import MIN_THING_MASKS, membership, vote
from panrecon.masks.overlap import winners
from panrecon.structures import VOID, CategoryTable, SuperfaceGraph

from .conftest import CHAIR, FLOOR, WALL, Shot, Tiles, detections, evidence_of

SUPERFACES = 6
seeds = st.integers(0, 2**32 - 1)
overlaps = st.sampled_from([0.51, 0.6, 0.8])


def random_shots(seed: int) -> list[Shot]:
    """Frames of blocky superfaces under blocky masks that overlap and leak; no two masks of a frame score alike."""
    rng = np.random.default_rng(seed)
    shots = []
    for frame in range(int(rng.integers(1, 7))):
        superface = rng.integers(VOID, SUPERFACES, (4, 4)).repeat(3, axis=0).repeat(3, axis=1).astype(np.int32)
        count = int(rng.integers(1, 6))
        masks = (rng.random((count, 6, 6)) < 0.6).repeat(2, axis=1).repeat(2, axis=2)
        score = rng.permutation(np.linspace(0.3, 0.9, count)).tolist()
        shots.append(Shot(str(frame), superface, detections(rng.integers(0, 5, count).tolist(), list(masks), score)))
    return shots


def votes(shots: list[Shot], table: CategoryTable, overlap: float) -> dict[tuple[int, int], tuple[float, float]]:
    evidence = evidence_of(shots, table, SUPERFACES)
    return as_dict(vote(evidence, membership(evidence, overlap)))


def as_dict(graph: SuperfaceGraph) -> dict[tuple[int, int], tuple[float, float]]:
    ends = zip(graph.first.tolist(), graph.second.tolist(), strict=True)
    both = zip(graph.votes_for.tolist(), graph.votes_against.tolist(), strict=True)
    return dict(zip(ends, both, strict=True))


def plain_votes(
    shots: list[Shot], table: CategoryTable, overlap: float
) -> tuple[set[int], dict[tuple[int, int], tuple[float, float]]]:
    """The rule, frame by frame, mask by mask and pair by pair: nodes, and votes for and against."""
    held: dict[str, list[tuple[bool, dict[int, int]]]] = {}
    pixels_of = {"thing": dict.fromkeys(range(SUPERFACES), 0), "stuff": dict.fromkeys(range(SUPERFACES), 0)}
    for shot in shots:
        is_thing = table.is_thing[shot.detections.category]
        held[shot.name] = []
        for detection in range(len(shot.detections)):
            won = winners(shot.detections, is_thing == is_thing[detection]) == detection
            members = {}
            for superface in range(SUPERFACES):
                visible = shot.superface == superface
                pixels = int((won & visible).sum())
                if visible.sum() < MIN_VISIBLE_PIXELS:
                    continue
                pixels_of["thing" if is_thing[detection] else "stuff"][superface] += pixels
                if pixels and pixels > overlap * visible.sum():
                    members[superface] = pixels
            held[shot.name].append((bool(is_thing[detection]), members))
    masks = [members for frame in held.values() for thing, members in frame if thing]
    nodes = {
        superface
        for superface in range(SUPERFACES)
        if sum(superface in members for members in masks) >= MIN_THING_MASKS
        and pixels_of["thing"][superface] > pixels_of["stuff"][superface]
    }
    result: dict[tuple[int, int], tuple[float, float]] = {}
    for first in range(SUPERFACES):
        for second in range(first + 1, SUPERFACES):
            if {first, second} <= nodes:
                together = sum(_is_edge(members, nodes, first, second) for members in masks)
                apart = sum(_is_apart(frame, first, second) for frame in held.values())
                if together or apart:
                    result[first, second] = (together, apart)
    return nodes, result


def _is_edge(members: dict[int, int], nodes: set[int], first: int, second: int) -> bool:
    """Whether one of the two is the mask's centre and the mask holds both."""
    mine = {superface: pixels for superface, pixels in members.items() if superface in nodes}
    return {first, second} <= mine.keys() and max(mine, key=lambda s: (mine[s], -s)) in (first, second)


def _is_apart(frame: list[tuple[bool, dict[int, int]]], first: int, second: int) -> bool:
    """Whether two different masks of the frame hold them; stuff counts where no thing holds the superface."""
    things = [set(members) for thing, members in frame if thing]
    stuff = [set(members) for thing, members in frame if not thing]
    in_thing = [any(superface in one for one in things) for superface in (first, second)]
    in_stuff = [any(superface in one for one in stuff) for superface in (first, second)]
    if all(in_thing):
        return not any({first, second} <= one for one in things)
    return (in_thing[0] and in_stuff[1]) or (in_stuff[0] and in_thing[1])


@settings(deadline=None)
@given(seed=seeds, overlap=overlaps)
def test_votes_equal_their_plain_twin(seed: int, overlap: float, table: CategoryTable) -> None:
    shots = random_shots(seed)
    evidence = evidence_of(shots, table, SUPERFACES)
    members = membership(evidence, overlap)
    nodes, expected = plain_votes(shots, table, overlap)
    assert set(np.flatnonzero(members.is_node).tolist()) == nodes
    assert as_dict(vote(evidence, members)) == expected


@settings(deadline=None)
@given(seed=seeds, overlap=overlaps)
def test_votes_do_not_depend_on_the_order_or_names_of_frames(seed: int, overlap: float, table: CategoryTable) -> None:
    shots, rng = random_shots(seed), np.random.default_rng(seed)
    names = rng.permutation(len(shots))
    renamed = [Shot(f"frame{name}", shot.superface, shot.detections) for name, shot in zip(names, shots, strict=True)]
    rng.shuffle(renamed)
    assert votes(renamed, table, overlap) == votes(shots, table, overlap)


@settings(deadline=None)
@given(seed=seeds, overlap=overlaps)
def test_votes_do_not_depend_on_the_order_of_detections(seed: int, overlap: float, table: CategoryTable) -> None:
    rng = np.random.default_rng(seed)
    shots, mixed = random_shots(seed), []
    for shot in shots:
        found, order = shot.detections, rng.permutation(len(shot.detections))
        same = detections(found.category[order].tolist(), list(found.mask[order]), found.score[order].tolist())
        mixed.append(Shot(shot.name, shot.superface, same))
    assert votes(mixed, table, overlap) == votes(shots, table, overlap)


@settings(deadline=None)
@given(seed=seeds, overlap=overlaps)
def test_votes_move_with_the_numbers_of_superfaces(seed: int, overlap: float, table: CategoryTable) -> None:
    shots, number = random_shots(seed), np.random.default_rng(seed).permutation(SUPERFACES)
    renumbered = [Shot(s.name, np.append(number, VOID)[s.superface].astype(np.int32), s.detections) for s in shots]
    against = {pair: against for pair, (_, against) in votes(shots, table, overlap).items() if against}
    moved = {pair: against for pair, (_, against) in votes(renumbered, table, overlap).items() if against}
    assert moved == {tuple(sorted((number[a], number[b]))): count for (a, b), count in against.items()}


def test_perfect_masks_agree_inside_objects_and_disagree_between_them(
    tiles: Tiles, walk: list[Shot], table: CategoryTable
) -> None:
    evidence = evidence_of(walk, table, tiles.count)
    members = membership(evidence, 0.5)
    assert_array_equal(members.is_node, table.is_thing[tiles.category.ravel()])
    graph = vote(evidence, members)
    same = tiles.number.ravel()[graph.first] == tiles.number.ravel()[graph.second]
    assert same.any() and (~same).any()
    assert (graph.votes_for[same] > 0).all() and not graph.votes_against[same].any()
    assert (graph.votes_against[~same] > 0).all() and not graph.votes_for[~same].any()
    assert (graph.first < graph.second).all()


def test_pixels_are_counted_where_masks_win_and_superfaces_are_seen(table: CategoryTable) -> None:
    superface = np.zeros((10, 10), np.int32)
    superface[:, 6:] = 1
    superface[0, 0:9] = 2  # 9 pixels: too few to take part
    superface[9] = VOID
    chair, better_chair, floor = np.zeros((3, 10, 10), bool)
    chair[:, :8], better_chair[:, :3], floor[5:] = True, True, True
    found = detections([CHAIR, CHAIR, FLOOR], [chair, better_chair, floor], [0.5, 0.8, 0.9])
    overlap = frame_overlap("0", superface, found, table, 3)
    assert_array_equal(overlap.visible, [8 * 6, 8 * 4 + 1, 0])
    counted = zip(overlap.superface, overlap.detection, overlap.pixels, strict=True)
    assert sorted((int(s), int(d), int(p)) for s, d, p in counted) == [
        (0, 0, 8 * 3),  # the better chair takes the other three columns
        (0, 1, 8 * 3),
        (0, 2, 4 * 6),  # a floor is disjoint from floors, not from chairs
        (1, 0, 8 * 2),
        (1, 2, 4 * 4),
    ]


def test_evidence_names_every_mask_by_frame_and_place(walk: list[Shot], table: CategoryTable, tiles: Tiles) -> None:
    evidence = evidence_of(walk[::-1], table, tiles.count)
    assert evidence.frames == tuple(sorted(shot.name for shot in walk))
    by_name = {shot.name: shot.detections for shot in walk}
    for mask, (frame, place) in enumerate(zip(evidence.frame_of_mask, evidence.detection_of_mask, strict=True)):
        found = by_name[evidence.frames[frame]]
        assert evidence.category_of_mask[mask] == found.category[place]
        assert evidence.score_of_mask[mask] == found.score[place]
        assert evidence.thing_mask[mask] == table.is_thing[found.category[place]]
        assert_allclose(evidence.covered[:, [mask]].sum(), found.mask[place].sum())


def test_a_superface_that_only_one_mask_holds_is_no_node(tiles: Tiles, table: CategoryTable) -> None:
    good = [tiles.perfect(str(number)) for number in range(3)]
    leak = detections([CHAIR], [good[0].superface // tiles.category.shape[1] == 0])  # a chair all over the wall
    evidence = evidence_of([*good, Shot("leak", good[0].superface, leak)], table, tiles.count)
    assert not membership(evidence, 0.5).is_node[tiles.category.ravel() == WALL].any()
