"""Statistics of scenes of different class tables, such as the four of PanopticRecon (Yu et al., IROS 2024), added."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Int, Shaped

from panrecon.errors import InputError
from panrecon.evaluation.metrics.panoptic_quality import PanopticStatistics
from panrecon.evaluation.overlap import Overlap
from panrecon.structures import VOID, Category, CategoryTable, listed, normalised


def common_table(tables: Sequence[CategoryTable]) -> CategoryTable:
    """The classes of all tables by name, evaluated where one evaluates them; ids from 1 on unless all are one table.

    Raises:
        InputError: a class is a thing in one table and stuff in another.
    """
    if all(table == tables[0] for table in tables):
        return tables[0]
    category_of_name: dict[str, Category] = {}
    for category in (category for table in tables for category in table):
        first = category_of_name.setdefault(normalised(category.name), category)
        if first.thing != category.thing:
            raise InputError(
                f"The class {category.name!r} is a thing in one table and stuff in another; make them agree."
            )
        category_of_name[normalised(category.name)] = replace(first, evaluated=first.evaluated or category.evaluated)
    return CategoryTable(
        tuple(replace(category, id=i) for i, category in enumerate(category_of_name.values(), start=1))
    )


def with_common_names(tables: Sequence[CategoryTable]) -> list[CategoryTable]:
    """The same tables, every class spelled as where it comes first."""
    common = common_table(tables)
    return [
        CategoryTable(tuple(replace(category, name=common[common.index_of(category.name)].name) for category in table))
        for table in tables
    ]


def overlap_in(overlap: Overlap, own: CategoryTable, common: CategoryTable) -> Overlap:
    """The overlap by the class indices of the common table; true classes that `own` does not evaluate become void.

    Ids that `own` does not list stay as they are.
    """
    common_index = np.append(_common_indices(own, common), VOID)
    is_evaluated = np.append(own.is_evaluated, False)[overlap.true_category]
    labels = overlap.labels.copy()
    for column, is_kept in ((0, np.ones(len(overlap), dtype=bool)), (2, is_evaluated)):
        code = labels[:, column]
        labels[:, column] = np.where(code < VOID, code, np.where(is_kept, common_index[listed(code)], VOID))
    return Overlap(labels, overlap.area)


def statistics_in(statistics: PanopticStatistics, own: CategoryTable, common: CategoryTable) -> PanopticStatistics:
    """The statistics by the class indices of the common table; 0 for classes that `own` lacks."""
    common_index = _common_indices(own, common)

    def scattered(values: Shaped[np.ndarray, " C"]) -> np.ndarray:
        result = np.zeros(len(common), dtype=values.dtype)
        result[common_index] = values
        return result

    return PanopticStatistics(
        scattered(statistics.iou_sum),
        scattered(statistics.true_positives),
        scattered(statistics.false_positives),
        scattered(statistics.false_negatives),
        scattered(statistics.is_counted),
    )


def _common_indices(own: CategoryTable, common: CategoryTable) -> Int[np.ndarray, " C"]:
    return np.array([common.index_of(category.name) for category in own], dtype=np.int64)
