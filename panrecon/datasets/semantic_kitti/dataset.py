"""SemanticKITTI (Behley et al., ICCV 2019) as LiDAR scans; its files are those of `format` beside this."""

from pathlib import Path

import numpy as np

from panrecon.datasets.lidar_base import HDL_64E_GAP_DEG, ScanReference, instance_ids_within_class
from panrecon.datasets.semantic_kitti.format import read_labels, read_scan, scan_names, write_raw_labels
from panrecon.errors import InputError
from panrecon.io.categories import find_table, read_categories
from panrecon.structures import Labels, LidarScan


class SemanticKitti:
    """`sequences/<NN>/`; predictions are `sequences/<NN>/predictions/<frame>.label`."""

    min_points = 50  # as the benchmark's own evaluate_panoptic.py has it
    visible_only = True
    beam_gap_deg = HDL_64E_GAP_DEG

    def __init__(self, root: Path) -> None:
        self.root = root
        self.table = read_categories(find_table("semantic_kitti"))

    def scans(self) -> tuple[ScanReference, ...]:
        """All scans, sequence by sequence.

        Raises:
            InputError: there is no sequence, or one without a scan.
        """
        sequences = sorted(path.parent for path in self.root.glob("sequences/*/velodyne"))
        if not sequences:
            raise InputError(f"There is no sequences/<NN>/velodyne/ in {self.root}; name a folder that has it.")
        return tuple(ScanReference(folder, folder.name, name) for folder in sequences for name in scan_names(folder))

    def read(self, reference: ScanReference) -> LidarScan:
        """The scan, with its labels and images where they lie beside it.

        Raises:
            InputError: a file is missing or damaged.
        """
        return read_scan(reference.folder, reference.key, self.table)

    def scan_name(self, reference: ScanReference) -> str:
        """The frame's six digits."""
        return reference.key

    def write_prediction(self, folder: Path, reference: ScanReference, scan: LidarScan, labels: Labels) -> None:
        """Raw class ids (the first of a class's `raw_ids`) and instance ids that are unique within a class."""
        ids = np.array([category.raw_ids[0] for category in self.table] + [0])
        write_raw_labels(_label_file(folder, reference), ids[labels.category], instance_ids_within_class(labels))

    def read_prediction(self, folder: Path, reference: ScanReference, scan: LidarScan) -> Labels:
        """The labels of a prediction.

        Raises:
            InputError: there is no file for the scan, or it labels another number of points.
        """
        return read_labels(_label_file(folder, reference), self.table, len(scan.points))


def _label_file(folder: Path, reference: ScanReference) -> Path:
    return folder / "sequences" / reference.sequence / "predictions" / f"{reference.key}.label"
