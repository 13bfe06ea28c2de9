"""`panrecon weights`: lists, downloads and verifies public checkpoints."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from panrecon.errors import InputError
from panrecon.io.weights import checkpoint, known_files, record_download, weights_folder
from panrecon.networks.checkpoints import CHECKPOINTS, DEFAULTS, Checkpoint, RemoteFile, part_of, sha256_of
from panrecon.terminal import exit_on_input_error, locked


def weights(
    names: Annotated[list[str], typer.Argument(help="checkpoints to download and verify; none: list all")] = [],  # noqa: B006
    defaults: Annotated[bool, typer.Option("--default", help="also the checkpoints of the default settings")] = False,
    folder: Annotated[
        Path | None, typer.Option(help="folder of all checkpoints; default PANRECON_WEIGHTS, else ~/.cache/panrecon")
    ] = None,
    online: Annotated[bool, typer.Option("--download/--no-download", help="or only verify existing files")] = True,
) -> None:
    """Public checkpoints: lists them with licence and state; downloads and verifies those that are named.

    Writes <folder>/<name>. An interrupted download resumes. Exit code 2: a named checkpoint is incomplete and cannot
    be downloaded, in one sentence; before it, which file to put where manually.
    """
    with exit_on_input_error():
        target = (folder or weights_folder()).expanduser().absolute()
        if target.exists() and not target.is_dir():
            raise InputError(f"{target} is a file; name a folder for the checkpoints.")
        named = [checkpoint(name) for name in dict.fromkeys([*names, *(DEFAULTS if defaults else ())])]
        _show(named if names else list(CHECKPOINTS.values()), target)
        try:
            for model in named:
                _obtain(model, target, online)
        except InputError:
            _show_missing(named, target)
            raise
        if named and target != weights_folder():
            typer.echo(f"Stages find them with PANRECON_WEIGHTS={target} in the environment.")


def _show(checkpoints: Sequence[Checkpoint], folder: Path) -> None:
    from rich.console import Console
    from rich.table import Column, Table

    size = Column("MB", justify="right")
    table = Table(Column("checkpoint", no_wrap=True), "for", size, "licence", "state", box=None, pad_edge=False)
    for model in checkpoints:
        name = f"{model.name} *" if model.name in DEFAULTS else model.name
        known = sum(file.size or 0 for file in known_files(model, folder))
        megabytes = f"{known / 1e6:.0f}" if known else "?"
        table.add_row(name, model.purpose, megabytes, model.license, _state(model, folder))
    Console().print(table)
    typer.echo(f"* of the default settings; all in {folder}")


def _state(model: Checkpoint, folder: Path) -> str:
    known = known_files(model, folder)
    if not any(path.is_file() or part_of(path).is_file() for path in known.values()):
        return "absent"
    if not all(path.is_file() for path in known.values()):
        return "incomplete"
    return "damaged" if any(file.fault(path) for file, path in known.items()) else "present"


def _show_missing(checkpoints: Sequence[Checkpoint], folder: Path) -> None:
    typer.echo("Files to put there manually where nothing can be downloaded:")
    for model in checkpoints:
        for file, path in known_files(model, folder).items():
            if file.fault(path):
                typer.echo(f"  {file.url} -> {path}")


def _obtain(model: Checkpoint, folder: Path, online: bool) -> None:
    """Downloads missing or damaged files, verifies all, and prints how each was verified."""
    typer.echo(f"{model.name}: {model.license}, {model.source}")
    for pinned, (file, path) in zip(model.files, known_files(model, folder).items(), strict=True):
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
    """Downloads a file, one process at a time, and records it; returns how it was verified, as text."""
    from panrecon.networks.download import download

    with _writing(path), locked(folder, "weights", "name another --folder"):
        stated = download(file, path)
        record_download(path, folder, path.stat().st_size, stated.sha256 or sha256_of(path))
    if stated.sha256:
        return "SHA-256 as the server states"
    return f"{'only its size verified' if stated.size else 'not verified'}: the server states no SHA-256"


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Turns an OSError of writing into an InputError."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"{path} cannot be written: {reason}; make room, or name another --folder.") from error
