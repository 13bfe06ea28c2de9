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


@pytest.mark.parametrize(("limit", "use", "expected"), [("1000", "400", 600), ("100", "400", 0)])
def test_a_control_group_bounds_what_is_available(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, use: str, expected: int
) -> None:
    for name, text in {"GROUP_LIMIT": limit, "GROUP_USE": use}.items():
        (tmp_path / name).write_text(text)
        monkeypatch.setattr(memory, name, tmp_path / name)
    assert available_memory() == expected


def test_without_a_limit_the_machine_bounds_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "limit").write_text("max")
    monkeypatch.setattr(memory, "GROUP_LIMIT", tmp_path / "limit")
    unlimited = available_memory()
    monkeypatch.setattr(memory, "GROUP_LIMIT", tmp_path / "nowhere")
    assert available_memory() == pytest.approx(unlimited, rel=0.5)
    assert unlimited > 1 << 20
