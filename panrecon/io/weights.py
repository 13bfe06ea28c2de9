"""Where the checkpoints of foreign networks lie, and the sizes and checksums of those that exist."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from panrecon.errors import InputError
from panrecon.io.files import read_json, write_json
from panrecon.networks.checkpoints import CHECKPOINTS, Checkpoint, RemoteFile, sha256_of

VARIABLE: Final = "PANRECON_WEIGHTS"
CHECKSUMS: Final = "checksums.json"  # beside the checkpoints: size and SHA-256 of what was downloaded


def weights_folder() -> Path:
    """The folder of all checkpoints: environment variable PANRECON_WEIGHTS, else `panrecon` in the user's cache."""
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(os.environ.get(VARIABLE) or f"{cache}/panrecon").expanduser().absolute()


def weights_files(name: str | Path) -> list[Path]:
    """Where the files of a checkpoint lie, whether they exist or not; a path stands for weights of the user's own."""
    if isinstance(name, Path):
        return [name] if name.is_file() or name.suffix == ".pth" else [name / "config.json", name / "model.safetensors"]
    return list(checkpoint(name).paths(weights_folder()).values())


def find_weights(name: str | Path) -> Path:
    """The folder of a Hugging Face checkpoint, the file of another. Sizes are checked, checksums are not.

    Raises:
        InputError: a file is missing or of the wrong size.
    """
    if isinstance(name, Path):
        missing = next((path for path in weights_files(name) if not path.is_file()), None)
        if missing is not None:
            raise InputError(f"The weights {missing} do not exist; name a .pth file, or a folder that holds this file.")
        return name
    folder = weights_folder()
    known = known_files(checkpoint(name), folder)
    faults = {file: file.fault(path) for file, path in known.items()}
    wrong = [f"{known[file]} {fault} (it comes from {file.url})" for file, fault in faults.items() if fault]
    if wrong:
        raise InputError(f"{' and '.join(wrong)}; put it there, or run `make weights ONLY={name}`.")
    return folder / name


def record_of(name: str | Path) -> dict[str, Any]:
    """The record of an existing checkpoint for a run's settings.json; its files are hashed, gigabytes in seconds.

    Raises:
        InputError: a file is not the one that is pinned or was downloaded.
    """
    if isinstance(name, Path):
        own = {path.name: {"size": path.stat().st_size, "sha256": sha256_of(path)} for path in weights_files(name)}
        return {"name": str(name), "license": "not known", "source": "the user's own", "files": own}
    published = checkpoint(name)
    files = {}
    for file, path in known_files(published, weights_folder()).items():
        fault = file.fault(path, content=True)
        if fault:
            raise InputError(f"{path} {fault}; run `make weights ONLY={name}`, or name it as weights of your own.")
        files[file.name] = {"url": file.url, "size": path.stat().st_size, "sha256": file.sha256 or sha256_of(path)}
    return {"name": name, "license": published.license, "source": published.source, "files": files}


def checkpoint(name: str) -> Checkpoint:
    """The published checkpoint of this name.

    Raises:
        InputError: there is none.
    """
    if name not in CHECKPOINTS:
        raise InputError(f"There is no checkpoint {name!r}; `panrecon weights` lists them.")
    return CHECKPOINTS[name]


def known_files(published: Checkpoint, folder: Path) -> dict[RemoteFile, Path]:
    """The paths of its files, which have the size and checksum recorded at download where none is pinned."""
    recorded = _checksums(folder)
    known = {}
    for file, path in published.paths(folder).items():
        own = recorded.get(_key(path, folder), {})
        known[replace(file, size=file.size or own.get("size"), sha256=file.sha256 or own.get("sha256"))] = path
    return known


def _checksums(folder: Path) -> dict[str, Any]:
    path = folder / CHECKSUMS
    try:
        content = read_json(path) if path.is_file() else {}
    except PermissionError as error:
        raise InputError(f"{folder} cannot be read: {error.strerror}; mend its rights, or set {VARIABLE}.") from error
    if not (isinstance(content, dict) and all(isinstance(record, dict) for record in content.values())):
        raise InputError(f"{path} does not hold sizes and checksums; delete it.")
    return content


def record_download(path: Path, folder: Path, size: int, sha256: str) -> None:
    """Records size (bytes) and checksum of a downloaded file, so that it can be verified later."""
    record = {_key(path, folder): {"size": size, "sha256": sha256}}
    write_json(folder / CHECKSUMS, dict(sorted((_checksums(folder) | record).items())))


def _key(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()
