"""Class quality of labelled points, whatever their instances."""

import numpy as np
from jaxtyping import Int

from panrecon.structures import VOID, CategoryTable


def confusion(
    prediction: Int[np.ndarray, " P"], truth: Int[np.ndarray, " P"], table: CategoryTable
) -> Int[np.ndarray, "C C_1"]:
    """Points by true (row) and predicted class (column; the last is void), where the truth is evaluated."""
    count = len(table)
    scored = np.append(table.is_evaluated, False)[truth]
    column = np.where(prediction == VOID, count, prediction)
    pairs = truth[scored].astype(np.int64) * (count + 1) + column[scored]
    return np.bincount(pairs, minlength=count * (count + 1)).reshape(count, count + 1)


def mean_iou(matrix: Int[np.ndarray, "C C_1"]) -> float:
    """Mean over the classes that the truth has; what is left void counts as missed."""
    truth, hit = matrix.sum(axis=1), np.diag(matrix)
    union = truth + matrix[:, :-1].sum(axis=0) - hit
    present = truth > 0
    return float((hit[present] / union[present]).mean()) if present.any() else float("nan")


def mean_accuracy(matrix: Int[np.ndarray, "C C_1"]) -> float:
    """Mean share of each true class that is labelled so."""
    truth = matrix.sum(axis=1)
    present = truth > 0
    return float((np.diag(matrix)[present] / truth[present]).mean()) if present.any() else float("nan")
