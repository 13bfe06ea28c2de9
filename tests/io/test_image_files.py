"""Laws of colour, depth and label images."""

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from jaxtyping import UInt8
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image

from panrecon.datasets.importers.base import pixels_of
from panrecon.errors import InputError
from panrecon.io.images import (
    MAX_PIXELS,
    read_color,
    read_depth,
    read_ids,
    read_instances,
    read_size,
    write_depth,
    write_ids,
    write_image,
    write_instances,
)
from panrecon.memory import peak_memory
from panrecon.structures import VOID


def test_colour_comes_back_exactly_from_png_and_nearly_from_jpeg(tmp_path: Path) -> None:
    x, y = np.meshgrid(np.arange(0, 240, 6), np.arange(0, 200, 8))
    smooth = np.stack([x, y, np.full_like(x, 90)], axis=-1)
    image = smooth.astype(np.uint8)
    write_image(tmp_path / "a.png", image)
    assert_array_equal(read_color(tmp_path / "a.png"), image)
    write_image(tmp_path / "a.jpg", image)
    assert np.abs(read_color(tmp_path / "a.jpg").astype(int) - image).mean() < 3


def test_a_grey_or_transparent_image_is_read_as_rgb(tmp_path: Path) -> None:
    grey = np.full((4, 5), 77, np.uint8)
    cv2.imwrite(str(tmp_path / "grey.png"), grey)
    cv2.imwrite(str(tmp_path / "alpha.png"), np.dstack([grey] * 4))
    for name in ("grey.png", "alpha.png"):
        assert_array_equal(read_color(tmp_path / name), np.full((4, 5, 3), 77))


@pytest.mark.parametrize("side", [8_000, 20_000, 60_000])
@pytest.mark.parametrize("read", [read_color, read_ids, read_size, lambda path: read_depth(path, 1000.0)])
def test_an_image_that_says_to_be_huge_is_refused_before_it_is_decoded(
    tmp_path: Path, read: Callable[[Path], object], side: int
) -> None:
    (tmp_path / "a.png").write_bytes(png_of_size(side))
    with pytest.raises(InputError, match=rf"a\.png is too large .*; give one of at most {MAX_PIXELS // 10**6} million"):
        read(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(png_of_size(7_000))
    assert read_size(tmp_path / "b.png") == (7_000, 7_000)
    (tmp_path / "b.png").write_bytes(png_of_size(side)[:33])  # which says nothing to some
    with pytest.raises(InputError, match="damaged or no image"):
        read(tmp_path / "b.png")
    with pytest.raises(InputError, match="inside the scan is too large"):
        pixels_of(png_of_size(side))


def png_of_size(side: int) -> bytes:
    """The beginning of a PNG of so many columns and rows."""
    header = b"IHDR" + struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    begun = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    return begun + struct.pack(">I", 100) + b"IDAT"


@pytest.mark.parametrize("read", [read_color, lambda path: read_depth(path, 1000.0), read_ids])
def test_a_cut_png_or_one_whose_parts_say_to_be_longer_is_refused_at_once(
    tmp_path: Path, read: Callable[[Path], object]
) -> None:
    """OpenCV would take as much memory as a part says to be long."""
    path = tmp_path / "a.png"
    write_ids(path, np.arange(2000).reshape(40, 50))
    whole = path.read_bytes()
    read(path)
    before = peak_memory()
    for damaged in (whole[:33] + b"\x80" + whole[34:], whole[:-1], whole[: len(whole) // 2]):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match="cannot be decoded"):
            read(path)
    assert peak_memory() - before < 10**8


@pytest.mark.parametrize("scale", [1000.0, 5000.0])
def test_depth_comes_back_within_half_a_unit(tmp_path: Path, scale: float) -> None:
    depth = np.random.default_rng(0).uniform(0, 8, (6, 7)).astype(np.float32)
    depth[0] = 0
    write_depth(tmp_path / "d.png", depth, scale)
    found = read_depth(tmp_path / "d.png", scale)
    assert_allclose(found, depth, atol=0.5 / scale + 1e-6)
    assert not found[0].any()


@pytest.mark.parametrize(
    "image", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.uint16), np.zeros((4, 4), np.float32)]
)
def test_depth_that_is_not_16_bit_of_one_channel_is_an_error(tmp_path: Path, image: np.ndarray) -> None:
    path = tmp_path / ("d.tiff" if image.dtype == np.float32 else "d.png")
    cv2.imwrite(str(path), image)
    with pytest.raises(InputError, match="16-bit"):
        read_depth(path, 1000.0)


def test_ids_and_instances_come_back_and_zero_is_none(tmp_path: Path) -> None:
    ids = np.array([[0, 1, 255], [256, 40_000, 65_535]], np.int32)
    write_ids(tmp_path / "i.png", ids)
    assert_array_equal(read_ids(tmp_path / "i.png"), ids)
    instances = np.array([[VOID, 0, 1], [2, 300, VOID]], np.int32)
    write_instances(tmp_path / "n.png", instances)
    assert_array_equal(read_instances(tmp_path / "n.png"), instances)
    assert_array_equal(read_ids(tmp_path / "n.png"), instances + 1)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_ids_of_few_grey_levels_are_those_that_are_stored(tmp_path: Path, bits: int) -> None:
    ids = np.arange(2**bits, dtype=np.uint8).reshape(1, -1)
    (tmp_path / "i.png").write_bytes(packed_png(ids, bits))
    assert_array_equal(read_ids(tmp_path / "i.png"), ids)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_ids_in_a_palette_are_its_indices(tmp_path: Path, bits: int) -> None:
    ids = np.arange(2**bits, dtype=np.uint8).reshape(1, -1)
    image = Image.fromarray(ids, mode="P")
    image.putpalette(np.random.default_rng(0).integers(0, 256, 3 * 2**bits).astype(np.uint8).tobytes())
    image.save(tmp_path / "i.png", bits=bits)
    assert_array_equal(read_ids(tmp_path / "i.png"), ids)


def packed_png(ids: UInt8[np.ndarray, "h w"], bits: int) -> bytes:
    """A grey PNG of 1, 2 or 4 bits a pixel, as the standard has it (PNG 1.2, 2003)."""
    height, width = ids.shape

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    planes = np.unpackbits(ids[..., None], axis=-1)[..., -bits:].reshape(height, -1)
    rows = b"".join(b"\0" + row.tobytes() for row in np.packbits(planes, axis=1))
    header = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def test_ids_that_do_not_fit_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="65536"):
        write_ids(tmp_path / "i.png", np.array([[65_536]], np.int32))
    assert not list(tmp_path.iterdir())


def test_ids_in_colour_are_an_error(tmp_path: Path) -> None:
    write_image(tmp_path / "i.png", np.zeros((3, 3, 3), np.uint8))
    with pytest.raises(InputError, match="one channel"):
        read_ids(tmp_path / "i.png")


@pytest.mark.parametrize("damage", [b"", b"not an image", None])
def test_an_image_that_cannot_be_read_is_an_error_that_names_it(tmp_path: Path, damage: bytes | None) -> None:
    path = tmp_path / "a.png"
    if damage is not None:
        path.write_bytes(damage)
    for read in (read_color, read_ids, lambda which: read_depth(which, 1000.0)):
        with pytest.raises(InputError, match=r"a\.png"):
            read(path)
