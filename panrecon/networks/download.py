"""One file from the web, whole and verified; a download that was cut or killed goes on where it ended."""

import re
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from panrecon.errors import InputError
from panrecon.networks.checkpoints import RemoteFile

if TYPE_CHECKING:
    from requests import RequestException, Response

TIMEOUTS: Final = (10.0, 60.0)  # seconds: until there is a connection, until the next bytes come
ATTEMPTS: Final = 3
PAUSE: Final = 1.0  # seconds between two attempts
CHUNK: Final = 1 << 20  # bytes

Advance = Callable[[int, int | None], None]  # takes the bytes that are there and those of the whole file


def download(file: RemoteFile, path: Path, advance: Advance) -> RemoteFile:
    """Puts the file at `path`, or changes nothing there; gives it with what the server stated where nothing is pinned.

    Raises:
        InputError: it cannot be had, or is not what it should be.
    """
    part = part_of(path)
    stated = _transfer_patiently(file, path, advance)
    if fault := stated.fault(part, content=True):
        part.unlink()
        raise InputError(
            f"What came from {file.url} {fault}, and was removed; try again, or put the right one at {path}."
        )
    part.replace(path)
    return stated


def part_of(path: Path) -> Path:
    """Where a file grows until it is whole."""
    return path.with_name(f"{path.name}.part")


def _transfer_patiently(file: RemoteFile, path: Path, advance: Advance) -> RemoteFile:
    """As `_transfer`; a connection that fails is tried again."""
    import requests

    for attempt in range(1, ATTEMPTS + 1):
        try:
            return _transfer(file, part_of(path), advance)
        except requests.RequestException as error:
            if attempt == ATTEMPTS or _final(error):
                raise InputError(
                    f"{file.url} cannot be downloaded: {_reason(error)}; "
                    f"get it on another machine and put it at {path}."
                ) from error
        time.sleep(PAUSE)
    raise AssertionError("the last attempt returns or raises")


def _final(error: "RequestException") -> bool:
    """Whether the server's answer would be the same another time."""
    return error.response is not None and error.response.status_code not in (429, 500, 502, 503, 504)


def _reason(error: "RequestException") -> str:
    import requests

    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"the server answers {error.response.status_code} {error.response.reason}"
    return "the server is too slow" if isinstance(error, requests.Timeout) else "there is no connection"


def _transfer(file: RemoteFile, part: Path, advance: Advance) -> RemoteFile:
    """Appends to `part` what it lacks."""
    import requests

    start = part.stat().st_size if part.is_file() else 0
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
    with requests.get(file.url, headers=headers, stream=True, timeout=TIMEOUTS) as response:
        stated = _stated(file, response)
        if start and response.status_code == requests.codes.requested_range_not_satisfiable:
            if start == stated.size:
                return stated
            part.unlink()
            return _transfer(file, part, advance)
        response.raise_for_status()
        part.parent.mkdir(parents=True, exist_ok=True)
        with part.open("ab" if response.status_code == requests.codes.partial_content else "wb") as output:
            for chunk in response.iter_content(CHUNK):
                output.write(chunk)
                advance(output.tell(), stated.size)
    return stated


def _stated(file: RemoteFile, response: "Response") -> RemoteFile:
    """The file with what the server states where nothing is pinned.

    Hugging Face states the SHA-256 of large files as X-Linked-ETag, in the first of several answers.
    """
    total = response.headers.get("Content-Range", "").rpartition("/")[2] or response.headers.get("Content-Length", "")
    tags = (answer.headers.get("X-Linked-ETag", "").strip('"').lower() for answer in (*response.history, response))
    sha256 = next((tag for tag in tags if re.fullmatch("[0-9a-f]{64}", tag)), None)
    return replace(file, size=file.size or (int(total) if total.isdigit() else None), sha256=file.sha256 or sha256)
