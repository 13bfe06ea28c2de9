"""Writes one scene in nuScenes' layout with panoptic labels, key frame by key frame."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import Float, Int, UInt8

from panrecon.datasets.nuscenes import format as nuscenes
from panrecon.datasets.points import write_points
from panrecon.io.images import write_image
from panrecon.structures import Camera

START: Final = 1_532_402_927_000_000  # microseconds, of the first frame


@dataclass(frozen=True)
class NuScenesSensors:
    """Cameras by channel, and where they and the LiDAR sit.

    The ego frame lies on the road, x forward, y left, z up; a LiDAR has x right, y forward, z up.
    """

    cameras: Mapping[str, Camera]
    ego_from_camera: Mapping[str, Float[np.ndarray, "4 4"]]
    ego_from_lidar: Float[np.ndarray, "4 4"]


class NuScenesWriter:
    """Takes key frames in order, at which all sensors measure at once; the tables are written by `finish`.

    Tokens are digests of what they name: the same scene has the same files.
    """

    def __init__(self, root: Path, scene: str, sensors: NuScenesSensors) -> None:
        """Writes nothing yet."""
        self._root = root
        self._scene = scene
        self._sensors = sensors
        self._channels = [nuscenes.LIDAR, *sensors.cameras]
        self._times: list[int] = []
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
                for channel in self._channels
            ],
            "calibrated_sensor": [self._calibrated_sensor(channel) for channel in self._channels],
        }

    def add(
        self,
        seconds: float,
        world_from_ego: Float[np.ndarray, "4 4"],
        images: Sequence[UInt8[np.ndarray, "h w 3"]],
        points: Float[np.ndarray, "n 5"],
        semantic: Int[np.ndarray, " n"],
        instance: Int[np.ndarray, " n"],
    ) -> str:
        """The token of the scan, after writing it, its labels and the images (RGB, in the order of the cameras).

        Points are x, y, z (m, LiDAR frame), intensity (0 .. 255) and ring (0 = lowest beam).
        """
        frame_index = len(self._times)
        self._times.append(START + round(1e6 * seconds))
        self._add_records(frame_index, world_from_ego)
        token = self._data_token(frame_index, nuscenes.LIDAR)
        write_points(self._root / self._file(frame_index, nuscenes.LIDAR), points)
        for channel, image in zip(self._sensors.cameras, images, strict=True):
            write_image(self._root / self._file(frame_index, channel), image)
        nuscenes.write_lidarseg(self._root / self._label_file("lidarseg", token), semantic)
        nuscenes.write_panoptic(self._root / self._label_file("panoptic", token), semantic, instance)
        return token

    def finish(self) -> None:
        """Writes all tables."""
        log = self._token("log", 0)
        scene = {
            "token": self._token("scene", 0),
            "name": self._scene,
            "description": "A simulated street.",
            "log_token": log,
            "nbr_samples": len(self._times),
            "first_sample_token": self._token("sample", 0),
            "last_sample_token": self._token("sample", len(self._times) - 1),
        }
        log_record = {
            "token": log,
            "logfile": self._scene,
            "vehicle": "simulated",
            "date_captured": "2018-07-24",
            "location": "simulated",
        }
        tables: dict[str, Sequence[nuscenes.Record]] = {
            **self._records,
            "sample": _chained(self._records["sample"], 1),
            "sample_data": _chained(self._records["sample_data"], len(self._channels)),
            "scene": [scene],
            "log": [log_record],
        }
        nuscenes.write_tables(self._root, nuscenes.VERSION, tables)

    def _add_records(self, frame_index: int, world_from_ego: Float[np.ndarray, "4 4"]) -> None:
        time = self._times[frame_index]
        pose = self._token("ego_pose", frame_index)
        sample = self._token("sample", frame_index)
        self._records["ego_pose"].append({"token": pose, "timestamp": time, **nuscenes.motion_fields(world_from_ego)})
        self._records["sample"].append({"token": sample, "timestamp": time, "scene_token": self._token("scene", 0)})
        for channel in self._channels:
            camera = self._sensors.cameras.get(channel)
            data = {
                "token": self._data_token(frame_index, channel),
                "sample_token": sample,
                "ego_pose_token": pose,
                "calibrated_sensor_token": self._token("calibrated_sensor", channel),
                "timestamp": time,
                "fileformat": "pcd" if channel == nuscenes.LIDAR else "jpg",
                "is_key_frame": True,
                "height": 0 if camera is None else camera.height,
                "width": 0 if camera is None else camera.width,
                "filename": self._file(frame_index, channel),
            }
            self._records["sample_data"].append(data)
        token = self._data_token(frame_index, nuscenes.LIDAR)
        for table in nuscenes.LABELS:
            record = {"token": token, "sample_data_token": token, "filename": self._label_file(table, token)}
            self._records[table].append(record)

    def _calibrated_sensor(self, channel: str) -> nuscenes.Record:
        camera = self._sensors.cameras.get(channel)
        ego_from_sensor = self._sensors.ego_from_lidar if camera is None else self._sensors.ego_from_camera[channel]
        return {
            "token": self._token("calibrated_sensor", channel),
            "sensor_token": self._token("sensor", channel),
            **nuscenes.motion_fields(ego_from_sensor),
            "camera_intrinsic": [] if camera is None else camera.matrix.tolist(),
        }

    def _file(self, frame_index: int, channel: str) -> str:
        suffix = "pcd.bin" if channel == nuscenes.LIDAR else "jpg"
        return f"samples/{channel}/{self._scene}__{channel}__{self._times[frame_index]}.{suffix}"

    def _label_file(self, table: str, token: str) -> str:
        suffix = {"lidarseg": "lidarseg.bin", "panoptic": "panoptic.npz"}[table]
        return f"{table}/{nuscenes.VERSION}/{token}_{suffix}"

    def _data_token(self, frame_index: int, channel: str) -> str:
        return self._token("sample_data", f"{frame_index} {channel}")

    def _token(self, table: str, key: object) -> str:
        return hashlib.md5(f"{self._scene} {table} {key}".encode(), usedforsecurity=False).hexdigest()


def _chained(records: Sequence[nuscenes.Record], step: int) -> list[nuscenes.Record]:
    """The records with the tokens of those `step` before and after, which are of the same sensor."""
    tokens = [""] * step + [record["token"] for record in records] + [""] * step
    return [{**record, "prev": tokens[index], "next": tokens[index + 2 * step]} for index, record in enumerate(records)]
