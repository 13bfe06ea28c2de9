"""What masks say of pairs of units: held together by one mask, or kept apart by a frame."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, Int8
from scipy.sparse import csr_array, triu

from panrecon.graph.evidence import MIN_VISIBLE, Evidence
from panrecon.graph.kernels import frames_beside

UNSEEN, UNLABELLED, STUFF, THING = range(4)  # how a unit stands in a frame


@dataclass(frozen=True)
class Membership:
    """Which unit is in which thing mask (U x M, boolean), and how it stands in every frame."""

    in_thing_mask: csr_array
    standing: Int8[np.ndarray, "U F"]

    def frames_in(self, standing: int, weight_of_frame: Float[np.ndarray, " F"]) -> Float[np.ndarray, " U"]:
        """The weight of the frames in which every unit stands so."""
        return (self.standing == standing) @ weight_of_frame


@dataclass(frozen=True)
class PairVotes:
    """What all frames say of P pairs of units, by weight of frames; first < second.

    `together`: one thing mask holds both (or links them, by another rule). `apart`: two things hold them. `stuff`: a
    thing holds one, stuff the other. `unlabelled`: a thing holds one, and no mask the other, which is in view.
    """

    first: Int[np.ndarray, " P"]
    second: Int[np.ndarray, " P"]
    together: Float[np.ndarray, " P"]
    apart: Float[np.ndarray, " P"]
    stuff: Float[np.ndarray, " P"]
    unlabelled: Float[np.ndarray, " P"]


def membership(evidence: Evidence, overlap: float) -> Membership:
    """A unit is in a mask that covers more than `overlap` of its visible vertices; things come before stuff."""
    visible, covered = evidence.visible, evidence.covered
    standing = np.full(visible.shape, UNSEEN, dtype=np.int8)
    seen_by = np.zeros(visible.shape, dtype=np.float32)
    seen_by[visible.row, visible.col] = np.where(visible.data >= MIN_VISIBLE, visible.data, 0)
    standing[seen_by > 0] = UNLABELLED
    seen = seen_by[covered.row, evidence.frame_of_mask[covered.col]]
    inside = (seen > 0) & (covered.data > overlap * seen)
    unit, mask = covered.row[inside], covered.col[inside]
    thing = evidence.thing_mask[mask]
    standing[unit[~thing], evidence.frame_of_mask[mask[~thing]]] = STUFF
    standing[unit[thing], evidence.frame_of_mask[mask[thing]]] = THING
    ones = np.ones(int(thing.sum()), np.float32)
    return Membership(csr_array((ones, (unit[thing], mask[thing])), covered.shape), standing)


def vote(evidence: Evidence, members: Membership) -> PairVotes:
    """All pairs of units that any thing mask holds together."""
    held = held_together(evidence, members)
    return pair_votes(evidence, members, held, held)


def held_together(evidence: Evidence, members: Membership) -> csr_array:
    """U x U: the weight of the thing masks that hold both."""
    weighted = csr_array(members.in_thing_mask.multiply(evidence.weight_of_mask[None]))
    return csr_array(weighted @ members.in_thing_mask.T)


def pair_votes(evidence: Evidence, members: Membership, together: csr_array, held: csr_array) -> PairVotes:
    """The pairs with votes for being one, above the diagonal of `together`, and what else frames say of them.

    `held` is the weight of the masks that hold both: these do not keep the pair apart.
    """
    pairs = triu(together, k=1).tocoo()
    first, second, votes = pairs.row.astype(np.int64), pairs.col.astype(np.int64), pairs.data.astype(np.float64)
    same = votes if held is together else np.asarray(held[first, second]).ravel() if len(first) else np.zeros(0)
    beside_thing = frames_beside(members.standing, THING, evidence.weight_of_frame, first, second, THING + 1).T
    apart = (beside_thing[THING] - same).clip(0)
    return PairVotes(first, second, votes, apart, beside_thing[STUFF], beside_thing[UNLABELLED])
