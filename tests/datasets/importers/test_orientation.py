"""Laws of images that EXIF turns: all that belongs to a frame is turned alike, or nothing is."""

import io
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image
from typer.testing import CliRunner

from panrecon.cli import app
from panrecon.config import ScanSettings
from panrecon.datasets.base import dataset
from panrecon.datasets.importers.base import Source, SourceFrame, pixels_of
from panrecon.datasets.importers.orientation import ORIENTATION_TAG, common_quarter_turns, turned
from panrecon.datasets.importers.plain import Plain
from panrecon.io.images import read_color, read_depth, read_small_gray
from tests.datasets.importers.scenes import (
    CAMERA,
    assert_on_plane,
    assert_pictures,
    picture,
    pixels,
    plane_depth,
    poses,
)
from tests.datasets.importers.test_plain import write_scan


def with_exif(rgb: np.ndarray, orientation: int) -> bytes:
    exif = Image.Exif()
    exif[ORIENTATION_TAG] = orientation
    stream = io.BytesIO()
    Image.fromarray(rgb).save(stream, "png", exif=exif)
    return stream.getvalue()


def as_it_is(image: bytes | Path) -> bytes | Path:
    return image


def scan_of(orientations: list[int], folder: Path | None = None) -> Source:
    frames = []
    for number, (pose, orientation) in enumerate(zip(poses(len(orientations)), orientations, strict=True)):
        image: bytes | Path = with_exif(picture(CAMERA, number), orientation)
        if folder is not None:
            (folder / f"{number}.png").write_bytes(with_exif(picture(CAMERA, number), orientation))
            image = folder / f"{number}.png"
        depth = plane_depth(CAMERA, pose)
        frames.append(SourceFrame(str(number), pose, partial(as_it_is, image), partial(np.asarray, depth)))
    return Source(CAMERA, CAMERA, frames)


@pytest.mark.parametrize(("orientation", "quarter_turns"), [(1, 0), (6, 1), (3, 2), (8, 3)])
def test_what_is_turned_is_the_same_scan_upright(orientation: int, quarter_turns: int) -> None:
    source = scan_of([orientation] * 3)
    turns, notes = common_quarter_turns(source.frames)
    assert turns == quarter_turns and len(notes) == (turns > 0)
    upright = turned(source, turns)
    assert_on_plane(upright)
    for frame, stored in zip(upright.frames, source.frames, strict=True):
        image = stored.color()
        assert isinstance(image, bytes)
        with Image.open(io.BytesIO(image)) as opened:
            expected = opened.transpose(Image.Transpose.ROTATE_270) if orientation == 6 else opened
            expected = opened.transpose(Image.Transpose.ROTATE_180) if orientation == 3 else expected
            expected = opened.transpose(Image.Transpose.ROTATE_90) if orientation == 8 else expected
            assert_array_equal(pixels(frame.color()), np.asarray(expected.convert("RGB")))
        assert_allclose(frame.world_from_camera[:, 2:], stored.world_from_camera[:, 2:], atol=1e-12)


def test_images_that_do_not_agree_or_are_mirrored_stay_as_stored(tmp_path: Path) -> None:
    for orientations, word in (([1, 3, 1], "some images"), ([2, 2], "mirrors"), ([6, 8], "some images")):
        turns, (note,) = common_quarter_turns(scan_of(orientations, tmp_path).frames)
        assert turns == 0 and word in note
    frame = scan_of([6]).frames[0]
    assert_array_equal(pixels_of(frame.color()), picture(CAMERA, 0))


def test_readers_of_images_return_pixels_as_stored(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(with_exif(picture(CAMERA, 1), 6))
    assert_array_equal(read_color(file), picture(CAMERA, 1))
    assert read_small_gray(file, 1).shape == (CAMERA.height, CAMERA.width)


def test_an_import_turns_and_says_so_once(tmp_path: Path) -> None:
    raw = write_scan(tmp_path / "raw")
    for number, file in enumerate(sorted((raw / "rgb").iterdir())):
        file.write_bytes(with_exif(picture(CAMERA, number), 8))
    result = CliRunner().invoke(app, ["import", str(raw), "--out", str(tmp_path / "room")])
    assert result.exit_code == 0
    assert " ".join(result.stderr.split()).count("turned by 270 degrees clockwise, as EXIF says") == 1
    scan = dataset("own").scan(tmp_path / "room", ScanSettings())
    assert (scan.camera.width, scan.camera.height) == (CAMERA.height, CAMERA.width)
    frames = [
        SourceFrame(
            frame.name,
            frame.world_from_camera,
            partial(Path, frame.color),
            partial(read_depth, frame.depth, 1000.0),
        )
        for frame in scan.frames
    ]
    written = Source(scan.camera, scan.source_camera, frames)
    assert_on_plane(written)
    assert common_quarter_turns(written.frames) == (0, [])


def test_colour_alone_is_turned_where_depth_stands_upright(tmp_path: Path) -> None:
    raw = write_scan(tmp_path / "raw")
    for number, file in enumerate(sorted((raw / "rgb").iterdir())):
        lying = np.ascontiguousarray(np.rot90(picture(CAMERA, number)))
        file.write_bytes(with_exif(lying, 6))
    source = Plain().read(raw)
    assert "Colour alone is turned" in source.notes[0]
    assert_on_plane(source)
    assert_pictures(source, [0, 1, 2], tolerance=0)
    assert common_quarter_turns(source.frames) == (0, [])
