"""What speaks for and against each object: its class, masks, votes, contradicting frames, and a confidence."""

from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Int

from panrecon.graph.association import Association, category_support, mask_iou, supporting_frames
from panrecon.graph.evidence import Evidence, sums_by
from panrecon.structures import VOID, SceneObject, SuperfaceGraph, SupportingMask

WELL_SEEN: Final = 0.2  # a frame sees an object well if it sees this share of the most any frame sees
CONTRADICTED: Final = 0.5  # of what a frame sees of an object, in masks of something else
LOGIT: Final = (-7.0, 5.4, 2.9, 1.0)  # of the confidence: bias, class agreement, fit of the masks, log(1 + frames)
ENOUGH_FRAMES: Final = 10.0  # more make no object surer


def scene_objects(evidence: Evidence, graph: SuperfaceGraph, found: Association) -> tuple[SceneObject, ...]:
    """Every object with its class, the one that its masks say most by score x area (Yu et al. weigh all alike)."""
    if not found.count:
        return ()
    support = category_support(evidence, found.object_of_mask, found.count)
    detected = detecting_frames(evidence, found)
    well_seen = frames_in_view(evidence, found)
    contradicting = well_seen & ~detected & claimed_by_others(evidence, found)
    confidence = confidences(evidence, found, support)
    votes = [_inner_votes(graph, found, values) for values in (graph.votes_for, graph.votes_against)]
    return tuple(
        SceneObject(
            category=int(support[number].argmax()),
            confidence=float(confidence[number]),
            votes_for=float(votes[0][number]),
            votes_against=float(votes[1][number]),
            masks=_masks(evidence, np.flatnonzero(found.object_of_mask == number)),
            contradicting=tuple(evidence.frames[frame] for frame in np.flatnonzero(contradicting[number])),
        )
        for number in range(found.count)
    )


def detecting_frames(evidence: Evidence, found: Association) -> Bool[np.ndarray, "O F"]:
    """Which frames have a mask of which object."""
    detected = np.zeros((found.count, len(evidence.frames)), dtype=bool)
    mine = found.object_of_mask != VOID
    detected[found.object_of_mask[mine], evidence.frame_of_mask[mine]] = True
    return detected


def frames_in_view(evidence: Evidence, found: Association) -> Bool[np.ndarray, "O F"]:
    """Which frames see which object well."""
    seen = evidence.grouped(found.object_of_superface, found.count).visible.toarray()
    return (seen > WELL_SEEN * seen.max(axis=1, keepdims=True, initial=0)) & (seen > 0)


def claimed_by_others(evidence: Evidence, found: Association) -> Bool[np.ndarray, "O F"]:
    """In which frames most of what is seen of an object lies in things that are not it, or in stuff."""
    on_object = evidence.grouped(found.object_of_superface, found.count)
    number, mask, vertices = on_object.covered.row, on_object.covered.col, on_object.covered.data
    thing, frame = evidence.thing_mask[mask], evidence.frame_of_mask[mask]
    foreign = thing & (found.object_of_mask[mask] != number)
    claimed = np.zeros((2, *on_object.visible.shape))
    for row, chosen in enumerate((foreign, ~thing)):
        np.add.at(claimed[row], (number[chosen], frame[chosen]), vertices[chosen])
    return claimed.max(axis=0) > CONTRADICTED * on_object.visible.toarray()


def _inner_votes(graph: SuperfaceGraph, found: Association, votes: Float[np.ndarray, " E"]) -> Float[np.ndarray, " O"]:
    ends = found.object_of_superface[graph.first], found.object_of_superface[graph.second]
    inner = (ends[0] == ends[1]) & (ends[0] != VOID)
    return sums_by(ends[0][inner], votes[inner], found.count)


def confidences(evidence: Evidence, found: Association, support: Float[np.ndarray, "O C"]) -> Float[np.ndarray, " O"]:
    """How likely each object is one of the scene's, with the right class and an IoU above 0.5; in (0, 1).

    A logistic model of how far its masks agree on the class, how well they fit it, and how many frames have them. Its
    weights were fitted on objects found in the built-in rooms under simulated masks of four qualities, and measured on
    other scenes (`benchmarks/confidence_calibration.py`).
    """
    agreement = support.max(axis=1) / support.sum(axis=1).clip(1e-9)
    frames = supporting_frames(evidence, found.object_of_mask, found.count)
    mine = np.flatnonzero(found.object_of_mask != VOID)
    owner = found.object_of_mask[mine]
    iou = mask_iou(evidence, found.object_of_superface, found.count)[owner, mine]
    fit = sums_by(owner, iou, found.count) / np.bincount(owner, minlength=found.count).clip(1)
    bias, of_agreement, of_fit, of_frames = LOGIT
    logit = bias + of_agreement * agreement + of_fit * fit + of_frames * np.log1p(frames.clip(max=ENOUGH_FRAMES))
    return 1 / (1 + np.exp(-logit))


def _masks(evidence: Evidence, masks: Int[np.ndarray, " m"]) -> tuple[SupportingMask, ...]:
    return tuple(
        SupportingMask(
            evidence.frames[evidence.frame_of_mask[mask]],
            int(evidence.detection_of_mask[mask]),
            int(evidence.category_of_mask[mask]),
            float(evidence.score_of_mask[mask]),
        )
        for mask in masks
    )
