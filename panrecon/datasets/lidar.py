"""What benchmarks of LiDAR scans share: how their scans are listed, read and labelled, and how predictions are written.

Each benchmark has a class of its own beside its files (`<name>/dataset.py`, `kitti360/lidar_dataset.py`).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Int

from panrecon.errors import InputError
from panrecon.io.features import read_point_features
from panrecon.structures import VOID, CategoryTable, Labels, LidarScan, PointFeatures

LABELLED: Final = ("semantic_kitti", "nuscenes")  # to train on and to be scored
LAYOUTS: Final = (*LABELLED, "kitti360")
HDL_64E_GAP_DEG: Final = 0.5  # of the lower half of the Velodyne HDL-64E of KITTI and KITTI-360, by its manual
# The main splits of arXiv 2401.02402 (2024): classes that training does not know.
NOVEL: Final = {
    "semantic_kitti": ("bicycle", "truck", "sidewalk", "building", "trunk"),
    "nuscenes": ("bus", "pedestrian", "motorcycle", "vegetation"),
}


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


def lidar_dataset(layout: str, root: Path) -> LidarDataset:
    """The data set in a folder, `layout` being one of `LAYOUTS`.

    Raises:
        InputError: there is no such layout, or the folder does not have it.
    """
    match layout:
        case "semantic_kitti":
            from panrecon.datasets.semantic_kitti.dataset import SemanticKitti

            return SemanticKitti(root)
        case "nuscenes":
            from panrecon.datasets.nuscenes.dataset import NuScenes

            return NuScenes(root)
        case "kitti360":
            from panrecon.datasets.kitti360.lidar_dataset import Kitti360Lidar

            return Kitti360Lidar(root)
        case _:
            raise InputError(f"There is no layout {layout!r} of LiDAR scans; there are {', '.join(LAYOUTS)}.")


@dataclass(frozen=True)
class LidarSample:
    """The points of a scan that are scored, with vision features and, where annotated, labels.

    `is_scored` tells for every point of the whole scan whether it is among them.
    """

    points: Float[np.ndarray, "m 4"]
    features: PointFeatures
    labels: Labels | None
    is_scored: Bool[np.ndarray, " n"]

    def on_scan(self, labels: Labels) -> Labels:
        """Labels of the sample's points on all points of the scan, `VOID` on the others."""

        def spread(values: Int[np.ndarray, " m"]) -> Int[np.ndarray, " n"]:
            of_scan = np.full(len(self.is_scored), VOID, dtype=values.dtype)
            of_scan[self.is_scored] = values
            return of_scan

        return Labels(spread(labels.category), spread(labels.instance))


def read_sample(dataset: LidarDataset, reference: ScanReference, features: str) -> tuple[LidarScan, LidarSample]:
    """A scan, and the points of it that are scored; `features` names the folder of vision features beside the scans.

    Raises:
        InputError: a file is missing or damaged, or the scan and its features differ in their number of points.
    """
    scan = dataset.read(reference)
    point_features = read_point_features(reference.folder / features, dataset.scan_name(reference))
    if len(point_features.valid) != len(scan.points):
        raise InputError(
            f"The scan {reference.key} of {reference.folder} has {len(scan.points)} points, its features {features} "
            f"{len(point_features.valid)}; make the features anew."
        )
    is_scored = point_features.valid if dataset.visible_only else np.ones(len(scan.points), dtype=bool)
    labels = None
    if scan.labels is not None:
        labels = Labels(scan.labels.category[is_scored], scan.labels.instance[is_scored])
    scored_features = PointFeatures(point_features.values[is_scored], point_features.valid[is_scored])
    return scan, LidarSample(scan.points[is_scored], scored_features, labels, is_scored)


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
