"""Benchmarks of LiDAR scans: where their scans, vision features and labels lie, and how predictions are handed in."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Int

from panrecon.datasets.kitti360.dataset import find_place
from panrecon.datasets.kitti360.format import CAMERAS, read_calibration
from panrecon.datasets.nuscenes import format as nuscenes
from panrecon.datasets.points import read_points
from panrecon.datasets.semantic_kitti import format as semantic_kitti
from panrecon.errors import InputError
from panrecon.geometry.projective import invert
from panrecon.io.categories import find_table, read_categories
from panrecon.io.features import read_point_features
from panrecon.io.ids import categories_of_raw_ids
from panrecon.structures import VOID, CategoryTable, Labels, LidarImage, LidarScan, PointFeatures, Rig

LABELLED: Final = ("semantic_kitti", "nuscenes")  # to train on and to be scored
LAYOUTS: Final = (*LABELLED, "kitti360")
HDL_64E_GAP_DEG: Final = 0.5  # of the lower half of KITTI's and KITTI-360's LiDAR
HDL_32E_GAP_DEG: Final = 1.33  # of nuScenes'
# The main splits of arXiv 2401.02402: classes that training does not know.
NOVEL: Final = {
    "semantic_kitti": ("bicycle", "truck", "sidewalk", "building", "trunk"),
    "nuscenes": ("bus", "pedestrian", "motorcycle", "vegetation"),
}


@dataclass(frozen=True)
class ScanPlace:
    """One scan: the sequence it is of, its key there, and the folder of its sequence or data set."""

    folder: Path
    sequence: str
    key: str


@runtime_checkable
class LidarDataset(Protocol):
    """One folder of scans. Everything it can complain of is an InputError.

    `min_points`: smaller segments are neither false nor missed. `seen_only`: points that no camera sees do not count.
    `beam_gap_deg`: the widest angle between neighbouring beams of the LiDAR, but for single ones.
    """

    root: Path
    table: CategoryTable
    min_points: int
    seen_only: bool
    beam_gap_deg: float

    def places(self) -> tuple[ScanPlace, ...]:
        """All scans, in the order they were taken."""
        ...

    def read(self, place: ScanPlace) -> LidarScan:
        """The scan, with labels where it has any."""
        ...

    def scan_name(self, place: ScanPlace) -> str:
        """What the scan is called, and so its file of vision features."""
        ...

    def write_prediction(self, out: Path, place: ScanPlace, scan: LidarScan, labels: Labels) -> None:
        """The labels as the benchmark's server takes them."""
        ...

    def read_prediction(self, out: Path, place: ScanPlace, scan: LidarScan) -> Labels:
        """What `write_prediction` wrote, or any other program."""
        ...


class SemanticKitti:
    """SemanticKITTI: `sequences/<NN>/`; predictions are `sequences/<NN>/predictions/<frame>.label`."""

    min_points = 50
    seen_only = True
    beam_gap_deg = HDL_64E_GAP_DEG

    def __init__(self, root: Path) -> None:
        self.root = root
        self.table = read_categories(find_table("semantic_kitti"))

    def places(self) -> tuple[ScanPlace, ...]:
        sequences = sorted(path.parent for path in self.root.glob("sequences/*/velodyne"))
        if not sequences:
            raise InputError(f"There is no sequences/<NN>/velodyne/ in {self.root}; name a folder that has it.")
        return tuple(ScanPlace(s, s.name, name) for s in sequences for name in semantic_kitti.scan_names(s))

    def read(self, place: ScanPlace) -> LidarScan:
        return semantic_kitti.read_scan(place.folder, place.key, self.table)

    def scan_name(self, place: ScanPlace) -> str:
        return place.key

    def write_prediction(self, out: Path, place: ScanPlace, scan: LidarScan, labels: Labels) -> None:
        ids = np.array([category.raw_ids[0] for category in self.table] + [0])
        semantic_kitti.write_raw_labels(_label_file(out, place), ids[labels.category], _within_class(labels))

    def read_prediction(self, out: Path, place: ScanPlace, scan: LidarScan) -> Labels:
        return semantic_kitti.read_labels(_label_file(out, place), self.table, len(scan.points))


class NuScenes:
    """nuScenes' tables; predictions are `panoptic/<token>_panoptic.npz`, in the 16 classes of the challenge."""

    min_points = 15
    seen_only = False
    beam_gap_deg = HDL_32E_GAP_DEG

    def __init__(self, root: Path) -> None:
        self.root, self._version = nuscenes.find_tables(root)
        self.table = read_categories(find_table("nuscenes"))

    @cached_property
    def _tables(self) -> nuscenes.Tables:
        return nuscenes.read_tables(self.root, self._version)

    def places(self) -> tuple[ScanPlace, ...]:
        samples = nuscenes.sample_tokens(self._tables)
        scene_of_sample = {record["token"]: record["scene_token"] for record in self._tables.records["sample"]}
        return tuple(ScanPlace(self.root, scene_of_sample[sample], sample) for sample in samples)

    def read(self, place: ScanPlace) -> LidarScan:
        return nuscenes.read_scan(self._tables, place.key, self.table)

    def scan_name(self, place: ScanPlace) -> str:
        return str(self._tables.data_of_sample[place.key][nuscenes.LIDAR]["token"])

    def write_prediction(self, out: Path, place: ScanPlace, scan: LidarScan, labels: Labels) -> None:
        ids = np.append(self.table.ids, 0).astype(np.int64)
        nuscenes.write_panoptic(_panoptic_file(out, scan), ids[labels.category], _within_class(labels))

    def read_prediction(self, out: Path, place: ScanPlace, scan: LidarScan) -> Labels:
        path = _panoptic_file(out, scan)
        semantic, instance = nuscenes.read_panoptic(path)
        if len(semantic) != len(scan.points):
            raise InputError(
                f"{path} labels {len(semantic)} points, its scan has {len(scan.points)}; predict it again."
            )
        row_of_id = {category.id: row for row, category in enumerate(self.table)}
        number = semantic * nuscenes.INSTANCES_PER_CLASS + instance
        return Labels(categories_of_raw_ids(semantic, row_of_id), np.where(instance > 0, number, VOID))


class Kitti360:
    """The scans of a drive of KITTI-360, which nobody has labelled; predictions are `<frame>.label`, its class ids."""

    min_points = 50
    seen_only = False
    beam_gap_deg = HDL_64E_GAP_DEG

    def __init__(self, root: Path) -> None:
        self._place = find_place(root)
        self.root = self._place.root
        self.table = read_categories(find_table("kitti360"))

    def places(self) -> tuple[ScanPlace, ...]:
        scans = self._place.scan_file(0).parent
        names = [path.stem for path in sorted(scans.glob("*.bin")) if self._place.holds(int(path.stem))]
        if not names:
            raise InputError(f"There is no scan <frame>.bin in {scans}; put the drive's scans there.")
        return tuple(ScanPlace(scans.parents[1], self._place.drive, name) for name in names)

    def read(self, place: ScanPlace) -> LidarScan:
        points = read_points(self._place.scan_file(int(place.key)))
        paths = {name: self._place.images(name) / f"{place.key}.png" for name in CAMERAS}
        images = [self._image(name, path) for name, path in paths.items() if path.is_file()]
        return LidarScan(place.key, points, None, tuple(images))

    def _image(self, name: str, path: Path) -> LidarImage:
        vehicle_from_camera = self._rig.vehicle_from_rectified[CAMERAS.index(name)]
        return LidarImage(name, path, self._rig.camera, invert(vehicle_from_camera) @ self._rig.vehicle_from_lidar)

    @cached_property
    def _rig(self) -> Rig:
        return read_calibration(self.root / "calibration")

    def scan_name(self, place: ScanPlace) -> str:
        return place.key

    def write_prediction(self, out: Path, place: ScanPlace, scan: LidarScan, labels: Labels) -> None:
        ids = np.append(self.table.ids, 0).astype(np.int64)
        semantic_kitti.write_raw_labels(out / f"{place.key}.label", ids[labels.category], _within_class(labels))

    def read_prediction(self, out: Path, place: ScanPlace, scan: LidarScan) -> Labels:
        return semantic_kitti.read_labels(out / f"{place.key}.label", self.table, len(scan.points))


def lidar_dataset(layout: str, root: Path) -> LidarDataset:
    """The data set in a folder.

    Raises:
        InputError: there is no such layout.
    """
    match layout:
        case "semantic_kitti":
            return SemanticKitti(root)
        case "nuscenes":
            return NuScenes(root)
        case "kitti360":
            return Kitti360(root)
        case _:
            raise InputError(f"There is no layout {layout!r} of LiDAR scans; there are {', '.join(LAYOUTS)}.")


@dataclass(frozen=True)
class Sample:
    """The points of a scan that count, with vision features, labels if it has any, and which of the scan's they are."""

    points: Float[np.ndarray, "m 4"]
    features: PointFeatures
    labels: Labels | None
    counts: Bool[np.ndarray, " n"]

    def on_scan(self, labels: Labels) -> Labels:
        """Labels of the sample on all points of the scan, `VOID` on the others."""
        whole = []
        for values in (labels.category, labels.instance):
            spread = np.full(len(self.counts), VOID, dtype=values.dtype)
            spread[self.counts] = values
            whole.append(spread)
        return Labels(*whole)


def sample(data: LidarDataset, place: ScanPlace, source: str) -> tuple[LidarScan, Sample]:
    """A scan, and what the benchmark wants of it.

    Raises:
        InputError: the scan and its features have not the same number of points.
    """
    scan = data.read(place)
    features = read_point_features(place.folder / source, data.scan_name(place))
    if len(features.valid) != len(scan.points):
        raise InputError(
            f"The scan {place.key} of {place.folder} has {len(scan.points)} points, its features {source} "
            f"{len(features.valid)}; make the features anew."
        )
    counts = features.valid if data.seen_only else np.ones(len(scan.points), dtype=bool)
    labels = None
    if scan.labels is not None:
        labels = Labels(scan.labels.category[counts], scan.labels.instance[counts])
    part = PointFeatures(features.values[counts], features.valid[counts])
    return scan, Sample(scan.points[counts], part, labels, counts)


def _within_class(labels: Labels) -> Int[np.ndarray, " n"]:
    """Instance numbers from 1 within each class, 0 for none."""
    pairs = np.stack([labels.category, labels.instance], axis=1)
    kinds, kind = np.unique(pairs, axis=0, return_inverse=True)
    real = kinds[:, 1] != VOID
    number = np.zeros(len(kinds), dtype=np.int64)
    for category in np.unique(kinds[real, 0]):
        mine = real & (kinds[:, 0] == category)
        number[mine] = np.arange(1, np.count_nonzero(mine) + 1)
    return number[kind.reshape(-1)]


def _label_file(out: Path, place: ScanPlace) -> Path:
    return out / "sequences" / place.sequence / "predictions" / f"{place.key}.label"


def _panoptic_file(out: Path, scan: LidarScan) -> Path:
    return out / "panoptic" / f"{scan.name}_panoptic.npz"
