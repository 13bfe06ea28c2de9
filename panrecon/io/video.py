"""Videos: MP4 and GIF, by the suffix."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

from panrecon.io.files import atomic_write


def write_video(path: Path, images: Sequence[UInt8[np.ndarray, "h w 3"]], frames_per_second: int) -> None:
    """Writes RGB images of one size as `.mp4` (MPEG-4) or endless `.gif`.

    Raises:
        OSError: OpenCV cannot write it.
    """
    swapped = [np.ascontiguousarray(image[..., ::-1]) for image in images]
    with atomic_write(path) as partial:
        if path.suffix == ".gif":
            animation = cv2.Animation()
            animation.frames = swapped
            animation.durations = [1000 // frames_per_second] * len(swapped)
            written = cv2.imwriteanimation(str(partial), animation)
        else:
            height, width = swapped[0].shape[:2]
            video = cv2.VideoWriter(str(partial), cv2.VideoWriter.fourcc(*"mp4v"), frames_per_second, (width, height))
            written = video.isOpened()
            for image in swapped:
                video.write(image)
            video.release()
        if not written:
            raise OSError(f"OpenCV could not write {path}.")
