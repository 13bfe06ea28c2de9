"""nuScenes' files (Caesar et al., CVPR 2020) with the labels of Panoptic nuScenes (Fong et al., RA-L 2022).

<version>/<table>.json                        lists of records that name each other by tokens
samples/LIDAR_TOP/<name>.pcd.bin              float32 x, y, z, intensity (0 .. 255), ring (0 = lowest beam);
                                              x right, y forward, z up
samples/CAM_<place>/<name>.jpg                rectified images
lidarseg/<version>/<token>_lidarseg.bin       uint8 class ids 0 .. 31
panoptic/<version>/<token>_panoptic.npz       `data`: uint16, class id * 1000 + instance id (0 = none)

Labels are named after the token of the scan's `sample_data`. Read without the data set's own development kit.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial.transform import Rotation

from panrecon.datasets.points import read_points
from panrecon.errors import InputError, reason
from panrecon.geometry.projective import invert
from panrecon.io.files import atomic_write, read_arrays, read_json, write_arrays, write_json
from panrecon.io.ids import categories_of_raw_ids, instances_of_ids
from panrecon.structures import Camera, CategoryTable, Labels, LidarImage, LidarScan

LIDAR: Final = "LIDAR_TOP"
VERSION: Final = "v1.0-mini"
INSTANCES_PER_CLASS: Final = 1000
VALUES_PER_POINT: Final = 5
MAX_INTENSITY: Final = 255.0
FIELDS: Final = {  # those that are read here
    "sample": ("token", "timestamp", "scene_token"),
    "sample_data": ("token", "sample_token", "ego_pose_token", "calibrated_sensor_token", "filename", "is_key_frame"),
    "calibrated_sensor": ("token", "sensor_token", "translation", "rotation", "camera_intrinsic"),
    "ego_pose": ("token", "translation", "rotation"),
    "sensor": ("token", "channel"),
    "scene": ("token",),
    "lidarseg": ("sample_data_token", "filename"),
    "panoptic": ("sample_data_token", "filename"),
}
CATEGORIES: Final = (  # lidarseg's, by their index
    "noise", "animal", "human.pedestrian.adult", "human.pedestrian.child", "human.pedestrian.construction_worker",
    "human.pedestrian.personal_mobility", "human.pedestrian.police_officer", "human.pedestrian.stroller",
    "human.pedestrian.wheelchair", "movable_object.barrier", "movable_object.debris",
    "movable_object.pushable_pullable", "movable_object.trafficcone", "static_object.bicycle_rack", "vehicle.bicycle",
    "vehicle.bus.bendy", "vehicle.bus.rigid", "vehicle.car", "vehicle.construction", "vehicle.emergency.ambulance",
    "vehicle.emergency.police", "vehicle.motorcycle", "vehicle.trailer", "vehicle.truck", "flat.driveable_surface",
    "flat.other", "flat.sidewalk", "flat.terrain", "static.manmade", "static.other", "static.vegetation", "vehicle.ego",
)  # fmt: skip
LABELS: Final = ("lidarseg", "panoptic")  # tables that unlabelled versions lack
Record = Mapping[str, Any]


@dataclass(frozen=True)
class Tables:
    """The tables of one version of the data set in `root`, as the files have them."""

    root: Path
    version: str
    records: Mapping[str, Sequence[Record]]

    def get(self, table: str, token: str) -> Record:
        """The record of a token.

        Raises:
            InputError: no record has it.
        """
        record = self._by_token[table].get(token)
        if record is None:
            raise InputError(
                f"{self.root / self.version / table}.json has no token {token!r}, which another table names; "
                "copy all tables of one version."
            )
        return record

    @cached_property
    def _by_token(self) -> dict[str, dict[str, Record]]:
        return {
            name: {record["token"]: record for record in records if "token" in record}
            for name, records in self.records.items()
        }

    @cached_property
    def data_of_sample(self) -> dict[str, dict[str, Record]]:
        """The key frames' `sample_data` by sample and channel."""
        records: dict[str, dict[str, Record]] = {record["token"]: {} for record in self.records["sample"]}
        for record in self.records["sample_data"]:
            if record["is_key_frame"]:
                records.setdefault(record["sample_token"], {})[self.channel(record)] = record
        return records

    def channel(self, data: Record) -> str:
        """The name of the sensor that a `sample_data` comes from."""
        sensor = self.get("calibrated_sensor", data["calibrated_sensor_token"])["sensor_token"]
        return str(self.get("sensor", sensor)["channel"])

    def world_from_sensor(self, data: Record) -> Float[np.ndarray, "4 4"]:
        """The pose (m) of a sensor when it measured: cameras and LiDAR do so at times of their own."""
        mounted = self.get("calibrated_sensor", data["calibrated_sensor_token"])
        return rigid_motion(self.get("ego_pose", data["ego_pose_token"])) @ rigid_motion(mounted)

    @cached_property
    def label_files(self) -> dict[str, dict[str, Path]]:
        """Files of `lidarseg` and `panoptic` by the token of the scan."""
        return {
            name: {record["sample_data_token"]: self.root / record["filename"] for record in self.records.get(name, ())}
            for name in LABELS
        }


def find_tables(folder: Path) -> tuple[Path, str]:
    """The data set's root and the version of its tables that a folder means: the only one in it, or it itself.

    Raises:
        InputError: there are several.
    """
    if (folder / "sample_data.json").is_file():
        return folder.parent, folder.name
    versions = sorted(path.parent.name for path in folder.glob("v1.0-*/sample_data.json"))
    if len(versions) > 1:
        raise InputError(f"{folder} has tables of {' and '.join(versions)}; name one, such as {folder / versions[-1]}.")
    return folder, versions[0] if versions else VERSION


def read_tables(root: Path, version: str = VERSION) -> Tables:
    """All tables of a version.

    Raises:
        InputError: one that is needed is missing or is no list of records.
    """
    if not (root / version).is_dir():
        raise InputError(f"There is no folder {version} of nuScenes' tables in {root}; name another, or a --layout.")
    paths = {name: root / version / f"{name}.json" for name in FIELDS}
    records = {name: _records(path, name) for name, path in paths.items() if name not in LABELS or path.is_file()}
    return Tables(root, version, records)


def write_tables(root: Path, version: str, records: Mapping[str, Sequence[Record]]) -> None:
    """Writes a table of records each."""
    for name, table in records.items():
        write_json(root / version / f"{name}.json", list(table))


def sample_tokens(tables: Tables) -> tuple[str, ...]:
    """The key frames with a scan: scene by scene, in the order they were taken."""
    order = {scene["token"]: index for index, scene in enumerate(tables.records["scene"])}
    samples = sorted(tables.records["sample"], key=lambda s: (order.get(s["scene_token"], len(order)), s["timestamp"]))
    return tuple(sample["token"] for sample in samples if LIDAR in tables.data_of_sample[sample["token"]])


def read_scan(tables: Tables, sample: str, table: CategoryTable) -> LidarScan:
    """A key frame's scan, named by the token of its `sample_data`, intensity 0 .. 1; its labels, if any; its images.

    Raises:
        InputError: a file is missing or damaged, or the tables do not fit together.
    """
    data = tables.data_of_sample[sample]
    if LIDAR not in data:
        raise InputError(f"The sample {sample} of {tables.root} has no scan of {LIDAR}; copy all tables again.")
    lidar = data[LIDAR]
    points = read_points(tables.root / lidar["filename"], VALUES_PER_POINT)[:, :4] / np.array(
        [1, 1, 1, MAX_INTENSITY], dtype=np.float32
    )
    world_from_lidar = tables.world_from_sensor(lidar)
    images = [
        _image(tables, channel, record, world_from_lidar)
        for channel, record in sorted(data.items())
        if channel.startswith("CAM_")
    ]
    return LidarScan(lidar["token"], points, _labels(tables, lidar["token"], table, len(points)), tuple(images))


def read_panoptic(path: Path) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"]]:
    """Class and instance ids as a `_panoptic.npz` has them.

    Raises:
        InputError: there is no such file, or it is none of the format.
    """
    if not path.is_file():
        raise InputError(f"The labels {path} do not exist; predict or copy them.")
    packed = read_arrays(path).get("data")
    if packed is None or packed.dtype.kind not in "iu":
        raise InputError(f"The labels {path} are no npz with an array 'data' of integers; copy them again.")
    packed = packed.astype(np.int64)
    return packed // INSTANCES_PER_CLASS, packed % INSTANCES_PER_CLASS


def write_panoptic(path: Path, semantic: Int[np.ndarray, " n"], instance: Int[np.ndarray, " n"]) -> None:
    """Writes class ids and instance ids (0 = none).

    Raises:
        InputError: an id does not fit.
    """
    _fits(path, "instance", instance, INSTANCES_PER_CLASS)
    _fits(path, "class", semantic, 32)
    write_arrays(path, data=(semantic * INSTANCES_PER_CLASS + instance).astype(np.uint16))


def read_lidarseg(path: Path) -> Int[np.ndarray, " n"]:
    """Class ids 0 .. 31.

    Raises:
        InputError: there is no such file.
    """
    if not path.is_file():
        raise InputError(f"The labels {path} do not exist; predict or copy them.")
    return np.fromfile(path, dtype=np.uint8).astype(np.int64)


def write_lidarseg(path: Path, semantic: Int[np.ndarray, " n"]) -> None:
    """Writes class ids, a byte each.

    Raises:
        InputError: an id does not fit.
    """
    _fits(path, "class", semantic, 256)
    with atomic_write(path) as partial:
        partial.write_bytes(semantic.astype(np.uint8).tobytes())


def rigid_motion(record: Record) -> Float[np.ndarray, "4 4"]:
    """The rigid motion of a record's `translation` (m) and `rotation` (quaternion w, x, y, z).

    Raises:
        InputError: it has none.
    """
    try:
        quaternion = np.array(record["rotation"], dtype=np.float64).reshape(4)
        shift = np.array(record["translation"], dtype=np.float64).reshape(3)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{_name(record)} has no rotation of 4 and translation of 3 numbers: {reason(error)}; copy it again."
        ) from error
    if not (np.isfinite(shift).all() and 0.9 < np.linalg.norm(quaternion) < 1.1):
        raise InputError(f"{_name(record)} has the rotation {record['rotation']}, no unit quaternion; copy it again.")
    result = np.eye(4)
    result[:3, :3] = Rotation.from_quat(np.roll(quaternion, -1)).as_matrix()  # scipy has w last
    result[:3, 3] = shift
    return result


def motion_fields(to_from: Float[np.ndarray, "4 4"]) -> dict[str, list[float]]:
    """`translation` and `rotation` of a rigid motion."""
    x, y, z, w = Rotation.from_matrix(to_from[:3, :3]).as_quat(canonical=True).tolist()
    return {"translation": to_from[:3, 3].tolist(), "rotation": [w, x, y, z]}


def _name(record: Record) -> str:
    return f"The record {record.get('token', '')!r} of nuScenes' poses"


def _labels(tables: Tables, token: str, table: CategoryTable, count: int) -> Labels | None:
    """Of `panoptic`, else of `lidarseg` without instances; None where the scan has neither.

    Instance ids are unique within a class only; instances here are class id * 1000 + id - 1.
    """
    panoptic = tables.label_files["panoptic"].get(token)
    lidarseg = tables.label_files["lidarseg"].get(token)
    if panoptic is not None:
        path = panoptic
        semantic, instance = read_panoptic(panoptic)
    elif lidarseg is not None:
        path = lidarseg
        semantic = read_lidarseg(lidarseg)
        instance = np.zeros_like(semantic)
    else:
        return None
    if len(semantic) != count:
        raise InputError(f"{path} labels {len(semantic)} points, its scan has {count}; copy both again.")
    ids = np.where(instance > 0, semantic * INSTANCES_PER_CLASS + instance, 0)
    return Labels(categories_of_raw_ids(semantic, table.index_of_raw_id), instances_of_ids(ids))


def _image(tables: Tables, channel: str, data: Record, world_from_lidar: Float[np.ndarray, "4 4"]) -> LidarImage:
    mounted = tables.get("calibrated_sensor", data["calibrated_sensor_token"])
    try:
        matrix = np.array(mounted["camera_intrinsic"], dtype=np.float64).reshape(3, 3)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{channel} of {tables.root} has no 3 x 3 camera_intrinsic: {reason(error)}; copy the tables again."
        ) from error
    focal = (float(matrix[0, 0]), float(matrix[1, 1]))
    camera = Camera(data["width"], data["height"], *focal, float(matrix[0, 2]), float(matrix[1, 2]))
    camera_from_lidar = invert(tables.world_from_sensor(data)) @ world_from_lidar
    return LidarImage(channel, tables.root / data["filename"], camera, camera_from_lidar)


def _records(path: Path, table: str) -> Sequence[Record]:
    records = read_json(path)
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        raise InputError(f"The table {path} is no list of records; copy it again.")
    for record_index, record in enumerate(records):
        missing = [field for field in FIELDS[table] if field not in record]
        if missing:
            raise InputError(f"Record {record_index} of the table {path} has no {', '.join(missing)}; copy it again.")
    return records


def _fits(path: Path, what: str, ids: Int[np.ndarray, " n"], limit: int) -> None:
    wrong = ids[(ids < 0) | (ids >= limit)]
    if len(wrong):
        raise InputError(f"The {what} id {wrong[0]} does not fit {path}; number them from 0 to {limit - 1}.")
