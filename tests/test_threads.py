"""Laws of work on several threads."""

import threading
import time

import pytest

from panrecon.threads import in_parallel


def test_results_come_in_order_whatever_ends_first() -> None:
    def slower_at_first(number: int) -> int:
        time.sleep(0.01 * (5 - number))
        return number**2

    assert list(in_parallel(slower_at_first, range(5))) == [0, 1, 4, 9, 16]


def test_an_error_reaches_the_caller() -> None:
    def fails(number: int) -> int:
        raise ValueError(str(number))

    with pytest.raises(ValueError, match="3"):
        list(in_parallel(fails, [3]))


def test_work_is_done_on_other_threads() -> None:
    assert threading.get_ident() not in list(in_parallel(lambda _: threading.get_ident(), range(3)))
