"""Checkpoints arrive whole, as pinned and only once, from a server on this machine."""

import hashlib
import json
import socket
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from unittest.mock import Mock, patch

import huggingface_hub.constants
import huggingface_hub.file_download
import numpy as np
import psutil
import pytest
import requests

from panrecon.cli import app
from panrecon.errors import InputError
from panrecon.io.weights import find_weights, record_of, weights_files, weights_folder
from panrecon.networks import download
from panrecon.networks.checkpoints import CHECKPOINTS, DEFAULTS, Checkpoint, RemoteFile, Revision, part_of
from panrecon.terminal import locked

CONTENT = np.random.default_rng(0).bytes(100_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
OTHER = hashlib.sha256(b"other").hexdigest()
COMMIT = "0123456789abcdef0123456789abcdef01234567"
GIT_HASH = "8ee3f1a5b8a1f0e6a0a1b1d7e3c7b0a4a2f5c9d1"
NAME = "network.pth"
ENDLESS_BYTES = 100_000_000


@dataclass
class Server:
    """What a server does, and what was asked of it; it is also an endpoint of Hugging Face."""

    url: str = ""
    content: bytes = CONTENT
    ranges: bool = True
    stated: str = GIT_HASH  # the tag of the file, as Hugging Face states it
    status: int = 200
    cuts: list[int] = field(default_factory=list)  # bytes after which each answer ends, from the first on
    starts: list[int] = field(default_factory=list)  # of the ranges that were asked for
    tokens: set[str | None] = field(default_factory=set)  # in all requests
    served: int = 0
    is_endless: bool = False  # the body of the file, be it
    is_gzip: bool = False
    redirects_to: str = ""

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        if request.path == "/":
            request.send_error(404)  # as any answer it shows that there is a server
            return
        self.tokens.add(request.headers.get("Authorization"))
        if self.status != 200:
            self.starts.append(0)
            request.send_error(self.status)
        elif self.redirects_to:
            request.send_response(302)
            request.send_header("Location", self.redirects_to)
            request.send_header("Content-Length", "0")
            request.end_headers()
        elif "/resolve/" in request.path:
            request.send_response(302)
            request.send_header("Location", f"{self.url}/{NAME}")
            request.send_header("X-Repo-Commit", request.path.split("/")[-2])
            request.send_header("X-Linked-ETag", f'"{self.stated}"')
            request.send_header("X-Linked-Size", str(len(self.content)))
            request.send_header("Content-Length", "0")
            request.end_headers()
        else:
            self._send(request)

    def _send(self, request: BaseHTTPRequestHandler) -> None:
        wanted = request.headers.get("Range", "bytes=0-") if self.ranges else "bytes=0-"
        start, size = int(wanted.removeprefix("bytes=").rstrip("-")), len(self.content)
        self.starts.append(start)
        if start >= size:
            request.send_response(416)
            request.send_header("Content-Range", f"bytes */{size}")
            request.send_header("Content-Length", "0")
            request.end_headers()
            return
        if self.is_endless:
            self._send_endless(request)
            return
        request.send_response(206 if start else 200)
        if start:
            request.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
        request.send_header("Content-Length", str(size - start))
        request.end_headers()
        sent = self.content[start:][: self.cuts.pop(0) if self.cuts else None]
        self.served += len(sent)
        request.wfile.write(sent)

    def _send_endless(self, request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        if self.is_gzip:
            request.send_header("Content-Encoding", "gzip")
        request.end_headers()
        packer = zlib.compressobj(wbits=31)
        with suppress(OSError):  # the client hangs up
            while self.served < ENDLESS_BYTES:
                self.served += len(CONTENT)
                request.wfile.write(packer.compress(bytes(len(CONTENT))) if self.is_gzip else CONTENT)
            request.wfile.write(packer.flush() if self.is_gzip else b"")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    told = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            told.answer(self)

        do_HEAD = do_GET

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(time, "sleep", lambda _: None)  # between attempts
    for constant in ("DOWNLOAD_CHUNK_SIZE", "HF_HUB_ENABLE_HF_TRANSFER"):  # which downloads set
        monkeypatch.setattr(huggingface_hub.constants, constant, getattr(huggingface_hub.constants, constant))
    monkeypatch.setattr(download, "CHUNK_BYTES", 1000)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        told.url = f"http://127.0.0.1:{http.server_port}"
        template = told.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(huggingface_hub.file_download, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        yield told
        http.shutdown()
        thread.join()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of all checkpoints, empty."""
    monkeypatch.setenv("PANRECON_WEIGHTS", str(tmp_path / "weights"))
    return tmp_path / "weights"


Register = Callable[..., Path]


def _add_checkpoint(monkeypatch: pytest.MonkeyPatch, remote: RemoteFile) -> None:
    monkeypatch.setitem(CHECKPOINTS, NAME, Checkpoint(NAME, "Licence-1.0", "https://source", (remote,)))


@pytest.fixture
def register_hub(server: Server, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Register:
    """Makes the server's file a checkpoint on Hugging Face; gives where it belongs."""

    def add(sha256: str | None = SHA256, size: int | None = len(CONTENT)) -> Path:
        url = f"https://huggingface.co/owner/network/resolve/{COMMIT}/{NAME}"
        _add_checkpoint(monkeypatch, RemoteFile(NAME, url, size, sha256, Revision("owner/network", COMMIT)))
        return folder / NAME

    return add


@pytest.fixture
def register_elsewhere(server: Server, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Register:
    """Makes the server's file a checkpoint that its authors published; gives where it belongs."""

    def add(sha256: str = SHA256, size: int = len(CONTENT), url: str = "") -> Path:
        _add_checkpoint(monkeypatch, RemoteFile(NAME, url or f"{server.url}/{NAME}", size, sha256))
        return folder / NAME

    return add


@pytest.fixture(params=["register_hub", "register_elsewhere"])
def register(request: pytest.FixtureRequest) -> Register:
    """Makes the server's file a checkpoint of either kind."""
    add: Register = request.getfixturevalue(request.param)
    return add


def exit_code(*arguments: str) -> int:
    """`panrecon weights <arguments>`, in this process."""
    with pytest.raises(SystemExit) as end:
        app(["weights", *arguments])
    return int(end.value.code or 0)


def assert_one_sentence(printed: str, *words: str) -> None:
    assert printed.startswith("error: "), printed
    assert printed.count("\n") == 1, printed
    for word in words:
        assert word in printed


def url_of_checkpoint() -> str:
    return CHECKPOINTS[NAME].files[0].url


def closed_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def test_every_checkpoint_has_a_licence_a_purpose_and_safe_urls() -> None:
    places = [path for one in CHECKPOINTS.values() for path in one.paths(Path("weights")).values()]
    assert len(set(places)) == len(places)
    assert set(DEFAULTS) <= set(CHECKPOINTS)
    for name, one in CHECKPOINTS.items():
        assert name == one.name
        assert one.license == "Apache-2.0"
        assert one.purpose.split(",")[0] in ("masks", "features")
        for file in one.files:
            assert file.url.startswith("https://")
            assert file.url.endswith(f"/{file.name}")
            assert file.sha256 is None or len(bytes.fromhex(file.sha256)) == 32
        safe = [file.name for file in one.files] == ["config.json", "model.safetensors"]
        assert safe or (one.files[0].sha256 and one.files[0].size)  # what may hold pickled code is pinned


def test_a_download_is_whole_verified_and_done_once(
    server: Server, register: Register, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = register()
    assert exit_code(NAME) == 0
    assert path.read_bytes() == CONTENT
    assert find_weights(NAME) == path
    assert not list(folder.glob("*.part"))
    assert json.loads((folder / "checksums.json").read_text()) == {NAME: {"size": len(CONTENT), "sha256": SHA256}}
    assert exit_code(NAME) == 0
    assert server.starts == [0]
    printed = capsys.readouterr().out
    assert printed.count("SHA-256 as pinned") == 2
    assert f"{NAME}: Licence-1.0, https://source" in printed


def test_a_cut_connection_goes_on_where_it_ended(server: Server, register: Register) -> None:
    path = register()
    server.cuts = [40_000, 30_000]
    assert exit_code(NAME) == 0
    assert path.read_bytes() == CONTENT
    assert server.starts == [0, 40_000, 70_000]
    assert server.served == len(CONTENT)


def test_a_failed_download_is_resumed_by_the_next(
    server: Server, register: Register, capsys: pytest.CaptureFixture[str]
) -> None:
    path = register()
    server.cuts = [10_000] * download.ATTEMPTS
    assert exit_code(NAME) == 2
    assert_one_sentence(capsys.readouterr().err, url_of_checkpoint(), str(path))
    assert not path.exists()
    assert exit_code(NAME) == 0
    assert path.read_bytes() == CONTENT
    assert server.served == len(CONTENT)


def test_a_server_without_ranges_starts_anew(server: Server, register: Register) -> None:
    path = register()
    server.ranges = False
    server.cuts = [40_000]
    assert exit_code(NAME) == 0
    assert path.read_bytes() == CONTENT
    assert server.served == 40_000 + len(CONTENT)


def test_a_download_killed_before_its_end_was_noticed_is_not_repeated(
    server: Server, register: Register, folder: Path
) -> None:
    path = register()
    folder.mkdir()
    part_of(path).write_bytes(CONTENT)
    assert exit_code(NAME) == 0
    assert path.read_bytes() == CONTENT
    assert server.served == 0


def test_more_than_the_whole_file_is_thrown_away(server: Server, register: Register, folder: Path) -> None:
    path = register()
    folder.mkdir()
    part_of(path).write_bytes(CONTENT + b"more")
    assert exit_code(NAME) == 2
    assert exit_code(NAME) == 0
    assert path.read_bytes() == CONTENT
    assert server.starts == [0]


@pytest.mark.parametrize("is_gzip", [False, True])
def test_a_body_longer_than_the_file_is_not_written(
    server: Server, register: Register, folder: Path, capsys: pytest.CaptureFixture[str], is_gzip: bool
) -> None:
    """However it is packed, and whatever was there of the file before."""
    register()
    server.is_endless = True
    server.is_gzip = is_gzip
    written = []
    write = download._LimitedFile.write
    with patch.object(download._LimitedFile, "write", lambda *given: written.append(write(*given))):
        assert exit_code(NAME) == 2
    assert_one_sentence(capsys.readouterr().err, url_of_checkpoint(), "longer than the file should be")
    assert sum(written) <= len(CONTENT)
    assert not list(folder.glob("*.p*"))


def test_of_a_connection_that_breaks_all_but_a_part_of_a_chunk_is_kept(server: Server, register: Register) -> None:
    path = register()
    server.cuts = [2 * download.CHUNK_BYTES + 50] * download.ATTEMPTS
    assert exit_code(NAME) == 2
    assert part_of(path).stat().st_size == 2 * download.CHUNK_BYTES * download.ATTEMPTS


@pytest.mark.parametrize("is_relative", [False, True])
def test_redirects_without_end_are_called_so(
    server: Server, register: Register, capsys: pytest.CaptureFixture[str], is_relative: bool
) -> None:
    register()
    server.redirects_to = "/round" if is_relative else f"{server.url}/round"
    assert exit_code(NAME) == 2
    assert_one_sentence(capsys.readouterr().err, url_of_checkpoint(), "redirects without end")


def test_a_wrong_checksum_leaves_nothing_and_says_both(
    server: Server, register: Register, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    register(sha256=OTHER)
    assert exit_code(NAME) == 2
    assert_one_sentence(capsys.readouterr().err, SHA256, OTHER, url_of_checkpoint())
    assert not list(folder.glob("*.p*"))


def test_a_wrong_size_leaves_nothing(register: Register, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    register(size=len(CONTENT) + 1)
    assert exit_code(NAME) == 2
    assert_one_sentence(capsys.readouterr().err, f"{len(CONTENT)} bytes, not {len(CONTENT) + 1}")
    assert not list(folder.glob("*.p*"))


def test_the_checksum_that_the_server_states_counts_where_none_is_pinned(
    server: Server, register_hub: Register, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = register_hub(None, None)
    server.stated = OTHER
    assert exit_code(NAME) == 2
    assert_one_sentence(capsys.readouterr().err, SHA256, OTHER)
    assert not path.exists()
    server.stated = SHA256
    assert exit_code(NAME) == 0
    assert "SHA-256 as the server states" in capsys.readouterr().out
    assert record_of(NAME)["files"][NAME]["sha256"] == SHA256


def test_where_no_checksum_is_known_it_is_said(
    server: Server, register_hub: Register, capsys: pytest.CaptureFixture[str]
) -> None:
    register_hub(None, None)
    assert server.stated == GIT_HASH  # which is no SHA-256
    assert exit_code(NAME) == 0
    assert "only its size verified" in capsys.readouterr().out


def test_a_file_that_changed_since_its_download_comes_anew(
    server: Server, register_hub: Register, capsys: pytest.CaptureFixture[str]
) -> None:
    path = register_hub(None, None)
    assert exit_code(NAME) == 0
    path.write_bytes(CONTENT[::-1])
    assert exit_code(NAME, "--no-download") == 2
    assert_one_sentence(capsys.readouterr().err, SHA256, str(path), url_of_checkpoint())
    assert exit_code(NAME) == 0
    assert path.read_bytes() == CONTENT
    assert exit_code(NAME) == 0
    assert "SHA-256 as at its download" in capsys.readouterr().out
    assert server.served == 2 * len(CONTENT)


def test_an_unpinned_file_put_there_by_hand_is_taken_and_its_checksum_shown(
    server: Server, register_hub: Register, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = register_hub(None, None)
    folder.mkdir()
    path.write_bytes(CONTENT)
    assert exit_code(NAME) == 0
    assert f"SHA-256 {SHA256}, not pinned" in capsys.readouterr().out
    assert not server.starts
    assert record_of(NAME)["files"][NAME] == {"url": url_of_checkpoint(), "size": 100_000, "sha256": SHA256}


@pytest.mark.parametrize("is_on_hub", [True, False])
def test_offline_the_sentence_names_the_file_and_its_place(
    register_hub: Register,
    register_elsewhere: Register,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    is_on_hub: bool,
) -> None:
    nowhere = f"http://127.0.0.1:{closed_port()}"
    template = nowhere + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(huggingface_hub.file_download, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    path = register_hub() if is_on_hub else register_elsewhere(url=f"{nowhere}/{NAME}")
    assert exit_code(NAME) == 2
    printed = capsys.readouterr()
    assert_one_sentence(printed.err, url_of_checkpoint(), "no connection", str(path), "another machine")
    assert f"{url_of_checkpoint()} -> {path}" in printed.out
    assert not path.exists()
    assert not path.parent.joinpath("checksums.json").exists()


def test_where_nothing_answers_it_is_said_before_the_attempts_end(
    server: Server, register: Register, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    register()
    monkeypatch.setattr(download, "MAX_SECONDS_TO_REACH", 0.1)
    test_is_over = threading.Event()

    def silence(*_: object, **__: object) -> None:
        test_is_over.wait()
        raise requests.ReadTimeout

    monkeypatch.setattr(requests, "head", silence)
    assert exit_code(NAME) == 2
    test_is_over.set()
    assert_one_sentence(capsys.readouterr().err, url_of_checkpoint(), "no connection")
    assert not server.starts


@pytest.mark.parametrize("failure", [requests.ConnectionError, requests.ReadTimeout])
def test_a_server_that_is_reached_late_or_slowly_is_asked(
    register: Register, monkeypatch: pytest.MonkeyPatch, failure: type[Exception]
) -> None:
    path = register()
    head = Mock(side_effect=[failure, Mock()])
    monkeypatch.setattr(requests, "head", head)
    assert exit_code(NAME) == 0
    assert path.read_bytes() == CONTENT
    assert head.call_count == (2 if failure is requests.ConnectionError else 1)


def test_a_refusal_is_not_asked_for_again(
    server: Server, register: Register, capsys: pytest.CaptureFixture[str]
) -> None:
    path = register()
    server.status = 404
    assert exit_code(NAME) == 2
    assert_one_sentence(capsys.readouterr().err, "404 Not Found", str(path))
    assert len(server.starts) == 1


WEIGHTS_OF_SERVER = """
import sys
from panrecon.commands.weights import weights
from panrecon.networks.checkpoints import CHECKPOINTS, Checkpoint, RemoteFile, Revision

name, url, commit = sys.argv[1:]
remote = RemoteFile(name, url, None, None, Revision("owner/network", commit))
CHECKPOINTS[name] = Checkpoint(name, "Licence-1.0", "https://source", (remote,))
weights([name])
"""


@pytest.mark.parametrize("is_offline", [False, True])
def test_endpoint_token_and_offline_mode_are_those_of_hugging_face(
    server: Server, register_hub: Register, monkeypatch: pytest.MonkeyPatch, is_offline: bool
) -> None:
    path = register_hub()
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setenv("HF_HUB_OFFLINE", str(int(is_offline)))
    command = [sys.executable, "-c", WEIGHTS_OF_SERVER, NAME, url_of_checkpoint(), COMMIT]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if is_offline:
        assert_one_sentence(done.stderr, "HF_HUB_OFFLINE is set", url_of_checkpoint(), str(path))
        assert done.returncode == 2
        assert not server.tokens
    else:
        assert (done.returncode, done.stderr) == (0, "")
        assert path.read_bytes() == CONTENT
        assert server.tokens == {"Bearer hf_secret"}


def test_a_full_disk_and_a_folder_that_is_none_are_one_sentence(
    register: Register, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = register()
    folder.mkdir()
    part_of(path).symlink_to("/dev/full")
    assert exit_code(NAME) == 2
    assert_one_sentence(capsys.readouterr().err, str(path), "No space left on device")
    part_of(path).unlink()
    (folder / ".weights.lock").unlink()
    folder.rmdir()
    folder.write_text("in the way")
    assert exit_code(NAME) == 2
    assert_one_sentence(capsys.readouterr().err, f"{folder} is a file; name a folder")


def test_no_connection_is_left_where_a_file_cannot_be_written(server: Server, register: Register, folder: Path) -> None:
    path = register()
    folder.mkdir()
    part_of(path).symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left") as held:  # with all that its frames hold
        download.download(CHECKPOINTS[NAME].files[0], path)
    connections = psutil.Process().net_connections("tcp")
    assert held.tb is not None
    assert server.url.split(":")[-1] not in {str(end.raddr.port) for end in connections if end.raddr}


def test_other_servers_do_not_see_the_token_of_hugging_face(
    server: Server, register_elsewhere: Register, monkeypatch: pytest.MonkeyPatch
) -> None:
    register_elsewhere()
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    assert exit_code(NAME) == 0
    assert server.tokens == {None}


@pytest.mark.parametrize("recorded", [False, True])
def test_a_truncated_file_is_found_out_before_it_is_loaded(register_hub: Register, recorded: bool) -> None:
    path = register_hub(None, None) if recorded else register_hub()
    assert exit_code(NAME) == 0
    path.write_bytes(CONTENT[:-1])
    with pytest.raises(InputError, match=r"has 99999 bytes, not 100000.*make weights ONLY=network\.pth"):
        find_weights(NAME)


def test_what_is_missing_is_named_with_its_url_and_place(folder: Path) -> None:
    config, tensors = CHECKPOINTS["dinov2-small"].files
    with pytest.raises(InputError) as told:
        find_weights("dinov2-small")
    for words in (config.url, tensors.url, *map(str, weights_files("dinov2-small"))):
        assert words in str(told.value)
    for path, size in zip(weights_files("dinov2-small"), (2, tensors.size or 0), strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            file.truncate(size)
    assert find_weights("dinov2-small") == folder / "dinov2-small"


def test_the_folder_is_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("PANRECON_WEIGHTS", "~/mine")
    assert weights_folder() == Path("/home/me/mine")
    assert weights_files(NAME := "sam_vit_h_4b8939.pth") == [Path("/home/me/mine") / NAME]
    monkeypatch.delenv("PANRECON_WEIGHTS")
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    assert weights_folder() == Path("/cache/panrecon")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert weights_folder() == Path("/home/me/.cache/panrecon")


def test_a_record_tells_licence_source_and_checksums(register_hub: Register) -> None:
    path = register_hub()
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(CONTENT)
    record = json.loads(json.dumps(record_of(NAME)))
    one = CHECKPOINTS[NAME]
    assert (record["name"], record["license"], record["source"]) == (NAME, one.license, one.source)
    assert record["files"] == {NAME: {"url": url_of_checkpoint(), "size": len(CONTENT), "sha256": SHA256}}


def test_a_file_that_is_not_what_is_pinned_is_not_recorded_as_that(register_hub: Register) -> None:
    path = register_hub()
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(bytes(len(CONTENT)))
    assert find_weights(NAME) == path  # its size is right
    with pytest.raises(InputError, match=r"has the SHA-256 .* not .*make weights ONLY=network\.pth"):
        record_of(NAME)


def test_the_folder_is_the_same_from_wherever_a_stage_works(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PANRECON_WEIGHTS", "cache")
    assert weights_folder() == tmp_path / "cache"


def test_checksums_that_are_none_are_one_sentence(register_hub: Register, folder: Path) -> None:
    register_hub()
    folder.mkdir()
    for content in ("[1, 2]", '{"network.pth": 3}'):
        (folder / "checksums.json").write_text(content)
        with pytest.raises(InputError, match=r"checksums\.json does not hold sizes and checksums; delete it"):
            find_weights(NAME)


def test_without_names_everything_is_listed_and_nothing_fetched(
    server: Server,
    register_hub: Register,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    path = register_hub()
    folder.mkdir()
    states = [("absent", None), ("incomplete", part_of(path)), ("damaged", path)]
    for state, written in states:
        if written:
            written.write_bytes(CONTENT[:5])
        assert exit_code() == 0
        lines = capsys.readouterr().out.splitlines()
        assert all(any(line.startswith(name) for line in lines) for name in CHECKPOINTS)
        assert next(line for line in lines if line.startswith(NAME)).split()[-2:] == ["Licence-1.0", state]
        assert next(line for line in lines if line.startswith("sam_vit_h")).split()[-3] == "2565"  # MB
    assert exit_code("--folder", str(folder), NAME) == 0
    assert exit_code() == 0
    assert " present" in next(line for line in capsys.readouterr().out.splitlines()[::-1] if line.startswith(NAME))
    assert len(server.starts) == 1


def test_another_folder_is_said_to_need_the_variable(
    register_hub: Register, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    register_hub()
    assert exit_code(NAME, "--folder", str(tmp_path / "other")) == 0
    assert (tmp_path / "other" / NAME).read_bytes() == CONTENT
    assert f"PANRECON_WEIGHTS={tmp_path / 'other'}" in capsys.readouterr().out


def test_the_default_set_is_what_is_asked_for(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("--default", "--no-download") == 2
    printed = capsys.readouterr()
    assert_one_sentence(printed.err, "grounding-dino-tiny")
    assert printed.out.count(" -> ") == 2 * len(DEFAULTS)
    assert not folder.exists()


def test_two_at_once_do_not_write_into_one_file(
    server: Server, register_hub: Register, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    register_hub()
    with locked(folder, "weights"):
        assert exit_code(NAME) == 2
    assert_one_sentence(capsys.readouterr().err, "Another process", str(folder))
    assert not server.starts


def test_an_unknown_name_is_one_sentence(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("sam-vit-hug") == 2
    assert_one_sentence(capsys.readouterr().err, "'sam-vit-hug'")
    with pytest.raises(InputError, match="no checkpoint"):
        find_weights("sam-vit-hug")


def test_looking_for_weights_needs_neither_the_stages_nor_the_web() -> None:
    heavy = "{'panrecon.workflow.script', 'huggingface_hub', 'requests', 'torch'}"
    code = f"import sys, panrecon.io.weights; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
