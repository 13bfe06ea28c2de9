"""Laws of the importer of 3D Scanner App's export, on files written as the app writes them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from panrecon.datasets.importers.base import Importer
from panrecon.datasets.importers.scanner_app import ScannerApp
from panrecon.errors import InputError
from panrecon.io.images import write_depth, write_ids, write_image
from tests.datasets.importers.scenes import (
    CAMERA,
    LAYOUTS,
    assert_on_plane,
    assert_pictures,
    picture,
    plane_depth,
    poses,
    touch_layout,
)

NAMES = ("00000", "00009", "00018", "00117")
COLOR = CAMERA.scaled(4.0)


def write_export(parent: Path) -> Path:
    for number, (name, pose) in enumerate(zip(NAMES, poses(len(NAMES)), strict=True)):
        write_image(parent / f"frame_{name}.jpg", picture(COLOR, number))
        write_depth(parent / f"depth_{name}.png", plane_depth(CAMERA, pose))
        write_ids(parent / f"conf_{name}.png", np.full((CAMERA.height, CAMERA.width), 2))
        arkit = pose @ np.diag([1.0, -1.0, -1.0, 1.0])
        content = {"cameraPoseARFrame": arkit.ravel().tolist(), "intrinsics": COLOR.matrix.ravel().tolist()}
        (parent / f"frame_{name}.json").write_text(json.dumps(content | {"time": 402896.9, "frame_index": number}))
    return parent


@pytest.fixture
def export(tmp_path: Path) -> Path:
    return write_export(tmp_path)


def change(file: Path, **entries: Any) -> None:
    content = json.loads(file.read_text()) | entries
    file.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))


def test_depth_lies_on_the_plane_and_colours_come_back(export: Path) -> None:
    assert isinstance(ScannerApp(), Importer)
    assert ScannerApp().recognise(export) == "it holds frame_00000.json and depth_00000.png"
    source = ScannerApp().read(export)
    assert_on_plane(source)
    assert_pictures(source, [0, 1, 2, 3])
    assert [frame.name for frame in source.frames] == list(NAMES)
    assert (source.color_camera, source.camera) == (COLOR, CAMERA)
    assert_allclose([frame.world_from_camera for frame in source.frames], poses(4), atol=1e-12)


def test_it_knows_no_other_layout(tmp_path: Path) -> None:
    others = [touch_layout(tmp_path / name, name) for name in LAYOUTS if name != "3d_scanner_app"]
    assert [ScannerApp().recognise(folder) for folder in others] == [None] * len(others)


def test_only_the_most_confident_depth_is_kept(export: Path) -> None:
    levels = np.full((CAMERA.height, CAMERA.width), 2)
    levels[:, :5] = 1
    write_ids(export / "conf_00009.png", levels)
    depth = ScannerApp().read(export).frames[1].depth()
    assert (depth[:, :5] == 0).all() and (depth[:, 5:] > 0).all()


def test_frames_without_depth_are_left_out_and_counted(export: Path) -> None:
    (export / "depth_00009.png").unlink()
    source = ScannerApp().read(export)
    assert_pictures(source, [0, 2, 3])
    assert "1 frames lack an image, a depth or a pose and are left out: 00009 first." in source.notes


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"cameraPoseARFrame": None}, r"frame_00009\.json lacks or misstates cameraPoseARFrame or intrinsics"),
        ({"intrinsics": [1, 2, 3]}, r"frame_00009\.json lacks or misstates"),
        ({"cameraPoseARFrame": [2.0] + 15 * [0.0]}, r"The pose of .*frame_00009\.json is no rotation and shift"),
        ({"intrinsics": [90.0, 0, 40, 0, 90.0, 32, 0, 0, 1]}, r"differ by more than 2 %"),
    ],
)
def test_what_is_wrong_is_named(export: Path, entries: dict[str, Any], message: str) -> None:
    change(export / "frame_00009.json", **entries)
    with pytest.raises(InputError, match=message):
        ScannerApp().read(export)


def test_an_export_without_depth_is_told(export: Path) -> None:
    for file in export.glob("depth_*"):
        file.unlink()
    assert ScannerApp().recognise(export) is None
    with pytest.raises(InputError, match=r"has 4 frame_\*\.jpg, 4 frame_\*\.json and 0 depth_\*\.png"):
        ScannerApp().read(export)
