"""The written rule (Yu et al., PanopticRecon, IROS 2024): votes along the masks' centres, cut by sign, components.

The paper gives the rule, not its thresholds. Our reading, the strongest for it that we found: a superface is *in* a
mask that covers more than half of its visible vertices; the one with most of them is the mask's centre; every edge
(centre, member) of a thing mask gets a vote for, every pair in different instances of one frame, stuff included, a
vote against; edges with votes <= 0 are cut.
"""

import numpy as np
from jaxtyping import Int
from scipy.sparse import csr_array

from panrecon.graph.association import Association, assign_masks, connected
from panrecon.graph.evidence import Evidence
from panrecon.graph.voting import Membership, PairVotes, held_together, membership, pair_votes
from panrecon.structures import VOID


def sign_cut(evidence: Evidence, overlap: float) -> Association:
    """Objects as the connected components of superfaces over edges with more votes for than against."""
    members = membership(evidence, overlap)
    component = components(members, centroid_votes(evidence, members))
    count = int(component.max(initial=VOID)) + 1
    return Association(component, assign_masks(evidence, component, count, min_iou=0.0), count).compact(evidence)


def centroid_votes(evidence: Evidence, members: Membership) -> PairVotes:
    """A vote for every pair of a mask's centre and another superface in it; votes against as anywhere."""
    centre = csr_array(_centres(evidence, members).multiply(evidence.weight_of_mask[None]))
    links = csr_array(centre @ members.in_thing_mask.T)
    return pair_votes(evidence, members, csr_array(links + links.T), held_together(evidence, members))


def components(members: Membership, votes: PairVotes) -> Int[np.ndarray, " S"]:
    """The component of every superface that any thing mask holds, `VOID` for the others."""
    held = votes.together > votes.apart + votes.stuff
    is_node = np.diff(members.in_thing_mask.indptr) > 0
    reached, _ = connected(votes.first[held], votes.second[held], len(members.standing))
    component = np.full(len(reached), VOID, dtype=np.int32)
    component[is_node] = np.unique(reached[is_node], return_inverse=True)[1]
    return component


def _centres(evidence: Evidence, members: Membership) -> csr_array:
    """S x M: 1 at the superface with most vertices of every thing mask that holds any."""
    vertices = csr_array(evidence.covered.tocsr().multiply(members.in_thing_mask)).tocsc()
    held = np.flatnonzero(np.diff(vertices.indptr))
    largest = np.asarray(vertices.argmax(axis=0)).ravel()[held]
    return csr_array((np.ones(len(held), np.float32), (largest, held)), vertices.shape)
