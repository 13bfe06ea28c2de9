"""Laws of JSON files of a user's: whatever is in them, they are read or refused in one sentence."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from panrecon.errors import InputError
from panrecon.io.files import read_arrays, read_json, write_arrays
from panrecon.terminal import printable


@pytest.mark.parametrize("content", [b"[" * 100_000, b"9" * 5_000, b"\xff\xfe{}", b"", b"{", b"NaN and more"])
def test_what_is_no_json_is_one_sentence(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(InputError, match="not JSON"):
        read_json(tmp_path / "a.json")


@settings(deadline=None)
@given(st.integers(0, 10_000), st.binary(min_size=1, max_size=8), st.booleans())
def test_damaged_arrays_are_read_or_refused(position: int, bytes_there: bytes, is_cut: bool) -> None:
    """Of a file that is cut, or overwritten somewhere."""
    import tempfile

    import numpy as np

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.npz"
        write_arrays(path, a=np.arange(40), b=np.ones((3, 2), np.float32))
        content = path.read_bytes()
        at = position % len(content)
        path.write_bytes(content[:at] if is_cut else content[:at] + bytes_there + content[at + len(bytes_there) :])
        try:
            read_arrays(path)
        except InputError as error:
            assert "a.npz" in str(error)


@given(st.text())
def test_what_is_printed_moves_no_cursor(text: str) -> None:
    assert all(letter.isprintable() or letter in "\n\t\ufffd" for letter in printable(text))
    assert printable("Stuhl, 椅子\n") == "Stuhl, 椅子\n"
    assert "\x1b" not in printable("\x1b]0;pwned\x07")
