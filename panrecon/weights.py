"""Where the weights of foreign networks lie, and `panrecon weights`, which lists, downloads and verifies them."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from panrecon.checkpoints import CHECKPOINTS, DEFAULTS, Checkpoint, RemoteFile, sha256_of
from panrecon.download import Advance, download, part_of
from panrecon.errors import InputError
from panrecon.io.files import read_json, write_json

# panrecon.stage is imported where it is used: it asks which files stages depend on, and weights are among them.

CHECKSUMS: Final = "checksums.json"  # beside the checkpoints: size and SHA-256 of what was downloaded


def weights_folder() -> Path:
    """The folder of all checkpoints: environment variable PANRECON_WEIGHTS, else `panrecon` in the user's cache."""
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(os.environ.get("PANRECON_WEIGHTS") or f"{cache}/panrecon").expanduser()


def weights_files(name: str) -> list[Path]:
    """Where the files of a checkpoint lie, whether they exist or not."""
    return list(_checkpoint(name).paths(weights_folder()).values())


def find_weights(name: str) -> Path:
    """The folder of a Hugging Face checkpoint, the file of another. Sizes are checked, checksums are not.

    Raises:
        InputError: a file is missing or of the wrong size.
    """
    folder = weights_folder()
    known = _known(_checkpoint(name), folder)
    faults = {file: file.fault(path) for file, path in known.items()}
    wrong = [f"{known[file]} {fault} (it comes from {file.url})" for file, fault in faults.items() if fault]
    if wrong:
        raise InputError(f"{' and '.join(wrong)}; put it there, or run `make weights ONLY={name}`.")
    return folder / name


def record_of(name: str) -> dict[str, Any]:
    """What a run's settings.json says of a checkpoint; None where a size or SHA-256 is not known."""
    one = _checkpoint(name)
    files = {}
    for file, path in _known(one, weights_folder()).items():
        size = path.stat().st_size if path.is_file() else file.size
        files[file.name] = {"url": file.url, "size": size, "sha256": file.sha256}
    return {"name": name, "license": one.license, "source": one.source, "files": files}


def weights(
    names: Annotated[list[str], typer.Argument(help="checkpoints to download and verify; none: only lists all")] = [],  # noqa: B006
    defaults: Annotated[bool, typer.Option("--default", help="also those that the default settings need")] = False,
    folder: Annotated[
        Path | None, typer.Option(help="folder of all checkpoints; default PANRECON_WEIGHTS, else ~/.cache/panrecon")
    ] = None,
    online: Annotated[bool, typer.Option("--download/--no-download", help="or only verify what is there")] = True,
) -> None:
    """Public checkpoints: lists them with licence and state; downloads and verifies those that are named.

    Writes <folder>/<name>. A download that was cut or killed goes on where it ended. Exit code 2: something named is
    not whole and cannot be downloaded, in one sentence; before it, which file to put where by hand.
    """
    from panrecon.stage import exit_on_input_error

    with exit_on_input_error():
        where = (folder or weights_folder()).expanduser()
        chosen = [_checkpoint(name) for name in dict.fromkeys([*names, *(DEFAULTS if defaults else ())])]
        _show(chosen if names else list(CHECKPOINTS.values()), where)
        try:
            for one in chosen:
                _obtain(one, where, online)
        except InputError:
            _show_missing(chosen, where)
            raise
        if chosen and where != weights_folder():
            typer.echo(f"Stages find them with PANRECON_WEIGHTS={where} in the environment.")


def _checkpoint(name: str) -> Checkpoint:
    if name not in CHECKPOINTS:
        raise InputError(f"There is no checkpoint {name!r}; `panrecon weights` lists them.")
    return CHECKPOINTS[name]


def _known(one: Checkpoint, folder: Path) -> dict[RemoteFile, Path]:
    """Its files, with what their download recorded where nothing is pinned, and where they lie."""
    recorded = _checksums(folder)
    known = {}
    for file, path in one.paths(folder).items():
        own = recorded.get(_key(path, folder), {})
        known[replace(file, size=file.size or own.get("size"), sha256=file.sha256 or own.get("sha256"))] = path
    return known


def _checksums(folder: Path) -> dict[str, Any]:
    path = folder / CHECKSUMS
    return read_json(path) if path.is_file() else {}


def _key(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()


def _show(checkpoints: Sequence[Checkpoint], folder: Path) -> None:
    from rich.console import Console
    from rich.table import Column, Table

    size = Column("MB", justify="right")
    table = Table(Column("checkpoint", no_wrap=True), "for", size, "licence", "state", box=None, pad_edge=False)
    for one in checkpoints:
        name = f"{one.name} *" if one.name in DEFAULTS else one.name
        known = sum(file.size or 0 for file in _known(one, folder))
        megabytes = f"{known / 1e6:.0f}" if known else "?"
        table.add_row(name, one.purpose, megabytes, one.license, _state(one, folder))
    Console().print(table)
    typer.echo(f"* of the default settings; all in {folder}")


def _state(one: Checkpoint, folder: Path) -> str:
    known = _known(one, folder)
    if not any(path.is_file() or part_of(path).is_file() for path in known.values()):
        return "absent"
    if not all(path.is_file() for path in known.values()):
        return "incomplete"
    return "damaged" if any(file.fault(path) for file, path in known.items()) else "present"


def _show_missing(checkpoints: Sequence[Checkpoint], folder: Path) -> None:
    typer.echo("To be put there by hand where nothing can be downloaded:")
    for one in checkpoints:
        for file, path in _known(one, folder).items():
            if file.fault(path):
                typer.echo(f"  {file.url} -> {path}")


def _obtain(one: Checkpoint, folder: Path, online: bool) -> None:
    """Downloads what is missing or damaged, verifies everything, and says what that means for each file."""
    typer.echo(f"{one.name}: {one.license}, {one.source}")
    for pinned, (file, path) in zip(one.files, _known(one, folder).items(), strict=True):
        fault = file.fault(path, content=True)
        if fault and not online:
            raise InputError(f"{path} {fault}; put {file.url} there, or leave out --no-download.")
        if fault:
            typer.echo(f"  {path} {fault}; downloads {file.url}")
            verified = _download(pinned, path, folder)
        else:
            verified = "SHA-256 as at its download" if file.sha256 else f"SHA-256 {sha256_of(path)}, not pinned"
        typer.echo(f"  {path}: {path.stat().st_size} bytes, {'SHA-256 as pinned' if pinned.sha256 else verified}")


def _download(file: RemoteFile, path: Path, folder: Path) -> str:
    """As `download`, one process at a time; records what came, and gives what was verified."""
    from panrecon.stage import locked

    with _writing(path), locked(folder, "weights"):
        with _bar(path.name) as advance:
            stated = download(file, path, advance)
        facts = {"size": path.stat().st_size, "sha256": stated.sha256 or sha256_of(path)}
        write_json(folder / CHECKSUMS, dict(sorted((_checksums(folder) | {_key(path, folder): facts}).items())))
    if stated.sha256:
        return "SHA-256 as the server states"
    return f"{'only its size verified' if stated.size else 'not verified'}: the server states no SHA-256"


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Turns what a disk refuses into an InputError."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"{path} cannot be written: {reason}; make room, or name another --folder.") from error


@contextmanager
def _bar(what: str) -> Iterator[Advance]:
    """Bytes, their speed and the time left, on a terminal."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    from panrecon.stage import console

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    times = (TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, *times, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)
