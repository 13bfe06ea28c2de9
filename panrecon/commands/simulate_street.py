"""What `panrecon simulate street` writes: a drive through the built-in street, in the layout of a benchmark."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import Float

from panrecon.commands.simulate_points import FEATURES, write_class_embeddings
from panrecon.datasets.kitti360 import format as kitti360
from panrecon.datasets.kitti360.write import KITTI360Writer
from panrecon.datasets.nuscenes import format as nuscenes
from panrecon.datasets.nuscenes.write import NuScenesSensors, NuScenesWriter
from panrecon.datasets.semantic_kitti import format as semantic_kitti
from panrecon.datasets.semantic_kitti.write import SemanticKITTIWriter
from panrecon.io.categories import find_table, read_categories
from panrecon.io.features import write_point_features
from panrecon.io.files import added_to, write_json
from panrecon.simulation.predictions.point_features import simulated_point_features, simulated_text_embeddings
from panrecon.simulation.street.benchmark_labels import Benchmark, benchmark_labels, benchmark_names
from panrecon.simulation.street.lidar import HDL_32E, HDL_64E, LidarModel
from panrecon.simulation.street.sequence import SequenceFrame, StaticPointAccumulator, simulated_sequence
from panrecon.simulation.street.street import Street
from panrecon.simulation.street.vehicle import (
    IMU_HEIGHT,
    VehicleSensors,
    kitti360_rig,
    stereo_sensors,
    surround_sensors,
)
from panrecon.structures import Labels, Rig
from panrecon.terminal import track

# nuScenes' ego frame lies on the road, x forward, y left, z up; its LiDAR has x right, y forward, z up.
_EGO_FROM_VEHICLE: Final = np.array([[1.0, 0, 0, 0], [0, -1, 0, 0], [0, 0, -1, IMU_HEIGHT], [0, 0, 0, 1]])
_NUSCENES_FROM_LIDAR: Final = np.array([[0.0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])


@dataclass(frozen=True)
class StreetRecording:
    """How to record a street: the frames, the images' width (px), the LiDAR, and whether to write point features.

    Frames are `spacing` m apart.
    """

    street: Street
    frames: int
    width: int
    beams: int
    columns: int
    features: bool
    spacing: float = 1.0

    def sequence(
        self, sensors: VehicleSensors, halves_deg: tuple[float, float, float, float]
    ) -> Iterator[SequenceFrame]:
        """The frames, with a progress bar; `halves_deg` as in `LidarModel`."""
        lidar = LidarModel(self.beams, self.columns, halves_deg=halves_deg)
        return track(simulated_sequence(self.street, sensors, lidar, self.frames, self.spacing), "drive", self.frames)


def write_kitti360(folder: Path, recording: StreetRecording) -> None:
    """Adds one drive to a data set in KITTI-360's layout, whole or not at all.

    Raises:
        InputError: the drive exists, or the data set has another calibration.
    """
    rig = kitti360_rig(recording.width)
    drive = f"2013_05_28_drive_{9000 + recording.street.seed}_sync"
    kitti360.require_same_calibration(folder, rig)
    with added_to(folder, Path("data_2d_raw", drive)) as root:
        _write_drive(KITTI360Writer(root, drive, rig), root / "data_3d_raw" / drive / FEATURES, recording, rig)


def _write_drive(writer: KITTI360Writer, features_folder: Path, recording: StreetRecording, rig: Rig) -> None:
    street = recording.street
    labels = benchmark_labels(street, "kitti360", read_categories(find_table("kitti360")))

    def ids(truth: Labels) -> kitti360.Ids:
        semantic, number_in_class = labels.raw_ids(truth)
        return kitti360.Ids(semantic, semantic * kitti360.INSTANCES_PER_CLASS + number_in_class)

    features = PointFeatureWriter(features_folder, recording, "kitti360")
    static = StaticPointAccumulator(street)
    for frame in recording.sequence(stereo_sensors(rig), HDL_64E):
        images = [view.color for view in frame.views]
        ids_of_pixels = ids(frame.views[0].truth)
        writer.add(frame.index, frame.time, frame.world_from_vehicle, images, frame.scan.points, ids_of_pixels)
        features.add(kitti360.frame_name(frame.index), frame)
        static.add(frame)
    points = static.result()
    writer.finish(kitti360.StaticPoints(points.points, points.colors, ids(points.labels), points.visible))


def write_semantic_kitti(folder: Path, recording: StreetRecording) -> None:
    """Adds a sequence to a data set in SemanticKITTI's layout, whole or not at all; its name is the seed.

    Raises:
        InputError: the sequence exists.
    """
    name = f"{recording.street.seed:02d}"
    with added_to(folder, Path("sequences", name)) as root:
        _write_sequence(semantic_kitti.sequence_folder(root, name), recording)


def _write_sequence(sequence: Path, recording: StreetRecording) -> None:
    rig = kitti360_rig(recording.width)
    labels = benchmark_labels(recording.street, "semantic_kitti", read_categories(find_table("semantic_kitti")))
    writer = SemanticKITTIWriter(sequence, rig)
    features = PointFeatureWriter(sequence / FEATURES, recording, "semantic_kitti")
    for frame in recording.sequence(stereo_sensors(rig), HDL_64E):
        name = semantic_kitti.frame_name(frame.index)
        images = [view.color for view in frame.views]
        semantic, instance = labels.raw_ids(frame.scan.truth)
        writer.add(name, frame.time, frame.world_from_vehicle, images, frame.scan.points, semantic, instance)
        features.add(name, frame)
    writer.finish()


def write_nuscenes(folder: Path, recording: StreetRecording) -> None:
    """Writes a data set of one scene in nuScenes' layout, whole or not at all.

    Every frame is a key frame, all sensors measure at once.

    Raises:
        InputError: the folder holds samples.
    """
    with added_to(folder, Path("samples")) as root:
        _write_scene(root, recording)


def _write_scene(root: Path, recording: StreetRecording) -> None:
    street = recording.street
    sensors = surround_sensors(recording.width)
    labels = benchmark_labels(street, "nuscenes", read_categories(find_table("nuscenes")))
    writer = NuScenesWriter(root, f"simulated-street-{street.seed:04d}", _nuscenes_sensors(sensors))
    features = PointFeatureWriter(root / FEATURES, recording, "nuscenes")
    for frame in recording.sequence(sensors, HDL_32E):
        world_from_ego = frame.world_from_vehicle @ np.linalg.inv(_EGO_FROM_VEHICLE)
        images = [view.color for view in frame.views]
        semantic, instance = labels.raw_ids(frame.scan.truth)
        points = _nuscenes_points(frame, recording.beams)
        token = writer.add(frame.time, world_from_ego, images, points, semantic, instance)
        features.add(token, frame)
    writer.finish()


class PointFeatureWriter:
    """Writes simulated features of the points of every frame, where the recording asks for them.

    Pixels of a class that the benchmark's table does not list have the embedding of the street's own name for it.
    """

    def __init__(self, folder: Path, recording: StreetRecording, benchmark: Benchmark) -> None:
        """Writes the text embeddings of the benchmark's classes."""
        self._folder = folder
        self._seed = recording.street.seed
        self._enabled = recording.features
        if self._enabled:
            table = read_categories(find_table(benchmark))
            self._embedding_of_category = simulated_text_embeddings(benchmark_names(benchmark, table))
            write_class_embeddings(folder, table)
            metadata = {"source": "panrecon simulate street", "simulated": True, "seed": self._seed}
            write_json(folder / "features.json", metadata)

    def add(self, name: str, frame: SequenceFrame) -> None:
        """Writes the features of one frame's points as `name`.npz."""
        if self._enabled:
            features = simulated_point_features(
                frame.scan.exact, frame.views, self._embedding_of_category, seed=self._seed, frame=frame.index
            )
            write_point_features(self._folder, name, features)


def _nuscenes_sensors(sensors: VehicleSensors) -> NuScenesSensors:
    return NuScenesSensors(
        {mounted.name: mounted.camera for mounted in sensors.cameras},
        {mounted.name: _EGO_FROM_VEHICLE @ mounted.vehicle_from_camera for mounted in sensors.cameras},
        _EGO_FROM_VEHICLE @ (sensors.vehicle_from_lidar @ np.linalg.inv(_NUSCENES_FROM_LIDAR)),
    )


def _nuscenes_points(frame: SequenceFrame, beams: int) -> Float[np.ndarray, "n 5"]:
    """x right, y forward, z up (m), intensity up to 255, ring from below."""
    x, y, z, intensity = frame.scan.points.T
    ring = (beams - 1 - frame.scan.beam).astype(np.float32)
    return np.column_stack([-y, x, z, np.rint(nuscenes.MAX_INTENSITY * intensity), ring]).astype(np.float32)
