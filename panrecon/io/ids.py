"""From the ids in files (0 = void, none) to the indices in memory (`VOID` = -1), and back.

Ids that a table does not list are void as well. Where released scripts tell them apart from void and from each other,
such an id is remembered as the negative number `VOID` - id, and `panrecon.structures.listed` makes void of it.
"""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Int, Integer

from panrecon.structures import VOID, CategoryTable


def ids_of_categories(category: Int[np.ndarray, "*points"], table: CategoryTable) -> Int[np.ndarray, "*points"]:
    """The table's ids of class indices; 0 for `VOID`."""
    return np.append(table.ids, 0)[category].astype(np.int32)


def categories_of_ids(
    ids: Integer[np.ndarray, "*points"], table: CategoryTable, remembers_unlisted: bool = False
) -> Int[np.ndarray, "*points"]:
    """Class indices of the table's ids; `VOID` for ids that it does not list, or `VOID` - id to remember them."""
    category = categories_of_raw_ids(ids, {category.id: index for index, category in enumerate(table)})
    if not remembers_unlisted:
        return category
    unlisted = VOID - np.clip(ids, 0, np.iinfo(np.int32).max).astype(np.int64)
    return np.where(category == VOID, unlisted, category).astype(np.int32)


def categories_of_raw_ids(
    ids: Integer[np.ndarray, "*points"], category_of_raw_id: Mapping[int, int]
) -> Int[np.ndarray, "*points"]:
    """Class indices of a data set's own ids; `VOID` for ids that the mapping does not have."""
    highest = max(category_of_raw_id, default=0)
    category_of_id = np.full(highest + 2, VOID, dtype=np.int32)
    category_of_id[list(category_of_raw_id)] = list(category_of_raw_id.values())
    return category_of_id[np.clip(ids, -1, highest + 1)]  # both ends are the last entry, which stays void


def instances_of_ids(ids: Integer[np.ndarray, "*points"]) -> Int[np.ndarray, "*points"]:
    """Instances from 0 of a file's ids from 1; `VOID` for ids below 1. 64 bits: ids may fill 32 without a sign."""
    return np.maximum(ids.astype(np.int64), 0) + VOID
