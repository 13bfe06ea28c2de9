"""A first run has the bits of every other: kernels are loaded, not compiled, by the process that uses them."""

import os
import subprocess
import sys
from pathlib import Path

from tests import CHECKOUT

PROGRAM = """
from panrecon.field.compilation import compile_kernels
from panrecon.field.cpu.compiled import KERNELS, ensure_compiled
import os

ensure_compiled()
os.environ["PANRECON_COMPILING_KERNELS"] = "1"
compile_kernels()
used = [kernel for kernel in KERNELS if kernel.signatures]
print(len(used), len(KERNELS), sum(sum(kernel.stats.cache_misses.values()) for kernel in used))
"""


def test_no_kernel_is_compiled_by_the_process_that_uses_it(tmp_path: Path) -> None:
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / "cache"), "PYTHONPATH": str(CHECKOUT)}
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    used, kernels, compiled = map(int, done.stdout.split())
    assert 5 <= used <= kernels
    assert compiled == 0
    assert len(list((tmp_path / "cache").rglob("panrecon-field-*.compiled"))) == 1
