"""What `panrecon simulate points` writes: features of a drive's LiDAR points, made of its label images."""

from pathlib import Path
from typing import Final

import numpy as np

from panrecon.config import ScanSettings
from panrecon.datasets.kitti360.dataset import KITTI360, drive_of_scene
from panrecon.datasets.kitti360.format import read_calibration, read_vehicle_poses
from panrecon.datasets.points import read_points
from panrecon.geometry.projective import transform
from panrecon.io.categories import find_table, read_categories
from panrecon.io.features import write_point_features, write_text_embeddings
from panrecon.io.files import write_json
from panrecon.simulation.predictions.point_features import simulated_point_features, simulated_text_embeddings
from panrecon.simulation.street.camera import StreetView
from panrecon.structures import VOID, CategoryTable, Labels
from panrecon.terminal import track

FEATURES: Final = "simulated_features"  # folder beside the scans
UNLABELLED: Final = "unknown object"  # the class name whose embedding pixels without a class have


def write_drive_features(folder: Path, out: Path | None, seed: int) -> tuple[int, Path]:
    """The number of scans of a drive of KITTI-360 whose features were written, and the folder, by default of the scans.

    Scans without a pose or label images are left out.
    """
    table = read_categories(find_table("kitti360"))
    reader = KITTI360()
    scan = reader.scan(folder, ScanSettings())
    label_frames = reader.label_frames(folder, table)
    drive = drive_of_scene(folder)
    target = out or drive.scans.parents[1] / FEATURES
    vehicle_from_lidar = read_calibration(drive.root / "calibration").vehicle_from_lidar
    world_from_vehicle = read_vehicle_poses(drive.poses)
    embedding_of_category = simulated_text_embeddings([*(category.name for category in table), UNLABELLED])
    write_class_embeddings(target, table)
    labelled = [frame for frame in scan.frames if label_frames.matching_frame(frame.name)]
    for frame_index, frame in enumerate(track(labelled, "features", len(labelled))):
        truth = label_frames.read(frame.name)
        category = np.where(truth.category == VOID, len(table), truth.category).astype(np.int32)
        black = np.zeros((scan.camera.height, scan.camera.width, 3), np.uint8)
        no_depth = np.zeros((scan.camera.height, scan.camera.width))
        view = StreetView(scan.camera, frame.world_from_camera, black, no_depth, Labels(category, truth.instance))
        world_from_lidar = world_from_vehicle[int(frame.depth.stem)] @ vehicle_from_lidar
        points = transform(world_from_lidar, read_points(frame.depth)[:, :3].astype(np.float64))
        features = simulated_point_features(points, [view], embedding_of_category, seed=seed, frame=frame_index)
        write_point_features(target, frame.depth.stem, features)
    write_json(target / "features.json", {"source": "panrecon simulate points", "simulated": True, "seed": seed})
    return len(labelled), target


def write_class_embeddings(folder: Path, table: CategoryTable) -> None:
    """Writes simulated text embeddings of all names and synonyms of the classes."""
    words = list(dict.fromkeys(word for category in table for word in (category.name, *category.synonyms)))
    write_text_embeddings(folder, words, simulated_text_embeddings(words))
