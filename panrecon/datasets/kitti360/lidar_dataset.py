"""LiDAR scans of a sequence of KITTI-360 (Liao, Xie, Geiger, PAMI 2022), which are not annotated scan by scan."""

from functools import cached_property
from pathlib import Path

import numpy as np

from panrecon.datasets.kitti360.dataset import drive_of_scene
from panrecon.datasets.kitti360.format import CAMERAS, read_calibration
from panrecon.datasets.lidar_base import HDL_64E_GAP_DEG, ScanReference, instance_ids_within_class
from panrecon.datasets.points import read_points
from panrecon.datasets.semantic_kitti.format import read_labels, write_raw_labels
from panrecon.errors import InputError
from panrecon.geometry.projective import invert
from panrecon.io.categories import find_table, read_categories
from panrecon.structures import Labels, LidarImage, LidarScan, Rig


class Kitti360Lidar:
    """The scans of a sequence, or of a window of it; predictions are `<frame>.label` of KITTI-360's class ids."""

    min_points = 50  # as for SemanticKITTI, whose LiDAR it is
    visible_only = False
    beam_gap_deg = HDL_64E_GAP_DEG

    def __init__(self, root: Path) -> None:
        self._drive = drive_of_scene(root)
        self.root = self._drive.root
        self.table = read_categories(find_table("kitti360"))

    def scans(self) -> tuple[ScanReference, ...]:
        """The scans of the window, in order.

        Raises:
            InputError: there is none.
        """
        folder = self._drive.scans
        names = [path.stem for path in sorted(folder.glob("*.bin")) if self._drive.contains(int(path.stem))]
        if not names:
            raise InputError(f"There is no scan <frame>.bin in {folder}; put the sequence's scans there.")
        return tuple(ScanReference(folder.parents[1], self._drive.name, name) for name in names)

    def read(self, reference: ScanReference) -> LidarScan:
        """The scan, without labels, and the images of both cameras where they exist.

        Raises:
            InputError: the scan or the calibration is missing or damaged.
        """
        points = read_points(self._drive.scan_file(int(reference.key)))
        path_of_camera = {name: self._drive.images(name) / f"{reference.key}.png" for name in CAMERAS}
        images = [self._image(name, path) for name, path in path_of_camera.items() if path.is_file()]
        return LidarScan(reference.key, points, None, tuple(images))

    def _image(self, name: str, path: Path) -> LidarImage:
        vehicle_from_camera = self._rig.vehicle_from_rectified[CAMERAS.index(name)]
        return LidarImage(name, path, self._rig.camera, invert(vehicle_from_camera) @ self._rig.vehicle_from_lidar)

    @cached_property
    def _rig(self) -> Rig:
        return read_calibration(self.root / "calibration")

    def scan_name(self, reference: ScanReference) -> str:
        """The frame's ten digits."""
        return reference.key

    def write_prediction(self, folder: Path, reference: ScanReference, scan: LidarScan, labels: Labels) -> None:
        """Class ids and instance ids that are unique within a class, packed as in SemanticKITTI's `.label`."""
        ids = np.append(self.table.ids, 0).astype(np.int64)
        write_raw_labels(folder / f"{reference.key}.label", ids[labels.category], instance_ids_within_class(labels))

    def read_prediction(self, folder: Path, reference: ScanReference, scan: LidarScan) -> Labels:
        """The labels of a prediction.

        Raises:
            InputError: there is no file for the scan, or it labels another number of points.
        """
        return read_labels(folder / f"{reference.key}.label", self.table, len(scan.points))
