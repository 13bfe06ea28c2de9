"""Laws of ScanNet's `.sens` files, written here by the format's description."""

import struct
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from panrecon.datasets.importers.base import Importer, Source
from panrecon.datasets.importers.sens import Sens
from panrecon.errors import InputError
from panrecon.structures import Camera
from tests.datasets.importers.scenes import (
    CAMERA,
    assert_on_plane,
    assert_pictures,
    picture,
    pixels,
    plane_depth,
    poses,
)

COLOR = Camera(40, 32, 36.0, 34.0, 19.0, 15.5)  # of another size than the depth camera
COLOR_CODES = {"raw": 0, "png": 1, "jpeg": 2}
DEPTH_CODES = {"raw_ushort": 0, "zlib_ushort": 1, "occi_ushort": 2}


def write_sens(
    path: Path,
    color: str = "jpeg",
    depth: str = "zlib_ushort",
    count: int = 3,
    lost: tuple[int, ...] = (),
    extrinsic: np.ndarray | None = None,
    version: int = 4,
) -> Path:
    """A whole file of `count` frames; tracking was lost in those of `lost`."""
    matrices = [intrinsic(COLOR), np.eye(4), intrinsic(CAMERA), np.eye(4) if extrinsic is None else extrinsic]
    with path.open("wb") as file:
        file.write(struct.pack("<IQ", version, 15) + b"StructureSensor")
        file.write(np.concatenate([matrix.ravel() for matrix in matrices]).astype("<f4").tobytes())
        file.write(struct.pack("<ii", COLOR_CODES[color], DEPTH_CODES[depth]))
        file.write(struct.pack("<IIIIfQ", COLOR.width, COLOR.height, CAMERA.width, CAMERA.height, 1000.0, count))
        for number, pose in enumerate(poses(count)):
            seen = encoded(picture(COLOR, number), color)
            measured = compressed(plane_depth(CAMERA, pose), depth)
            stated = np.full((4, 4), -np.inf) if number in lost else pose
            file.write(stated.astype("<f4").tobytes() + struct.pack("<QQQQ", 7, 8, len(seen), len(measured)))
            file.write(seen + measured)
        file.write(struct.pack("<Q", 0))  # no readings of the inertial sensor
    return path


def intrinsic(camera: Camera) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3] = camera.matrix
    return matrix


def encoded(image: np.ndarray, code: str) -> bytes:
    if code == "raw":
        return image.tobytes()
    return cv2.imencode(".png" if code == "png" else ".jpg", image[..., ::-1])[1].tobytes()


def compressed(depth: np.ndarray, code: str) -> bytes:
    raw = np.rint(depth * 1000).astype("<u2").tobytes()
    return zlib.compress(raw) if code == "zlib_ushort" else raw


def read(path: Path) -> Source:
    return Sens().read(path)


@pytest.mark.parametrize("color", ["raw", "png", "jpeg"])
@pytest.mark.parametrize("depth", ["raw_ushort", "zlib_ushort"])
def test_every_compression_gives_the_scan(tmp_path: Path, color: str, depth: str) -> None:
    source = read(write_sens(tmp_path / "scene0000_00.sens", color, depth))
    assert source.camera == CAMERA and source.color_camera == COLOR
    assert_on_plane(source)
    assert_pictures(source, [0, 1, 2], tolerance=12 if color == "jpeg" else 0.1)
    assert isinstance(source.frames[0].color(), np.ndarray if color == "raw" else bytes)


def test_frames_are_read_in_any_order(tmp_path: Path) -> None:
    source = read(write_sens(tmp_path / "a.sens", "png"))
    assert_array_equal(pixels(source.frames[2].color()), picture(COLOR, 2))
    assert_array_equal(pixels(source.frames[0].color()), picture(COLOR, 0))


def test_lost_frames_keep_their_place_and_are_known_by_their_pose(tmp_path: Path) -> None:
    source = read(write_sens(tmp_path / "a.sens", lost=(1,)))
    assert [bool(np.isfinite(frame.world_from_camera).all()) for frame in source.frames] == [True, False, True]


def test_where_the_cameras_stand_apart_it_is_told(tmp_path: Path) -> None:
    depth_to_common = np.eye(4)
    depth_to_common[:3, 3] = 0.05, 0.01, 0.0
    source = read(write_sens(tmp_path / "a.sens", extrinsic=depth_to_common))
    assert_allclose(source.color_from_depth, depth_to_common, atol=1e-6)


def test_it_knows_a_file_or_the_only_one_of_a_folder(tmp_path: Path) -> None:
    assert isinstance(Sens(), Importer)
    assert Sens().recognise(tmp_path) is None
    file = write_sens(tmp_path / "scene0000_00.sens")
    assert "scene0000_00.sens" in str(Sens().recognise(file)) and Sens().recognise(tmp_path) is not None
    assert len(read(tmp_path).frames) == 3
    write_sens(tmp_path / "other.sens")
    assert Sens().recognise(tmp_path) is None
    with pytest.raises(InputError, match="nor a folder that holds just one"):
        read(tmp_path)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.1, 0.5, 0.9])
def test_a_cut_file_is_one_sentence(tmp_path: Path, share: float) -> None:
    file = write_sens(tmp_path / "a.sens", "raw")
    file.write_bytes(file.read_bytes()[: int(share * file.stat().st_size)])
    with pytest.raises(InputError, match=r"a\.sens ends (at byte|in frame).*download it again"):
        read(file)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [({"version": 3}, "version 3"), ({"depth": "occi_ushort"}, "depth images .* code 2; convert them to raw_ushort")],
)
def test_what_is_not_read_is_named(tmp_path: Path, options: dict[str, object], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        read(write_sens(tmp_path / "a.sens", **options))  # type: ignore[arg-type]


def test_a_length_beyond_the_file_asks_for_no_memory(tmp_path: Path) -> None:
    file = tmp_path / "a.sens"
    file.write_bytes(struct.pack("<IQ", 4, 1 << 60) + b"x" * 1000)
    with pytest.raises(InputError, match=r"is cut or no \.sens file"):
        read(file)


@pytest.mark.parametrize("scale", [float("nan"), float("inf"), 0.0, -1000.0])
def test_units_of_depth_that_are_none_are_one_sentence(tmp_path: Path, scale: float) -> None:
    stated, other = struct.pack("<f", 1000.0), struct.pack("<f", scale)
    file = damaged(lambda content: content.replace(stated, other, 1), write_sens(tmp_path / "a.sens"))
    with pytest.raises(InputError, match=r"a\.sens states .* units of depth a metre"):
        read(file)


def test_images_that_say_to_be_huge_are_one_sentence(tmp_path: Path) -> None:
    stated, other = struct.pack("<II", CAMERA.width, CAMERA.height), struct.pack("<II", 60_000, 60_000)
    file = damaged(lambda content: content.replace(stated, other, 1), write_sens(tmp_path / "a.sens"))
    with pytest.raises(InputError, match=r"a\.sens states images of 60000 x 60000 pixels"):
        read(file)


def test_of_packed_depth_no_more_is_unpacked_than_an_image_has(tmp_path: Path) -> None:
    file = write_sens(tmp_path / "a.sens", "raw", "zlib_ushort", count=1)
    depth = compressed(plane_depth(CAMERA, poses(1)[0]), "zlib_ushort")
    bomb = zlib.compress(bytes(300_000_000))
    length, other = (struct.pack("<Q", len(part)) for part in (depth, bomb))
    damaged(lambda content: content.replace(depth, bomb).replace(length, other), file)
    tracemalloc.start()
    with pytest.raises(InputError, match=r"A depth image of .*a\.sens is damaged \(it is cut, or larger"):
        read(file).frames[0].depth()
    assert tracemalloc.get_traced_memory()[1] < 10_000_000
    tracemalloc.stop()


def damaged(change: Callable[[bytes], bytes], file: Path) -> Path:
    file.write_bytes(change(file.read_bytes()))
    return file


def test_damaged_depth_is_one_sentence(tmp_path: Path) -> None:
    file = write_sens(tmp_path / "a.sens", "raw", "zlib_ushort", count=1)
    source = read(damaged(lambda content: content[:-60] + bytes(52) + content[-8:], file))
    with pytest.raises(InputError, match=r"A depth image of .*a\.sens is damaged"):
        source.frames[0].depth()
