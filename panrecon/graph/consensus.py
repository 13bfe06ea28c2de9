"""Our rule: objects are what frames agree on, by evidence that bad masks cannot bend (`consensus`).

Evidence for a pair of superfaces is the share of the frames that could have spoken, so that one leak among many views
counts little; a wall seeds no object. Merges run from the most certain on, and after each round all votes are cast
anew between the clusters. Masks that no cluster explains are grouped by themselves, so that a cup stays one though
the table's masks swallow it. Masks and superfaces are then assigned to each other in turn, by what is covered in the
frames in which the object was detected at all; halves that no frame shows together are joined by geometry. View
consensus is Yan et al.'s (MaskClustering, CVPR 2024), here of superfaces.
Each idea has its worth in `benchmarks/association_ablation.py`.
"""

from dataclasses import replace
from typing import Final

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import csr_array

from panrecon.graph.adjacency import SuperfaceAdjacency, merge_fragments
from panrecon.graph.association import (
    Association,
    assign_masks,
    connected,
    detection_share,
    divided,
    mask_iou,
    most_likely,
    supporting_frames,
)
from panrecon.graph.evidence import Evidence
from panrecon.graph.objects import frames_in_view
from panrecon.graph.voting import STUFF, THING, PairVotes, membership, vote
from panrecon.structures import VOID

SAME_OBJECT: Final = 0.5  # of the frames that could have spoken, hold two clusters together: they are one
PRIOR_FRAMES: Final = 0.3  # of doubt: little evidence is no certainty
UNLABELLED_WEIGHT: Final = 0.3  # of a frame that detects one of two superfaces and says nothing of the other
MIN_THING_FRAMES: Final = 2  # a superface in fewer thing masks seeds no object
MIN_THING_SHARE: Final = 0.4  # of a seed's labels are things: no wall seeds an object by a leak
MIN_SEED_IOU: Final = 0.2  # a mask supports the seed it meets best, if more than so
MIN_IOU: Final = 0.25  # the same of refined objects
OTHER_CLASS: Final = 0.3  # of its fit a mask loses with an object of another class
UNEXPLAINED_IOU: Final = 0.4  # a mask that meets no object better may be of one that was swallowed
SAME_OBJECT_IOU: Final = 0.5  # unexplained masks that meet better are of one object
MIN_UNEXPLAINED_FRAMES: Final = 4  # and so many frames must show it
MIN_DETECTED: Final = 0.12  # an object is detected in this share of the frames that see it well
ROUNDS: Final = 2  # of refinement; more change little


def consensus(evidence: Evidence, adjacency: SuperfaceAdjacency, overlap: float, min_frames: int) -> Association:
    """The objects on which frames agree; a superface is in a mask that covers more than `overlap` of what is seen."""
    cluster, count = agglomerate(evidence, overlap)
    seeds = Association(cluster, assign_masks(evidence, cluster, count, MIN_SEED_IOU, OTHER_CLASS), count)
    found = seeds.compact(evidence, min_frames)
    for number in range(ROUNDS):
        found = _with_superfaces(evidence, found)
        if number == 0:
            found = _with_superfaces(evidence, with_unexplained(evidence, found, overlap))
        masks = assign_masks(evidence, found.object_of_superface, found.count, MIN_IOU, OTHER_CLASS)
        found = replace(found, object_of_mask=masks)
        found = _often_enough(evidence, found).compact(evidence, min_frames)
    return merge_fragments(evidence, _with_superfaces(evidence, found), adjacency).compact(evidence)


def agglomerate(evidence: Evidence, overlap: float) -> tuple[Int[np.ndarray, " S"], int]:
    """Clusters of superfaces and their number; `VOID` for superfaces that are hardly ever in a thing."""
    members = membership(evidence, overlap)
    thing, stuff = (members.frames_in(standing, evidence.weight_of_frame) for standing in (THING, STUFF))
    is_node = (thing >= MIN_THING_FRAMES) & (thing > MIN_THING_SHARE * (thing + stuff))
    cluster = np.where(is_node, np.cumsum(is_node) - 1, VOID)
    count = int(is_node.sum())
    while True:
        on_clusters = evidence.grouped(cluster, count)
        votes = vote(on_clusters, membership(on_clusters, overlap))
        merged, fewer = merge_mutual(votes.first, votes.second, affinity(votes), SAME_OBJECT, count)
        if fewer == count:
            return cluster.astype(np.int32), count
        cluster, count = np.append(merged, VOID)[cluster], fewer


def affinity(votes: PairVotes) -> Float[np.ndarray, " P"]:
    """The share of frames that hold a pair together among those that could have; in [0, 1)."""
    against = votes.apart + votes.stuff + UNLABELLED_WEIGHT * votes.unlabelled
    return votes.together / (votes.together + against + PRIOR_FRAMES)


def merge_mutual(
    first: Int[np.ndarray, " P"],
    second: Int[np.ndarray, " P"],
    affinity: Float[np.ndarray, " P"],
    threshold: float,
    count: int,
) -> tuple[Int[np.ndarray, " count"], int]:
    """Units that are each other's best, above the threshold, become one: the new unit of each, and how many.

    Where several tie, all become one at once if all are alike; otherwise ties go to the lower number.
    """
    kept = affinity > threshold
    first, second, affinity = first[kept], second[kept], affinity[kept]
    best = np.zeros(count)
    for end in (first, second):
        np.maximum.at(best, end, affinity)
    mutual = (affinity == best[first]) & (affinity == best[second])
    first, second = first[mutual], second[mutual]
    tied, groups = connected(first, second, count)
    units, pairs = np.bincount(tied, minlength=groups), np.bincount(tied[first], minlength=groups)
    all_alike = pairs == units * (units - 1) // 2
    lowest = np.full(count, count)
    np.minimum.at(lowest, first, second)
    np.minimum.at(lowest, second, first)
    merged = all_alike[tied[first]] | ((lowest[first] == second) & (lowest[second] == first))
    return connected(first[merged], second[merged], count)


def with_unexplained(evidence: Evidence, found: Association, overlap: float) -> Association:
    """The objects, and those that masks which meet none of them well agree on among themselves."""
    explained = np.zeros(evidence.mask_count)
    if found.count:
        explained = mask_iou(evidence, found.object_of_superface, found.count).max(axis=0)
    masks = np.flatnonzero(evidence.thing_mask & (explained < UNEXPLAINED_IOU) & (evidence.size_of_mask > 0))
    group, count = group_masks(evidence, masks, overlap)
    frames = supporting_frames(evidence, group, count)
    new = np.flatnonzero(frames >= MIN_UNEXPLAINED_FRAMES)
    number_of = np.full(count + 1, VOID)
    number_of[new] = found.count + np.arange(len(new))
    named = number_of[group]
    object_of_mask = np.where(named != VOID, named, found.object_of_mask).astype(np.int32)
    return Association(found.object_of_superface, object_of_mask, found.count + len(new))


def group_masks(evidence: Evidence, masks: Int[np.ndarray, " m"], overlap: float) -> tuple[Int[np.ndarray, " M"], int]:
    """Groups of the chosen masks, the most alike first, by the IoU of what they cover where both see; and how many."""
    group, count = np.full(evidence.mask_count, VOID), len(masks)
    group[masks] = np.arange(count)
    while count:
        covered, seen = evidence.on_objects(group, count)
        held = divided(covered, seen)
        held.data = np.where(held.data > overlap, 1.0, 0.0)
        held.eliminate_zeros()
        sized = csr_array(held.multiply(evidence.vertices_of_unit[:, None]))
        both = csr_array(sized.T @ held).tocoo()
        pair = both.row < both.col
        first, second, shared = both.row[pair], both.col[pair], both.data[pair]
        in_view = csr_array(sized.T @ (seen > 0).astype(np.float64))
        union = np.asarray(in_view[first, second] + in_view[second, first]).ravel() - shared if len(first) else shared
        merged, fewer = merge_mutual(first, second, shared / np.maximum(union, 1e-9), SAME_OBJECT_IOU, count)
        if fewer == count:
            break
        group, count = np.append(merged, VOID)[group], fewer
    return group.astype(np.int32), count


def _with_superfaces(evidence: Evidence, found: Association) -> Association:
    share = detection_share(evidence, found.object_of_mask, found.count)
    return replace(found, object_of_superface=most_likely(share))


def _often_enough(evidence: Evidence, found: Association) -> Association:
    """Without the objects that most frames which see them well do not detect."""
    well_seen = frames_in_view(evidence, found) @ evidence.weight_of_frame
    detected = supporting_frames(evidence, found.object_of_mask, found.count)
    number_of = np.append(np.where(detected >= MIN_DETECTED * well_seen, np.arange(found.count), VOID), VOID)
    return replace(found, object_of_mask=number_of[found.object_of_mask].astype(np.int32))
