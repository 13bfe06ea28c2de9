"""Writes one drive in KITTI-360's layout, frame by frame."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from panrecon.datasets.kitti360 import format as kitti360
from panrecon.structures import Rig


class KITTI360Writer:
    """Takes frames in any order; what belongs to all frames (poses, times, static points) is written by `finish`."""

    def __init__(self, root: Path, drive: str, rig: Rig) -> None:
        """Writes the calibration."""
        kitti360.write_calibration(root, rig)
        self._root = root
        self._drive = drive
        self._rig = rig
        self._world_from_vehicle: dict[int, Float[np.ndarray, "4 4"]] = {}
        self._seconds: list[float] = []

    def add(
        self,
        frame_index: int,
        seconds: float,
        world_from_vehicle: Float[np.ndarray, "4 4"],
        images: Sequence[UInt8[np.ndarray, "h w 3"]],
        points: Float[np.ndarray, "n 4"],
        ids: kitti360.Ids,
    ) -> None:
        """Writes the images of both cameras (RGB), the scan (m, LiDAR frame) and the first camera's label images."""
        kitti360.write_frame(self._root, self._drive, frame_index, images, points)
        kitti360.write_frame_labels(self._root, self._drive, frame_index, ids)
        self._world_from_vehicle[frame_index] = world_from_vehicle
        self._seconds.append(seconds)

    def finish(self, static: kitti360.StaticPoints) -> None:
        """Writes times, poses and one window of accumulated static points."""
        kitti360.write_times(self._root, self._drive, self._seconds)
        kitti360.write_poses(self._root, self._drive, self._world_from_vehicle, self._rig)
        kitti360.write_static_points(self._root, self._drive, 0, len(self._seconds) - 1, static)
