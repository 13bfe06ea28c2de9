"""Axes, quaternions, confidence and intrinsics of ARKit's exports."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from panrecon.datasets.importers.arkit import (
    export_notes,
    median_camera,
    most_confident,
    opencv_pose,
    pose_from_quaternion,
    resized,
    sideways_notes,
)
from panrecon.datasets.importers.base import SourceFrame
from panrecon.errors import InputError
from panrecon.structures import Camera

INTRINSICS = np.array([[100.0, 101.0, 39.0, 31.0], [101.0, 102.0, 40.0, 32.0], [102.0, 103.0, 41.0, 33.0]])
NAMES = ["a", "b", "c"]


def test_the_camera_turns_about_its_own_right_and_stays_where_it_is() -> None:
    pose = pose_from_quaternion([0.1, -0.7, 0.1, 0.7], [1.0, 2.0, 3.0], "it")
    turned = opencv_pose(pose)
    np.testing.assert_allclose(turned[:3, 3], pose[:3, 3])
    np.testing.assert_allclose(turned[:3, 0], pose[:3, 0])  # right stays right
    np.testing.assert_allclose(turned[:3, 2], -pose[:3, 2])  # it looks along z, no longer against it
    np.testing.assert_allclose(np.linalg.det(turned[:3, :3]), 1.0)


def test_quaternions_have_their_real_part_last() -> None:
    quarter = pose_from_quaternion([0.0, 0.0, np.sqrt(0.5), np.sqrt(0.5)], [0.0, 0.0, 0.0], "it")
    np.testing.assert_allclose(quarter[:3, :3] @ [1, 0, 0], [0, 1, 0], atol=1e-12)
    np.testing.assert_allclose(
        pose_from_quaternion([0.5, -0.5, 0.5, 0.5], [1.0, 2.0, 3.0], "it")[:3, :3],
        Rotation.from_quat([0.5, -0.5, 0.5, 0.5]).as_matrix(),
    )


@pytest.mark.parametrize("quaternion", [[0.0] * 4, [np.nan, 0.0, 0.0, 1.0]])
def test_lost_tracking_is_no_pose(quaternion: list[float]) -> None:
    assert not np.isfinite(pose_from_quaternion(quaternion, [0.0, 0.0, 0.0], "it")).any()
    assert not np.isfinite(pose_from_quaternion([0.0, 0.0, 0.0, 1.0], [0.0, np.inf, 0.0], "it")).any()


def test_a_quaternion_of_another_length_is_an_error() -> None:
    with pytest.raises(InputError, match=r"of frame 3 has length 2\.000"):
        pose_from_quaternion([0.0, 0.0, 0.0, 2.0], [0.0, 0.0, 0.0], "frame 3")


def test_only_the_highest_confidence_that_measured_something_is_kept() -> None:
    depth = np.array([[1.0, 2.0, 3.0, 0.0]], dtype=np.float32)
    sure = most_confident(depth, np.array([[0, 1, 2, 2]]), "it")
    np.testing.assert_array_equal(sure, np.array([[0.0, 0.0, 3.0, 0.0]], dtype=np.float32))
    np.testing.assert_array_equal(most_confident(depth, np.array([[0, 1, 1, 2]]), "it"), [[0.0, 2.0, 3.0, 0.0]])
    assert sure.dtype == np.float32
    with pytest.raises(InputError, match=r"of it has shape \(1, 3\), its depth \(1, 4\)"):
        most_confident(depth, np.array([[0, 1, 2]]), "it")


def test_all_frames_get_the_median_camera_and_the_spread_is_told() -> None:
    camera, notes = median_camera(INTRINSICS, NAMES, (80, 64), "scan")
    assert camera == Camera(80, 64, 101.0, 102.0, 40.0, 32.0)
    assert notes == ["The intrinsics of the frames differ by up to 0.99%; all frames get their median."]
    assert median_camera(INTRINSICS[:1], NAMES[:1], (80, 64), "scan")[1] == []


@pytest.mark.parametrize("column", range(4))
def test_intrinsics_that_differ_by_more_than_two_percent_are_an_error(column: int) -> None:
    intrinsics = np.repeat(INTRINSICS[1:2], 3, axis=0)
    intrinsics[2, column] += 2.2
    with pytest.raises(InputError, match=r"of 1 of 3 frames of scan differ .* those of c by 2\.2%"):
        median_camera(intrinsics, NAMES, (80, 64), "scan")


@pytest.mark.parametrize("wrong", [[0, 1, 2, 2], [100, 100, 400, 32], [np.nan, 100, 40, 32], [100, 100, 40, -3]])
def test_intrinsics_of_no_camera_are_an_error(wrong: list[float]) -> None:
    with pytest.raises(InputError, match="scan states focal lengths"):
        median_camera(np.array([wrong], dtype=np.float64), ["a"], (80, 64), "scan")


def test_the_depth_camera_sees_what_colour_sees() -> None:
    color = Camera(80, 64, 72.0, 68.0, 38.5, 31.5)
    assert resized(color, 20, 16, "depth images of it") == color.scaled(0.25)
    with pytest.raises(InputError, match="The depth images of it are 16 x 20 pixels, their intrinsics are for 80 x 64"):
        resized(color, 16, 20, "depth images of it")


def test_what_an_export_lacks_is_told() -> None:
    assert len(export_notes([], 0, 5)) == 1
    assert export_notes([], 5, 5) == ["There is no map of confidence: all depth is kept."]
    assert export_notes(["7", "9"], 2, 5)[1:] == [
        "2 frames have no map of confidence: all their depth is kept.",
        "2 frames lack an image, a depth or a pose and are left out: 7 first.",
    ]


@pytest.mark.parametrize(("turn", "on_their_side"), [(0.0, False), (0.5, True), (1.0, False), (1.5, True)])
def test_images_that_lie_on_their_side_are_told(turn: float, on_their_side: bool) -> None:
    """A camera that looks along the world's -z, y being up, turned about its own axis by so many half turns."""
    pose = opencv_pose(
        pose_from_quaternion([0.0, 0.0, np.sin(turn * np.pi / 2), np.cos(turn * np.pi / 2)], [1.0, 2.0, 3.0], "it")
    )
    lost = np.full((4, 4), np.nan)
    frames = [SourceFrame("0", each, lambda: b"", lambda: np.zeros((1, 1))) for each in (pose, lost)]
    assert bool(sideways_notes(frames)) == on_their_side
    assert sideways_notes(frames[1:]) == []
