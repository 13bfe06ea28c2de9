"""The evidence for and against each object: its class, masks, votes, contradicting frames, and confidence."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from panrecon.graph.association import Association, category_support, mask_iou, supporting_frames
from panrecon.graph.evidence import Evidence, sums_by
from panrecon.graph.parameters import GraphParameters, ObjectModel
from panrecon.structures import VOID, SceneObject, SuperfaceGraph, SupportingMask


def scene_objects(
    evidence: Evidence, graph: SuperfaceGraph, association: Association, parameters: GraphParameters
) -> tuple[SceneObject, ...]:
    """Every object with its evidence; its class has the greatest sum of score x area over its masks."""
    if not association.count:
        return ()
    support = category_support(evidence, association.object_of_mask, association.count)
    contradicted = contradictions(evidence, association, parameters)
    is_contradicted = contradicted.by_stuff | contradicted.by_things
    confidence = probabilities(object_features(evidence, association, parameters), parameters.confidence)
    votes_for = _internal_votes(graph, association, graph.votes_for)
    votes_against = _internal_votes(graph, association, graph.votes_against)
    return tuple(
        SceneObject(
            category=int(support[index].argmax()),
            confidence=float(confidence[index]),
            votes_for=float(votes_for[index]),
            votes_against=float(votes_against[index]),
            masks=_supporting_masks(evidence, np.flatnonzero(association.object_of_mask == index)),
            contradicting=tuple(evidence.frames[frame] for frame in np.flatnonzero(is_contradicted[index])),
        )
        for index in range(association.count)
    )


def without_improbable(evidence: Evidence, association: Association, parameters: GraphParameters) -> Association:
    """The association without the objects that exist with less than `min_existence`, and without their masks.

    What repeats in a few frames, and is stuff in most, is no object: a carpet that is now and then a bed.
    """
    if not association.count:
        return association
    existence = probabilities(object_features(evidence, association, parameters), parameters.existence)
    return association.of_retained(np.flatnonzero(existence >= parameters.min_existence))


def detecting_frames(evidence: Evidence, association: Association) -> Bool[np.ndarray, "O F"]:
    """Which frames have a mask of which object."""
    is_detected = np.zeros((association.count, len(evidence.frames)), dtype=bool)
    assigned = association.object_of_mask != VOID
    is_detected[association.object_of_mask[assigned], evidence.frame_of_mask[assigned]] = True
    return is_detected


def well_viewing_frames(
    evidence: Evidence, association: Association, parameters: GraphParameters
) -> Bool[np.ndarray, "O F"]:
    """Which frames see more than `well_viewed_share` of the most vertices of an object that any frame sees."""
    visible = evidence.grouped(association.object_of_superface, association.count).visible.toarray()
    most = visible.max(axis=1, keepdims=True, initial=0)
    return (visible > parameters.well_viewed_share * most) & (visible > 0)


@dataclass(frozen=True)
class Contradictions:
    """In which frames that view an object well and do not detect it most of it lies in stuff, or in other things."""

    by_stuff: Bool[np.ndarray, "O F"]
    by_things: Bool[np.ndarray, "O F"]


def contradictions(evidence: Evidence, association: Association, parameters: GraphParameters) -> Contradictions:
    """The frames that contradict every object."""
    is_viewed = well_viewing_frames(evidence, association, parameters)
    is_missed = is_viewed & ~detecting_frames(evidence, association)
    on_objects = evidence.grouped(association.object_of_superface, association.count)
    object_index = on_objects.covered.row
    mask = on_objects.covered.col
    vertices = on_objects.covered.data
    is_thing = evidence.thing_mask[mask]
    frame = evidence.frame_of_mask[mask]
    is_other_thing = is_thing & (association.object_of_mask[mask] != object_index)
    covered = np.zeros((2, *on_objects.visible.shape))
    for by_kind, is_kind in zip(covered, (~is_thing, is_other_thing), strict=True):
        np.add.at(by_kind, (object_index[is_kind], frame[is_kind]), vertices[is_kind])
    by_stuff, by_things = is_missed & (covered > parameters.contradicting_share * on_objects.visible.toarray())
    return Contradictions(by_stuff, by_things)


def _internal_votes(
    graph: SuperfaceGraph, association: Association, votes: Float[np.ndarray, " E"]
) -> Float[np.ndarray, " O"]:
    first = association.object_of_superface[graph.first]
    second = association.object_of_superface[graph.second]
    is_internal = (first == second) & (first != VOID)
    return sums_by(first[is_internal], votes[is_internal], association.count)


def object_features(
    evidence: Evidence, association: Association, parameters: GraphParameters
) -> Float[np.ndarray, "O 5"]:
    """What an `ObjectModel` weighs, in the order of its weights."""
    support = category_support(evidence, association.object_of_mask, association.count)
    agreement = support.max(axis=1) / support.sum(axis=1).clip(1e-9)
    frames = supporting_frames(evidence, association.object_of_mask, association.count)
    assigned = np.flatnonzero(association.object_of_mask != VOID)
    owner = association.object_of_mask[assigned]
    iou = mask_iou(evidence, association.object_of_superface, association.count)[owner, assigned]
    weight = evidence.weight_of_mask[assigned]
    mean_iou = sums_by(owner, weight * iou, association.count) / sums_by(owner, weight, association.count).clip(1e-9)
    contradicted = contradictions(evidence, association, parameters)

    def log_odds(is_contradicted: Bool[np.ndarray, "O F"]) -> Float[np.ndarray, " O"]:
        return np.asarray(np.log((is_contradicted @ evidence.weight_of_frame + 0.5) / (frames + 0.5)))

    return np.stack(
        [
            agreement,
            mean_iou,
            np.log1p(frames),
            log_odds(contradicted.by_stuff),
            log_odds(contradicted.by_things),
        ],
        axis=1,
    )


def probabilities(features: Float[np.ndarray, "O 5"], model: ObjectModel) -> Float[np.ndarray, " O"]:
    """What a logistic model says of every object, in (0, 1)."""
    return np.asarray(1 / (1 + np.exp(-model.bias - features @ model.weights)))


def _supporting_masks(evidence: Evidence, masks: Int[np.ndarray, " m"]) -> tuple[SupportingMask, ...]:
    return tuple(
        SupportingMask(
            evidence.frames[evidence.frame_of_mask[mask]],
            int(evidence.detection_of_mask[mask]),
            int(evidence.category_of_mask[mask]),
            float(evidence.score_of_mask[mask]),
            int(evidence.size_of_mask[mask]),
        )
        for mask in masks
    )
