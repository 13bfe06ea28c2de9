"""Files that are whole or absent, and JSON and npz with the same bytes for the same content."""

import errno
import json
import shutil
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import numpy as np

from panrecon.errors import InputError, UnwritableError, reason, reason_of_system

# What zipfile, zlib and NumPy raise at damaged archives.
UNREADABLE: Final = (
    *(OSError, ValueError, EOFError, AttributeError, KeyError, TypeError, RuntimeError, OverflowError, MemoryError),
    *(zipfile.BadZipFile, zlib.error, struct.error, tokenize.TokenError, SyntaxError),
)
UNWRITABLE: Final = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EISDIR)


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """A path beside `path` (same suffix) to write to, renamed to `path` only if the block succeeds.

    Raises:
        InputError: a file is where the folder must be, or the folder cannot be made.
        UnwritableError: the folder cannot be written to, for want of rights or room.
    """
    _make_folder(path.parent)
    partial = path.with_name(f".{path.stem}.partial{path.suffix}")
    try:
        yield partial
        partial.replace(path)
    except OSError as error:
        is_own = error.filename in (None, str(partial)) or error.filename2 == str(partial)
        if error.errno not in UNWRITABLE or not is_own:
            raise
        raise UnwritableError(f"{path} cannot be written: {reason_of_system(error)}; name another folder.") from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise InputError(f"{folder} cannot be a folder, a file is in its way; move it or name another.") from error
    except OSError as error:
        raise InputError(f"{folder} cannot be made: {reason_of_system(error)}; name another folder.") from error


def write_text(path: Path, text: str) -> None:
    """Writes UTF-8 text, whole or not at all."""
    with atomic_write(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_texts(texts: Mapping[Path, str]) -> None:
    """Writes all of them or none.

    Raises:
        InputError: a path cannot be written, for want of rights or room, or because it is a folder.
    """
    with ExitStack() as partials:
        for path, text in texts.items():
            try:
                if path.is_dir():
                    raise IsADirectoryError("it is a folder")
                partials.enter_context(atomic_write(path)).write_text(text, encoding="utf-8")
            except OSError as error:
                reason = error.strerror or str(error)
                raise InputError(f"{path} cannot be written: {reason}; name another file.") from error


def must_be_new(folder: Path) -> None:
    """Nothing, for a folder that does not exist: frames written to an old one would lie among its own.

    Raises:
        InputError: it exists.
    """
    if folder.exists():
        raise InputError(f"{folder} exists already; remove it, or name another folder or seed.")


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """A folder of the same name to write to, which takes its place only if the block succeeds.

    What a killed process left is removed first.

    Raises:
        InputError: the folder exists.
    """
    must_be_new(folder)
    aside = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(aside, ignore_errors=True)
    try:
        yield aside / folder.name
        (aside / folder.name).replace(folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


@contextmanager
def added_to(folder: Path, mark: Path) -> Iterator[Path]:
    """As `joined_to`, for a folder that has no `mark` yet.

    Raises:
        InputError: `folder` has the mark, is a file, or cannot be made or written to.
    """
    must_be_new(folder / mark)
    with joined_to(folder, mark) as aside:
        yield aside


@contextmanager
def joined_to(folder: Path, mark: Path) -> Iterator[Path]:
    """A folder to write to, whose content joins what `folder` holds only if the block succeeds.

    Files of the same names are replaced. `mark` is a path below both by which readers know that the content is there;
    it is moved last. What a killed process left is removed first.

    Raises:
        InputError: `folder` is a file, or cannot be made or written to.
    """
    is_new = not folder.exists()
    _make_folder(folder)
    aside = folder / f".{mark.name}.partial"
    shutil.rmtree(aside, ignore_errors=True)
    try:
        yield aside
        _move_into(aside, folder, aside / mark)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
        if is_new:
            with suppress(OSError):
                folder.rmdir()  # if nothing came into it


def _move_into(source: Path, target: Path, mark: Path) -> None:
    """Moves all that `source` holds, what is or holds `mark` last; folders that are there keep what they have."""
    for path in sorted(source.iterdir(), key=mark.is_relative_to):
        existing = target / path.name
        if path.is_dir() and existing.is_dir():
            _move_into(path, existing, mark)
            continue
        try:
            path.replace(existing)
        except OSError as error:
            raise UnwritableError(
                f"{existing} cannot be written: {reason_of_system(error)}; name another folder."
            ) from error


def json_text(content: Any) -> str:
    """JSON as this project writes it: the same text for the same content."""
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def write_json(path: Path, content: Any) -> None:
    """Writes JSON, whole or not at all; nan and inf raise ValueError."""
    write_text(path, json_text(content))


def read_json(path: Path) -> Any:
    """The file's content.

    Raises:
        InputError: there is no such file, or it is not JSON.
    """
    if not path.is_file():
        raise InputError(f"The file {path} does not exist; name another, or write it.")
    try:
        return json.loads(path.read_text())
    except (
        ValueError,
        RecursionError,
    ) as error:  # of encoding, syntax, digits, depth
        raise InputError(f"The file {path} is not JSON: {reason(error)}; write it anew.") from error


def write_arrays(path: Path, **arrays: np.ndarray) -> None:
    """Writes one compressed npz of named arrays."""
    with atomic_write(path) as partial:
        np.savez_compressed(partial, **arrays)  # type: ignore[arg-type]


def read_array(path: Path) -> np.ndarray:
    """The array of a .npy, without executing anything it holds.

    Raises:
        InputError: it is missing, damaged or none.
    """
    try:
        array = np.load(path, allow_pickle=False)
    except UNREADABLE as error:
        raise InputError(f"{path} cannot be read as npy: {reason(error)}; make it anew.") from error
    if not isinstance(array, np.ndarray):
        raise InputError(f"{path} holds several arrays, an npz; one alone is needed, as .npy.")
    return array


def read_arrays(path: Path) -> Mapping[str, np.ndarray]:
    """All arrays of an npz, without executing anything it holds.

    Raises:
        InputError: it is missing, damaged or no npz.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except UNREADABLE as error:
        raise InputError(f"{path} cannot be read as npz: {reason(error)}; make it anew.") from error
