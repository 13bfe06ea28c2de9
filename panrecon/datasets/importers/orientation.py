"""Photographs that say by EXIF how they are to be turned: colour, depth, intrinsics and pose are turned alike."""

import io
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import Shaped, UInt8
from PIL import Image

from panrecon.datasets.importers.base import Source, SourceFrame, SourceImage, pixels_of
from panrecon.errors import InputError
from panrecon.io.images import read_color
from panrecon.structures import Camera

ORIENTATION_TAG: Final = 0x0112  # of EXIF
QUARTER_TURNS: Final = {1: 0, 6: 1, 3: 2, 8: 3}  # clockwise, by EXIF's orientation; the others are mirror images
CAMERA_TURN: Final = np.array([[0.0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])  # of a clockwise quarter


def common_quarter_turns(frames: Sequence[SourceFrame]) -> tuple[int, list[str]]:
    """The quarter turns clockwise that set all images upright, and what to note; 0 where the images do not agree.

    Of images inside a file the first stands for all, if it is upright: to look at each would read the whole file.
    """
    first = frames[0].color() if frames else None
    if isinstance(first, Path) or (isinstance(first, bytes) and exif_orientation(first) != 1):
        orientations = {exif_orientation(frame.color()) for frame in frames}
    else:
        orientations = {1}
    if len(orientations) > 1:
        return 0, ["EXIF turns some images and not others: all are taken as they are stored, as depth and poses are."]
    (orientation,) = orientations
    if orientation not in QUARTER_TURNS:
        return 0, [f"EXIF mirrors the images (orientation {orientation}): they are taken as they are stored."]
    quarter_turns = QUARTER_TURNS[orientation]
    note = f"Colour, depth, intrinsics and poses are turned by {90 * quarter_turns} degrees clockwise, as EXIF says."
    return quarter_turns, [note] if quarter_turns else []


def exif_orientation(image: SourceImage) -> int:
    """EXIF's orientation, 1 to 8, of a file; 1, upright, where it states none."""
    if not isinstance(image, Path | bytes):
        return 1
    try:
        with Image.open(io.BytesIO(image) if isinstance(image, bytes) else image) as opened:
            orientation = opened.getexif().get(ORIENTATION_TAG, 1)
    except (OSError, SyntaxError, ValueError) as error:
        raise InputError(f"The image {image if isinstance(image, Path) else ''} cannot be read: {error}.") from error
    return orientation if orientation in range(1, 9) else 1


def upright_pixels(path: Path) -> UInt8[np.ndarray, "h w 3"]:
    """RGB of a file turned as its EXIF says."""
    return turned_image(read_color(path), QUARTER_TURNS.get(exif_orientation(path), 0))


def turned(source: Source, quarter_turns: int) -> Source:
    """The scan with all images turned clockwise, and cameras and poses with them; the world stays as it is."""
    if quarter_turns == 0:
        return source
    turn = np.linalg.matrix_power(CAMERA_TURN, quarter_turns)
    frames = [
        replace(
            frame,
            world_from_camera=frame.world_from_camera @ turn.T,
            color=partial(_turned_color, frame, quarter_turns),
            depth=partial(_turned_depth, frame, quarter_turns),
        )
        for frame in source.frames
    ]
    return replace(
        source,
        camera=turned_camera(source.camera, quarter_turns),
        color_camera=turned_camera(source.color_camera, quarter_turns),
        frames=frames,
        color_from_depth=turn @ source.color_from_depth @ turn.T,
    )


def _turned_color(frame: SourceFrame, quarter_turns: int) -> SourceImage:
    return turned_image(pixels_of(frame.color()), quarter_turns)


def _turned_depth(frame: SourceFrame, quarter_turns: int) -> Shaped[np.ndarray, "h w"]:
    return turned_image(frame.depth(), quarter_turns)


def turned_image(image: Shaped[np.ndarray, "h w *channels"], quarter_turns: int) -> Shaped[np.ndarray, "H W *channels"]:
    """The image turned clockwise."""
    return np.ascontiguousarray(np.rot90(image, -quarter_turns))


def turned_camera(camera: Camera, quarter_turns: int) -> Camera:
    """The camera of the images turned clockwise."""
    for _ in range(quarter_turns):
        camera = Camera(camera.height, camera.width, camera.fy, camera.fx, camera.height - 1 - camera.cy, camera.cx)
    return camera
