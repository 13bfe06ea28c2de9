"""A pose that cannot be read is answered by one sentence."""

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from panrecon.datasets.poses import MAX_BYTES, read_matrix
from panrecon.errors import InputError


def test_sixteen_numbers_are_a_matrix(tmp_path: Path) -> None:
    np.savetxt(tmp_path / "0.txt", np.arange(16.0).reshape(4, 4))
    assert_array_equal(read_matrix(tmp_path / "0.txt"), np.arange(16.0).reshape(4, 4))


@pytest.mark.parametrize("content", ["1 0 0 x\n", "1 0\n0 1 2\n"])
def test_a_broken_one_ends_with_one_full_stop(tmp_path: Path, content: str) -> None:
    (tmp_path / "0.txt").write_text(content)
    with pytest.raises(InputError, match=r"0\.txt cannot be read as 4 x 4 numbers: .*[^.]\.$") as caught:
        read_matrix(tmp_path / "0.txt")
    assert "\n" not in str(caught.value)


def test_what_has_no_end_is_not_read_to_it(tmp_path: Path) -> None:
    (tmp_path / "device.txt").symlink_to("/dev/zero")
    (tmp_path / "large.txt").write_bytes(bytes(MAX_BYTES + 1))
    for name in ("device", "large"):
        with pytest.raises(InputError, match=rf"{name}\.txt cannot be read as 4 x 4 numbers: it is no file of at most"):
            read_matrix(tmp_path / f"{name}.txt")
