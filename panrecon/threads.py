"""CPU threads: how many torch uses, and frames worked on side by side."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def in_parallel(work: Callable[[T], R], items: Sequence[T]) -> Iterator[R]:
    """What `work` makes of every item, in their order, a thread a core: numpy and codecs let go of Python's lock."""
    with ThreadPoolExecutor(max_workers=len(os.sched_getaffinity(0))) as pool:
        yield from pool.map(work, items)


@contextmanager
def one_thread() -> Iterator[None]:
    """Runs torch on one CPU thread, and as before afterwards.

    The tensors of a training step are small: a second thread saves a quarter of the time on an idle machine, and on a
    busy one OpenMP's barriers make every step twenty times slower. Sums also keep one order on any number of cores.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
