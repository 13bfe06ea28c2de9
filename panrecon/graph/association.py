"""The assignment of masks to objects, and of superfaces to objects by their masks."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import connected_components

from panrecon.graph.evidence import Evidence, sums_by
from panrecon.graph.parameters import GraphParameters
from panrecon.structures import VOID


@dataclass(frozen=True)
class Association:
    """The object 0 .. O-1 of every superface and of every mask, `VOID` = none."""

    object_of_superface: Int[np.ndarray, " S"]
    object_of_mask: Int[np.ndarray, " M"]
    count: int

    def compact(self, evidence: Evidence, min_frames: int = 0) -> "Association":
        """Only the objects with a superface and with masks in `min_frames` frames (by weight), in at least one.

        They are renumbered in the order of their first superfaces.
        """
        return self.of_retained(self.retained(evidence, min_frames))

    def retained(self, evidence: Evidence, min_frames: int = 0) -> Int[np.ndarray, " o"]:
        """The objects that `compact` keeps, in its order."""
        weight = supporting_frames(evidence, self.object_of_mask, self.count)
        objects, first_superface = np.unique(self.object_of_superface, return_index=True)
        ordered = objects[np.argsort(first_superface)]
        ordered = ordered[ordered != VOID]
        return ordered[(weight[ordered] > 0) & (weight[ordered] >= min_frames)]

    def of_retained(self, objects: Int[np.ndarray, " o"]) -> "Association":
        """These objects alone, numbered in this order."""
        new_index = np.full(self.count + 1, VOID, dtype=np.int32)  # the last entry is read by VOID
        new_index[objects] = np.arange(len(objects), dtype=np.int32)
        return Association(new_index[self.object_of_superface], new_index[self.object_of_mask], len(objects))


def supporting_frames(evidence: Evidence, object_of_mask: Int[np.ndarray, " M"], count: int) -> Float[np.ndarray, " O"]:
    """The weight of the frames in which each object has a mask."""
    assigned = object_of_mask != VOID
    frame_and_object = np.stack([evidence.frame_of_mask[assigned], object_of_mask[assigned]])
    frame, object_index = np.unique(frame_and_object, axis=1)
    return sums_by(object_index, evidence.weight_of_frame[frame], count)


def mask_iou(evidence: Evidence, object_of_superface: Int[np.ndarray, " S"], count: int) -> Float[np.ndarray, "O M"]:
    """IoU of every mask with the visible vertices of every object in the mask's frame, in [0, 1]."""
    on_objects = evidence.grouped(object_of_superface, count)
    intersection = on_objects.covered.toarray()
    visible = on_objects.visible.toarray()[:, evidence.frame_of_mask]
    return intersection / np.maximum(visible + evidence.size_of_mask - intersection, 1)


def assign_masks(
    evidence: Evidence,
    object_of_superface: Int[np.ndarray, " S"],
    count: int,
    min_iou: float,
    class_penalty: float = 0.0,
) -> Int[np.ndarray, " M"]:
    """The object of every thing mask: the one of the greatest IoU, if above `min_iou`; `VOID` for all others.

    An object none of whose masks have the mask's class loses the share `class_penalty` of its IoU in the comparison.
    """
    if not count:
        return np.full(evidence.mask_count, VOID, dtype=np.int32)
    iou = mask_iou(evidence, object_of_superface, count)
    support = category_support(evidence, _best_object(evidence, iou, iou, min_iou), count)
    agreement = support / support.sum(axis=1, keepdims=True).clip(1e-9)
    fit = iou * (1 - class_penalty * (1 - agreement[:, evidence.category_of_mask]))
    return _best_object(evidence, fit, iou, min_iou)


def _best_object(
    evidence: Evidence, fit: Float[np.ndarray, "O M"], iou: Float[np.ndarray, "O M"], min_iou: float
) -> Int[np.ndarray, " M"]:
    best = fit.argmax(axis=0)
    belongs = evidence.thing_mask & (iou[best, np.arange(len(best))] > min_iou)
    return np.where(belongs, best, VOID).astype(np.int32)


def category_support(evidence: Evidence, object_of_mask: Int[np.ndarray, " M"], count: int) -> Float[np.ndarray, "O C"]:
    """Score x area of the masks of every class assigned to every object; C - 1 is the last class of any mask."""
    support = np.zeros((count, int(evidence.category_of_mask.max(initial=0)) + 1))
    assigned = object_of_mask != VOID
    weight = evidence.score_of_mask * evidence.size_of_mask * evidence.weight_of_mask
    np.add.at(support, (object_of_mask[assigned], evidence.category_of_mask[assigned]), weight[assigned])
    return support


def connected(
    first: Int[np.ndarray, " P"], second: Int[np.ndarray, " P"], count: int
) -> tuple[Int[np.ndarray, " count"], int]:
    """The connected component of every unit over the pairs, in the order of first units, and their number."""
    links = coo_array((np.ones(len(first), bool), (first, second)), shape=(count, count))
    component_count, component = connected_components(links, directed=False)
    return component, int(component_count)


def detection_share(evidence: Evidence, object_of_mask: Int[np.ndarray, " M"], count: int) -> Float[np.ndarray, "S O"]:
    """The share of a superface's visible vertices in an object's masks, over the frames that detect it; in [0, 1].

    A frame in which the segmenter misses the object is no evidence against it, and an object of few masks is not
    outvoted by one of many.
    """
    covered, visible = evidence.on_objects(object_of_mask, count)
    return ratio(covered, visible).toarray()


def ratio(numerator: csr_array, denominator: csr_array) -> csr_array:
    """numerator / denominator at the entries of the numerator."""
    entries = numerator.tocoo()
    if not entries.nnz:
        return csr_array(numerator.shape)
    below = np.asarray(denominator[entries.row, entries.col]).ravel()
    return csr_array((entries.data / np.maximum(below, 1e-9), (entries.row, entries.col)), numerator.shape)


def likeliest_object(share: Float[np.ndarray, "S O"], parameters: GraphParameters) -> Int[np.ndarray, " S"]:
    """The object of the greatest share, `VOID` where that is at most `min_object_share`."""
    if not share.shape[1]:
        return np.full(len(share), VOID, dtype=np.int32)
    belongs = share.max(axis=1) > parameters.min_object_share
    return np.where(belongs, share.argmax(axis=1), VOID).astype(np.int32)
