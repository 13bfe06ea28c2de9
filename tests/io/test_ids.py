"""Ids in files and indices in memory."""

import numpy as np
from numpy.testing import assert_array_equal

from panrecon.io.ids import categories_of_ids, ids_of_categories, instances_of_ids
from panrecon.structures import VOID, Category, CategoryTable


def test_categories_and_ids_are_inverse_even_in_an_unsorted_table() -> None:
    table = CategoryTable(tuple(Category(number, f"c{number}", thing=False) for number in (40, 3, 7)))
    category = np.array([[2, 0], [VOID, 1]])
    assert_array_equal(ids_of_categories(category, table), [[7, 40], [0, 3]])
    assert_array_equal(categories_of_ids(ids_of_categories(category, table), table), category)
    assert_array_equal(categories_of_ids(np.array([-5, 1, 41, 8]), table), [VOID] * 4)


def test_instances_begin_at_zero_and_no_id_wraps_around() -> None:
    ids = np.array([0, 1, -7, 2**32 - 1])
    assert_array_equal(instances_of_ids(ids), [VOID, 0, VOID, 2**32 - 2])
    assert_array_equal(instances_of_ids(np.array([0, 2**32 - 1], dtype=np.uint32)), [VOID, 2**32 - 2])
