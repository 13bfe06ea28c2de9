"""The command line in this process: what a shell would see of it, without the seconds that a start takes."""

import os
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, chdir, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

import pytest

from panrecon.cli import main
from panrecon.terminal import console


def panrecon(*arguments: str, cwd: Path, columns: int = 200) -> subprocess.CompletedProcess[str]:
    """What `panrecon <arguments>` in the folder `cwd` exits with and prints, as do the processes that it starts.

    The terminal is as many `columns` wide. An error that is our fault leaves a traceback and exit code 1.
    """
    with pytest.MonkeyPatch.context() as patch, TemporaryFile("w+") as stdout, TemporaryFile("w+") as stderr:
        patch.setattr(sys, "argv", ["panrecon", *arguments])
        patch.setenv("COLUMNS", str(columns))
        patch.setattr(console, "_width", columns)
        with chdir(cwd), _written_to(stdout, redirect_stdout, 1), _written_to(stderr, redirect_stderr, 2):
            code = _exit_code()
        return subprocess.CompletedProcess(["panrecon", *arguments], code, _content(stdout), _content(stderr))


def _exit_code() -> int:
    """Runs the command line; the exit code that the interpreter would end with."""
    try:
        main()
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
            return 1
        return end.code or 0
    except Exception:
        traceback.print_exc()
        return 1
    return 0


@contextmanager
def _written_to(
    file: IO[str], redirect: Callable[[IO[str]], AbstractContextManager[IO[str]]], descriptor: int
) -> Iterator[None]:
    """Has what this process prints, and what child processes write to the inherited descriptor, go to the file."""
    before = os.dup(descriptor)
    os.dup2(file.fileno(), descriptor)
    try:
        with redirect(file):
            yield
    finally:
        file.flush()
        os.dup2(before, descriptor)
        os.close(before)


def _content(file: IO[str]) -> str:
    file.seek(0)
    return file.read()
