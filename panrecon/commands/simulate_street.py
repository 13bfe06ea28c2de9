"""What `panrecon simulate street` writes: a drive through the built-in street, as the benchmarks publish theirs."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Int

from panrecon.config import ScanSettings
from panrecon.datasets.kitti360 import format as kitti360
from panrecon.datasets.kitti360.dataset import KITTI360, find_place
from panrecon.datasets.kitti360.format import read_calibration, read_vehicle_poses
from panrecon.datasets.nuscenes import format as nuscenes
from panrecon.datasets.points import read_points, write_points
from panrecon.datasets.semantic_kitti import format as semantic_kitti
from panrecon.errors import InputError
from panrecon.geometry.projective import transform
from panrecon.io.categories import find_table, read_categories
from panrecon.io.features import write_point_features, write_text_embeddings
from panrecon.io.files import write_json
from panrecon.io.images import write_image
from panrecon.simulation.predictions.point_features import simulated_point_features, simulated_text_embeddings
from panrecon.simulation.street.camera import StreetView
from panrecon.simulation.street.drive import Accumulation, DriveFrame, driven
from panrecon.simulation.street.lidar import HDL_32E, HDL_64E, LidarModel
from panrecon.simulation.street.street import BENCHMARK_IDS, Street
from panrecon.simulation.street.vehicle import UNIT_HEIGHT, Sensors, kitti360_rig, stereo_sensors, surround_sensors
from panrecon.structures import VOID, CategoryTable, Labels
from panrecon.terminal import track

FEATURES: Final = "simulated_features"
UNLABELLED: Final = "unknown object"  # what pixels of no class show
_CAMERA_0: Final = 0.06  # m of KITTI's camera 0, which is grey, to the right of the first colour camera
_START: Final = 1_532_402_927_000_000  # microseconds
# nuScenes' vehicle frame lies on the road, x forward, y left, z up; its LiDAR has x right, y forward, z up.
_EGO_FROM_VEHICLE: Final = np.array([[1.0, 0, 0, 0], [0, -1, 0, 0], [0, 0, -1, UNIT_HEIGHT], [0, 0, 0, 1]])
_NUSCENES_FROM_LIDAR: Final = np.array([[0.0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])


@dataclass(frozen=True)
class Recording:
    """How to record a street: the frames, the images' width (px), the LiDAR, and whether to write vision features.

    Frames are `spacing` m apart.
    """

    street: Street
    frames: int
    width: int
    beams: int
    columns: int
    features: bool
    spacing: float = 1.0

    def drive(self, sensors: Sensors, halves_deg: tuple[float, float, float, float] = HDL_64E) -> Iterator[DriveFrame]:
        """The frames, telling how many are done."""
        lidar = LidarModel(self.beams, self.columns, halves_deg=halves_deg)
        return track(driven(self.street, sensors, lidar, self.frames, self.spacing), "drive", self.frames)


@dataclass(frozen=True)
class Numbering:
    """A benchmark's ids of the street's classes (by row, `VOID` last) and numbers of its objects (`VOID` last).

    Objects are numbered from 1 within their class; 0 has no number.
    """

    still: Int[np.ndarray, " C"]
    moving: Int[np.ndarray, " C"]
    moves: Bool[np.ndarray, " I"]
    number: Int[np.ndarray, " I"]

    def of(self, labels: Labels) -> tuple[Int[np.ndarray, "*points"], Int[np.ndarray, "*points"]]:
        """Class ids and numbers of labels of the street."""
        moves = self.moves[labels.instance]
        return np.where(moves, self.moving[labels.category], self.still[labels.category]), self.number[labels.instance]


def write_kitti360(folder: Path, recording: Recording) -> None:
    """A data set of one drive in KITTI-360's layout."""
    built, rig = recording.street, kitti360_rig(recording.width)
    drive, numbering = f"2013_05_28_drive_{9000 + built.seed}_sync", _numbering(built, "kitti360")
    truth, poses, times = Accumulation(built), {}, []

    def ids(labels: Labels) -> kitti360.Ids:
        semantic, number = numbering.of(labels)
        return kitti360.Ids(semantic, semantic * kitti360.INSTANCES_PER_CLASS + number)

    _must_be_new(folder / "data_2d_raw" / drive)
    kitti360.write_calibration(folder, rig)
    write_features = _feature_writer(folder / "data_3d_raw" / drive / FEATURES, recording, "kitti360")
    for frame in recording.drive(stereo_sensors(rig)):
        kitti360.write_frame(folder, drive, frame.number, [view.color for view in frame.views], frame.scan.points)
        kitti360.write_frame_labels(folder, drive, frame.number, ids(frame.views[0].truth))
        write_features(kitti360.frame_name(frame.number), frame)
        truth.add(frame)
        poses[frame.number] = frame.world_from_vehicle
        times.append(frame.time)
    kitti360.write_times(folder, drive, times)
    kitti360.write_poses(folder, drive, poses, rig)
    found = truth.result()
    static = kitti360.StaticPoints(found.points, found.colors, ids(found.labels), found.visible)
    kitti360.write_static_points(folder, drive, 0, len(times) - 1, static)


def write_semantic_kitti(folder: Path, recording: Recording) -> None:
    """A sequence in SemanticKITTI's layout, numbered by the seed."""
    built, rig = recording.street, kitti360_rig(recording.width)
    sequence = semantic_kitti.sequence_folder(folder, f"{built.seed:02d}")
    _must_be_new(sequence)
    numbering, sensors = _numbering(built, "semantic_kitti"), stereo_sensors(rig)
    right = np.eye(4)
    right[0, 3] = _CAMERA_0
    vehicle_from_camera = sensors.cameras[0].vehicle_from_camera @ right
    offsets = {"P0": 0.0, "P1": -rig.baseline, "P2": _CAMERA_0, "P3": _CAMERA_0 - rig.baseline}
    matrices = {
        name: rig.camera.matrix @ np.column_stack([np.eye(3), [offset, 0.0, 0.0]]) for name, offset in offsets.items()
    }
    matrices["Tr"] = (np.linalg.inv(vehicle_from_camera) @ sensors.vehicle_from_lidar)[:3]
    semantic_kitti.write_calibration(sequence / "calib.txt", matrices)
    write_features = _feature_writer(sequence / FEATURES, recording, "semantic_kitti")
    cameras, times = [], []
    for frame in recording.drive(sensors):
        name = semantic_kitti.frame_name(frame.number)
        write_points(sequence / "velodyne" / f"{name}.bin", frame.scan.points)
        semantic_kitti.write_raw_labels(sequence / "labels" / f"{name}.label", *numbering.of(frame.scan.truth))
        for images, view in zip(semantic_kitti.IMAGE_FOLDERS, frame.views, strict=True):
            write_image(sequence / images / f"{name}.png", view.color)
        write_features(name, frame)
        cameras.append(frame.world_from_vehicle @ vehicle_from_camera)
        times.append(frame.time)
    first_from_world = np.linalg.inv(cameras[0])
    semantic_kitti.write_poses(sequence / "poses.txt", [first_from_world @ camera for camera in cameras])
    semantic_kitti.write_times(sequence / "times.txt", times)


def write_nuscenes(folder: Path, recording: Recording) -> None:
    """A data set of one scene in nuScenes' layout; every frame is a key frame, all sensors measure at once."""
    built, sensors = recording.street, surround_sensors(recording.width)
    _must_be_new(folder / "samples")
    tables = _NuScenesTables(built, sensors)
    numbering = _numbering(built, "nuscenes")
    write_features = _feature_writer(folder / FEATURES, recording, "nuscenes")
    for frame in recording.drive(sensors, HDL_32E):
        tables.add(frame)
        token = tables.data_token(frame.number, nuscenes.LIDAR)
        write_points(folder / tables.file(frame.number, nuscenes.LIDAR), _nuscenes_points(frame, recording.beams))
        for mounted, view in zip(sensors.cameras, frame.views, strict=True):
            write_image(folder / tables.file(frame.number, mounted.name), view.color)
        semantic, number = numbering.of(frame.scan.truth)
        nuscenes.write_lidarseg(folder / tables.label_file("lidarseg", token), semantic)
        nuscenes.write_panoptic(folder / tables.label_file("panoptic", token), semantic, number)
        write_features(token, frame)
    nuscenes.write_tables(folder, nuscenes.VERSION, tables.finished())


def _must_be_new(folder: Path) -> None:
    """Frames of an earlier drive would stay among those of this one."""
    if folder.exists():
        raise InputError(f"{folder} is there already; remove it, or choose another folder or seed.")


def _nuscenes_points(frame: DriveFrame, beams: int) -> Float[np.ndarray, "n 5"]:
    """x right, y forward, z up, intensity up to 255, ring from below."""
    x, y, z, intensity = frame.scan.points.T
    ring = (beams - 1 - frame.scan.beam).astype(np.float32)
    return np.column_stack([-y, x, z, np.rint(nuscenes.BRIGHTEST * intensity), ring]).astype(np.float32)


class _NuScenesTables:
    """The records of one scene, gathered frame by frame; tokens are digests of what they name."""

    def __init__(self, built: Street, sensors: Sensors) -> None:
        self._scene = f"simulated-street-{built.seed:04d}"
        self._sensors = sensors
        self._times: list[int] = []
        channels = [nuscenes.LIDAR, *(camera.name for camera in sensors.cameras)]
        self._records: dict[str, list[nuscenes.Record]] = {
            **{name: [] for name in ("sample", "sample_data", "ego_pose", "lidarseg", "panoptic")},
            **{name: [] for name in ("attribute", "instance", "sample_annotation", "visibility", "map")},
            "category": [
                {"token": self._token("category", name), "name": name, "description": "", "index": index}
                for index, name in enumerate(nuscenes.CATEGORIES)
            ],
            "sensor": [
                {
                    "token": self._token("sensor", channel),
                    "channel": channel,
                    "modality": "lidar" if channel == nuscenes.LIDAR else "camera",
                }
                for channel in channels
            ],
            "calibrated_sensor": [self._calibrated(nuscenes.LIDAR), *map(self._calibrated, channels[1:])],
        }

    def add(self, frame: DriveFrame) -> None:
        """A key frame."""
        time, pose = _START + round(1e6 * frame.time), self._token("ego_pose", frame.number)
        self._times.append(time)
        world_from_ego = frame.world_from_vehicle @ np.linalg.inv(_EGO_FROM_VEHICLE)
        self._records["ego_pose"].append({"token": pose, "timestamp": time, **nuscenes.motion_fields(world_from_ego)})
        sample = self._token("sample", frame.number)
        self._records["sample"].append({"token": sample, "timestamp": time, "scene_token": self._token("scene", 0)})
        sizes = {camera.name: camera.camera for camera in self._sensors.cameras}
        for record in self._records["sensor"]:
            channel = record["channel"]
            data = {
                "token": self.data_token(frame.number, channel),
                "sample_token": sample,
                "ego_pose_token": pose,
                "calibrated_sensor_token": self._token("calibrated_sensor", channel),
                "timestamp": time,
                "fileformat": "pcd" if channel == nuscenes.LIDAR else "jpg",
                "is_key_frame": True,
                "height": sizes[channel].height if channel in sizes else 0,
                "width": sizes[channel].width if channel in sizes else 0,
                "filename": self.file(frame.number, channel),
            }
            self._records["sample_data"].append(data)
        token = self.data_token(frame.number, nuscenes.LIDAR)
        for kind in nuscenes.LABELS:
            label = {"token": token, "sample_data_token": token, "filename": self.label_file(kind, token)}
            self._records[kind].append(label)

    def finished(self) -> dict[str, Sequence[nuscenes.Record]]:
        """All tables."""
        count, log = len(self._times), self._token("log", 0)
        ends = {f"{end}_sample_token": self._token("sample", at) for end, at in (("first", 0), ("last", count - 1))}
        scene = {"token": self._token("scene", 0), "name": self._scene, "description": "A simulated street."}
        logs = {"token": log, "logfile": self._scene, "vehicle": "simulated", "date_captured": "2018-07-24"}
        return {
            **self._records,
            "sample": _chained(self._records["sample"], 1),
            "sample_data": _chained(self._records["sample_data"], len(self._records["sensor"])),
            "scene": [{**scene, "log_token": log, "nbr_samples": count, **ends}],
            "log": [{**logs, "location": "simulated"}],
        }

    def data_token(self, frame: int, channel: str) -> str:
        return self._token("sample_data", f"{frame} {channel}")

    def file(self, frame: int, channel: str) -> str:
        suffix = "pcd.bin" if channel == nuscenes.LIDAR else "jpg"
        return f"samples/{channel}/{self._scene}__{channel}__{self._times[frame]}.{suffix}"

    def label_file(self, kind: str, token: str) -> str:
        suffix = {"lidarseg": "lidarseg.bin", "panoptic": "panoptic.npz"}[kind]
        return f"{kind}/{nuscenes.VERSION}/{token}_{suffix}"

    def _calibrated(self, channel: str) -> nuscenes.Record:
        camera = next((camera for camera in self._sensors.cameras if camera.name == channel), None)
        vehicle_from_sensor = (
            camera.vehicle_from_camera
            if camera is not None
            else self._sensors.vehicle_from_lidar @ np.linalg.inv(_NUSCENES_FROM_LIDAR)
        )
        return {
            "token": self._token("calibrated_sensor", channel),
            "sensor_token": self._token("sensor", channel),
            **nuscenes.motion_fields(_EGO_FROM_VEHICLE @ vehicle_from_sensor),
            "camera_intrinsic": [] if camera is None else camera.camera.matrix.tolist(),
        }

    def _token(self, table: str, what: object) -> str:
        return hashlib.md5(f"{self._scene} {table} {what}".encode(), usedforsecurity=False).hexdigest()


def _chained(records: Sequence[nuscenes.Record], step: int) -> list[nuscenes.Record]:
    """The records with the tokens of those `step` before and after, which are of the same sensor."""
    tokens = [""] * step + [record["token"] for record in records] + [""] * step
    return [
        {**record, "prev": tokens[number], "next": tokens[number + 2 * step]} for number, record in enumerate(records)
    ]


def _numbering(built: Street, benchmark: str) -> Numbering:
    table = read_categories(find_table(benchmark))
    still, moving = _raw_ids(benchmark), _raw_ids(f"{benchmark}_moving" if benchmark == "semantic_kitti" else benchmark)
    semantic = still[built.category_of_instance]
    numbered = np.array([_is_numbered(table, int(raw_id)) for raw_id in semantic])
    within = np.array([np.count_nonzero(semantic[: i + 1] == raw_id) for i, raw_id in enumerate(semantic)])
    number = np.append(np.where(numbered, within, 0), 0)
    return Numbering(still, moving, np.append(built.is_moving_instance, False), number)


def _raw_ids(benchmark: str) -> Int[np.ndarray, " C"]:
    return np.array([getattr(ids, benchmark) for ids in BENCHMARK_IDS.values()] + [0])


def _is_numbered(table: CategoryTable, raw_id: int) -> bool:
    """Objects of classes that the table does not know are numbered too: some are things."""
    row = table.index_of_raw_id.get(raw_id, VOID)
    return row == VOID or table[row].thing


def write_drive_features(folder: Path, out: Path | None, seed: int) -> tuple[int, Path]:
    """Simulated features of a drive of KITTI-360's layout, from its label images; how many scans, and where they lie.

    Pixels without a label of the table show a word of none of its classes.
    """
    settings, reader = ScanSettings(), KITTI360()
    table = read_categories(find_table("kitti360"))
    scan, frames = reader.scan(folder, settings), reader.label_frames(folder, table)
    place = find_place(folder)
    target = out or place.scan_file(0).parents[2] / FEATURES
    vehicle_from_lidar = read_calibration(place.root / "calibration").vehicle_from_lidar
    poses = read_vehicle_poses(place.poses)
    words = list(dict.fromkeys(word for category in table for word in (category.name, *category.synonyms)))
    embedding_of_row = simulated_text_embeddings([*(category.name for category in table), UNLABELLED])
    labelled = [frame for frame in scan.frames if frames.matching_frame(frame.name)]
    write_text_embeddings(target, words, simulated_text_embeddings(words))
    for number, frame in enumerate(track(labelled, "features", len(labelled))):
        truth = frames.read(frame.name)
        nothing = np.zeros((scan.camera.height, scan.camera.width, 3), np.uint8)
        row = np.where(truth.category == VOID, len(table), truth.category).astype(np.int32)
        view = StreetView(
            scan.camera, frame.world_from_camera, nothing, nothing[..., 0].astype(float), Labels(row, truth.instance)
        )
        points = read_points(frame.depth)[:, :3].astype(np.float64)
        world = transform(poses[int(frame.depth.stem)] @ vehicle_from_lidar, points)
        found = simulated_point_features(world, [view], embedding_of_row, seed=seed, frame=number)
        write_point_features(target, frame.depth.stem, found)
    write_json(target / "features.json", {"source": "panrecon simulate points", "simulated": True, "seed": seed})
    return len(labelled), target


def _feature_writer(folder: Path, recording: Recording, benchmark: str) -> Callable[[str, DriveFrame], None]:
    """Writes the features of a frame's points; the embeddings of the benchmark's words are written at once.

    Pixels of a class that the benchmark's table does not list show the street's own word for it.
    """
    if not recording.features:
        return lambda name, frame: None
    table = read_categories(find_table(benchmark))
    words = list(dict.fromkeys(word for category in table for word in (category.name, *category.synonyms)))
    rows = [table.index_of_raw_id.get(int(raw_id), VOID) for raw_id in _raw_ids(benchmark)]
    shown = [own if row == VOID else table[row].name for row, own in zip(rows, BENCHMARK_IDS, strict=False)]
    embedding_of_row = simulated_text_embeddings(shown)
    write_text_embeddings(folder, words, simulated_text_embeddings(words))
    seed = recording.street.seed
    write_json(folder / "features.json", {"source": "panrecon simulate street", "simulated": True, "seed": seed})

    def write(name: str, frame: DriveFrame) -> None:
        found = simulated_point_features(frame.scan.exact, frame.views, embedding_of_row, seed=seed, frame=frame.number)
        write_point_features(folder, name, found)

    return write
