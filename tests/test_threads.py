"""Laws of work on several threads."""

import os
import subprocess
import sys
import threading
import time

import pytest

from panrecon.threads import parallel_map


def test_results_come_in_order_whatever_ends_first() -> None:
    def slower_at_first(number: int) -> int:
        time.sleep(0.01 * (5 - number))
        return number**2

    assert list(parallel_map(slower_at_first, range(5))) == [0, 1, 4, 9, 16]


def test_an_error_reaches_the_caller() -> None:
    def fails(number: int) -> int:
        raise ValueError(str(number))

    with pytest.raises(ValueError, match="3"):
        list(parallel_map(fails, [3]))


def test_work_is_done_on_other_threads() -> None:
    assert threading.get_ident() not in list(parallel_map(lambda _: threading.get_ident(), range(3)))


@pytest.mark.parametrize(("own", "spins"), [(None, "1000"), ("7", "7")])
def test_threads_hardly_spin_unless_the_user_says_so(own: str | None, spins: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "GOMP_SPINCOUNT"}
    command = [sys.executable, "-c", "import panrecon, os; print(os.environ['GOMP_SPINCOUNT'])"]
    told = subprocess.run(
        command, env=environment | ({"GOMP_SPINCOUNT": own} if own else {}), capture_output=True, check=True
    )
    assert told.stdout.decode().strip() == spins


def test_results_keep_their_order_and_few_are_made_ahead_of_what_is_asked_for() -> None:
    begun: list[int] = []

    def work(item: int) -> int:
        begun.append(item)
        return item * item

    results = parallel_map(work, range(1000))
    assert [next(results) for _ in range(10)] == [item * item for item in range(10)]
    assert len(begun) <= 10 + 2 * len(os.sched_getaffinity(0)) + 1
    assert list(results) == [item * item for item in range(10, 1000)]


def test_torch_stays_on_one_thread_while_the_first_kernel_of_a_process_starts_many() -> None:
    code = (
        "import numba, numpy, torch\n"
        "from panrecon.field.cpu import hash_kernels as kernels\n"
        "from panrecon.threads import one_thread\n"
        "torch.set_num_threads(2)\n"
        "with one_thread():\n"
        "    kernels.clear(numpy.zeros((4, 8), numpy.float32)); inside = torch.get_num_threads()\n"
        "print(inside, torch.get_num_threads(), numba.threading_layer())"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert told.stdout.decode().split() == ["1", "2", "omp"]
    assert not told.stderr
