"""What the exports of Apple's ARKit share (developer.apple.com: ARCamera, ARDepthData).

Its cameras look along -z with x right and y up, its world has y up; LiDAR depth comes with a map of confidence, and the
intrinsics of the colour camera change a little with focus and stabilisation.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from jaxtyping import Float, Integer
from scipy.spatial.transform import Rotation

from panrecon.datasets.importers.base import SourceFrame
from panrecon.errors import InputError
from panrecon.io.images import read_depth, read_ids, require_decodable
from panrecon.structures import Camera

ARKIT_FROM_OPENCV: Final = np.diag([1.0, -1.0, -1.0, 1.0])
MAX_INTRINSICS_DEVIATION: Final = 0.02  # of a frame's from their median, per focal length: 2 cm at the edge of 1 m
NOTED_INTRINSICS_DEVIATION: Final = 0.0005  # from which on a note tells of it
MILLIMETRES: Final = 1000.0  # a metre: the unit of depth images
UNIT_TOLERANCE: Final = 0.01  # by which the length of a quaternion may differ from 1


def opencv_pose(world_from_arkit: Float[np.ndarray, "4 4"]) -> Float[np.ndarray, "4 4"]:
    """`world_from_camera` in OpenCV's camera axes (x right, y down, z forward); the world stays ARKit's, y up."""
    return world_from_arkit @ ARKIT_FROM_OPENCV


def pose_from_quaternion(quaternion: Sequence[float], position: Sequence[float], what: str) -> Float[np.ndarray, "4 4"]:
    """The pose of a quaternion (x, y, z, w) and a position (m); nan where either is not finite or the quaternion zero.

    Raises:
        InputError: the quaternion's length is not 1; the sentence calls it that of `what`.
    """
    length = np.linalg.norm(quaternion)
    pose = np.full((4, 4), np.nan)
    if not np.isfinite(length) or not np.isfinite(position).all() or length == 0:
        return pose
    if abs(length - 1) > UNIT_TOLERANCE:
        raise InputError(f"The quaternion of {what} has length {length:.3f}, not 1; export the scan again.")
    pose[:] = np.eye(4)
    pose[:3, :3] = Rotation.from_quat(quaternion).as_matrix()
    pose[:3, 3] = position
    return pose


def most_confident(
    depth: Float[np.ndarray, "h w"], confidence: Integer[np.ndarray, "H W"], what: str
) -> Float[np.ndarray, "h w"]:
    """The depth (m) where its confidence is of the highest level that measured anything in this image, 0 elsewhere.

    Raises:
        InputError: the two images differ in size.
    """
    if confidence.shape != depth.shape:
        raise InputError(
            f"The confidence of {what} has shape {confidence.shape}, its depth {depth.shape}; export the scan again."
        )
    measured = depth > 0
    best = confidence[measured].max(initial=0)
    return np.where(measured & (confidence == best), depth, np.float32(0))


def confident_depth(file: Path, confidence: Path | None) -> Float[np.ndarray, "h w"]:
    """The depth (m) of a PNG in millimetres where it is most confident, all of it without a map; 0 elsewhere.

    Raises:
        InputError: an image is damaged, or the two differ in size.
    """
    depth = read_depth(file, MILLIMETRES)
    return most_confident(depth, read_ids(confidence), str(file)) if confidence else depth


def median_camera(
    intrinsics: Float[np.ndarray, "n 4"], names: Sequence[str], size: tuple[int, ...], where: str
) -> tuple[Camera, list[str]]:
    """The camera of all frames from fx, fy, cx, cy of each, and a note where these differ; `size` is (width, height).

    Raises:
        InputError: they are those of no camera, or differ too much to be taken for one.
    """
    median = np.median(intrinsics, axis=0)
    fx, fy, cx, cy = (float(value) for value in median)
    width, height = size
    if not (np.isfinite(intrinsics).all() and fx > 0 and fy > 0 and 0 <= cx < width and 0 <= cy < height):
        raise InputError(
            f"{where} states focal lengths {fx:g}, {fy:g} and centre {cx:g}, {cy:g} for images of {width} x {height}; "
            "export the scan again."
        )
    difference = np.abs((intrinsics - median) / [fx, fy, fx, fy]).max(axis=1)
    deviates = difference > MAX_INTRINSICS_DEVIATION
    if deviates.any():
        raise InputError(
            f"The intrinsics of {deviates.sum()} of {len(names)} frames of {where} differ by "
            f"more than 2 % from their median, those of {names[difference.argmax()]} by {difference.max():.1%}; remove "
            "these frames, or record again with the focus locked."
        )
    note = f"The intrinsics of the frames differ by up to {difference.max():.2%}; all frames get their median."
    return Camera(width, height, fx, fy, cx, cy), [note] if difference.max() > NOTED_INTRINSICS_DEVIATION else []


def resized(camera: Camera, width: int, height: int, images: str) -> Camera:
    """The camera of images of another size in pixels of the same view, as ARKit registers depth to colour.

    Raises:
        InputError: the size has another ratio of width to height.
    """
    scaled = camera.scaled(width / camera.width)
    if (scaled.width, scaled.height) != (width, height):
        raise InputError(
            f"The {images} are {width} x {height} pixels, their intrinsics are for {camera.width} x {camera.height}, "
            "another shape; export the scan again, neither rotated nor cropped."
        )
    return scaled


def sideways_notes(frames: Sequence[SourceFrame]) -> list[str]:
    """A note where most images lie on their side: the sensor's long side is that of the phone."""
    poses = np.stack([frame.world_from_camera for frame in frames])
    right, down = np.nanmean(np.abs(poses[:, 1, :2]), axis=0) if np.isfinite(poses).any() else (0, 0)
    note = "Images lie on their side, as the phone was held upright: detectors find less in them; hold it sideways."
    return [note] if right > down else []


def encoded_size(encoded: bytes, where: str) -> tuple[int, int]:
    """Width and height in pixels of an encoded JPEG or PNG.

    Raises:
        InputError: it cannot be decoded; the sentence calls it `where`.
    """
    require_decodable(encoded, where)
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    image = cv2.imdecode(np.frombuffer(encoded, np.uint8), flags) if encoded else None
    if image is None:
        raise InputError(f"The image {where} cannot be decoded; it is damaged, export the scan again.")
    return image.shape[1], image.shape[0]


def export_notes(left_out: Sequence[str], without_confidence: int, frames: int) -> list[str]:
    """What an export lacked, a sentence each; `left_out` names the frames that lack an image, a depth or a pose."""
    notes = ["Of the depth only the highest level of confidence in each image is kept."]
    if without_confidence == frames:
        notes = ["There is no map of confidence: all depth is kept."]
    elif without_confidence:
        notes.append(f"{without_confidence} frames have no map of confidence: all their depth is kept.")
    if left_out:
        notes.append(f"{len(left_out)} frames lack an image, a depth or a pose and are left out: {left_out[0]} first.")
    return notes
