"""Frames of a recorded video, for scans whose colour is one."""

import os
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from jaxtyping import UInt8

from panrecon.errors import InputError

# iOS hides frames stamped before time 0 by an edit list; FFmpeg would leave them out and so shift all others.
CAPTURE_OPTIONS: Final = ("OPENCV_FFMPEG_CAPTURE_OPTIONS", "ignore_editlist;1")


class Video:
    """The frames of a video, decoded one after another; asked for an earlier one it starts again with the first.

    They come as they were coded: none hidden, and none rotated as the file tells players to.
    """

    def __init__(self, path: Path) -> None:
        """Opens the file.

        Raises:
            InputError: it cannot be opened as a video.
        """
        self.path = path
        self._start()
        sides = (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)
        self.size = tuple(int(self._capture.get(side)) for side in sides)
        self.count = int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))

    def frame(self, frame_index: int) -> UInt8[np.ndarray, "h w 3"]:
        """RGB of a frame, counted from 0.

        Raises:
            InputError: the video ends before it.
        """
        if frame_index < self._next - 1:
            self._start()
        while self._next <= frame_index and self._capture.grab():
            self._next += 1
        is_decoded, image = self._capture.retrieve()
        if self._next <= frame_index or not is_decoded:
            raise InputError(f"{self.path} breaks off at frame {self._next} of {self.count}; copy the recording again.")
        return np.ascontiguousarray(image[..., ::-1])

    def _start(self) -> None:
        self._capture = _open_capture(self.path)
        self._next = 0


def _open_capture(path: Path) -> cv2.VideoCapture:
    key, value = CAPTURE_OPTIONS
    before = os.environ.get(key)
    os.environ[key] = value
    try:
        capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    finally:
        os.environ.pop(key)
        os.environ.update({} if before is None else {key: before})
    if not capture.isOpened():
        raise InputError(f"{path} cannot be opened as a video; it is missing or cut off, copy the recording again.")
    capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 0)
    return capture
