"""Semantic quality of labelled points, whatever their instances."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from panrecon.evaluation.overlap import Overlap
from panrecon.structures import VOID, CategoryTable


@dataclass(frozen=True)
class SemanticQuality:
    """IoU and accuracy of every class in [0, 1]; nan where a class is not counted."""

    iou: Float[np.ndarray, " C"]
    accuracy: Float[np.ndarray, " C"]

    @property
    def miou(self) -> float:
        """Mean IoU over the counted classes; nan where there is none."""
        return _mean(self.iou)

    @property
    def macc(self) -> float:
        """Mean accuracy over the counted classes; nan where there is none."""
        return _mean(self.accuracy)


def confusion(overlap: Overlap, table: CategoryTable) -> Float[np.ndarray, "C C_1"]:
    """Area by true (row) and predicted class (column; the last is void), where the truth is evaluated."""
    count = len(table)
    scored = np.append(table.is_evaluated, False)[overlap.true_category]
    predicted = overlap.predicted_category[scored]
    pairs = overlap.true_category[scored] * (count + 1) + np.where(predicted == VOID, count, predicted)
    area = np.bincount(pairs, overlap.area[scored], minlength=count * (count + 1))
    return area.astype(np.float64).reshape(count, count + 1)


def semantic_quality(matrix: Float[np.ndarray, "C C_1"]) -> SemanticQuality:
    """IoU and accuracy of the classes that the truth has; truth whose prediction is void counts as missed."""
    truth = matrix.sum(axis=1)
    hit = np.diag(matrix)
    union = truth + matrix[:, :-1].sum(axis=0) - hit
    with np.errstate(invalid="ignore"):
        return SemanticQuality(np.where(truth > 0, hit / union, np.nan), hit / truth)


def frame_quality(frames: Sequence[Overlap], table: CategoryTable, absent: float = np.nan) -> SemanticQuality:
    """Quality frame by frame, averaged over the frames whose truth has the class, as PVLFF (Chen et al., RA-L 2024).

    `absent` is what an evaluated class counts that no frame has: 0 in the released scripts, nan leaves it out.
    """
    qualities = [semantic_quality(confusion(frame, table)) for frame in frames]
    iou = np.stack([quality.iou for quality in qualities])
    accuracy = np.stack([quality.accuracy for quality in qualities])
    occurs = (~np.isnan(iou)).sum(axis=0)
    means = (
        np.where(
            occurs > 0, np.nansum(values, axis=0) / np.maximum(occurs, 1), np.where(table.is_evaluated, absent, np.nan)
        )
        for values in (iou, accuracy)
    )
    return SemanticQuality(*means)


def _mean(values: Float[np.ndarray, " C"]) -> float:
    return float(np.nanmean(values)) if (~np.isnan(values)).any() else float("nan")
