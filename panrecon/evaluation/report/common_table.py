"""Scenes of different class tables, such as the four of PanopticRecon (Yu et al., IROS 2024), counted together."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Int, Shaped

from panrecon.errors import InputError
from panrecon.evaluation.metrics.panoptic_quality import PanopticStatistics
from panrecon.evaluation.overlap import Overlap
from panrecon.structures import VOID, Category, CategoryTable, normalised


def common_table(tables: Sequence[CategoryTable]) -> CategoryTable:
    """The classes of all tables by name, evaluated where one evaluates them; numbered anew unless all are one table.

    Raises:
        InputError: a class is a thing in one table and stuff in another.
    """
    if all(table == tables[0] for table in tables):
        return tables[0]
    found: dict[str, Category] = {}
    for category in (category for table in tables for category in table):
        first = found.setdefault(normalised(category.name), category)
        if first.thing != category.thing:
            raise InputError(
                f"The class {category.name!r} is a thing in one table and stuff in another; make them agree."
            )
        found[normalised(category.name)] = replace(first, evaluated=first.evaluated or category.evaluated)
    return CategoryTable(tuple(replace(category, id=i) for i, category in enumerate(found.values(), start=1)))


def with_common_names(tables: Sequence[CategoryTable]) -> list[CategoryTable]:
    """The same tables, every class spelled as where it comes first."""
    common = common_table(tables)
    return [
        CategoryTable(tuple(replace(category, name=common[common.index_of(category.name)].name) for category in table))
        for table in tables
    ]


def overlap_in(overlap: Overlap, own: CategoryTable, common: CategoryTable) -> Overlap:
    """The overlap by the rows of the common table; what its own table does not evaluate becomes void truth."""
    row = np.append(_rows(own, common), VOID)
    labels = overlap.labels.copy()
    evaluated = np.append(own.is_evaluated, False)[overlap.true_category]
    labels[:, 0], labels[:, 2] = row[overlap.predicted_category], np.where(evaluated, row[overlap.true_category], VOID)
    return Overlap(labels, overlap.area)


def statistics_in(statistics: PanopticStatistics, own: CategoryTable, common: CategoryTable) -> PanopticStatistics:
    """The statistics by the rows of the common table."""
    row = _rows(own, common)

    def spread(values: Shaped[np.ndarray, " C"]) -> np.ndarray:
        result = np.zeros(len(common), dtype=values.dtype)
        result[row] = values
        return result

    return PanopticStatistics(
        spread(statistics.iou_sum),
        spread(statistics.true_positives),
        spread(statistics.false_positives),
        spread(statistics.false_negatives),
        spread(statistics.is_counted),
    )


def _rows(own: CategoryTable, common: CategoryTable) -> Int[np.ndarray, " C"]:
    return np.array([common.index_of(category.name) for category in own], dtype=np.int64)
