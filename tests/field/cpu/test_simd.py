"""Laws of vectors in compiled loops: number by number, what numpy does with rows."""

from typing import no_type_check

import numba
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from panrecon.field.cpu.simd import broadcast, extract, insert, load, prefetch, store


@numba.njit
@no_type_check
def reckoned(table, row, column, number, like):
    prefetch(table, row, column)
    vector = load(table, row, column, like)
    store(number * vector - (vector + vector) * vector + vector * number, table, row, column)


@numba.njit
@no_type_check
def transposed(table, row, column, like):
    vector, found = load(table, row, column, like), broadcast(table[0, 0], like)
    for place in range(len(like)):
        found = insert(found, len(like) - 1 - place, extract(vector, place))
    store(found, table, row, column)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("width", [1, 2, 6, 8, 16])
def test_vectors_are_parts_of_rows(width: int, dtype: type[np.floating]) -> None:
    """Wherever the part begins, and nothing beside it changes."""
    before = np.random.default_rng(0).standard_normal((5, 19)).astype(dtype)
    for column in (0, 3):
        table, expected, part = before.copy(), before.copy(), slice(column, column + width)
        reckoned(table, np.uint64(2), np.uint64(column), dtype(3), (0,) * width)
        expected[2, part] = 6 * before[2, part] - 2 * before[2, part] ** 2
        assert_allclose(table, expected, rtol=1e-5)
        transposed(table, np.uint64(4), np.uint64(column), (0,) * width)
        assert_array_equal(table[4, part], before[4, part][::-1])
