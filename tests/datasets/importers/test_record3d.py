"""Recordings of Record3D come back as they were written, packed and unpacked."""

import importlib.util
import json
import sys
import types
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from panrecon.datasets.importers.record3d import MAX_BYTES, Record3D, import_lzfse
from panrecon.errors import InputError
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

FRAMES = 4
DEPTH = Camera(16, 20, 17.0, 18.0, 7.5, 9.25)  # upright, as the phone is held
COLOR = DEPTH.scaled(4.0)


@pytest.fixture(autouse=True)
def lzfse(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The real module where it is installed, else another compression under its name."""
    if importlib.util.find_spec("liblzfse") is None:
        fake = types.ModuleType("liblzfse")
        fake.__dict__.update(compress=zlib.compress, decompress=zlib.decompress, error=zlib.error)
        monkeypatch.setitem(sys.modules, "liblzfse", fake)
    return import_lzfse()


def arkit_pose(world_from_camera: np.ndarray) -> list[float]:
    """As the app writes it: the camera looks against its z, y is up."""
    turned = world_from_camera[:3, :3] @ np.diag([1.0, -1.0, -1.0])
    return [*Rotation.from_matrix(turned).as_quat().tolist(), *world_from_camera[:3, 3].tolist()]


def write_jpeg(path: Path, number: int, camera: Camera = COLOR) -> None:
    path.write_bytes(cv2.imencode(".jpg", picture(camera, number)[..., ::-1])[1].tobytes())


def pack(path: Path, content: np.ndarray) -> None:
    path.write_bytes(import_lzfse().compress(content.tobytes()))


def write_recording(parent: Path) -> Path:
    """An unpacked recording; of every depth one pixel is not measured."""
    folder = parent / "2024-06-01--10-00-00"
    (folder / "rgbd").mkdir(parents=True)
    for number, pose in enumerate(poses(FRAMES)):
        depth = plane_depth(DEPTH, pose)
        depth[3, 2] = np.nan
        write_jpeg(folder / "rgbd" / f"{number}.jpg", number)
        pack(folder / "rgbd" / f"{number}.depth", depth)
        pack(folder / "rgbd" / f"{number}.conf", np.full(depth.shape, 2, dtype=np.uint8))
    metadata = {
        "w": COLOR.width,
        "h": COLOR.height,
        "dw": DEPTH.width,
        "dh": DEPTH.height,
        "fps": 60,
        "K": COLOR.matrix.T.ravel().tolist(),
        "poses": [arkit_pose(pose) for pose in poses(FRAMES)],
        "initPose": [0, 0, 0, 1, 0, 0, 0],
    }
    (folder / "metadata").write_text(json.dumps(metadata))
    return folder


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    return write_recording(tmp_path)


def change(folder: Path, **entries: Any) -> None:
    """Sets entries of the metadata, or removes those that become None."""
    metadata = json.loads((folder / "metadata").read_text()) | entries
    kept = {key: value for key, value in metadata.items() if value is not None}
    (folder / "metadata").write_text(json.dumps(kept))


def zipped(folder: Path) -> Path:
    path = folder.with_suffix(".r3d")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, file.relative_to(folder))
    return path


@pytest.mark.parametrize(("packed", "why"), [(zipped, "its name ends in .r3d"), (Path, "it holds metadata and rgbd/")])
def test_depth_lies_on_the_plane_and_colours_come_back(
    recording: Path, packed: Callable[[Path], Path], why: str
) -> None:
    path = packed(recording)
    assert Record3D().recognise(path) == why
    source = Record3D().read(path)
    assert_on_plane(source)
    assert_pictures(source, [0, 1, 2, 3])
    assert [frame.name for frame in source.frames] == ["0", "1", "2", "3"]
    assert (source.color_camera, source.camera) == (COLOR, DEPTH)
    assert source.frames[0].depth()[3, 2] == 0
    assert len(source.notes) == 1


def test_frames_are_in_the_order_of_their_numbers(recording: Path) -> None:
    for suffix in ("jpg", "depth", "conf"):
        for number in range(FRAMES - 1, -1, -1):
            (recording / "rgbd" / f"{number}.{suffix}").rename(recording / "rgbd" / f"{number + 8}.{suffix}")
    away = arkit_pose(np.eye(4))
    change(recording, poses=[away] * 8 + [arkit_pose(pose) for pose in poses(FRAMES)])
    source = Record3D().read(zipped(recording))
    assert_on_plane(source)
    assert [frame.name for frame in source.frames] == ["8", "9", "10", "11"]
    assert source.notes[-1] == "8 frames lack an image, a depth or a pose and are left out: 0 first."


def test_images_of_another_size_than_stated_scale_the_intrinsics(recording: Path) -> None:
    for number in range(FRAMES):
        write_jpeg(recording / "rgbd" / f"{number}.jpg", number, COLOR.scaled(0.5))
    source = Record3D().read(recording)
    assert source.color_camera == COLOR.scaled(0.5)
    assert_on_plane(source)
    write_jpeg(recording / "rgbd" / "0.jpg", 0, Camera(80, 64, 1.0, 1.0, 0.0, 0.0))
    with pytest.raises(InputError, match=r"images of .* are 80 x 64 pixels, their intrinsics are for 64 x 80"):
        Record3D().read(recording)


def test_intrinsics_of_each_frame_go_before_the_first_ones(recording: Path) -> None:
    each = [[COLOR.fx * s, COLOR.fy * s, COLOR.cx, COLOR.cy] for s in (0.995, 1.0, 1.0, 1.005)]
    change(recording, K=[50.0, 0.0, 0.0, 0.0, 50.0, 0.0, 1.0, 1.0, 1.0], perFrameIntrinsicCoeffs=each)
    source = Record3D().read(recording)
    assert_on_plane(source)
    assert "differ by up to 0.50%" in source.notes[0]


def test_only_confident_depth_is_kept(recording: Path) -> None:
    levels = np.tile(np.arange(DEPTH.width) % 3, (DEPTH.height, 1)).astype(np.uint8)
    levels[3, 2] = 1  # where nothing was measured
    pack(recording / "rgbd" / "1.conf", levels)
    (recording / "rgbd" / "2.conf").unlink()
    source = Record3D().read(recording)
    np.testing.assert_array_equal(source.frames[1].depth() > 0, levels == 2)
    assert np.isfinite(source.frames[2].depth()).all()
    assert (source.frames[2].depth() > 0).sum() == DEPTH.width * DEPTH.height - 1
    assert source.notes[-1] == "1 frames have no map of confidence: all their depth is kept."


def test_lost_tracking_is_no_pose(recording: Path) -> None:
    change(recording, poses=[[0.0] * 7, *(arkit_pose(pose) for pose in poses(FRAMES)[1:])])
    finite = [np.isfinite(frame.world_from_camera).all() for frame in Record3D().read(recording).frames]
    assert finite == [False, True, True, True]


def test_without_the_package_it_says_which(recording: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "liblzfse", None)
    assert Record3D().recognise(recording)
    with pytest.raises(InputError, match="pip install pyliblzfse"):
        Record3D().read(recording)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"poses": None}, "misstate poses, K, w, h, dw or dh: KeyError"),
        ({"poses": [[1.0, 2.0]]}, "misstate"),
        ({"poses": []}, "has 0 poses, 4 images and 4 depth images, but no number is common"),
        ({"poses": [[0, 0, 0, 1, 0, 0, 0]] * FRAMES}, "are the same; record with the LiDAR camera"),
        ({"poses": [[0, 0, 0, 3, 0, 0, 0], [0, 0, 0, 1, 0, 0, 0]]}, r"of frame 0 of .* has length 3\.000"),
        ({"K": [1.0, 2.0]}, "misstate"),
        ({"K": None}, "misstate"),
        ({"w": "wide"}, "misstate"),
        ({"w": 9}, r"centre 31\.5, 38\.5 for images of 9 x 80|states focal lengths"),
        ({"dw": 20, "dh": 16}, "depth images of .* are 20 x 16 pixels"),
        ({"perFrameIntrinsicCoeffs": [[1.0, 1.0, 1.0, 1.0]]}, "has 4 poses but 1 intrinsics"),
    ],
)
def test_wrong_metadata_are_told(recording: Path, entries: dict[str, Any], message: str) -> None:
    change(recording, **entries)
    with pytest.raises(InputError, match=message):
        Record3D().read(recording)


@pytest.mark.parametrize("content", [b"no JSON", b"[1]", b"\xff\xfe"])
def test_metadata_that_are_no_json_are_told(recording: Path, content: bytes) -> None:
    (recording / "metadata").write_bytes(content)
    with pytest.raises(InputError, match=r"metadata of .* misstate"):
        Record3D().read(recording)


@pytest.mark.parametrize("packed", [zipped, Path])
@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("rgbd/0.depth", b"no depth", "rgbd/0.depth of .* is no LZFSE data"),
        ("rgbd/0.conf", b"", "rgbd/0.conf of .* is no LZFSE data"),
        ("rgbd/0.jpg", b"no image", "rgbd/0.jpg of .* cannot be decoded"),
        ("metadata", None, "metadata of .* cannot be read"),
    ],
)
def test_each_damage_is_one_sentence(
    recording: Path, packed: Callable[[Path], Path], name: str, content: bytes | None, message: str
) -> None:
    (recording / name).unlink()
    if content is not None:
        (recording / name).write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        Record3D().read(packed(recording)).frames[0].depth()
    assert "\n" not in str(caught.value)


def test_depth_of_another_size_is_told(recording: Path) -> None:
    pack(recording / "rgbd" / "0.depth", np.ones((4, 4), dtype=np.float32))
    with pytest.raises(InputError, match=r"0.depth of .* holds 64 bytes, not the 1280 of 16 x 20 pixels"):
        Record3D().read(recording).frames[0].depth()


@pytest.mark.parametrize(
    "change", [lambda zipped: zipped.replace(b"PK\x01\x02\x14\x03\x14", b"PK\x01\x02\x14\x03\xdb"), None]
)
def test_a_zip_that_asks_for_too_much_is_one_sentence(recording: Path, change: Callable[[bytes], bytes] | None) -> None:
    """A version of zip that is not there yet, and metadata of more than any recording has."""
    if change is None:
        (recording / "metadata").write_bytes(bytes(MAX_BYTES + 1))
    path = zipped(recording)
    if change is not None:
        path.write_bytes(change(path.read_bytes()))
    with pytest.raises(InputError, match=r"(cannot be opened as an \.r3d file|says to be 0\.3 GB large).*again"):
        Record3D().read(path)


def test_a_file_that_is_no_zip_is_told(tmp_path: Path) -> None:
    path = tmp_path / "scan.r3d"
    path.write_bytes(b"no zip")
    assert Record3D().recognise(path)
    with pytest.raises(InputError, match=r"scan\.r3d cannot be opened as an \.r3d file"):
        Record3D().read(path)


class StandInExr:
    """The part of OpenEXR that is used, for files that hold an array."""

    def __init__(self, name: str, separate_channels: bool) -> None:
        assert separate_channels
        if not Path(name).read_bytes().startswith(b"\x93NUMPY"):
            raise RuntimeError(f"Unable to open '{name}' for read")
        self.pixels = np.load(name)

    def __enter__(self) -> "StandInExr":
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def channels(self) -> dict[str, "StandInExr"]:
        return {"R": self}


@pytest.fixture(params=["stand_in", "openexr"])
def exr_export(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The other export, of whose depths one pixel is not measured."""
    folder = tmp_path / "EXR_RGBD"
    for name in ("rgb", "depth"):
        (folder / name).mkdir(parents=True)
    if request.param == "stand_in":
        monkeypatch.setitem(sys.modules, "OpenEXR", types.SimpleNamespace(File=StandInExr))
    openexr = pytest.importorskip("OpenEXR")
    for number, pose in enumerate(poses(FRAMES)):
        depth = plane_depth(DEPTH, pose)
        depth[3, 2] = np.nan
        write_jpeg(folder / "rgb" / f"{number}.jpg", number)
        file = folder / "depth" / f"{number}.exr"
        if request.param == "stand_in":
            with file.open("wb") as stream:
                np.save(stream, depth)
        else:
            header = {"compression": openexr.ZIP_COMPRESSION, "type": openexr.scanlineimage}
            openexr.File(header, {"R": depth}).write(str(file))
    sizes = {"w": COLOR.width, "h": COLOR.height, "dw": DEPTH.width, "dh": DEPTH.height}
    metadata = {"K": COLOR.matrix.T.ravel().tolist(), "poses": [arkit_pose(pose) for pose in poses(FRAMES)]}
    (folder / "metadata.json").write_text(json.dumps(metadata | sizes))
    return folder


def test_the_exr_export_is_the_same_scan(exr_export: Path) -> None:
    for path in (exr_export, exr_export.parent):
        assert Record3D().recognise(path) == "it is an EXR + JPG export of Record3D"
        source = Record3D().read(path)
        assert_on_plane(source)
        assert_pictures(source, [0, 1, 2, 3])
        assert (source.color_camera, source.camera) == (COLOR, DEPTH)
        assert source.frames[1].depth()[3, 2] == 0
        assert source.notes == ["There is no map of confidence: all depth is kept."]


def test_a_damaged_exr_is_named(exr_export: Path) -> None:
    (exr_export / "depth" / "1.exr").write_bytes(b"v/1\x01")
    source = Record3D().read(exr_export)
    with pytest.raises(InputError, match=r"1\.exr is no EXR with depth"):
        source.frames[1].depth()


def test_an_exr_of_another_size_is_named(exr_export: Path) -> None:
    content = json.loads((exr_export / "metadata.json").read_text())
    (exr_export / "metadata.json").write_text(json.dumps(content | {"dw": 32, "dh": 40}))
    with pytest.raises(InputError, match=r"0\.exr has shape \(20, 16\), not the 32 x 40 pixels"):
        Record3D().read(exr_export).frames[0].depth()


def test_without_openexr_the_way_out_is_told(exr_export: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "OpenEXR", None)
    with pytest.raises(InputError, match=r"pip install .panrecon\[exr\]"):
        Record3D().read(exr_export)


def test_other_folders_are_not_recognised(tmp_path: Path) -> None:
    assert Record3D().recognise(tmp_path) is None
    assert Record3D().recognise(tmp_path / "missing.r3d") is None
    for name in LAYOUTS:
        found = Record3D().recognise(touch_layout(tmp_path / name, name))
        assert (found is not None) == (name == "record3d")
