"""`panrecon import`: a scan of one's own, in the layout that the pipeline reads."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from panrecon.errors import InputError
from panrecon.terminal import console, exit_on_input_error, track

if TYPE_CHECKING:
    from panrecon.datasets.importers.base import Importer

OWN = Path("data") / "raw" / "own"


def import_scan(
    path: Annotated[Path, typer.Argument(help="folder or file of the scan, as its app or tool left it")],
    out: Annotated[Path | None, typer.Option(help=f"folder to write; default {OWN}/<name of the scan>")] = None,
    kind: Annotated[str | None, typer.Option("--format", help="of the scan; default: what it looks like")] = None,
    stride: Annotated[int, typer.Option(min=1, help="take every n-th frame")] = 1,
    sharp: Annotated[bool, typer.Option("--sharp", help="of every n frames take the sharpest, not the first")] = False,
) -> None:
    """Says which format a scan is in and why, and writes it as color/, depth/, pose/ and intrinsic/.

    Reads the scan, writes the folder, whole or not at all. Then: make own/<name>. Exit code 2: the scan cannot be
    read, or the folder exists.
    """
    from panrecon.datasets.importers import every_importer
    from panrecon.datasets.importers.write import posed_frames, sharpest, write_source

    with exit_on_input_error():
        source_path = path.expanduser()
        folder = (out or OWN / name_of(source_path)).expanduser()
        if folder.exists():
            raise InputError(f"{folder} exists already; remove it, or name another folder with --out.")
        importer, why = chosen(every_importer(), source_path, kind)
        say(f"{source_path} is read as {importer.name}: {why}")
        source = importer.read(source_path)
        for note in source.notes:
            say(note)
        posed = posed_frames(source)
        lost = len(source.frames) - len(posed)
        frames = posed[::stride]
        if sharp:
            frames = sharpest(posed, stride, lambda groups: track(groups, "import: sharpness", len(groups)))
        record = {
            "format": importer.name,
            "frames": len(frames),
            "without_pose": lost,
            "notes": list(source.notes),
        }
        write_source(folder, source, frames, lambda all_: track(all_, "import: frames", len(all_)), record)
    say(f"{len(frames)} frames in {folder}" + (f"; {lost} frames without a pose left out" if lost else ""))
    if folder.parent == OWN:
        say(f"next: put detections.json there or choose masks.backend=grounded_sam, then make own/{folder.name}")


def name_of(path: Path) -> str:
    """A folder's name, or a file's without its suffix."""
    whole = path.resolve()
    return whole.name if whole.is_dir() else whole.stem


def chosen(importers: "tuple[Importer, ...]", path: Path, kind: str | None) -> "tuple[Importer, str]":
    """The importer of this name, else the only one that knows the format, and why it does.

    Raises:
        InputError: there is no such path or format, or none or several know it.
    """
    if not path.exists():
        raise InputError(f"There is no scan {path}; name its folder or file.")
    if kind is not None:
        named = next((one for one in importers if one.name == kind), None)
        if named is None:
            raise InputError(f"There is no format {kind!r}; there are {', '.join(one.name for one in importers)}.")
        return named, "as told by --format"
    found = [(one, why) for one in importers if (why := one.recognise(path)) is not None]
    if len(found) > 1:
        names = ", ".join(f"{one.name} ({why})" for one, why in found)
        raise InputError(f"{path} may be {names}; choose with --format.")
    if not found:
        needs = "; ".join(f"{one.name}: {one.needs}" for one in importers)
        raise InputError(f"{path} is of no known format ({needs}); describe it in a scan.yaml, docs/import/plain.md.")
    return found[0]


def say(text: str) -> None:
    console.print(text, highlight=False, soft_wrap=True, markup=False)
