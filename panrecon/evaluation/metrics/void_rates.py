"""How much of the evaluated truth has no predicted label, and how much not even a predicted surface."""

import numpy as np
from jaxtyping import Float

from panrecon.evaluation.overlap import Overlap
from panrecon.evaluation.transfer import TransferredLabels
from panrecon.structures import VOID, CategoryTable, Labels


def void_rate(overlap: Overlap, table: CategoryTable) -> float:
    """Share of the evaluated truth whose predicted class is void, in [0, 1]; nan where nothing is evaluated."""
    is_evaluated = np.append(table.is_evaluated, False)[overlap.true_category]
    area = overlap.area[is_evaluated].sum()
    is_void = is_evaluated & (overlap.predicted_category == VOID)
    return float(overlap.area[is_void].sum() / area) if area else float("nan")


def missing_geometry_rate(
    transferred: TransferredLabels,
    truth: Labels,
    table: CategoryTable,
    weight: Float[np.ndarray, " V"] | None = None,
) -> float:
    """Share of the evaluated truth with no predicted vertex within the radius of the transfer, in [0, 1].

    A vertex counts 1, or its `weight`. nan where nothing is evaluated.
    """
    area = np.append(table.is_evaluated, False)[truth.category] * (1.0 if weight is None else weight)
    return float(area[transferred.nearest == VOID].sum() / area.sum()) if area.any() else float("nan")
