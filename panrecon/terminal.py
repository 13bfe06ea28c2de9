"""The terminal side of commands: console, progress bars, exit codes and locks."""

import errno
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Final, TypeVar

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from panrecon.errors import (
    EXTRA_OF_MODULE,
    InputError,
    OutOfMemoryError,
    UnwritableError,
    missing_package_as,
    reason,
    reason_of_system,
)

LACKING: Final = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENAMETOOLONG, errno.ENOMEM)
ERROR_FILE: Final = "PANRECON_ERROR_FILE"  # environment: where a stage under `panrecon run` writes its error


T = TypeVar("T")


console = Console(stderr=True)


def track(items: Iterable[T], description: str, total: int) -> Iterator[T]:
    """Yields the items, with a progress bar on a terminal; `total` is their number."""
    with progress_bar(description, total) as advance:
        for index, item in enumerate(items):
            yield item
            advance(index + 1)


@contextmanager
def progress_bar(description: str, total: int) -> Iterator[Callable[[int], None]]:
    """A progress bar on a terminal, none elsewhere; yields a callback that takes the number of steps done."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    times = (TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, *times, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(description, total=total)
        yield lambda done: progress.update(task, completed=done)


@contextmanager
def locked(run: Path, name: str, instead: str = "choose another RUN") -> Iterator[int]:
    """Holds the exclusive lock `.<name>.lock` of a folder; it is released when the process ends, however it does.

    Creates the folder. Yields the lock's file descriptor: a child process that inherits it holds the lock too.

    Raises:
        InputError: another process holds the lock, the folder cannot be written to, or its file system has no locks;
            the message ends with `instead`.
    """
    from filelock import lock_descriptor

    try:
        run.mkdir(parents=True, exist_ok=True)
        lock = (run / f".{name}.lock").open("w")
    except OSError as error:
        raise InputError(f"The folder {run} cannot be written to: {reason_of_system(error)}; {instead}.") from error
    with lock as file:
        try:
            is_held = lock_descriptor(file.fileno(), blocking=False)
        except OSError as error:
            raise InputError(f"{run} lies where no file can be locked ({error.strerror}); {instead}.") from error
        if not is_held:
            raise InputError(f"Another process is at work on {run} ({name}); wait for it or {instead}.")
        yield file.fileno()


@contextmanager
def exit_on_input_error() -> Iterator[None]:
    """Prints the message of an InputError to stderr and exits with 2; also writes it to `ERROR_FILE` if that is set.

    The absence of an optional package counts as one, and so do a full or read-only disk, missing rights, names that are
    too long and missing memory, wherever they are met.
    """
    try:
        with missing_package_as(InputError), system_errors_as_input_errors():
            yield
    except InputError as error:
        print_error(error)
        raise SystemExit(2) from error


@contextmanager
def system_errors_as_input_errors() -> Iterator[None]:
    """Turns what the machine lacks, not the program, into a sentence: room, rights, memory.

    Raises:
        InputError: a link leads to itself.
        UnwritableError: a disk is full or read-only, rights are missing or a name is too long.
        OutOfMemoryError: there is not enough memory.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in LACKING:
            raise
        file = f" ({error.filename})" if error.filename else ""
        advice = "shorten the name" if error.errno == errno.ENAMETOOLONG else "mend that or name another folder"
        what = f"{reason_of_system(error)}{file}"
        raise UnwritableError(f"A file cannot be read or written: {what}; {advice}, and run again.") from error
    except RuntimeError as error:
        if not str(error).startswith("Symlink loop"):  # which Python 3.13 says as an OSError
            raise
        raise InputError(f"A link leads to itself ({reason(error)}); name what it was to lead to.") from error
    except MemoryError as error:
        what = reason(error) or "no more can be had"
        raise OutOfMemoryError(f"There is not enough memory: {what}; take fewer or smaller frames.") from error


def print_error(error: InputError) -> None:
    """Prints the sentence to stderr; also writes it to `ERROR_FILE` if that is set."""
    console.print(f"[bold red]error:[/bold red] {escape(printable(str(error)))}", highlight=False, soft_wrap=True)
    if ERROR_FILE in os.environ:
        Path(os.environ[ERROR_FILE]).write_text(str(error))


def printable(text: str) -> str:
    """The text without control characters, which a terminal obeys: words of files are not to move its cursor."""
    return "".join(letter if letter.isprintable() or letter in "\n\t" else "\ufffd" for letter in text)


def exit_on_missing_package(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    """An excepthook for programs that import optional packages before they can catch anything."""
    if isinstance(error, ModuleNotFoundError) and error.name in EXTRA_OF_MODULE:
        with exit_on_input_error():
            raise error
    sys.__excepthook__(kind, error, traceback)
