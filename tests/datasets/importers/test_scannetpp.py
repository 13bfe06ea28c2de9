"""Laws of the importer of ScanNet++'s iPhone recordings, on files written as its toolbox unpacks them."""

import importlib.util
import json
import struct
import sys
import types
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.testing import assert_allclose

from panrecon.datasets.importers.base import Importer, pixels_of
from panrecon.datasets.importers.scannetpp import HEIGHT, WIDTH, ScanNetPlusPlus
from panrecon.errors import InputError
from panrecon.io.files import write_json
from panrecon.io.images import write_depth, write_image
from panrecon.structures import Camera
from tests.datasets.importers.scenes import (
    LAYOUTS,
    assert_on_plane,
    assert_pictures,
    picture,
    plane_depth,
    poses,
    touch_layout,
)

DEPTH = Camera(WIDTH, HEIGHT, 210.0, 208.0, 120.0, 100.0)
COLOR = DEPTH.scaled(2.0)
FRAMES = 3
KINDS = ("images", "stream", "DEFLATE", "LZ4")


class StandInError(Exception):
    """As lz4.block.LZ4BlockError."""


@pytest.fixture(autouse=True)
def lz4(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real package where it is installed, else another compression under its name."""
    if importlib.util.find_spec("lz4") is not None:
        return

    def decompress(packed: bytes, uncompressed_size: int) -> bytes:
        try:
            return zlib.decompress(packed)[:uncompressed_size]
        except zlib.error as error:
            raise StandInError from error

    block = types.ModuleType("lz4.block")
    block.__dict__.update(compress=lambda content, **_: zlib.compress(content), decompress=decompress)
    block.__dict__.update(LZ4BlockError=StandInError)
    package = types.ModuleType("lz4")
    package.__dict__.update(block=block)
    monkeypatch.setitem(sys.modules, "lz4", package)
    monkeypatch.setitem(sys.modules, "lz4.block", block)


def raw_deflate(content: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(content) + packer.flush()


def packed(depths: list[np.ndarray], kind: str) -> bytes:
    metres = [depth.astype("<f4").tobytes() for depth in depths]
    if kind == "stream":
        return raw_deflate(b"".join(metres))
    if kind == "DEFLATE":
        frames = [raw_deflate(content) for content in metres]
    else:
        block = importlib.import_module("lz4.block")
        frames = [block.compress(np.rint(1000 * depth).astype("<u2").tobytes(), store_size=False) for depth in depths]
    return b"".join(struct.pack("<I", len(frame)) + frame for frame in frames)


def entry(pose: np.ndarray) -> dict[str, Any]:
    """ARKit's own world is another one."""
    moved = np.eye(4)
    moved[:3, 3] = 5.0, -3.0, 1.0
    intrinsic = COLOR.matrix.tolist()
    return {"pose": (moved @ pose).tolist(), "aligned_pose": pose.tolist(), "intrinsic": intrinsic, "timestamp": 0.5}


def write_recording(scene: Path, kind: str = "images", is_video: bool = False) -> Path:
    folder = scene / "iphone"
    folder.mkdir(parents=True)
    depths = [plane_depth(DEPTH, pose) for pose in poses(FRAMES)]
    write_json(
        folder / "pose_intrinsic_imu.json", {f"frame_{n:06d}": entry(pose) for n, pose in enumerate(poses(FRAMES))}
    )
    if kind == "images":
        for number, depth in enumerate(depths):
            write_depth(folder / "depth" / f"frame_{number:06d}.png", depth)
    else:
        (folder / "depth.bin").write_bytes(packed(depths, kind))
    if is_video:
        writer = cv2.VideoWriter(
            str(folder / "rgb.mkv"), cv2.VideoWriter.fourcc(*"FFV1"), 60, (COLOR.width, COLOR.height)
        )
        for number in range(FRAMES):
            writer.write(picture(COLOR, number)[..., ::-1])
        writer.release()
    else:
        for number in range(FRAMES):
            write_image(folder / "rgb" / f"frame_{number:06d}.jpg", picture(COLOR, number))
    return scene


@pytest.mark.parametrize("is_video", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_depth_lies_on_the_plane_and_colours_come_back(tmp_path: Path, kind: str, is_video: bool) -> None:
    scene = write_recording(tmp_path / "a24f64f7fb", kind, is_video)
    assert isinstance(ScanNetPlusPlus(), Importer)
    assert ScanNetPlusPlus().recognise(scene) == "it holds iphone/pose_intrinsic_imu.json"
    for folder in (scene, scene / "iphone"):
        source = ScanNetPlusPlus().read(folder)
        assert_on_plane(source)
        assert_pictures(source, [0, 1, 2])
        assert (source.camera, source.color_camera) == (DEPTH, COLOR)
        assert_allclose([frame.world_from_camera for frame in source.frames], poses(FRAMES), atol=1e-9)
        assert [frame.name for frame in source.frames] == ["000000", "000001", "000002"]


def test_it_knows_no_other_layout(tmp_path: Path) -> None:
    others = [touch_layout(tmp_path / name, name) for name in LAYOUTS if name != "scannetpp"]
    assert all(ScanNetPlusPlus().recognise(folder) is None for folder in [*others, tmp_path / "absent"])


@pytest.mark.parametrize("kind", KINDS)
def test_frames_asked_out_of_order_are_right(tmp_path: Path, kind: str) -> None:
    frames = ScanNetPlusPlus().read(write_recording(tmp_path, kind)).frames
    in_order = [frame.depth() for frame in frames]
    for number in (2, 2, 0, 1, 0):
        np.testing.assert_array_equal(frames[number].depth(), in_order[number])


def test_without_aligned_poses_those_of_arkit_are_taken_and_told(tmp_path: Path) -> None:
    file = write_recording(tmp_path) / "iphone" / "pose_intrinsic_imu.json"
    content = json.loads(file.read_text())
    del content["frame_000001"]["aligned_pose"]
    write_json(file, content)
    source = ScanNetPlusPlus().read(tmp_path)
    assert any("another world" in note for note in source.notes)
    expected = [np.array(stated["pose"]) for stated in content.values()]
    assert_allclose([frame.world_from_camera for frame in source.frames], expected)


def test_frames_without_colour_or_depth_are_left_out_and_counted(tmp_path: Path) -> None:
    folder = write_recording(tmp_path) / "iphone"
    (folder / "rgb" / "frame_000000.jpg").unlink()
    (folder / "depth" / "frame_000002.png").unlink()
    source = ScanNetPlusPlus().read(tmp_path)
    assert [frame.name for frame in source.frames] == ["000001"]
    assert "2 frames lack colour or depth and are left out" in source.notes


@pytest.mark.parametrize("kind", KINDS[1:])
def test_damaged_depth_is_one_sentence(tmp_path: Path, kind: str) -> None:
    file = write_recording(tmp_path, kind) / "iphone" / "depth.bin"
    content = bytearray(file.read_bytes())
    content[len(content) // 2 :] = b"\xff" * (len(content) - len(content) // 2)
    file.write_bytes(content)
    with pytest.raises(InputError, match=r"depth\.bin .*download it\s+again"):
        for frame in ScanNetPlusPlus().read(tmp_path).frames:
            frame.depth()


def test_a_cut_stream_is_one_sentence(tmp_path: Path) -> None:
    file = write_recording(tmp_path, "stream") / "iphone" / "depth.bin"
    file.write_bytes(file.read_bytes()[:-2000])
    with pytest.raises(InputError, match=r"depth\.bin ends in frame 2; it is cut"):
        ScanNetPlusPlus().read(tmp_path).frames[2].depth()


def test_without_the_package_it_says_which(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_recording(tmp_path, "LZ4")
    monkeypatch.setitem(sys.modules, "lz4.block", None)
    with pytest.raises(InputError, match=r'packed with LZ4; to read it, pip install "panrecon\[lz4\]"'):
        ScanNetPlusPlus().read(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "has no entries such as frame_000000"),
        ({}, "has no entries"),
        ({"frame_x": {}}, "has no entries"),
        ({"frame_000000": {"aligned_pose": [[1.0] * 4] * 4}}, "no rotation|is no"),
        ({"frame_000000": {"aligned_pose": 3}}, "aligned_pose of frame_000000 .* is missing or not 4 x 4"),
        ({"frame_000000": {"aligned_pose": np.eye(4).tolist()}}, "intrinsic of frame_000000 .* is missing"),
        ({"frame_000077": entry(np.eye(4))}, "1 poses, .* but no frame has all|neither rgb"),
    ],
)
def test_wrong_statements_are_told(tmp_path: Path, content: object, message: str) -> None:
    write_json(write_recording(tmp_path) / "iphone" / "pose_intrinsic_imu.json", content)
    with pytest.raises(InputError, match=message):
        ScanNetPlusPlus().read(tmp_path)


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    folder = write_recording(tmp_path) / "iphone"
    for part, message in (("depth", r"neither depth/frame_\*\.png nor depth\.bin"), ("rgb", r"neither rgb/frame_")):
        for file in (folder / part).iterdir():
            file.unlink()
        with pytest.raises(InputError, match=message):
            ScanNetPlusPlus().read(tmp_path)
    with pytest.raises(InputError, match=r"has no pose_intrinsic_imu\.json"):
        ScanNetPlusPlus().read(folder / "rgb")


def test_colour_of_a_video_is_that_of_its_frame(tmp_path: Path) -> None:
    source = ScanNetPlusPlus().read(write_recording(tmp_path, "images", is_video=True))
    for number in (2, 0, 1):
        assert_allclose(pixels_of(source.frames[number].color()), picture(COLOR, number), atol=3)
