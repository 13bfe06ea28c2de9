"""Our rule (`consensus`): objects are the sets of superfaces on which most frames agree, robust to bad masks.

The affinity of two superfaces is the share of the frames with evidence on them that see them in one mask, so one
leaking mask among many frames has little effect; superfaces mostly in stuff seed no object. Mutually best pairs merge,
and votes are recounted between the clusters after each round. Masks that match no cluster are grouped by themselves,
which recovers a small object that lies within most masks of a larger one. Masks and superfaces are then assigned to
each other in turn, normalised by the frames that detect the object; fragments that no frame shows together are merged
by geometry. View consensus is that of Yan et al. (MaskClustering, CVPR 2024), here over superfaces.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import csr_array

from panrecon.graph.adjacency import SuperfaceAdjacency, merge_fragments
from panrecon.graph.association import (
    Association,
    assign_masks,
    connected,
    likeliest_object,
    mask_iou,
    ratio,
    supporting_frames,
)
from panrecon.graph.evidence import Evidence
from panrecon.graph.objects import well_viewing_frames
from panrecon.graph.parameters import GraphParameters
from panrecon.graph.rivals import merge_duplicates, share_among_rivals
from panrecon.graph.voting import STUFF, THING, Membership, PairVotes, membership, vote
from panrecon.structures import VOID


def affinity(votes: PairVotes, parameters: GraphParameters) -> Float[np.ndarray, " P"]:
    """The share of the frames with evidence on a pair that have it in one mask; in [0, 1)."""
    separate = votes.apart + parameters.stuff_weight * votes.stuff + parameters.unlabelled_weight * votes.unlabelled
    return votes.together / (votes.together + separate + parameters.prior_frames)


@dataclass(frozen=True)
class MergeRule:
    """How the votes on pairs of clusters are counted, and their affinity from these: in [0, 1], the highest merge."""

    vote: Callable[[Evidence, Membership], PairVotes] = vote
    affinity: Callable[[PairVotes, GraphParameters], Float[np.ndarray, " P"]] = affinity


def consensus(
    evidence: Evidence,
    adjacency: SuperfaceAdjacency,
    overlap: float,
    min_frames: int,
    parameters: GraphParameters,
    rule: MergeRule = MergeRule(),
) -> Association:
    """The objects on which frames agree, each with masks in `min_frames` frames.

    A superface is in a mask that covers more than the share `overlap` of its visible vertices.
    """
    cluster, count = agglomerate(evidence, overlap, parameters, rule)
    seed_masks = assign_masks(evidence, cluster, count, parameters.min_seed_iou, parameters.class_penalty)
    association = Association(cluster, seed_masks, count).compact(evidence, min_frames)
    for refinement_round in range(parameters.refinement_rounds):
        if refinement_round == 0:
            association = _with_superfaces(evidence, association, parameters)
            association = with_unassigned_masks(evidence, association, overlap, parameters)
        association = merge_duplicates(evidence, association, parameters)
        association = _with_superfaces(evidence, association, parameters)
        association = _with_masks(evidence, association, parameters)
        association = _without_rarely_detected(evidence, association, parameters).compact(evidence, min_frames)
    association = _with_superfaces(evidence, association, parameters)
    return merge_fragments(evidence, association, adjacency, parameters).compact(evidence)


def agglomerate(
    evidence: Evidence, overlap: float, parameters: GraphParameters, rule: MergeRule = MergeRule()
) -> tuple[Int[np.ndarray, " S"], int]:
    """The cluster of every superface and the number of clusters; `VOID` for superfaces that are rarely in a thing."""
    members = membership(evidence, overlap, parameters)
    in_thing = members.frames_in_state(THING, evidence.weight_of_frame)
    in_stuff = members.frames_in_state(STUFF, evidence.weight_of_frame)
    is_often_thing = in_thing >= parameters.min_thing_frames
    is_node = is_often_thing & (in_thing > parameters.min_thing_share * (in_thing + in_stuff))
    cluster = np.where(is_node, np.cumsum(is_node) - 1, VOID)
    count = int(is_node.sum())
    while True:
        on_clusters = evidence.grouped(cluster, count)
        votes = rule.vote(on_clusters, membership(on_clusters, overlap, parameters))
        similarity = rule.affinity(votes, parameters)
        merged, fewer = merge_mutual(votes.first, votes.second, similarity, parameters.merge_affinity, count)
        if fewer == count:
            return cluster.astype(np.int32), count
        cluster = np.append(merged, VOID)[cluster]
        count = fewer


def merge_mutual(
    first: Int[np.ndarray, " P"],
    second: Int[np.ndarray, " P"],
    affinity: Float[np.ndarray, " P"],
    threshold: float,
    count: int,
) -> tuple[Int[np.ndarray, " count"], int]:
    """The new unit of every unit after all mutually best pairs above the threshold merge, and the number of new units.

    Units that tie merge all at once if every pair of them ties; otherwise ties go to the lower index.
    """
    is_candidate = affinity > threshold
    first = first[is_candidate]
    second = second[is_candidate]
    affinity = affinity[is_candidate]
    best = np.zeros(count)
    for end in (first, second):
        np.maximum.at(best, end, affinity)
    mutual = (affinity == best[first]) & (affinity == best[second])
    first, second = first[mutual], second[mutual]
    tie, tie_count = connected(first, second, count)
    units_of_tie = np.bincount(tie, minlength=tie_count)
    pairs_of_tie = np.bincount(tie[first], minlength=tie_count)
    is_complete = pairs_of_tie == units_of_tie * (units_of_tie - 1) // 2
    lowest = np.full(count, count)
    np.minimum.at(lowest, first, second)
    np.minimum.at(lowest, second, first)
    merges = is_complete[tie[first]] | ((lowest[first] == second) & (lowest[second] == first))
    return connected(first[merges], second[merges], count)


def with_unassigned_masks(
    evidence: Evidence, association: Association, overlap: float, parameters: GraphParameters
) -> Association:
    """The association, and new objects from groups of the masks that match no object well."""
    best_iou = np.zeros(evidence.mask_count)
    if association.count:
        best_iou = mask_iou(evidence, association.object_of_superface, association.count).max(axis=0)
    is_unassigned = evidence.thing_mask & (best_iou < parameters.unassigned_iou) & (evidence.size_of_mask > 0)
    group, count = group_masks(evidence, np.flatnonzero(is_unassigned), overlap, parameters)
    frames = supporting_frames(evidence, group, count)
    new_groups = np.flatnonzero(frames >= parameters.min_unassigned_frames)
    object_of_group = np.full(count + 1, VOID)  # the last entry is read by VOID
    object_of_group[new_groups] = association.count + np.arange(len(new_groups))
    new_object = object_of_group[group]
    object_of_mask = np.where(new_object != VOID, new_object, association.object_of_mask).astype(np.int32)
    return Association(association.object_of_superface, object_of_mask, association.count + len(new_groups))


def group_masks(
    evidence: Evidence, masks: Int[np.ndarray, " m"], overlap: float, parameters: GraphParameters
) -> tuple[Int[np.ndarray, " M"], int]:
    """The group of each of these masks (`VOID` for all others) and the number of groups.

    Groups merge by the IoU of their superfaces, each counted where both groups' frames see it, best pairs first.
    """
    group = np.full(evidence.mask_count, VOID)
    group[masks] = np.arange(len(masks))
    count = len(masks)
    while count:
        covered, visible = evidence.on_objects(group, count)
        held = ratio(covered, visible)
        held.data = np.where(held.data > overlap, 1.0, 0.0)
        held.eliminate_zeros()
        vertices_held = csr_array(held.multiply(evidence.vertices_of_unit[:, None]))
        overlaps = csr_array(vertices_held.T @ held).tocoo()
        is_pair = overlaps.row < overlaps.col
        first = overlaps.row[is_pair]
        second = overlaps.col[is_pair]
        intersection = overlaps.data[is_pair]
        in_view = csr_array(vertices_held.T @ (visible > 0).astype(np.float64))
        union = intersection
        if len(first):
            union = np.asarray(in_view[first, second] + in_view[second, first]).ravel() - intersection
        iou = intersection / np.maximum(union, 1e-9)
        merged, fewer = merge_mutual(first, second, iou, parameters.same_group_iou, count)
        if fewer == count:
            break
        group = np.append(merged, VOID)[group]
        count = fewer
    return group.astype(np.int32), count


def _with_superfaces(evidence: Evidence, association: Association, parameters: GraphParameters) -> Association:
    share = share_among_rivals(evidence, association.object_of_mask, association.count, parameters)
    return replace(association, object_of_superface=likeliest_object(share, parameters))


def _with_masks(evidence: Evidence, association: Association, parameters: GraphParameters) -> Association:
    min_iou = parameters.min_mask_iou
    superfaces = association.object_of_superface
    masks = assign_masks(evidence, superfaces, association.count, min_iou, parameters.class_penalty)
    return replace(association, object_of_mask=masks)


def _without_rarely_detected(evidence: Evidence, association: Association, parameters: GraphParameters) -> Association:
    """The association without the masks of objects that too few of the frames that view them well detect."""
    viewing = well_viewing_frames(evidence, association, parameters) @ evidence.weight_of_frame
    detecting = supporting_frames(evidence, association.object_of_mask, association.count)
    is_detected = detecting >= parameters.min_detection_rate * viewing
    retained = np.append(np.where(is_detected, np.arange(association.count), VOID), VOID)
    return replace(association, object_of_mask=retained[association.object_of_mask].astype(np.int32))
