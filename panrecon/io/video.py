"""Moving pictures: MP4 and GIF, by the suffix."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

from panrecon.io.files import aside


def write_video(path: Path, pictures: Sequence[UInt8[np.ndarray, "h w 3"]], per_second: int) -> None:
    """RGB pictures of one size as `.mp4` (MPEG-4) or endless `.gif`."""
    swapped = [np.ascontiguousarray(picture[..., ::-1]) for picture in pictures]
    with aside(path) as partial:
        if path.suffix == ".gif":
            animation = cv2.Animation()
            animation.frames = swapped
            animation.durations = [1000 // per_second] * len(swapped)
            written = cv2.imwriteanimation(str(partial), animation)
        else:
            height, width = swapped[0].shape[:2]
            video = cv2.VideoWriter(str(partial), cv2.VideoWriter.fourcc(*"mp4v"), per_second, (width, height))
            written = video.isOpened()
            for picture in swapped:
                video.write(picture)
            video.release()
        if not written:
            raise OSError(f"OpenCV could not write {path}.")
