"""CPU threads: how many torch uses, and frames worked on side by side."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def in_parallel(work: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """What `work` makes of every item, in their order, a thread a core: numpy and codecs let go of Python's lock.

    No more than two results a core are made ahead of what is asked for, so that they do not pile up in memory.
    """
    cores = len(os.sched_getaffinity(0))
    with ThreadPoolExecutor(max_workers=cores) as pool:
        waiting: deque[Future[R]] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) > 2 * cores:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def prefer_openmp() -> None:
    """Has numba's kernels run on OpenMP's threads; numba would warn of an older TBB that other packages bring along."""
    import numba

    numba.config.THREADING_LAYER_PRIORITY = ["omp", "workqueue", "tbb"]  # type: ignore[attr-defined]


@contextmanager
def one_thread() -> Iterator[None]:
    """Runs torch on one CPU thread, and as before afterwards; compiled kernels go on using all cores.

    The tensors of a training step are small: a second thread saves a quarter of the time on an idle machine, and on a
    busy one OpenMP's barriers make every step twenty times slower. Sums also keep one order on any number of cores.
    """
    import numba
    import torch

    before = torch.get_num_threads()
    prefer_openmp()
    numba.get_num_threads()  # starts numba's threads: the first kernel would, and give torch, on OpenMP too, as many
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
