"""Files of a frame, known by the numbers in their names and, where folders share numbers, by their folders."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from panrecon.errors import InputError


class FrameKey(NamedTuple):
    """What the files of a frame have in common: the number in their names and, where needed, their folders'."""

    folder: str
    number: str


def files_by_key(folder: Path, kinds: Sequence[Sequence[Path]]) -> list[dict[FrameKey, Path]]:
    """The files of every kind by frame: by their numbers alone if these tell the files of each kind apart.

    Raises:
        InputError: two files of a kind have one number in one folder.
    """
    by_number = [{FrameKey("", number_in(path)): path for path in paths} for paths in kinds]
    if all(len(files) == len(paths) for files, paths in zip(by_number, kinds, strict=True)):
        return by_number
    return [files_by_folder_and_number(folder, paths) for paths in kinds]


def files_by_folder_and_number(folder: Path, paths: Sequence[Path]) -> dict[FrameKey, Path]:
    """The files of one kind by what tells their folders apart and by number, in the order of both.

    Raises:
        InputError: two files have one number in one folder.
    """
    parents = [path.relative_to(folder).parent.parts for path in paths]
    common = set.intersection(*(set(parts) for parts in parents))
    path_of_key: dict[FrameKey, Path] = {}
    for path, parts in zip(paths, parents, strict=True):
        key = FrameKey("/".join(digits_or_all(part) for part in parts if part not in common), number_in(path))
        first = path_of_key.setdefault(key, path)
        if first != path:
            raise InputError(
                f"{first.relative_to(folder)} and {path.relative_to(folder)} have one number, {key.number}; give every "
                "frame its own."
            )
    return dict(sorted(path_of_key.items(), key=lambda item: (natural(item[0].folder), natural(item[0].number))))


def natural(name: str) -> list[tuple[bool, int, str]]:
    """What sorts names by the numbers in them, and before names without."""
    return [(not part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in name.split("/")]


def renumbered_notes(keys: Sequence[FrameKey], folders: Sequence[Path]) -> list[str]:
    """What to say of frames of several folders, which are those of their images."""
    if len({key.number for key in keys}) == len(keys):
        return []
    first_of_folder: dict[Path, int] = {}
    for index, folder in enumerate(folders):
        first_of_folder.setdefault(folder, index)
    starts = [f"{folder} from {index:06d}" for folder, index in first_of_folder.items()]
    listed = ", ".join(starts[:3]) + (" ..." if len(starts) > 3 else "")
    return [f"The frames of {len(starts)} folders share numbers and are numbered anew: {listed}."]


def number_in(path: Path) -> str:
    """The digits of a file's stem without leading zeros, or the stem where it has none."""
    return digits_or_all(path.stem)


def digits_or_all(name: str) -> str:
    """The digits of a name without leading zeros, or the name where it has none."""
    digits = "".join(character for character in name if character.isdecimal())
    return str(int(digits)) if digits else name
