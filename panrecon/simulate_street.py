"""What `panrecon simulate street` writes: a drive through the built-in street, as a benchmark publishes one."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Int

from panrecon.io.kitti360 import (
    INSTANCES_PER_CLASS,
    Ids,
    StaticPoints,
    write_calibration,
    write_frame,
    write_frame_labels,
    write_poses,
    write_static_points,
    write_times,
)
from panrecon.simulation.drive import Accumulation, DriveFrame, driven
from panrecon.simulation.lidar import LidarModel
from panrecon.simulation.street import Street
from panrecon.simulation.vehicle import kitti360_rig
from panrecon.stage import track
from panrecon.structures import VOID, Labels, Rig


def write_kitti360_street(folder: Path, built: Street, frames: int, width: int, model: LidarModel) -> None:
    """A data set of one drive through the street in KITTI-360's layout."""
    rig, drive = kitti360_rig(width), drive_name(built.seed)
    recorded = track(driven(built, rig, model, frames), "drive", frames)
    _write_kitti360(folder, drive, built, rig, recorded)


def drive_name(seed: int) -> str:
    """A name of KITTI-360's form that none of its drives has."""
    return f"2013_05_28_drive_{9000 + seed}_sync"


def _write_kitti360(folder: Path, drive: str, built: Street, rig: Rig, recorded: Iterator[DriveFrame]) -> None:
    numbers = kitti360_numbers(built)
    truth, poses, times = Accumulation(built), {}, []
    write_calibration(folder, rig)
    for frame in recorded:
        write_frame(folder, drive, frame.number, [view.color for view in frame.views], frame.scan.points)
        write_frame_labels(folder, drive, frame.number, kitti360_ids(frame.views[0].truth, built, numbers))
        truth.add(frame)
        poses[frame.number] = frame.world_from_vehicle
        times.append(frame.time)
    write_times(folder, drive, times)
    write_poses(folder, drive, poses, rig)
    found = truth.result()
    ids = kitti360_ids(found.labels, built, numbers)
    write_static_points(folder, drive, 0, len(times) - 1, StaticPoints(found.points, found.colors, ids, found.visible))


def kitti360_numbers(built: Street) -> Int[np.ndarray, " I"]:
    """KITTI-360's id of every instance of the street: class id * 1000 + number within the class, from 1."""
    semantic = np.array([category.raw_ids[0] for category in built.categories])[built.category_of_instance]
    within = np.array([np.count_nonzero(semantic[: i + 1] == number) for i, number in enumerate(semantic)])
    return semantic * INSTANCES_PER_CLASS + within


def kitti360_ids(labels: Labels, built: Street, numbers: Int[np.ndarray, " I"]) -> Ids:
    """KITTI-360's ids of the street's labels."""
    semantic = np.array([category.raw_ids[0] for category in built.categories] + [0])[labels.category]
    instance = np.where(labels.instance == VOID, semantic * INSTANCES_PER_CLASS, np.append(numbers, 0)[labels.instance])
    return Ids(semantic, instance)
