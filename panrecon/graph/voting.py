"""Votes of all masks on pairs of superfaces: rule `panopticrecon` (Yu et al., IROS 2024), our reading.

The paper gives the rule, not its thresholds. Ours: a superface is *in* a mask that covers at least `overlap` of its
visible pixels, the one with most covered pixels is the mask's centre; every edge (centre, member) of a thing mask
gets a vote for; every pair in different instances of one frame, stuff included, gets a vote against. Only superfaces
that two or more thing masks hold, and that things cover more than stuff does, are nodes: one leaking mask must not
chain objects along a wall.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool
from scipy.sparse import csr_array, triu

from panrecon.graph.evidence import Evidence
from panrecon.structures import SuperfaceGraph

MIN_THING_MASKS = 2  # a node is in at least this many thing masks


@dataclass(frozen=True)
class Membership:
    """Which superface is in which mask (S x M, boolean), and which may be part of an object."""

    inside: csr_array
    is_node: Bool[np.ndarray, " S"]


def membership(evidence: Evidence, overlap: float) -> Membership:
    """Superfaces in masks by their share of visible pixels, and the nodes among them."""
    covered = evidence.covered.tocoo()
    visible = np.asarray(evidence.visible[covered.row, evidence.frame_of_mask[covered.col]]).ravel()
    chosen = covered.data > overlap * visible
    inside = csr_array((np.ones(chosen.sum(), np.float32), (covered.row[chosen], covered.col[chosen])), covered.shape)
    thing = evidence.thing_mask.astype(np.float64)
    thing_pixels, stuff_pixels = evidence.covered @ thing, evidence.covered @ (1 - thing)
    is_node = (inside @ thing >= MIN_THING_MASKS) & (thing_pixels > stuff_pixels)
    return Membership(inside, is_node)


def vote(evidence: Evidence, members: Membership) -> SuperfaceGraph:
    """The summed votes on every pair of nodes that any mask holds together or any frame keeps apart."""
    keep = members.is_node.astype(np.float32)[:, None]
    things = csr_array(members.inside[:, evidence.thing_mask].multiply(keep))
    stuff = csr_array(members.inside[:, ~evidence.thing_mask].multiply(keep))
    frame_of_thing, frame_of_stuff = (
        evidence.frame_of_mask[chosen] for chosen in (evidence.thing_mask, ~evidence.thing_mask)
    )
    in_thing = _by_frame(things, frame_of_thing, len(evidence.frames))
    in_stuff = _by_frame(stuff, frame_of_stuff, len(evidence.frames))
    in_stuff = csr_array(in_stuff - in_stuff.multiply(in_thing))
    apart = in_thing @ in_thing.T - things @ things.T + in_thing @ in_stuff.T + in_stuff @ in_thing.T
    centre = _centres(csr_array(evidence.covered[:, evidence.thing_mask].multiply(things)))
    together = centre @ things.T
    return _edges(csr_array(together + together.T), csr_array(apart))


def _by_frame(inside: csr_array, frame_of_mask: np.ndarray, frame_count: int) -> csr_array:
    """S x F: 1 where any of the frame's masks holds the superface."""
    count = inside.shape[1]
    mask_to_frame = csr_array((np.ones(count, np.float32), (np.arange(count), frame_of_mask)), (count, frame_count))
    return csr_array((inside @ mask_to_frame).minimum(1))


def _centres(pixels: csr_array) -> csr_array:
    """S x M: 1 at the superface with most pixels of every mask that holds any."""
    columns = pixels.tocsc()
    held = np.flatnonzero(np.diff(columns.indptr))
    largest = np.asarray(columns.argmax(axis=0)).ravel()[held]
    return csr_array((np.ones(len(held), np.float32), (largest, held)), pixels.shape)


def _edges(together: csr_array, apart: csr_array) -> SuperfaceGraph:
    """The upper triangle of both, edge by edge."""
    either = triu(together + apart, k=1).tocoo()
    chosen = either.data > 0
    first, second = either.row[chosen], either.col[chosen]
    if not len(first):  # scipy then gives no array of values
        return SuperfaceGraph(first, second, np.zeros(0, np.float32), np.zeros(0, np.float32))
    votes_for, votes_against = (np.asarray(matrix[first, second]).ravel() for matrix in (together, apart))
    return SuperfaceGraph(first, second, votes_for, votes_against.clip(0))
