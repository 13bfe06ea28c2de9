"""The evidence of all masks on units of surface: vertices, superfaces, or objects."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.sparse import coo_array, csr_array

from panrecon.structures import VOID


@dataclass(frozen=True)
class Evidence:
    """How many vertices of each of U units are visible in each of F frames, and covered by each of M masks.

    Masks are numbered across frames; `detection_of_mask` is the index among the detections of the mask's frame. Weights
    of frames lie in (0, 1], scores in [0, 1].
    """

    frames: tuple[str, ...]
    weight_of_frame: Float[np.ndarray, " F"]
    frame_of_mask: Int[np.ndarray, " M"]
    detection_of_mask: Int[np.ndarray, " M"]
    category_of_mask: Int[np.ndarray, " M"]
    score_of_mask: Float[np.ndarray, " M"]
    thing_mask: Bool[np.ndarray, " M"]
    vertices_of_unit: Float[np.ndarray, " U"]  # how many
    visible: coo_array  # U x F
    covered: coo_array  # U x M

    @property
    def mask_count(self) -> int:
        """M, the number of masks of all frames."""
        return len(self.frame_of_mask)

    @cached_property
    def size_of_mask(self) -> Float[np.ndarray, " M"]:
        """The number of vertices that every mask covers."""
        return np.asarray(self.covered.sum(axis=0), dtype=np.float64).ravel()

    @cached_property
    def weight_of_mask(self) -> Float[np.ndarray, " M"]:
        """The weight of every mask's frame, in (0, 1]."""
        return self.weight_of_frame[self.frame_of_mask]

    def grouped(self, group_of_unit: Int[np.ndarray, " U"], count: int) -> "Evidence":
        """The same evidence on `count` groups of units; units of group `VOID` are left out."""
        visible = _grouped_rows(self.visible, group_of_unit, count)
        covered = _grouped_rows(self.covered, group_of_unit, count)
        is_grouped = group_of_unit != VOID
        vertices = sums_by(group_of_unit[is_grouped], self.vertices_of_unit[is_grouped], count)
        return replace(self, vertices_of_unit=vertices, visible=visible, covered=covered)

    def on_objects(self, object_of_mask: Int[np.ndarray, " M"], count: int) -> tuple[csr_array, csr_array]:
        """Weighted vertices (U x O) covered by each object's masks, and those visible in the frames that detect it."""
        assigned = np.flatnonzero(object_of_mask != VOID)
        owner = object_of_mask[assigned]
        mask_in_object = csr_array((self.weight_of_mask[assigned], (assigned, owner)), (self.mask_count, count))
        frame, object_index = np.unique(np.stack([self.frame_of_mask[assigned], owner]), axis=1)
        frame_detects = csr_array((self.weight_of_frame[frame], (frame, object_index)), (len(self.frames), count))
        return csr_array(self.covered.tocsr() @ mask_in_object), csr_array(self.visible.tocsr() @ frame_detects)


def sums_by(group: Int[np.ndarray, " n"], values: Float[np.ndarray, " n"], count: int) -> Float[np.ndarray, " count"]:
    """The sum of the values of every group (numpy returns integers where there are no values)."""
    return np.bincount(group, values, minlength=count).astype(np.float64)


def _grouped_rows(matrix: coo_array, group_of_row: Int[np.ndarray, " U"], count: int) -> coo_array:
    group = group_of_row[matrix.row]
    is_grouped = group != VOID
    entries = (matrix.data[is_grouped], (group[is_grouped], matrix.col[is_grouped]))
    summed = csr_array(entries, (count, matrix.shape[1]))
    summed.sum_duplicates()
    return summed.tocoo()
