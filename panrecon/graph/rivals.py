"""Objects that claim the same surface: which of them has it, and which of them are one.

An object claims the units of surface that its masks hold in most of the frames that detect it. Few bad masks make an
object that claims whole others (two masks that leak alike over a shelf and a chair), or one that shares an object with
another (its masks differ so much that they form two groups). How often a frame detects both tells the two apart.
"""

import numpy as np
from jaxtyping import Float, Int

from panrecon.graph.association import Association, category_support, connected, detection_share, supporting_frames
from panrecon.graph.evidence import Evidence
from panrecon.graph.objects import detecting_frames
from panrecon.graph.parameters import GraphParameters
from panrecon.structures import VOID


def share_among_rivals(
    evidence: Evidence, object_of_mask: Int[np.ndarray, " M"], count: int, parameters: GraphParameters
) -> Float[np.ndarray, "S O"]:
    """The detection share of every object, 0 where a smaller object that more frames detect claims the surface as well.

    A large object may cover a small one where a frame misses the small one; but the surface of what is seen often is
    not that of a larger object that is seen seldom.
    """
    share = detection_share(evidence, object_of_mask, count)
    claimed = (share > parameters.min_object_share).astype(np.float32)
    size = evidence.vertices_of_unit @ claimed
    frames = supporting_frames(evidence, object_of_mask, count)
    prevails = (size[:, None] < size) & (frames[:, None] > frames)
    return np.where(claimed * (claimed @ prevails.astype(np.float32)) > 0, 0, share)


def merge_duplicates(evidence: Evidence, association: Association, parameters: GraphParameters) -> Association:
    """The association with objects of one class merged that claim much of the same surface and no frame tells apart.

    Their masks become those of the merged object; superfaces keep the object that they have, by its new number.
    """
    share = detection_share(evidence, association.object_of_mask, association.count)
    claimed = (share > parameters.min_object_share).astype(np.float32)
    common = (claimed * evidence.vertices_of_unit[:, None]).T @ claimed
    size = np.diag(common)
    iou = common / (size[:, None] + size - common).clip(1)
    is_detected = detecting_frames(evidence, association).astype(np.float32)
    together = (is_detected * evidence.weight_of_frame) @ is_detected.T
    frames = np.diag(together)
    is_apart = together > parameters.max_duplicate_frames * np.minimum(frames[:, None], frames)
    category = category_support(evidence, association.object_of_mask, association.count).argmax(axis=1)
    is_duplicate = (iou > parameters.min_duplicate_iou) & ~is_apart & (category[:, None] == category)
    first, second = np.nonzero(np.triu(is_duplicate, k=1))
    merged, count = connected(first, second, association.count)
    merged = np.append(merged, VOID).astype(np.int32)
    return Association(merged[association.object_of_superface], merged[association.object_of_mask], count)
