"""Compiled kernels that give the same bits at a first run as at every other.

Numba's code for a loop on all cores rounds otherwise in the process that compiled it than where it is loaded from its
cache: some operations are reordered once more. So the kernels are compiled in a process of its own, and loaded here.
"""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
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
SOURCES: Final = (hash_encoding, hash_kernels, mlp_kernels, simd)
KERNELS: Final = tuple(
    value
    for module in (hash_kernels, mlp_kernels)
    for value in vars(module).values()
    if isinstance(value, numba.core.dispatcher.Dispatcher) and value.targetoptions.get("parallel")
)


def ensure_compiled() -> None:
    """Has the kernels of the field compiled, unless numba's cache holds them as they are now; half a minute, once.

    Of several processes that ask at the same time one compiles, and the others wait for it. A mark beside the cache's
    files lists them: where one was deleted, the process that uses it would compile it.

    Raises:
        RuntimeError: they cannot be compiled.
    """
    cache = Path(str(KERNELS[0].stats.cache_path))
    mark = cache / f"panrecon-field-{_cache_key()}.compiled"
    if COMPILING in os.environ or _is_complete(mark):
        return
    mark.parent.mkdir(parents=True, exist_ok=True)
    with _one_at_a_time(mark.with_suffix(".lock")):
        if not _is_complete(mark):
            _compile_in_another_process()
            _write_mark(mark)


@contextmanager
def _one_at_a_time(file: Path) -> Iterator[None]:
    """Where the file system has locks; elsewhere several may compile, and all write the same."""
    with ExitStack() as stack:
        with suppress(OSError):
            stack.enter_context(FileLock(file))
        yield


def _compile_in_another_process() -> None:
    command = [sys.executable, "-P", "-c", PROGRAM, json.dumps(sys.path)]
    done = subprocess.run(command, env=os.environ | {COMPILING: "1"}, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"The kernels of the field cannot be compiled:\n{done.stderr}")


def _is_complete(mark: Path) -> bool:
    """Whether the mark is there, and with it every file that it lists."""
    return mark.is_file() and all((mark.parent / name).is_file() for name in mark.read_text().splitlines())


def _write_mark(mark: Path) -> None:
    """Lists the cache's files of the kernels in the mark, whole or not at all."""
    stems = [Path(str(module.__file__)).stem for module in SOURCES]
    python = f"py{sys.version_info.major}{sys.version_info.minor}"  # numba keeps those of several side by side
    files = sorted(file.name for stem in stems for file in mark.parent.glob(f"{stem}.*.{python}*.nb[ic]"))
    partial = mark.with_suffix(".partial")
    partial.write_text("\n".join(files))
    partial.replace(mark)


def _cache_key() -> str:
    """Changes with the kernels' sources and their dates, by which numba's cache goes, Python, numba, the processor."""
    files = [Path(str(module.__file__)) for module in SOURCES]
    dates = [str(file.stat().st_mtime_ns) for file in files]
    python = str(sys.implementation.cache_tag)
    versions = " ".join([*dates, python, numba.__version__, get_host_cpu_name()]).encode()
    return hashlib.sha256(b"".join([*(file.read_bytes() for file in files), versions])).hexdigest()[:16]
