"""The small room, to be broken."""

from pathlib import Path

import pytest

from benchmarks.breaks import copied


@pytest.fixture
def room(raw_scenes: Path, tmp_path: Path) -> Path:
    """A copy of the room that may be changed."""
    return copied(raw_scenes / "room", tmp_path)
