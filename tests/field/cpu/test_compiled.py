"""Laws of when the kernels of the field are compiled; in which process, `tests/test_wheel.py` shows."""

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest

from panrecon.field.cpu import compiled


@pytest.fixture
def compilations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The commands of the compiling processes that were started, none of which compiles; the cache is empty."""
    commands: list[list[str]] = []

    def compile_nothing(command: list[str], **_: object) -> "subprocess.CompletedProcess[str]":
        time.sleep(0.2)
        commands.append(command)
        return subprocess.CompletedProcess(command, 0, "", "")

    kernel = SimpleNamespace(stats=SimpleNamespace(cache_path=str(tmp_path / "cache")))
    monkeypatch.setattr(compiled, "KERNELS", (kernel,))
    monkeypatch.setattr(subprocess, "run", compile_nothing)
    return commands


def test_of_several_that_ask_at_the_same_time_one_compiles(compilations: list[list[str]]) -> None:
    with ThreadPoolExecutor(3) as pool:
        for request in [pool.submit(compiled.ensure_compiled) for _ in range(3)]:
            request.result()
    compiled.ensure_compiled()
    assert len(compilations) == 1


def test_other_sources_are_compiled_anew(compilations: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    compiled.ensure_compiled()
    monkeypatch.setattr(compiled, "_cache_key", lambda: "of another source")
    compiled.ensure_compiled()
    assert len(compilations) == 2


def test_kernels_that_cannot_be_compiled_are_an_error_every_time(
    compilations: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(command: list[str], **_: object) -> "subprocess.CompletedProcess[str]":
        return subprocess.CompletedProcess(command, 1, "", "no such instruction")

    with monkeypatch.context() as patch:
        patch.setattr(subprocess, "run", fail)
        for _ in range(2):
            with pytest.raises(RuntimeError, match="no such instruction"):
                compiled.ensure_compiled()
    compiled.ensure_compiled()
    assert len(compilations) == 1


def test_what_was_deleted_from_the_cache_is_compiled_again(compilations: list[list[str]], tmp_path: Path) -> None:
    kernel = tmp_path / "cache" / f"mlp_kernels.forward-1.py{sys.version_info.major}{sys.version_info.minor}.1.nbc"
    kernel.parent.mkdir()
    kernel.touch()
    for _ in range(2):
        compiled.ensure_compiled()
    assert len(compilations) == 1
    kernel.unlink()
    compiled.ensure_compiled()
    assert len(compilations) == 2


def test_sources_of_another_date_are_compiled_anew(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Numba takes their kernels for old ones."""
    source = tmp_path / "kernels.py"
    source.touch()
    monkeypatch.setattr(compiled, "SOURCES", (SimpleNamespace(__file__=str(source)),))
    before = compiled._cache_key()
    assert compiled._cache_key() == before
    os.utime(source, (0, 0))
    assert compiled._cache_key() != before
