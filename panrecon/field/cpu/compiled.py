"""Compiled kernels that give the same bits at a first run as at every other.

Numba's code for a loop on all cores rounds otherwise in the process that compiled it than where it is loaded from its
cache: some operations are reordered once more. So the kernels are compiled in a process of its own, and loaded here.
"""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import numba
from filelock import FileLock
from llvmlite.binding import get_host_cpu_name

from panrecon.field.cpu import hash_encoding, hash_kernels, mlp_kernels, simd

COMPILING: Final = "PANRECON_COMPILING_KERNELS"  # environment: this is the process that compiles
PROGRAM: Final = """
import json, sys
sys.path[:] = json.loads(sys.argv[1])  # finds every module where this process found it
from panrecon.field.compilation import compile_kernels
compile_kernels()
"""
KERNELS: Final = tuple(
    value
    for module in (hash_kernels, mlp_kernels)
    for value in vars(module).values()
    if isinstance(value, numba.core.dispatcher.Dispatcher) and value.targetoptions.get("parallel")
)


def ensure_compiled() -> None:
    """Has the kernels of the field compiled, unless numba's cache holds them as they are now; half a minute, once.

    Of several processes that ask at the same time one compiles, and the others wait for it.

    Raises:
        RuntimeError: they cannot be compiled.
    """
    mark = Path(str(KERNELS[0].stats.cache_path)) / f"panrecon-field-{_cache_key()}.compiled"
    if COMPILING in os.environ or mark.is_file():
        return
    mark.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(mark.with_suffix(".lock")):
        if not mark.is_file():
            _compile_in_another_process()
            mark.touch()


def _compile_in_another_process() -> None:
    command = [sys.executable, "-P", "-c", PROGRAM, json.dumps(sys.path)]
    done = subprocess.run(command, env=os.environ | {COMPILING: "1"}, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"The kernels of the field cannot be compiled:\n{done.stderr}")


def _cache_key() -> str:
    """Changes with the kernels' sources, with numba and with the processor."""
    sources = [Path(str(module.__file__)).read_bytes() for module in (hash_encoding, hash_kernels, mlp_kernels, simd)]
    versions = f"{numba.__version__} {get_host_cpu_name()}".encode()
    return hashlib.sha256(b"".join([*sources, versions])).hexdigest()[:16]
