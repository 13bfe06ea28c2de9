"""Panoptic nuScenes (Fong et al., RA-L 2022) as LiDAR scans; its files are those of `format` beside this."""

from functools import cached_property
from pathlib import Path

import numpy as np

from panrecon.datasets.lidar_base import ScanReference, instance_ids_within_class
from panrecon.datasets.nuscenes import format as nuscenes
from panrecon.errors import InputError
from panrecon.io.categories import find_table, read_categories
from panrecon.io.ids import categories_of_ids
from panrecon.structures import VOID, Labels, LidarScan


class NuScenes:
    """nuScenes' tables; predictions are `panoptic/<token>_panoptic.npz`, in the 16 classes of the challenge."""

    min_points = 15  # as the development kit's panoptic challenge has it
    visible_only = False
    beam_gap_deg = 1.33  # between the beams of the Velodyne HDL-32E, by its manual

    def __init__(self, root: Path) -> None:
        self.root, self._version = nuscenes.find_tables(root)
        self.table = read_categories(find_table("nuscenes"))

    @cached_property
    def _tables(self) -> nuscenes.Tables:
        return nuscenes.read_tables(self.root, self._version)

    def scans(self) -> tuple[ScanReference, ...]:
        """The scans of the key frames, scene by scene; the key is the token of the `sample`.

        Raises:
            InputError: a table is missing or damaged.
        """
        samples = nuscenes.sample_tokens(self._tables)
        scene_of_sample = {record["token"]: record["scene_token"] for record in self._tables.records["sample"]}
        return tuple(ScanReference(self.root, scene_of_sample[sample], sample) for sample in samples)

    def read(self, reference: ScanReference) -> LidarScan:
        """The scan, with its labels where there are any, and the images of all six cameras.

        Raises:
            InputError: a file is missing or damaged, or the tables do not fit together.
        """
        return nuscenes.read_scan(self._tables, reference.key, self.table)

    def scan_name(self, reference: ScanReference) -> str:
        """The token of the scan's `sample_data`, after which nuScenes names labels, too."""
        return str(self._tables.data_of_sample[reference.key][nuscenes.LIDAR]["token"])

    def write_prediction(self, folder: Path, reference: ScanReference, scan: LidarScan, labels: Labels) -> None:
        """Class ids of the challenge (1 to 16) and instance ids that are unique within a class."""
        ids = np.append(self.table.ids, 0).astype(np.int64)
        nuscenes.write_panoptic(_panoptic_file(folder, scan), ids[labels.category], instance_ids_within_class(labels))

    def read_prediction(self, folder: Path, reference: ScanReference, scan: LidarScan) -> Labels:
        """The labels of a prediction; its instances are class id * 1000 + instance id.

        Raises:
            InputError: there is no file for the scan, or it labels another number of points.
        """
        path = _panoptic_file(folder, scan)
        semantic, instance = nuscenes.read_panoptic(path)
        if len(semantic) != len(scan.points):
            raise InputError(
                f"{path} labels {len(semantic)} points, its scan has {len(scan.points)}; predict it again."
            )
        panoptic_id = semantic * nuscenes.INSTANCES_PER_CLASS + instance
        return Labels(categories_of_ids(semantic, self.table), np.where(instance > 0, panoptic_id, VOID))


def _panoptic_file(folder: Path, scan: LidarScan) -> Path:
    return folder / "panoptic" / f"{scan.name}_panoptic.npz"
