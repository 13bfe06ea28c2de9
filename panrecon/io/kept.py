"""Decoded images kept in memory while a run works on them: every frame is decoded once where memory allows."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Final

import numpy as np

from panrecon.memory import available_memory

SHARE: Final = 0.25  # of the memory that is available at the start
LIMIT: Final = 4 << 30  # bytes

Key = tuple[int, ...]


class KeptImages:
    """The first images that were asked for, up to `limit` bytes; of all threads.

    Those that come later are not kept: a scan is read from its first frame to its last again and again, and would push
    out every frame before it is asked for.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._size = 0
        self._images: dict[Key, np.ndarray] = {}
        self._lock = Lock()

    def image(self, path: Path, flags: int, decode: Callable[[Path, int], np.ndarray]) -> np.ndarray:
        """The decoded file, not to be written to: the one kept if it is still the same file, else a new one."""
        status = path.stat()
        key = (flags, status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size)
        kept = self._images.get(key)
        if kept is not None:
            return kept
        image = decode(path, flags)
        image.flags.writeable = False
        with self._lock:
            if key not in self._images and self._size + image.nbytes <= self._limit:
                self._images[key] = image
                self._size += image.nbytes
        return image


def kept_limit() -> int:
    """The bytes of images that are kept where memory is as free as now."""
    return int(min(SHARE * available_memory(), LIMIT))


_stores: list[KeptImages] = []  # one for every context that is open; all use the first
_lock = Lock()


@contextmanager
def images_kept() -> Iterator[None]:
    """Inside the context decoded images are kept, in a share of the memory that is available when it begins.

    Contexts that overlap share one store, which goes with the last of them.
    """
    with _lock:
        own = _stores[0] if _stores else KeptImages(kept_limit())
        _stores.append(own)
    try:
        yield
    finally:
        with _lock:
            _stores.remove(own)


def decoded(path: Path, flags: int, decode: Callable[[Path, int], np.ndarray]) -> np.ndarray:
    """The decoded file, not to be written to, of those kept where images are."""
    for store in _stores[:1]:
        if path.is_file():
            return store.image(path, flags, decode)
    return decode(path, flags)
