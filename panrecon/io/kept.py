"""Decoded images kept in memory while a run works on them: every frame is decoded once where memory allows."""

from collections import OrderedDict
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
    """The images used last, up to `limit` bytes; of all threads."""

    def __init__(self, limit: int) -> None:
        self._limit, self._size = limit, 0
        self._images: OrderedDict[Key, np.ndarray] = OrderedDict()
        self._lock = Lock()

    def image(self, path: Path, flags: int, decode: Callable[[Path, int], np.ndarray]) -> np.ndarray:
        """The decoded file, not to be written to: the one kept if it is still the same file, else a new one."""
        status = path.stat()
        key = (flags, status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size)
        with self._lock:
            if key in self._images:
                self._images.move_to_end(key)
                return self._images[key]
        image = decode(path, flags)
        image.flags.writeable = False
        with self._lock:
            if key not in self._images:
                self._images[key] = image
                self._size += image.nbytes
            while self._size > self._limit:
                self._size -= self._images.popitem(last=False)[1].nbytes
        return image


def kept_limit() -> int:
    """The bytes of images that are kept where memory is as free as now."""
    return int(min(SHARE * available_memory(), LIMIT))


_kept: list[KeptImages] = []


@contextmanager
def images_kept() -> Iterator[None]:
    """Inside the context decoded images are kept, in a share of the memory that is available when it begins."""
    _kept.append(KeptImages(kept_limit()))
    try:
        yield
    finally:
        _kept.pop()


def decoded(path: Path, flags: int, decode: Callable[[Path, int], np.ndarray]) -> np.ndarray:
    """The decoded file, not to be written to, of those kept where images are."""
    return _kept[-1].image(path, flags, decode) if _kept and path.is_file() else decode(path, flags)
