"""Laws of what a process counts of its memory."""

from pathlib import Path

import numpy as np
import pytest

from panrecon import memory
from panrecon.memory import available_memory, memory_now, peak_memory, reset_peak_memory

BIG = 200 << 20


def test_the_peak_keeps_what_was_freed_until_it_is_reset() -> None:
    reset_peak_memory()
    before = peak_memory()
    block = np.ones(BIG, np.uint8)
    assert memory_now() > before + BIG // 2
    del block
    assert peak_memory() > before + BIG // 2
    reset_peak_memory()
    assert peak_memory() < before + BIG // 2


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of control groups; this process is in job/step, on a machine with 5,000 kB left."""
    (tmp_path / "membership").write_text("0::/job/step\n")
    (tmp_path / "machine").write_text("MemTotal: 9000 kB\nMemAvailable: 5000 kB\n")
    for name in ("MEMBERSHIP", "MACHINE", "GROUPS"):
        monkeypatch.setattr(memory, name, tmp_path / name.lower())
    (tmp_path / "groups" / "job" / "step").mkdir(parents=True)
    return tmp_path / "groups"


def limit(group: Path, limit: str, use: int, cached: int = 0) -> None:
    files = {"max": limit, "current": str(use), "stat": f"anon 7\ninactive_file {cached}\nactive_file 3\n"}
    for name, text in files.items():
        (group / f"memory.{name}").write_text(text + "\n")


def test_without_a_limit_the_machine_bounds_what_is_available(groups: Path) -> None:
    assert available_memory() == 5000 * 1024
    limit(groups / "job", "max", 400)
    assert available_memory() == 5000 * 1024
    (groups.parent / "membership").unlink()
    assert available_memory() == 5000 * 1024


def test_the_narrowest_control_group_bounds_it_and_files_that_were_read_count_as_free(groups: Path) -> None:
    limit(groups, "100000", 10_000)
    limit(groups / "job", "9000", 4_000, cached=500)
    limit(groups / "job" / "step", "8000", 1_000)
    assert available_memory() == 9000 - 4000 + 500
    limit(groups / "job" / "step", "8000", 8_100)
    assert available_memory() == 0
