"""Laws of membership and votes."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from panrecon.graph.evidence import Evidence
from panrecon.graph.panopticrecon import centroid_votes
from panrecon.graph.parameters import GraphParameters
from panrecon.graph.voting import STUFF, THING, UNLABELLED, UNSEEN, PairVotes, membership, vote
from panrecon.masks.overlap import resolve_overlaps
from panrecon.structures import VOID, CategoryTable

from .conftest import CHAIR, FLOOR, Shot, Tiles, detections, evidence_of

PARAMETERS = GraphParameters()
SUPERFACES = 6
PIXELS = 12 * 12
SUPERFACE_OF_VERTEX = np.arange(SUPERFACES * PIXELS, dtype=np.int32) // PIXELS
seeds = st.integers(0, 2**32 - 1)
overlaps = st.sampled_from([0.51, 0.6, 0.8])


def random_shots(seed: int) -> list[Shot]:
    """Frames of blocky superfaces under blocky masks that overlap and leak; no two masks of a frame score alike."""
    rng = np.random.default_rng(seed)
    shots = []
    for frame in range(int(rng.integers(1, 7))):
        superface = rng.integers(VOID, SUPERFACES, (6, 6)).repeat(2, axis=0).repeat(2, axis=1)
        vertex = np.where(superface == VOID, VOID, superface * PIXELS + np.arange(PIXELS).reshape(12, 12))
        count = int(rng.integers(1, 6))
        masks = (rng.random((count, 6, 6)) < 0.6).repeat(2, axis=1).repeat(2, axis=2)
        score = rng.permutation(np.linspace(0.3, 0.9, count)).tolist()
        found = detections(rng.integers(0, 5, count).tolist(), list(masks), score)
        shots.append(Shot(str(frame), vertex.astype(np.int32), found))
    return shots


Pairs = dict[tuple[int, int], tuple[float, ...]]


def as_dict(votes: PairVotes) -> Pairs:
    columns = (votes.together, votes.apart, votes.stuff, votes.unlabelled)
    ends = zip(votes.first.tolist(), votes.second.tolist(), strict=True)
    return dict(zip(ends, zip(*(column.tolist() for column in columns), strict=True), strict=True))


def both_votes(evidence: Evidence, overlap: float) -> tuple[Pairs, Pairs]:
    members = membership(evidence, overlap, PARAMETERS)
    return as_dict(vote(evidence, members)), as_dict(centroid_votes(evidence, members))


def plain_votes(shots: list[Shot], table: CategoryTable, overlap: float) -> tuple[Pairs, Pairs]:
    """Frame by frame, mask by mask and pair by pair: votes of all pairs in a mask, and of pairs with its centre."""
    frames = [_plain_frame(shot, table, overlap) for shot in shots]
    all_pairs: Pairs = {}
    centre_pairs: Pairs = {}
    for first in range(SUPERFACES):
        for second in range(first + 1, SUPERFACES):
            things = [members for masks, _ in frames for thing, members in masks if thing]
            together = sum({first, second} <= members.keys() for members in things)
            linked = sum(_is_linked(members, first, second) for members in things)
            against = [sum(_stand(frame, first, second) == kind for frame in frames) for kind in ("a", "s", "u")]
            if together:
                all_pairs[first, second] = (together, *against)
            if linked:
                centre_pairs[first, second] = (linked, *against)
    return all_pairs, centre_pairs


Masks = list[tuple[bool, dict[int, int]]]


def _plain_frame(shot: Shot, table: CategoryTable, overlap: float) -> tuple[Masks, set[int]]:
    """What every mask holds (things or stuff; members with their vertices), and the superfaces in view."""
    superface = np.where(shot.vertex == VOID, VOID, shot.vertex // PIXELS)
    seen = {
        s: int((superface == s).sum())
        for s in range(SUPERFACES)
        if (superface == s).sum() >= PARAMETERS.min_visible_vertices
    }
    is_thing = table.is_thing[shot.detections.category]
    masks = []
    for detection in range(len(shot.detections)):
        won = resolve_overlaps(shot.detections, is_thing == is_thing[detection]) == detection
        held = {s: int((won & (superface == s)).sum()) for s in seen}
        masks.append((bool(is_thing[detection]), {s: n for s, n in held.items() if n > overlap * seen[s]}))
    return masks, set(seen)


def _is_linked(members: dict[int, int], first: int, second: int) -> bool:
    """Whether one of the two is the mask's centre and the mask holds both."""
    return {first, second} <= members.keys() and max(members, key=lambda s: (members[s], -s)) in (first, second)


def _stand(frame: tuple[Masks, set[int]], first: int, second: int) -> str:
    """How a frame speaks against a pair: (a)part, (s)tuff, (u)nlabelled, or not at all."""
    masks, seen = frame
    if not {first, second} <= seen:
        return ""
    things = [members.keys() for thing, members in masks if thing]
    stuff = [members.keys() for thing, members in masks if not thing]
    in_thing = [any(superface in one for one in things) for superface in (first, second)]
    if all(in_thing):
        return "" if any({first, second} <= one for one in things) else "a"
    if not any(in_thing):
        return ""
    other = second if in_thing[0] else first
    return "s" if any(other in one for one in stuff) else "u"


@settings(deadline=None)
@given(seed=seeds, overlap=overlaps)
def test_votes_equal_their_plain_twin(seed: int, overlap: float, table: CategoryTable) -> None:
    shots = random_shots(seed)
    assert both_votes(evidence_of(shots, table, SUPERFACE_OF_VERTEX), overlap) == plain_votes(shots, table, overlap)


@settings(deadline=None)
@given(seed=seeds, overlap=overlaps)
def test_votes_move_with_the_numbers_of_superfaces(seed: int, overlap: float, table: CategoryTable) -> None:
    shots, number = random_shots(seed), np.random.default_rng(seed).permutation(SUPERFACES).astype(np.int32)
    votes, _ = both_votes(evidence_of(shots, table, SUPERFACE_OF_VERTEX), overlap)
    moved, _ = both_votes(evidence_of(shots, table, number[SUPERFACE_OF_VERTEX]), overlap)
    assert moved == {tuple(sorted((int(number[a]), int(number[b])))): count for (a, b), count in votes.items()}


@settings(deadline=None)
@given(seed=seeds, overlap=overlaps)
def test_votes_of_frames_add(seed: int, overlap: float, table: CategoryTable) -> None:
    shots = random_shots(seed)
    whole, _ = both_votes(evidence_of(shots, table, SUPERFACE_OF_VERTEX), overlap)
    together: dict[tuple[int, int], float] = dict.fromkeys(whole, 0.0)
    for shot in shots:
        alone, _ = both_votes(evidence_of([shot], table, SUPERFACE_OF_VERTEX), overlap)
        for pair, (count, *_) in alone.items():
            together[pair] += count
    assert together == {pair: count for pair, (count, *_) in whole.items()}


def test_perfect_masks_agree_inside_objects_and_hold_no_other_pair(
    tiles: Tiles, walk: list[Shot], table: CategoryTable
) -> None:
    evidence = evidence_of(walk, table, tiles.superface_of_vertex)
    votes = vote(evidence, membership(evidence, 0.5, PARAMETERS))
    same = tiles.number.ravel()[votes.first] == tiles.number.ravel()[votes.second]
    assert len(same) == 3 and same.all()  # two tiles each
    assert not (votes.apart + votes.stuff + votes.unlabelled).any()
    assert (votes.first < votes.second).all()


def test_the_state_of_a_superface_in_a_frame_is_that_of_its_best_mask(table: CategoryTable) -> None:
    """A superface a row: in a chair and a floor, in a floor, in half a chair, in no mask, hardly in view."""
    vertex = np.arange(50, dtype=np.int32).reshape(5, 10)
    vertex[4, PARAMETERS.min_visible_vertices - 1 :] = VOID
    chair, floor = np.zeros((2, 5, 10), bool)
    chair[0], floor[0], floor[1], chair[2, :5], chair[4] = True, True, True, True, True
    shot = Shot("0", vertex, detections([CHAIR, FLOOR], [chair, floor]))
    members = membership(evidence_of([shot], table, np.arange(50, dtype=np.int32) // 10), 0.5, PARAMETERS)
    assert_array_equal(members.state[:, 0], [THING, STUFF, UNLABELLED, UNLABELLED, UNSEEN])
    assert_array_equal(members.in_thing_mask.toarray(), [[1, 0], [0, 0], [0, 0], [0, 0], [0, 0]])


def test_frames_from_one_pose_count_once(tiles: Tiles, walk: list[Shot], table: CategoryTable) -> None:
    still = [Shot(shot.name, shot.vertex, shot.detections, position=number) for number, shot in enumerate(walk)]
    copies = [Shot(f"{shot.name} again", shot.vertex, shot.detections, shot.position) for shot in still]
    once, twice = (
        both_votes(evidence_of(shots, table, tiles.superface_of_vertex), 0.5) for shots in (still, [*still, *copies])
    )
    assert once == twice
