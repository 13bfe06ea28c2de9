"""What benchmarks of LiDAR scans share: how their scans are listed, read and labelled, and how predictions are written.

Each benchmark has a class of its own beside its files (`<name>/dataset.py`, `kitti360/lidar_dataset.py`).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int

from panrecon.structures import VOID, CategoryTable, Labels, LidarScan

HDL_64E_GAP_DEG: Final = 0.5  # of the lower half of the Velodyne HDL-64E of KITTI and KITTI-360, by its manual


@dataclass(frozen=True)
class ScanReference:
    """One scan: the folder of its sequence or data set, the sequence, and the scan's key within it."""

    folder: Path
    sequence: str
    key: str


@runtime_checkable
class LidarDataset(Protocol):
    """One folder of scans. Every method raises InputError where a file is missing or damaged.

    `min_points`: a smaller segment, true or predicted, counts neither as missed nor as false, as the benchmark's own
    scoring has it. `visible_only`: points that no camera sees are not scored. `beam_gap_deg`: the widest angle between
    neighbouring beams of the LiDAR, but for single outliers.
    """

    root: Path
    table: CategoryTable
    min_points: int
    visible_only: bool
    beam_gap_deg: float

    def scans(self) -> tuple[ScanReference, ...]:
        """All scans, in the order they were taken."""
        ...

    def read(self, reference: ScanReference) -> LidarScan:
        """The scan, with labels where it is annotated and with the images that were taken meanwhile."""
        ...

    def scan_name(self, reference: ScanReference) -> str:
        """The name of the scan, which is the stem of its file of vision features."""
        ...

    def write_prediction(self, folder: Path, reference: ScanReference, scan: LidarScan, labels: Labels) -> None:
        """Writes the labels as the benchmark's server takes them; void becomes its id 0."""
        ...

    def read_prediction(self, folder: Path, reference: ScanReference, scan: LidarScan) -> Labels:
        """The labels of a prediction in the benchmark's form, written by `write_prediction` or any other program."""
        ...


def instance_ids_within_class(labels: Labels) -> Int[np.ndarray, " n"]:
    """Instance ids from 1 within each class, as the benchmarks' files number them; 0 for no instance."""
    pairs = np.stack([labels.category, labels.instance], axis=1)
    segments, segment_of_point = np.unique(pairs, axis=0, return_inverse=True)
    is_instance = segments[:, 1] != VOID
    id_of_segment = np.zeros(len(segments), dtype=np.int64)
    for category in np.unique(segments[is_instance, 0]):
        of_category = is_instance & (segments[:, 0] == category)
        id_of_segment[of_category] = np.arange(1, np.count_nonzero(of_category) + 1)
    return id_of_segment[segment_of_point.reshape(-1)]
