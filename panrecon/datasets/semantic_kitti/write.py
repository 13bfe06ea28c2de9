"""Writes one sequence in SemanticKITTI's layout, frame by frame."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import Float, Int, UInt8

from panrecon.datasets.points import write_points
from panrecon.datasets.semantic_kitti import format as semantic_kitti
from panrecon.io.images import write_image
from panrecon.structures import Rig

CAMERA_0: Final = 0.06  # m of KITTI's camera 0, which is grey, to the right of the first colour camera


class SemanticKITTIWriter:
    """Takes frames in the order of their names; poses and times are written by `finish`."""

    def __init__(self, sequence: Path, rig: Rig) -> None:
        """Writes the calibration; the colour cameras 2 and 3 are the rectified ones of `rig`."""
        self._sequence = sequence
        self._vehicle_from_camera_0 = _vehicle_from_camera_0(rig)
        self._world_from_camera_0: list[Float[np.ndarray, "4 4"]] = []
        self._seconds: list[float] = []
        semantic_kitti.write_calibration(sequence / "calib.txt", _calibration(rig))

    def add(
        self,
        name: str,
        seconds: float,
        world_from_vehicle: Float[np.ndarray, "4 4"],
        images: Sequence[UInt8[np.ndarray, "h w 3"]],
        points: Float[np.ndarray, "n 4"],
        semantic: Int[np.ndarray, " n"],
        instance: Int[np.ndarray, " n"],
    ) -> None:
        """Writes both colour images (RGB), the scan (m, LiDAR frame) and its raw ids."""
        write_points(self._sequence / "velodyne" / f"{name}.bin", points)
        semantic_kitti.write_raw_labels(self._sequence / "labels" / f"{name}.label", semantic, instance)
        for folder, image in zip(semantic_kitti.IMAGE_FOLDERS, images, strict=True):
            write_image(self._sequence / folder / f"{name}.png", image)
        self._world_from_camera_0.append(world_from_vehicle @ self._vehicle_from_camera_0)
        self._seconds.append(seconds)

    def finish(self) -> None:
        """Writes poses, which count from the first frame, and times."""
        first_from_world = np.linalg.inv(self._world_from_camera_0[0])
        poses = [first_from_world @ world_from_camera for world_from_camera in self._world_from_camera_0]
        semantic_kitti.write_poses(self._sequence / "poses.txt", poses)
        semantic_kitti.write_times(self._sequence / "times.txt", self._seconds)


def _vehicle_from_camera_0(rig: Rig) -> Float[np.ndarray, "4 4"]:
    camera_2_from_camera_0 = np.eye(4)
    camera_2_from_camera_0[0, 3] = CAMERA_0
    return rig.vehicle_from_rectified[0] @ camera_2_from_camera_0


def _calibration(rig: Rig) -> dict[str, Float[np.ndarray, "3 4"]]:
    """Projections of the four cameras, which differ in how far they sit beside camera 0, and camera 0 from LiDAR."""
    camera_from_camera_0 = {"P0": 0.0, "P1": -rig.baseline, "P2": CAMERA_0, "P3": CAMERA_0 - rig.baseline}
    matrices = {
        name: rig.camera.matrix @ np.column_stack([np.eye(3), [shift, 0.0, 0.0]])
        for name, shift in camera_from_camera_0.items()
    }
    camera_0_from_lidar = np.linalg.inv(_vehicle_from_camera_0(rig)) @ rig.vehicle_from_lidar
    return {**matrices, "Tr": camera_0_from_lidar[:3]}
