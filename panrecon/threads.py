"""CPU threads: parallel maps over frames, and the number of threads that torch uses."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def parallel_map(function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """Yields `function` of every item, in order, on one thread a core; numpy and codecs release Python's global lock.

    At most two results a core are computed ahead of the consumer, which bounds the memory they take.
    """
    cores = len(os.sched_getaffinity(0))
    with ThreadPoolExecutor(max_workers=cores) as pool:
        pending: deque[Future[R]] = deque()
        try:
            for item in items:
                pending.append(pool.submit(function, item))
                if len(pending) > 2 * cores:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()


def do_at_once(*tasks: Callable[[], object]) -> None:
    """Carries out tasks that do not need each other, on one thread a core; raises what the first of them raised."""
    for _ in parallel_map(lambda task: task(), tasks):
        pass


def prefer_openmp() -> None:
    """Makes numba use OpenMP's threads; by default it warns of an older TBB that other packages install."""
    import numba

    numba.config.THREADING_LAYER_PRIORITY = ["omp", "workqueue", "tbb"]  # type: ignore[attr-defined]


def kernels_may_overlap() -> bool:
    """Whether kernels on all cores may run in several threads at once: numba's own work queue ends the process then."""
    import numba

    try:
        return bool(numba.threading_layer() != "workqueue")  # type: ignore[attr-defined]
    except ValueError:  # none has run yet
        return False


@contextmanager
def one_thread() -> Iterator[None]:
    """Sets torch to one CPU thread inside the context; compiled kernels keep using all cores.

    The tensors of a training step are small: a second thread saves a quarter of the time on an idle machine, and on a
    busy one OpenMP's barriers make every step twenty times slower. Sums are also independent of the number of cores.
    """
    import numba
    import torch

    before = torch.get_num_threads()
    prefer_openmp()
    numba.get_num_threads()  # starts numba's threads now: starting them later would reset torch's number, also OpenMP's
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
