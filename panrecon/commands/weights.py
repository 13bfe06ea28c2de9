"""`panrecon weights`: lists, downloads and verifies the public checkpoints."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from panrecon.errors import InputError
from panrecon.io.weights import checkpoint, known_files, record_download, weights_folder
from panrecon.networks.checkpoints import CHECKPOINTS, DEFAULTS, Checkpoint, RemoteFile, sha256_of
from panrecon.networks.download import Advance, download, part_of
from panrecon.terminal import console, exit_on_input_error, locked


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
    with exit_on_input_error():
        where = (folder or weights_folder()).expanduser().absolute()
        if where.exists() and not where.is_dir():
            raise InputError(f"{where} is a file; name a folder for the checkpoints.")
        chosen = [checkpoint(name) for name in dict.fromkeys([*names, *(DEFAULTS if defaults else ())])]
        _show(chosen if names else list(CHECKPOINTS.values()), where)
        try:
            for one in chosen:
                _obtain(one, where, online)
        except InputError:
            _show_missing(chosen, where)
            raise
        if chosen and where != weights_folder():
            typer.echo(f"Stages find them with PANRECON_WEIGHTS={where} in the environment.")


def _show(checkpoints: Sequence[Checkpoint], folder: Path) -> None:
    from rich.console import Console
    from rich.table import Column, Table

    size = Column("MB", justify="right")
    table = Table(Column("checkpoint", no_wrap=True), "for", size, "licence", "state", box=None, pad_edge=False)
    for one in checkpoints:
        name = f"{one.name} *" if one.name in DEFAULTS else one.name
        known = sum(file.size or 0 for file in known_files(one, folder))
        megabytes = f"{known / 1e6:.0f}" if known else "?"
        table.add_row(name, one.purpose, megabytes, one.license, _state(one, folder))
    Console().print(table)
    typer.echo(f"* of the default settings; all in {folder}")


def _state(one: Checkpoint, folder: Path) -> str:
    known = known_files(one, folder)
    if not any(path.is_file() or part_of(path).is_file() for path in known.values()):
        return "absent"
    if not all(path.is_file() for path in known.values()):
        return "incomplete"
    return "damaged" if any(file.fault(path) for file, path in known.items()) else "present"


def _show_missing(checkpoints: Sequence[Checkpoint], folder: Path) -> None:
    typer.echo("To be put there by hand where nothing can be downloaded:")
    for one in checkpoints:
        for file, path in known_files(one, folder).items():
            if file.fault(path):
                typer.echo(f"  {file.url} -> {path}")


def _obtain(one: Checkpoint, folder: Path, online: bool) -> None:
    """Downloads what is missing or damaged, verifies everything, and says what that means for each file."""
    typer.echo(f"{one.name}: {one.license}, {one.source}")
    for pinned, (file, path) in zip(one.files, known_files(one, folder).items(), strict=True):
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
    with _writing(path), locked(folder, "weights", "name another --folder"):
        with _bar(path.name) as advance:
            stated = download(file, path, advance)
        record_download(path, folder, path.stat().st_size, stated.sha256 or sha256_of(path))
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

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    times = (TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, *times, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)
