"""Masks and objects: which mask belongs to which object, and which superface belongs to it by its masks."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import connected_components

from panrecon.graph.evidence import Evidence, sums_by
from panrecon.structures import VOID

MIN_SHARE: Final = 0.4  # of its views in an object's masks, and a vertex or superface belongs to it


@dataclass(frozen=True)
class Association:
    """The object 0 .. O-1 of every superface and of every mask, `VOID` = none."""

    object_of_superface: Int[np.ndarray, " S"]
    object_of_mask: Int[np.ndarray, " M"]
    count: int

    def compact(self, evidence: Evidence, min_frames: int = 0) -> "Association":
        """Only the objects with a superface and masks in `min_frames` frames (by weight), numbered by first superface.

        At least one mask it must be.
        """
        weight = supporting_frames(evidence, self.object_of_mask, self.count)
        names, first = np.unique(self.object_of_superface, return_index=True)
        order = names[np.argsort(first)]
        kept = [number for number in order if number != VOID and weight[number] > 0 and weight[number] >= min_frames]
        number_of = np.full(self.count + 1, VOID, dtype=np.int32)  # the last entry is read by VOID
        number_of[kept] = np.arange(len(kept), dtype=np.int32)
        return Association(number_of[self.object_of_superface], number_of[self.object_of_mask], len(kept))


def supporting_frames(evidence: Evidence, object_of_mask: Int[np.ndarray, " M"], count: int) -> Float[np.ndarray, " O"]:
    """The weight of the frames in which each object has a mask."""
    mine = object_of_mask != VOID
    frame, number = np.unique(np.stack([evidence.frame_of_mask[mine], object_of_mask[mine]]), axis=1)
    return sums_by(number, evidence.weight_of_frame[frame], count)


def mask_iou(evidence: Evidence, object_of_superface: Int[np.ndarray, " S"], count: int) -> Float[np.ndarray, "O M"]:
    """IoU of every mask with what its frame sees of every object."""
    on_object = evidence.grouped(object_of_superface, count)
    both, seen = on_object.covered.toarray(), on_object.visible.toarray()[:, evidence.frame_of_mask]
    return both / np.maximum(seen + evidence.size_of_mask - both, 1)


def assign_masks(
    evidence: Evidence,
    object_of_superface: Int[np.ndarray, " S"],
    count: int,
    min_iou: float,
    other_class: float = 0.0,
) -> Int[np.ndarray, " M"]:
    """The object of every thing mask: the one of the greatest IoU, if above `min_iou`; `VOID` for all others.

    An object none of whose masks are of the mask's class loses the share `other_class` of its IoU in the comparison.
    """
    if not count:
        return np.full(evidence.mask_count, VOID, dtype=np.int32)
    iou = mask_iou(evidence, object_of_superface, count)
    support = category_support(evidence, _best(evidence, iou, iou, min_iou), count)
    agreement = support / support.sum(axis=1, keepdims=True).clip(1e-9)
    fit = iou * (1 - other_class * (1 - agreement[:, evidence.category_of_mask]))
    return _best(evidence, fit, iou, min_iou)


def _best(
    evidence: Evidence, fit: Float[np.ndarray, "O M"], iou: Float[np.ndarray, "O M"], min_iou: float
) -> Int[np.ndarray, " M"]:
    best = fit.argmax(axis=0)
    belongs = evidence.thing_mask & (iou[best, np.arange(len(best))] > min_iou)
    return np.where(belongs, best, VOID).astype(np.int32)


def category_support(evidence: Evidence, object_of_mask: Int[np.ndarray, " M"], count: int) -> Float[np.ndarray, "O C"]:
    """Score x area of the masks of every class that belong to every object; C - 1 is the last class of any mask."""
    support = np.zeros((count, int(evidence.category_of_mask.max(initial=0)) + 1))
    mine = object_of_mask != VOID
    worth = evidence.score_of_mask * evidence.size_of_mask * evidence.weight_of_mask
    np.add.at(support, (object_of_mask[mine], evidence.category_of_mask[mine]), worth[mine])
    return support


def connected(
    first: Int[np.ndarray, " P"], second: Int[np.ndarray, " P"], count: int
) -> tuple[Int[np.ndarray, " count"], int]:
    """The component of every unit over the pairs, numbered by first unit, and how many there are."""
    links = coo_array((np.ones(len(first), bool), (first, second)), shape=(count, count))
    number, component = connected_components(links, directed=False)
    return component, int(number)


def detection_share(evidence: Evidence, object_of_mask: Int[np.ndarray, " M"], count: int) -> Float[np.ndarray, "S O"]:
    """How much of what frames see of a superface is in an object's masks, in [0, 1].

    Over the frames in which the object was detected at all: what a segmenter missed is no evidence against, and a
    cup's few masks count as much on the cup as the table's many.
    """
    covered, seen = evidence.on_objects(object_of_mask, count)
    return divided(covered, seen).toarray()


def divided(part: csr_array, whole: csr_array) -> csr_array:
    """part / whole, where there is a part."""
    entries = part.tocoo()
    if not entries.nnz:
        return csr_array(part.shape)
    below = np.asarray(whole[entries.row, entries.col]).ravel()
    return csr_array((entries.data / np.maximum(below, 1e-9), (entries.row, entries.col)), part.shape)


def most_likely(share: Float[np.ndarray, "S O"]) -> Int[np.ndarray, " S"]:
    """The object of the greatest share, where that is above `MIN_SHARE`."""
    if not share.shape[1]:
        return np.full(len(share), VOID, dtype=np.int32)
    return np.where(share.max(axis=1) > MIN_SHARE, share.argmax(axis=1), VOID).astype(np.int32)
