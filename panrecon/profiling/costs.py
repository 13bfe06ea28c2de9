"""What stages cost, and how it is measured."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Cost:
    """Of one stage: wall time, and the size of what it leaves on disk (bytes)."""

    seconds: float
    disk: float = 0.0


@dataclass(frozen=True)
class Estimate:
    """By stage, and what all of them need to come up.

    `memory` is the greatest of any stage's process (bytes); `frames` and `vertices` are the whole scan's; `notes` say
    what else should be known of these numbers, a sentence each.
    """

    frames: int
    vertices: int
    costs: dict[str, Cost]
    memory: float
    notes: tuple[str, ...] = ()


def now() -> float:
    """A moment, in seconds since any other."""
    return time.perf_counter()


def timed(work: Callable[[], T]) -> tuple[float, T]:
    """How long it takes (s), and what comes of it."""
    started = now()
    result = work()
    return now() - started, result


def size_of(path: Path) -> float:
    """Bytes of a file, or of all files of a folder."""
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return float(sum(file.stat().st_size for file in files))
