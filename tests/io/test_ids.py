"""Ids in files and indices in memory."""

import numpy as np
from numpy.testing import assert_array_equal

from panrecon.io.ids import categories_of_ids, ids_of_categories, instances_of_ids
from panrecon.structures import VOID, Category, CategoryTable, listed


def test_categories_and_ids_are_inverse_even_in_an_unsorted_table() -> None:
    table = CategoryTable(tuple(Category(number, f"c{number}", thing=False) for number in (40, 3, 7)))
    category = np.array([[2, 0], [VOID, 1]])
    assert_array_equal(ids_of_categories(category, table), [[7, 40], [0, 3]])
    assert_array_equal(categories_of_ids(ids_of_categories(category, table), table), category)
    assert_array_equal(categories_of_ids(np.array([-5, 1, 41, 8]), table), [VOID] * 4)


def test_ids_without_a_class_are_remembered_below_void() -> None:
    table = CategoryTable((Category(40, "a", thing=False),))
    ids = np.array([40, 0, 99, 7, -5, 2**40])
    category = categories_of_ids(ids, table, remembers_unlisted=True)
    assert_array_equal(category[:5], [0, VOID, VOID - 99, VOID - 7, VOID])
    assert category[5] < VOID
    assert_array_equal(listed(category), categories_of_ids(ids, table))


def test_instances_begin_at_zero_and_no_id_wraps_around() -> None:
    ids = np.array([0, 1, -7, 2**32 - 1])
    assert_array_equal(instances_of_ids(ids), [VOID, 0, VOID, 2**32 - 2])
    assert_array_equal(instances_of_ids(np.array([0, 2**32 - 1], dtype=np.uint32)), [VOID, 2**32 - 2])
