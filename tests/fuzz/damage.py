"""Ways in which files of users are damaged, each drawn from a generator."""

from collections.abc import Callable
from typing import Final

import numpy as np

Damage = Callable[[np.random.Generator, bytes], bytes]
NUMBERS: Final = (b"nan", b"inf", b"-1", b"1e308", b"0", b"9" * 5_000, b"99999999999", b"-0.5", b"1e-320", b"true")
WORDS: Final = (b"null", b"{}", b"[]", b'"x"', b"\x1b]0;x\x07", b"\xff\xfe", b"\x00" * 8, b"../../x", b"[" * 3_000)


def cut(rng: np.random.Generator, content: bytes) -> bytes:
    """Without its end, or empty."""
    return content[: int(rng.integers(0, max(len(content), 1)))]


def flip_bits(rng: np.random.Generator, content: bytes) -> bytes:
    """With a few bits the other way."""
    damaged = bytearray(content)
    for position in rng.integers(0, max(len(content), 1), int(rng.integers(1, 9))) if content else ():
        damaged[int(position)] ^= 1 << int(rng.integers(8))
    return bytes(damaged)


def replace_number(rng: np.random.Generator, content: bytes) -> bytes:
    """With a run of digits replaced by what is no usual number; bytes without digits are cut."""
    starts = [i for i in range(len(content)) if content[i : i + 1].isdigit() and not content[i - 1 : i].isdigit()]
    if not starts:
        return cut(rng, content)
    start = starts[int(rng.integers(len(starts)))]
    end = start
    while content[end : end + 1].isdigit():
        end += 1
    return content[:start] + NUMBERS[int(rng.integers(len(NUMBERS)))] + content[end:]


def insert_words(rng: np.random.Generator, content: bytes) -> bytes:
    """With something of another kind somewhere in it."""
    position = int(rng.integers(0, len(content) + 1))
    return content[:position] + WORDS[int(rng.integers(len(WORDS)))] + content[position:]


def repeat_part(rng: np.random.Generator, content: bytes) -> bytes:
    """With a part of it twice."""
    start, end = sorted(int(position) for position in rng.integers(0, len(content) + 1, 2))
    return content[:end] + content[start:end] + content[end:]


def encode_otherwise(_: np.random.Generator, content: bytes) -> bytes:
    """In UTF-16."""
    return content.decode("latin-1").encode("utf-16")


DAMAGES: Final[tuple[Damage, ...]] = (cut, flip_bits, replace_number, insert_words, repeat_part, encode_otherwise)
