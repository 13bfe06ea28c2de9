"""Raw data of Polycam come back as they were written."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from panrecon.datasets.importers.polycam import CORRECTED, UNCORRECTED, Polycam
from panrecon.errors import InputError
from panrecon.io.images import write_depth, write_ids, write_image
from panrecon.structures import Camera
from tests.datasets.importers.scenes import (
    CAMERA,
    LAYOUTS,
    assert_on_plane,
    assert_pictures,
    picture,
    pixels,
    plane_depth,
    poses,
    touch_layout,
)

TIMES = (998001, 10015204, 10031921, 10048638)  # by name 998001 would be the last
COLOR = CAMERA.scaled(4.0)
AWAY = np.diag([1.0, -1.0, -1.0, 1.0])


def write_camera(path: Path, pose: np.ndarray, camera: Camera = COLOR) -> None:
    """As the app writes it: the camera looks against its z, y is up."""
    matrix = pose @ np.diag([1.0, -1.0, -1.0, 1.0])
    rows = {f"t_{row}{column}": float(matrix[row, column]) for row in range(3) for column in range(4)}
    named = {"fx": camera.fx, "fy": camera.fy, "cx": camera.cx, "cy": camera.cy}
    other = {"width": camera.width, "height": camera.height, "blur_score": 32.4, "timestamp": int(path.stem)}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(rows | named | other))


def write_export(parent: Path) -> Path:
    """Corrected keyframes; those before are of a wrong place and colour."""
    keyframes = parent / "scan" / "keyframes"
    for number, (time, pose) in enumerate(zip(TIMES, poses(len(TIMES)), strict=True)):
        write_image(keyframes / "images" / f"{time}.jpg", 255 - picture(COLOR, number))
        write_camera(keyframes / "cameras" / f"{time}.json", AWAY)
        write_image(keyframes / "corrected_images" / f"{time}.jpg", picture(COLOR, number))
        write_camera(keyframes / "corrected_cameras" / f"{time}.json", pose)
        write_depth(keyframes / "depth" / f"{time}.png", plane_depth(CAMERA, pose))
        write_ids(keyframes / "confidence" / f"{time}.png", np.full((CAMERA.height, CAMERA.width), 255))
    return keyframes.parent


@pytest.fixture
def export(tmp_path: Path) -> Path:
    return write_export(tmp_path)


def change(path: Path, **entries: Any) -> None:
    """Sets entries of a JSON file, or removes those that become None."""
    content = json.loads(path.read_text()) | entries
    path.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))


def test_depth_lies_on_the_plane_and_colours_come_back(export: Path) -> None:
    assert Polycam().recognise(export) == "it holds keyframes/ with cameras"
    source = Polycam().read(export)
    assert_on_plane(source)
    assert_pictures(source, [0, 1, 2, 3])
    assert [frame.name for frame in source.frames] == [str(time) for time in TIMES]
    assert (source.color_camera, source.camera) == (COLOR, CAMERA)
    assert source.frames[0].color() == export / "keyframes" / "corrected_images" / f"{TIMES[0]}.jpg"
    assert source.notes[0] == CORRECTED
    assert len(source.notes) == 2


def test_a_size_that_is_not_stated_is_the_images(export: Path) -> None:
    for time in TIMES[1:]:
        change(export / "keyframes" / "corrected_cameras" / f"{time}.json", width=None, height=None)
    source = Polycam().read(export)
    assert_on_plane(source)
    assert source.color_camera == COLOR
    write_image(export / "keyframes" / "corrected_images" / f"{TIMES[1]}.jpg", picture(CAMERA, 1))
    with pytest.raises(InputError, match=rf"The image {TIMES[1]} of .* is 20 x 16 pixels"):
        Polycam().read(export)


def test_the_world_keeps_its_up(export: Path) -> None:
    """The world is not turned: ARKit's y stays up, and places stay what they were."""
    for frame, pose in zip(Polycam().read(export).frames, poses(len(TIMES)), strict=True):
        np.testing.assert_allclose(frame.world_from_camera, pose, atol=1e-12)


@pytest.mark.parametrize("missing", ["corrected_images", "corrected_cameras"])
def test_without_both_corrected_folders_the_others_are_taken(export: Path, missing: str) -> None:
    shutil.rmtree(export / "keyframes" / missing)
    source = Polycam().read(export)
    np.testing.assert_allclose(source.frames[0].world_from_camera, AWAY, atol=1e-12)
    np.testing.assert_allclose(pixels(source.frames[1].color()), 255 - picture(COLOR, 1), atol=25)
    assert source.notes[0] == UNCORRECTED


def test_poses_before_and_after_correction_are_not_mixed(export: Path) -> None:
    (export / "keyframes" / "corrected_cameras" / f"{TIMES[1]}.json").unlink()
    (export / "keyframes" / "depth" / f"{TIMES[3]}.png").unlink()
    source = Polycam().read(export)
    assert_on_plane(source)
    assert_pictures(source, [0, 2])
    assert f"2 frames lack an image, a depth or a pose and are left out: {TIMES[1]} first." in source.notes


def test_all_frames_get_the_median_camera(export: Path) -> None:
    for time, factor in zip(TIMES, (0.994, 1.0, 1.0, 1.007), strict=True):
        path = export / "keyframes" / "corrected_cameras" / f"{time}.json"
        change(path, fx=COLOR.fx * factor, fy=COLOR.fy * factor)
    source = Polycam().read(export)
    assert_on_plane(source)
    assert source.notes[0] == "The intrinsics of the frames differ by up to 0.70%; all frames get their median."
    change(path, fx=COLOR.fx * 1.03)
    with pytest.raises(InputError, match=f"differ by more than 2 % .* those of {TIMES[3]} by 3.0%"):
        Polycam().read(export)


def test_only_confident_depth_is_kept(export: Path) -> None:
    levels = np.array([0, 127, 255])[np.tile(np.arange(CAMERA.width) % 3, (CAMERA.height, 1))]
    write_ids(export / "keyframes" / "confidence" / f"{TIMES[1]}.png", levels)
    (export / "keyframes" / "confidence" / f"{TIMES[2]}.png").unlink()
    source = Polycam().read(export)
    np.testing.assert_array_equal(source.frames[1].depth() > 0, levels == 255)
    assert (source.frames[2].depth() > 0).all()
    assert "1 frames have no map of confidence: all their depth is kept." in source.notes


def test_other_files_beside_are_no_frames(export: Path) -> None:
    for name in (".DS_Store", f"{TIMES[0]}.Clean.png"):
        (export / "keyframes" / "depth" / name).touch()
    (export / "keyframes" / "sfm_stats.json").touch()
    assert_on_plane(Polycam().read(export))


def test_lost_tracking_is_no_pose(export: Path) -> None:
    change(export / "keyframes" / "corrected_cameras" / f"{TIMES[0]}.json", t_03=float("nan"))
    finite = [np.isfinite(frame.world_from_camera).all() for frame in Polycam().read(export).frames]
    assert finite == [False, True, True, True]


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"t_12": None}, r"json lacks or misstates 't_12'"),
        ({"fx": None}, r"json lacks or misstates 'fx'"),
        ({"fx": "wide"}, r"json lacks or misstates could not convert"),
        ({"t_00": 7.0}, r"The pose of .*json is no rotation"),
        ({"width": 40}, r"image 10031921 of .* is 40 x 64 pixels, 998001 is 80 x 64"),
        ({"fx": float("nan")}, r"states focal lengths"),
    ],
)
def test_a_wrong_camera_is_told(export: Path, entries: dict[str, Any], message: str) -> None:
    change(export / "keyframes" / "corrected_cameras" / f"{TIMES[2]}.json", **entries)
    with pytest.raises(InputError, match=message) as caught:
        Polycam().read(export)
    assert "\n" not in str(caught.value)


def test_a_mirrored_pose_is_told(export: Path) -> None:
    write_camera(export / "keyframes" / "corrected_cameras" / f"{TIMES[2]}.json", np.diag([-1.0, 1.0, 1.0, 1.0]))
    with pytest.raises(InputError, match="is no rotation"):
        Polycam().read(export)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (f"corrected_cameras/{TIMES[0]}.json", "json is not JSON"),
        (f"depth/{TIMES[0]}.png", "png cannot be decoded"),
        (f"confidence/{TIMES[0]}.png", "png cannot be decoded"),
    ],
)
def test_each_damaged_file_is_told(export: Path, name: str, message: str) -> None:
    (export / "keyframes" / name).write_bytes(b"damaged")
    with pytest.raises(InputError, match=message):
        Polycam().read(export)


def test_an_export_without_depth_is_told(export: Path) -> None:
    shutil.rmtree(export / "keyframes" / "depth")
    with pytest.raises(InputError, match="4 images, 4 cameras and 0 depth images"):
        Polycam().read(export)


def test_depth_of_another_shape_is_told(export: Path) -> None:
    write_depth(export / "keyframes" / "depth" / f"{TIMES[0]}.png", np.ones((20, 16), np.float32))
    write_ids(export / "keyframes" / "confidence" / f"{TIMES[0]}.png", np.full((20, 16), 255))
    with pytest.raises(InputError, match=r"depth images of .* are 16 x 20 pixels, their intrinsics are for 80 x 64"):
        Polycam().read(export)


def test_other_folders_are_not_recognised(tmp_path: Path) -> None:
    assert Polycam().recognise(tmp_path) is None
    assert Polycam().recognise(tmp_path / "missing") is None
    for name in LAYOUTS:
        found = Polycam().recognise(touch_layout(tmp_path / name, name))
        assert (found is not None) == (name == "polycam")
