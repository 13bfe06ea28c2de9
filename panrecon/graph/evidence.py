"""The evidence of all masks on units of surface: vertices, the superfaces they form, or the objects these form."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.sparse import coo_array, csr_array

from panrecon.structures import VOID

MIN_VISIBLE: Final = 4  # a superface of which a frame sees fewer vertices takes no part in it


@dataclass(frozen=True)
class Evidence:
    """How many vertices of each of U units every one of F frames sees, and every one of its M masks covers.

    Masks are numbered through; `detection_of_mask` is the place among the detections of its frame.
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
    def unit_count(self) -> int:
        return int(self.visible.shape[0])

    @property
    def mask_count(self) -> int:
        return len(self.frame_of_mask)

    @cached_property
    def size_of_mask(self) -> Float[np.ndarray, " M"]:
        """Vertices that the mask covers."""
        return np.asarray(self.covered.sum(axis=0), dtype=np.float64).ravel()

    @cached_property
    def weight_of_mask(self) -> Float[np.ndarray, " M"]:
        """The weight of its frame."""
        return self.weight_of_frame[self.frame_of_mask]

    def grouped(self, group_of_unit: Int[np.ndarray, " U"], count: int) -> "Evidence":
        """The same evidence on `count` groups of units; units of `VOID` are left out."""
        visible, covered = (_grouped_rows(matrix, group_of_unit, count) for matrix in (self.visible, self.covered))
        kept = group_of_unit != VOID
        vertices = sums_by(group_of_unit[kept], self.vertices_of_unit[kept], count)
        return replace(self, vertices_of_unit=vertices, visible=visible, covered=covered)

    def on_objects(self, object_of_mask: Int[np.ndarray, " M"], count: int) -> tuple[csr_array, csr_array]:
        """Weighted vertices (U x O) that each object's masks cover, and that frames see in which it has any mask."""
        mine = np.flatnonzero(object_of_mask != VOID)
        is_of = csr_array((self.weight_of_mask[mine], (mine, object_of_mask[mine])), (self.mask_count, count))
        frame, number = np.unique(np.stack([self.frame_of_mask[mine], object_of_mask[mine]]), axis=1)
        detected = csr_array((self.weight_of_frame[frame], (frame, number)), (len(self.frames), count))
        return csr_array(self.covered.tocsr() @ is_of), csr_array(self.visible.tocsr() @ detected)


def sums_by(group: Int[np.ndarray, " n"], values: Float[np.ndarray, " n"], count: int) -> Float[np.ndarray, " count"]:
    """The sum of the values of every group (numpy gives integers where there is nothing to add)."""
    return np.bincount(group, values, minlength=count).astype(np.float64)


def _grouped_rows(matrix: coo_array, group_of_row: Int[np.ndarray, " U"], count: int) -> coo_array:
    group = group_of_row[matrix.row]
    kept = group != VOID
    summed = csr_array((matrix.data[kept], (group[kept], matrix.col[kept])), (count, matrix.shape[1]))
    summed.sum_duplicates()
    return summed.tocoo()
