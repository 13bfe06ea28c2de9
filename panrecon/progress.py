"""How algorithms tell of their progress: `with progress("frames", 100) as advance: ... advance(1)`."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import TypeVar

T = TypeVar("T")

Advance = Callable[[int], None]  # takes the number of steps done so far
Progress = Callable[[str, int], AbstractContextManager[Advance]]  # takes what is done, and in how many steps


def no_progress(what: str, total: int) -> AbstractContextManager[Advance]:
    """Shows nothing."""
    return nullcontext(lambda done: None)


def track(items: Iterable[T], progress: Progress, what: str, total: int) -> Iterator[T]:
    """The items one by one, each counted as done when the next is asked for."""
    with progress(what, total) as advance:
        for position, item in enumerate(items):
            yield item
            advance(position + 1)
