"""Benchmarks of LiDAR scans by their layout, and what of a scan is scored."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Int

from panrecon.datasets.lidar_base import LidarDataset, ScanReference
from panrecon.errors import InputError
from panrecon.io.features import read_point_features
from panrecon.structures import VOID, Labels, LidarScan, PointFeatures

LABELLED: Final = ("semantic_kitti", "nuscenes")  # to train on and to be scored
LAYOUTS: Final = (*LABELLED, "kitti360")
# The main splits of arXiv 2401.02402 (2024): classes that training does not know.
NOVEL: Final = {
    "semantic_kitti": ("bicycle", "truck", "sidewalk", "building", "trunk"),
    "nuscenes": ("bus", "pedestrian", "motorcycle", "vegetation"),
}


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
