"""Recordings of Stray Scanner come back as they were written."""

import os
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from panrecon.datasets.importers.stray import Stray
from panrecon.datasets.importers.video import Video
from panrecon.errors import InputError
from panrecon.io.images import write_depth, write_ids
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

FRAMES = 4
COLOR = CAMERA.scaled(4.0)
HEADER = "timestamp, frame, x, y, z, qx, qy, qz, qw"


def line(number: int, pose: np.ndarray, tail: str = "") -> str:
    values = [*pose[:3, 3], *Rotation.from_matrix(pose[:3, :3]).as_quat()]
    return f"{100 + number / 60}, {number:06d}, {', '.join(f'{value:.9f}' for value in values)}{tail}"


def write_video(path: Path, count: int = FRAMES) -> None:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 60, (COLOR.width, COLOR.height))
    for number in range(count):
        writer.write(picture(COLOR, number)[..., ::-1])
    writer.release()


def write_recording(folder: Path) -> Path:
    """Four frames, their confidence high everywhere."""
    folder.mkdir()
    write_video(folder / "rgb.mp4")
    for number, pose in enumerate(poses(FRAMES)):
        write_depth(folder / "depth" / f"{number:06d}.png", plane_depth(CAMERA, pose))
        write_ids(folder / "confidence" / f"{number:06d}.png", np.full((CAMERA.height, CAMERA.width), 2))
    np.savetxt(folder / "camera_matrix.csv", COLOR.matrix, delimiter=", ")
    write_lines(folder, [HEADER, *(line(number, pose) for number, pose in enumerate(poses(FRAMES)))])
    return folder


def write_lines(folder: Path, lines: list[str]) -> None:
    (folder / "odometry.csv").write_text("\n".join(lines) + "\n")


def read_lines(folder: Path) -> list[str]:
    return (folder / "odometry.csv").read_text().splitlines()


def patch_box(path: Path, box: bytes, offset: int, values: bytes) -> None:
    """Overwrites some bytes of a box of an mp4."""
    content = bytearray(path.read_bytes())
    start = content.index(box) + len(box) + offset
    content[start : start + len(values)] = values
    path.write_bytes(content)


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    return write_recording(tmp_path / "71de12f9")


def test_depth_lies_on_the_plane_and_colours_come_back(recording: Path) -> None:
    assert Stray().recognise(recording) == "it holds rgb.mp4 and odometry.csv"
    source = Stray().read(recording)
    assert_on_plane(source)
    assert_pictures(source, [0, 1, 2, 3])
    assert [frame.name for frame in source.frames] == ["000000", "000001", "000002", "000003"]
    assert source.color_camera == COLOR
    assert source.camera == CAMERA
    assert list(source.notes) == ["Of the depth only the highest level of confidence in each image is kept."]


def test_frames_asked_out_of_order_are_right(recording: Path) -> None:
    frames = Stray().read(recording).frames
    in_order = [pixels(frame.color()) for frame in frames]
    for number in (2, 2, 0, 3, 1):
        np.testing.assert_array_equal(pixels(frames[number].color()), in_order[number])


def test_a_rotation_for_players_does_not_turn_the_image(recording: Path) -> None:
    upright = struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, 0, 0, 1 << 30)
    patch_box(recording / "rgb.mp4", b"tkhd", 40, upright)
    source = Stray().read(recording)
    assert source.color_camera == COLOR
    assert_pictures(source, [0, 1, 2, 3])


@pytest.mark.parametrize("options", [{}, {"OPENCV_FFMPEG_CAPTURE_OPTIONS": "threads;1"}])
def test_a_frame_that_an_edit_list_hides_shifts_no_other(
    recording: Path, options: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    one_frame = 256  # of the 15360 units a second of the video written here
    patch_box(recording / "rgb.mp4", b"elst", 12, struct.pack(">i", one_frame))
    monkeypatch.delenv("OPENCV_FFMPEG_CAPTURE_OPTIONS", raising=False)
    for key, value in options.items():
        monkeypatch.setenv(key, value)
    before = dict(os.environ)
    assert_pictures(Stray().read(recording), [0, 1, 2, 3])
    assert dict(os.environ) == before


def test_depth_of_2021_is_an_array(recording: Path) -> None:
    for number, pose in enumerate(poses(FRAMES)):
        (recording / "depth" / f"{number:06d}.png").unlink()
        depth = np.rint(plane_depth(CAMERA, pose) * 1000).astype(np.uint16)
        np.save(recording / "depth" / f"{number:06d}.npy", depth)
    write_lines(recording, [text.split(", ", 2)[2] for text in read_lines(recording)[1:]])
    assert_on_plane(Stray().read(recording))


def test_intrinsics_of_each_line_go_before_the_matrix(recording: Path) -> None:
    np.savetxt(recording / "camera_matrix.csv", np.diag([50.0, 50.0, 1.0]), delimiter=", ")
    scales = (0.996, 1.0, 1.004)
    tails = [f", {COLOR.fx * s}, {COLOR.fy * s}, {COLOR.cx}, {COLOR.cy}, , " for s in scales] + [", , , , , , "]
    lines = [line(number, pose, tails[number]) for number, pose in enumerate(poses(FRAMES))]
    header = f" {HEADER}, fx, fy, cx, cy, distortion_center_x, distortion_center_y"
    write_lines(recording, [header, *lines])
    source = Stray().read(recording)
    assert_on_plane(source)
    assert source.notes[0] == "The intrinsics of the frames differ by up to 0.40%; all frames get their median."


def test_only_confident_depth_is_kept(recording: Path) -> None:
    levels = np.tile(np.arange(CAMERA.width) % 3, (CAMERA.height, 1))
    write_ids(recording / "confidence" / "000001.png", levels)
    (recording / "confidence" / "000002.png").unlink()
    source = Stray().read(recording)
    np.testing.assert_array_equal(source.frames[1].depth() > 0, levels == 2)
    assert (source.frames[2].depth() > 0).all()
    assert "1 frames have no map of confidence: all their depth is kept." in source.notes


def test_lines_are_paired_by_the_number_of_their_frame(recording: Path) -> None:
    header, *lines = read_lines(recording)
    write_lines(recording, [header, lines[3], lines[1], lines[0]])
    source = Stray().read(recording)
    assert_on_plane(source)
    assert_pictures(source, [0, 1, 3])
    assert "1 frames lack an image, a depth or a pose and are left out: 000002 first." in source.notes


def test_frames_without_depth_or_colour_are_left_out(recording: Path) -> None:
    (recording / "depth" / "000000.png").unlink()
    write_video(recording / "rgb.mp4", count=3)
    source = Stray().read(recording)
    assert_on_plane(source)
    assert_pictures(source, [1, 2])
    assert "2 frames lack an image, a depth or a pose and are left out: 000000 first." in source.notes


def test_lost_tracking_is_no_pose(recording: Path) -> None:
    header, *lines = read_lines(recording)
    write_lines(recording, [header, "1, 000000, 0, 0, 0, 0, 0, 0, 0", *lines[1:]])
    finite = [np.isfinite(frame.world_from_camera).all() for frame in Stray().read(recording).frames]
    assert finite == [False, True, True, True]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("1.0, 000001, 0.0", "9 numbers are needed in line 3 of .*odometry.csv"),
        ("1.0, 000001, 0, 0, x, 0, 0, 0, 1", "9 numbers are needed in line 3 of .*odometry.csv"),
        ("1.0, , 0, 0, 0, 0, 0, 0, 1", "no number of a frame in line 3 of"),
        ("1.0, 000000, 0, 0, 0, 0, 0, 0, 1", "Frame 0 occurs again in line 3 of"),
        ("1.0, 000001, 0, 0, 0, 1, 1, 1, 1", r"quaternion of line 3 of .* has length 2\.000"),
    ],
)
def test_a_malformed_line_is_named(recording: Path, damage: str, message: str) -> None:
    header, *lines = read_lines(recording)
    write_lines(recording, [header, lines[0], damage, *lines[2:]])
    with pytest.raises(InputError, match=message):
        Stray().read(recording)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("odometry.csv", None, "odometry.csv cannot be read as a table"),
        ("odometry.csv", b"", "has no frame with a pose, a depth image and a colour: 0 lines of odometry.csv"),
        ("odometry.csv", b"x, y, z, w\n", "odometry.csv has no column 'qx'"),
        ("odometry.csv", b"\xff\xfe\x00", "odometry.csv cannot be read as a table"),
        ("camera_matrix.csv", None, "camera_matrix.csv cannot be read as 3 x 3 numbers"),
        ("camera_matrix.csv", b"1, 2\n3, 4\n", r"shape \(2, 2\), not 3 x 3"),
        ("camera_matrix.csv", b"1, 0, 900\n0, 1, 500\n0, 0, 1\n", "states focal lengths 1, 1 and centre 900, 500"),
        ("rgb.mp4", None, "rgb.mp4 cannot be opened as a video"),
        ("rgb.mp4", b"no video", "rgb.mp4 cannot be opened as a video"),
        ("depth/000000.png", b"no image", "000000.png cannot be decoded"),
    ],
)
def test_each_damage_is_one_sentence(recording: Path, name: str, content: bytes | None, message: str) -> None:
    (recording / name).unlink()
    if content is not None:
        (recording / name).write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        Stray().read(recording)
    assert "\n" not in str(caught.value)


def test_a_video_that_breaks_off_is_told(recording: Path) -> None:
    video = Video(recording / "rgb.mp4")
    with pytest.raises(InputError, match=r"rgb\.mp4 breaks off at frame 4 of 4"):
        video.frame(FRAMES)
    np.testing.assert_allclose(video.frame(0), picture(COLOR, 0), atol=20)


@pytest.mark.parametrize(
    ("array", "message"),
    [(np.zeros((16, 20), np.float32), "is float32"), (np.zeros(320, np.uint16), r"of shape \(320,\)"), (None, "read")],
)
def test_a_wrong_array_of_depth_is_told(recording: Path, array: np.ndarray | None, message: str) -> None:
    (recording / "depth" / "000000.png").unlink()
    (recording / "depth" / "000000.npy").write_bytes(b"no array")
    if array is not None:
        np.save(recording / "depth" / "000000.npy", array)
    with pytest.raises(InputError, match=message):
        Stray().read(recording)


def test_other_folders_are_not_recognised(tmp_path: Path) -> None:
    assert Stray().recognise(tmp_path) is None
    assert Stray().recognise(tmp_path / "missing") is None
    for name in LAYOUTS:
        found = Stray().recognise(touch_layout(tmp_path / name, name))
        assert (found is not None) == (name == "stray")
