"""Laws of locks: one process at a time, for as long as the process or a child with its descriptor lives."""

import errno
import fcntl
import subprocess
import sys
from pathlib import Path

import pytest

from panrecon.errors import InputError
from panrecon.terminal import locked


def test_a_lock_keeps_others_out_until_it_is_released(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "room"
    with locked(folder, "run"):
        with pytest.raises(InputError, match=r"Another process is at work on .*room \(run\); wait for it or stop it\."):
            locked(folder, "run", "stop it").__enter__()
        with locked(folder, "mesh"):  # a lock of another name
            pass
    with locked(folder, "run"):
        pass


def test_a_child_with_the_descriptor_holds_the_lock_after_its_parent(tmp_path: Path) -> None:
    wait_for_end_of_input = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    with locked(tmp_path, "run") as descriptor:
        child = subprocess.Popen(wait_for_end_of_input, stdin=subprocess.PIPE, pass_fds=[descriptor])
    with pytest.raises(InputError, match="Another process"):
        locked(tmp_path, "run").__enter__()
    child.communicate(timeout=60)
    with locked(tmp_path, "run"):
        pass


def test_a_file_system_without_locks_is_not_taken_for_another_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(InputError, match=r"no file can be locked \(No locks available\); choose another RUN\."):
        locked(tmp_path, "run").__enter__()
