"""How many CPU threads torch uses."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def one_thread() -> Iterator[None]:
    """Runs torch on one CPU thread, and as before afterwards.

    The tensors of a training step are small: a second thread saves a quarter of the time on an idle machine, and on a
    busy one OpenMP's barriers make every step twenty times slower. Sums also keep one order on any number of cores.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
