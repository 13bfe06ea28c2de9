"""Votes of masks on pairs of units: together in one mask, or in different segments of a frame."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, Int8
from scipy.sparse import csr_array, triu

from panrecon.graph.evidence import Evidence
from panrecon.graph.kernels import state_counts
from panrecon.graph.parameters import GraphParameters

UNSEEN, UNLABELLED, STUFF, THING = range(4)  # visibility states of a unit in a frame


@dataclass(frozen=True)
class Membership:
    """Which unit is in which thing mask (U x M, boolean), and its visibility state in every frame."""

    in_thing_mask: csr_array
    state: Int8[np.ndarray, "U F"]

    def frames_in_state(self, state: int, weight_of_frame: Float[np.ndarray, " F"]) -> Float[np.ndarray, " U"]:
        """The weight of the frames in which every unit is in this state."""
        return (self.state == state) @ weight_of_frame


@dataclass(frozen=True)
class PairVotes:
    """The votes of all frames on P pairs of units, by weight of frames; first < second.

    `together`: both in one thing mask (or linked by one, in the paper's rule). `apart`: in two things. `stuff`: one in
    a thing, the other in stuff. `unlabelled`: one in a thing, the other visible and in no mask.
    """

    first: Int[np.ndarray, " P"]
    second: Int[np.ndarray, " P"]
    together: Float[np.ndarray, " P"]
    apart: Float[np.ndarray, " P"]
    stuff: Float[np.ndarray, " P"]
    unlabelled: Float[np.ndarray, " P"]


def membership(evidence: Evidence, overlap: float, parameters: GraphParameters) -> Membership:
    """The masks that every unit is in: those that cover more than the share `overlap` of its visible vertices.

    The state of a unit in a frame is `THING` if it is in a thing mask, else `STUFF` if in a stuff mask; it is `UNSEEN`
    where fewer than `min_visible_vertices` of it are visible.
    """
    visible = evidence.visible
    covered = evidence.covered
    state = np.full(visible.shape, UNSEEN, dtype=np.int8)
    vertices_in_frame = np.zeros(visible.shape, dtype=np.float32)
    is_visible = visible.data >= parameters.min_visible_vertices
    vertices_in_frame[visible.row, visible.col] = np.where(is_visible, visible.data, 0)
    state[vertices_in_frame > 0] = UNLABELLED
    visible_vertices = vertices_in_frame[covered.row, evidence.frame_of_mask[covered.col]]
    is_inside = (visible_vertices > 0) & (covered.data > overlap * visible_vertices)
    unit = covered.row[is_inside]
    mask = covered.col[is_inside]
    is_thing = evidence.thing_mask[mask]
    state[unit[~is_thing], evidence.frame_of_mask[mask[~is_thing]]] = STUFF
    state[unit[is_thing], evidence.frame_of_mask[mask[is_thing]]] = THING
    ones = np.ones(int(is_thing.sum()), np.float32)
    return Membership(csr_array((ones, (unit[is_thing], mask[is_thing])), covered.shape), state)


def vote(evidence: Evidence, members: Membership) -> PairVotes:
    """The votes on all pairs of units that are in one thing mask of any frame."""
    together = co_occurrence(evidence, members)
    return pair_votes(evidence, members, together, together)


def co_occurrence(evidence: Evidence, members: Membership) -> csr_array:
    """U x U: the weight of the thing masks that two units are both in."""
    weighted = csr_array(members.in_thing_mask.multiply(evidence.weight_of_mask[None]))
    return csr_array(weighted @ members.in_thing_mask.T)


def pair_votes(evidence: Evidence, members: Membership, together: csr_array, co_occurring: csr_array) -> PairVotes:
    """The pairs above the diagonal of `together`, which holds their votes for, and the votes against them.

    `co_occurring` is the weight of the masks that both are in: these do not count as apart.
    """
    pairs = triu(together, k=1).tocoo()
    first = pairs.row.astype(np.int64)
    second = pairs.col.astype(np.int64)
    votes = pairs.data.astype(np.float64)
    if co_occurring is together:
        in_one_mask = votes
    else:
        in_one_mask = np.asarray(co_occurring[first, second]).ravel() if len(first) else np.zeros(0)
    opposite_thing = state_counts(members.state, THING, evidence.weight_of_frame, first, second, THING + 1).T
    apart = (opposite_thing[THING] - in_one_mask).clip(0)
    return PairVotes(first, second, votes, apart, opposite_thing[STUFF], opposite_thing[UNLABELLED])
