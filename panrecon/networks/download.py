"""One file from the web, whole and verified; a download that was cut or killed resumes where it ended.

huggingface_hub sends the requests, for the files of other servers too: its retries, progress bars, HF_ENDPOINT,
HF_HUB_OFFLINE and HF_TOKEN apply. Its `hf_hub_download` does not resume what comes over Xet, so it is not used.
"""

import logging
import time
from dataclasses import replace
from io import BufferedWriter, FileIO
from pathlib import Path
from queue import Empty, Queue
from threading import Thread
from traceback import clear_frames
from typing import Any, BinaryIO, Final
from urllib.parse import urljoin

import requests
from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url
from huggingface_hub.errors import OfflineModeIsEnabled
from huggingface_hub.file_download import REGEX_SHA256, http_get
from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

from panrecon.errors import InputError
from panrecon.networks.checkpoints import RemoteFile, part_of

ATTEMPTS: Final = 3  # to get the rest of a file whose connection is cut; huggingface_hub makes others of its own
FIRST_ATTEMPTS: Final = 3  # to reach the server at all, a second apart; huggingface_hub would try for 23 s or more
ATTEMPT_SECONDS: Final = 2.0  # to connect to one address of the server; one that connects and is slower is there
MAX_SECONDS_TO_REACH: Final = 4.5  # all attempts together
CHUNK_BYTES: Final = 16_384  # written at a time: of a connection that breaks less than this is lost


class _LimitedFile(BufferedWriter):
    """A file to append to that takes `limit` bytes in all, those that are there too; None: any number."""

    def __init__(self, path: Path, limit: int | None) -> None:
        super().__init__(FileIO(path, "ab"))
        self.limit = limit

    def write(self, content: Any) -> int:
        if self.limit is not None and self.tell() + memoryview(content).nbytes > self.limit:
            raise _OverlongError
        return super().write(content)


class _OverlongError(Exception):
    """More came than the file has."""


def download(file: RemoteFile, path: Path) -> RemoteFile:
    """Puts the file at `path`, or changes nothing there; gives it with what the server stated where nothing is pinned.

    Raises:
        InputError: it cannot be had, or is not what it should be.
        OSError: it cannot be written.
    """
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # not a warning for every attempt
    constants.HF_HUB_ENABLE_HF_TRANSFER = False  # it writes past all limits, and leaves holes if it is cut
    constants.DOWNLOAD_CHUNK_SIZE = CHUNK_BYTES
    part = part_of(path)
    part.parent.mkdir(parents=True, exist_ok=True)
    try:
        stated = _transfer(file, part)
    except _OverlongError as error:
        part.unlink()
        raise InputError(
            f"What comes from {file.url} is longer than the file should be, and was removed; "
            f"try again, or put the right one at {path}."
        ) from error
    except (requests.RequestException, OfflineModeIsEnabled, RecursionError) as error:
        raise InputError(
            f"{file.url} cannot be downloaded: {_reason(error)}; get it on another machine and put it at {path}."
        ) from error
    if fault := stated.fault(part, content=True):
        part.unlink()
        raise InputError(
            f"What came from {file.url} {fault}, and was removed; try again, or put the right one at {path}."
        )
    part.replace(path)
    return stated


def _transfer(file: RemoteFile, part: Path) -> RemoteFile:
    """Appends to `part` what it lacks; gives the file with what Hugging Face states where nothing is pinned.

    Hugging Face's tag of a large file is its SHA-256, that of a small one a hash of git, which is none.
    """
    if file.revision is None:
        _require_answer(file.url)
        _append(part, file.url, file.size, {})
        return file
    url = hf_hub_url(file.revision.repository, file.name, revision=file.revision.commit)
    _require_answer(url)
    metadata = get_hf_file_metadata(url)
    tag = (metadata.etag or "").lower()
    sha256 = tag if REGEX_SHA256.match(tag) else None
    _append(part, url, file.size or metadata.size, build_hf_headers())
    return replace(file, size=file.size or metadata.size, sha256=file.sha256 or sha256)


def _require_answer(url: str) -> None:
    """Has the server of `url`, or the proxy before it, answer anything at all before a download with its retries.

    In a thread of its own, for looking up a name has no timeout, and every address of the name its own.

    Raises:
        requests.ConnectionError: nothing answers.
    """
    if constants.HF_HUB_OFFLINE:
        return  # the request that follows says so
    answers: Queue[bool] = Queue()
    Thread(target=lambda: answers.put(_answers(urljoin(url, "/"))), daemon=True).start()
    try:
        is_there = answers.get(timeout=MAX_SECONDS_TO_REACH)
    except Empty:
        is_there = False
    if not is_there:
        raise requests.ConnectionError(f"{url} is out of reach")


def _answers(url: str) -> bool:
    """Whether the server answers, be it by an error or too slowly."""
    for attempt in range(FIRST_ATTEMPTS):
        if attempt:
            time.sleep(1)
        try:
            requests.head(url, timeout=ATTEMPT_SECONDS).close()
        except requests.ConnectionError:
            continue
        except requests.Timeout:
            return True
        return True
    return False


def _append(part: Path, url: str, size: int | None, headers: dict[str, str]) -> None:
    """Appends the rest of the file at `url`, which is `size` bytes long; a connection that is cut is made again."""
    uncompressed = headers | {"Accept-Encoding": "identity"}  # so that bytes on disk are bytes of the range
    for attempt in range(1, ATTEMPTS + 1):
        try:
            with _LimitedFile(part, size) as output:
                start = output.tell()
                if size is None or start < size:
                    _append_answer(output, url, start, uncompressed, part.stem)
        except requests.exceptions.ChunkedEncodingError:
            if attempt == ATTEMPTS:
                raise
        else:
            break


def _append_answer(output: BinaryIO, url: str, start: int, headers: dict[str, str], title: str) -> None:
    """Appends the file at `url` from byte `start` on; ends the connection, which `http_get` leaves open if it fails."""
    try:
        http_get(url, output, resume_size=start, headers=headers, displayed_filename=title)
    except (OSError, _OverlongError) as error:
        clear_frames(error.__traceback__)
        raise


def _reason(error: Exception) -> str:
    if isinstance(error, OfflineModeIsEnabled):
        return "HF_HUB_OFFLINE is set"
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"the server answers {error.response.status_code} {error.response.reason}"
    if isinstance(error, requests.TooManyRedirects | RecursionError):  # huggingface_hub follows relative ones itself
        return "the server redirects without end"
    return "the server is too slow" if isinstance(error, requests.Timeout) else "there is no connection"
