"""`panrecon import`: converts a user's scan of any known format to the layout that the pipeline reads."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from panrecon.errors import InputError
from panrecon.terminal import console, exit_on_input_error, track

if TYPE_CHECKING:
    from panrecon.datasets.importers.base import Importer

LONGEST_PATH = 28  # letters of a path in a sentence that is to be short
OWN_SCANS = Path("data") / "raw" / "own"


def import_scan(
    path: Annotated[Path, typer.Argument(help="folder or file of the scan, as its app or tool wrote it")],
    out: Annotated[Path | None, typer.Option(help=f"folder to write; default {OWN_SCANS}/<name of the scan>")] = None,
    kind: Annotated[str | None, typer.Option("--format", help="of the scan; default: recognized by its files")] = None,
    stride: Annotated[int, typer.Option(min=1, help="take every n-th frame")] = 1,
    sharp: Annotated[bool, typer.Option("--sharp", help="of every n frames take the sharpest, not the first")] = False,
) -> None:
    """Recognizes the format of a scan, and writes it as color/, depth/, pose/ and intrinsic/.

    Reads the scan, writes the folder, whole or not at all. Then: make own/<name>. Exit code 2: the scan cannot be
    read, or the folder exists, in one sentence.
    """
    from panrecon.datasets.importers import all_importers
    from panrecon.datasets.importers.lenses import rectified
    from panrecon.datasets.importers.orientation import common_quarter_turns, turned
    from panrecon.datasets.importers.origin import near_origin
    from panrecon.datasets.importers.write import posed_frames, sharpest_frames, write_source

    with exit_on_input_error():
        source_path = path.expanduser()
        folder = (out or OWN_SCANS / name_of(source_path)).expanduser()
        if folder.exists():
            raise InputError(f"{folder} exists already; remove it, or name another folder with --out.")
        importer, reason = choose_importer(all_importers(), source_path, kind)
        _print(f"{source_path} is read as {importer.name}: {reason}")
        stored = importer.read(source_path)
        quarter_turns, turn_notes = common_quarter_turns(stored.frames)
        source, origin = near_origin(turned(rectified(stored), quarter_turns))
        notes = [*source.notes, *turn_notes]
        for note in notes:
            _print(note)
        posed = posed_frames(source)
        without_pose = len(source.frames) - len(posed)
        frames = posed[::stride]
        if sharp:
            frames = sharpest_frames(posed, stride, lambda groups: track(groups, "import: sharpness", len(groups)))
        record = {
            "format": importer.name,
            "frames": len(frames),
            "without_pose": without_pose,
            "origin": origin,
            "notes": notes,
        }
        for note in write_source(
            folder, source, frames, lambda items: track(items, "import: frames", len(items)), record
        ):
            _print(note)
    left_out = f"; {without_pose} frames without a pose left out" if without_pose else ""
    _print(f"{len(frames)} frames in {folder}{left_out}")
    if folder.parent == OWN_SCANS:
        has_masks = (folder / "detections.json").exists()
        masks = "" if has_masks else "put detections.json there or choose masks.backend=grounded_sam, then "
        _print(f"next: {masks}make own/{folder.name}")


def name_of(path: Path) -> str:
    """The name of a scan: its folder's, or its file's without suffix."""
    resolved = path.resolve()
    return resolved.name if resolved.is_dir() else resolved.stem


def choose_importer(importers: "tuple[Importer, ...]", path: Path, kind: str | None) -> "tuple[Importer, str]":
    """The importer named by `kind`, else the only one that recognizes the scan, and the reason in words.

    Raises:
        InputError: there is no such path or format, or not exactly one importer recognizes the scan.
    """
    if not path.exists():
        raise InputError(f"There is no scan {path}; name its folder or file.")
    if kind is not None:
        named = next((importer for importer in importers if importer.name == kind), None)
        if named is None:
            names = ", ".join(importer.name for importer in importers)
            raise InputError(f"There is no format {kind!r}; there are {names}.")
        return named, "by --format"
    recognized = [(importer, reason) for importer in importers if (reason := importer.recognise(path)) is not None]
    if len(recognized) > 1:
        names = ", ".join(f"{importer.name} ({reason})" for importer, reason in recognized)
        raise InputError(f"{path} may be {names}; choose with --format.")
    if not recognized:
        raise InputError(unknown_format(importers, path))
    return recognized[0]


def unknown_format(importers: "tuple[Importer, ...]", path: Path) -> str:
    """What to say of a path that no importer recognizes: the format of which it has the largest share of the files."""

    def share(importer: "Importer") -> float:
        present = [any(path.glob(pattern)) for pattern in importer.files] if path.is_dir() else []
        return sum(present) / len(importer.files)

    name = str(path) if len(str(path)) <= LONGEST_PATH else f"...{str(path)[3 - LONGEST_PATH :]}"
    nearest = max(importers, key=share)
    if share(nearest) == 0:
        return f"{name} holds no file of any of {len(importers)} known formats; see docs/scan.md, or write a scan.yaml."
    return f"{name} is not known; nearest is {nearest.name}: {nearest.needs}; or write scan.yaml."


def _print(text: str) -> None:
    console.print(text, highlight=False, soft_wrap=True, markup=False)
