"""Laws of images that are kept in memory while a run works on them."""

from contextlib import ExitStack
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.testing import assert_array_equal

from panrecon.io import images
from panrecon.io.images import read_color, read_depth, write_depth, write_image
from panrecon.io.kept import KeptImages, images_kept


@pytest.fixture
def decodings(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files decoded so far."""
    paths: list[Path] = []
    decode = images._read

    def record(path: Path, flags: int) -> np.ndarray:
        paths.append(path)
        return decode(path, flags)

    monkeypatch.setattr(images, "_read", record)
    return paths


def write(path: Path, value: int) -> None:
    write_image(path, np.full((4, 6, 3), (value, 0, 9), np.uint8))


def test_inside_the_context_an_image_is_decoded_once(tmp_path: Path, decodings: list[Path]) -> None:
    write(tmp_path / "a.png", 7)
    write_depth(tmp_path / "d.png", np.full((4, 6), 1.5, np.float32))
    with images_kept():
        for _ in range(3):
            color, depth = read_color(tmp_path / "a.png"), read_depth(tmp_path / "d.png", 1000.0)
            assert_array_equal(color[0, 0], (7, 0, 9))
            assert (depth == 1.5).all()
            color[:], depth[:] = 0, 0  # what a caller does with its array is its own
    assert len(decodings) == 2
    read_color(tmp_path / "a.png")
    assert len(decodings) == 3


def test_a_link_is_the_same_image_and_another_file_of_that_name_is_not(tmp_path: Path, decodings: list[Path]) -> None:
    write(tmp_path / "a.png", 7)
    (tmp_path / "b.png").hardlink_to(tmp_path / "a.png")
    with images_kept():
        assert read_color(tmp_path / "a.png")[0, 0, 0] == read_color(tmp_path / "b.png")[0, 0, 0] == 7
        assert len(decodings) == 1
        write(tmp_path / "a.png", 8)
        assert (read_color(tmp_path / "a.png")[0, 0, 0], read_color(tmp_path / "b.png")[0, 0, 0]) == (8, 7)


def test_no_more_is_kept_than_the_limit(tmp_path: Path) -> None:
    size = 4 * 6 * 3
    kept = KeptImages(2 * size)
    decodings: list[Path] = []

    def decode(path: Path, flags: int) -> np.ndarray:
        decodings.append(path)
        return np.zeros((4, 6, 3), np.uint8)

    files = [tmp_path / f"{index}.png" for index in range(3)]
    for index, file in enumerate(files):
        write(file, index)
    for _ in range(2):
        for file in files:
            kept.image(file, cv2.IMREAD_COLOR, decode)
    assert decodings == [*files, files[2]]  # there was no room for the last


def test_contexts_that_overlap_share_what_is_kept(tmp_path: Path, decodings: list[Path]) -> None:
    write(tmp_path / "a.png", 7)
    first, second = images_kept(), images_kept()
    with ExitStack() as outer:
        outer.enter_context(first)
        read_color(tmp_path / "a.png")
        with second:
            read_color(tmp_path / "a.png")
            outer.close()
            read_color(tmp_path / "a.png")
    assert len(decodings) == 1
    read_color(tmp_path / "a.png")
    assert len(decodings) == 2
