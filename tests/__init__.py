"""Laws, and the checkout that they are tried on."""

import os
from pathlib import Path

CHECKOUT = Path(__file__).parents[1]

# A worker's share of the cores, for torch and BLAS, which read it when they are loaded, and in child processes.
_workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
os.environ.setdefault("OMP_NUM_THREADS", str(max(1, len(os.sched_getaffinity(0)) // _workers)))
