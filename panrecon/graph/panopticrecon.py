"""The paper's rule (Yu et al., PanopticRecon, IROS 2024): centroid votes of masks, a sign cut, connected components.

The paper states the rule without its thresholds. This is the interpretation that scores best for it among those we
tried: a superface is *in* a mask that covers more than half of its visible vertices; the superface with most of a
mask's vertices is its centroid; every pair (centroid, member) of a thing mask gets a vote for, every pair in different
instances of one frame, stuff included, a vote against; pairs with votes <= 0 are cut.
"""

import numpy as np
from jaxtyping import Int
from scipy.sparse import csr_array

from panrecon.graph.association import Association, assign_masks, connected
from panrecon.graph.evidence import Evidence
from panrecon.graph.parameters import GraphParameters
from panrecon.graph.voting import Membership, PairVotes, co_occurrence, membership, pair_votes
from panrecon.structures import VOID


def sign_cut(evidence: Evidence, overlap: float, parameters: GraphParameters) -> Association:
    """Objects as the connected components of superfaces over the pairs with more votes for than against."""
    members = membership(evidence, overlap, parameters)
    component = components(members, centroid_votes(evidence, members))
    count = int(component.max(initial=VOID)) + 1
    return Association(component, assign_masks(evidence, component, count, min_iou=0.0), count).compact(evidence)


def centroid_votes(evidence: Evidence, members: Membership) -> PairVotes:
    """A vote for every pair of a mask's centroid and another superface in it; votes against as in `pair_votes`."""
    centroid = csr_array(_centroids(evidence, members).multiply(evidence.weight_of_mask[None]))
    links = csr_array(centroid @ members.in_thing_mask.T)
    return pair_votes(evidence, members, csr_array(links + links.T), co_occurrence(evidence, members))


def components(members: Membership, votes: PairVotes) -> Int[np.ndarray, " S"]:
    """The component of every superface that is in any thing mask, `VOID` for the others."""
    is_link = votes.together > votes.apart + votes.stuff
    is_node = np.diff(members.in_thing_mask.indptr) > 0
    component_of_unit, _ = connected(votes.first[is_link], votes.second[is_link], len(members.state))
    component = np.full(len(component_of_unit), VOID, dtype=np.int32)
    component[is_node] = np.unique(component_of_unit[is_node], return_inverse=True)[1]
    return component


def _centroids(evidence: Evidence, members: Membership) -> csr_array:
    """S x M: 1 at the superface with most vertices of every thing mask that any superface is in."""
    vertices = csr_array(evidence.covered.tocsr().multiply(members.in_thing_mask)).tocsc()
    masks = np.flatnonzero(np.diff(vertices.indptr))
    largest = np.asarray(vertices.argmax(axis=0)).ravel()[masks]
    return csr_array((np.ones(len(masks), np.float32), (largest, masks)), vertices.shape)
