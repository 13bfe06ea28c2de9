"""Drives of KITTI-360 (Liao, Xie, Geiger, PAMI 2022) as scans: cameras see, the LiDAR measures.

calibration/  data_poses/<drive>/  data_2d_raw/<drive>/image_0{0,1}/data_rect/<frame>.png
data_3d_raw/<drive>/velodyne_points/data/<frame>.bin      (format.py)
data_2d_semantics/  data_3d_semantics/                    annotation (ground_truth.py)

A scene is the folder of a data set of one drive, or, beside `calibration/`, a name that need be no folder:
<drive> or <drive>_<first>_<last>, a window of frames as the accumulated points of the annotation are named.
"""

import re
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import Bool, Float

from panrecon.config import ScanSettings
from panrecon.datasets.kitti360 import ground_truth as truth
from panrecon.datasets.kitti360.depth import AccumulatedDepth
from panrecon.datasets.kitti360.format import CAMERAS, SEMANTICS_3D, Drive, read_calibration, read_vehicle_poses
from panrecon.datasets.label_images import LabelFrames, in_order
from panrecon.datasets.selection import choose_frames, in_groups
from panrecon.errors import InputError
from panrecon.geometry.projective import invert
from panrecon.io.images import read_ids
from panrecon.structures import CategoryTable, Frame, PanopticMesh, Scan

DEPTH_SCALE: Final = 256.0  # units of a depth image per metre, as in KITTI's own: to 255 m in steps of 4 mm
WINDOW: Final = re.compile(r"(?P<drive>.*?)_(?P<first>\d{10})_(?P<last>\d{10})")


class KITTI360:
    """A Dataset of drives, or windows of their frames; depth is accumulated from LiDAR scans."""

    def check(self, folder: Path) -> None:
        """Raises InputError where the folder or name means no drive, or several."""
        drive_of_scene(folder)

    def files(self, folder: Path) -> list[Path]:
        """Calibration, poses, images, their LiDAR scans and, where there is one, the mask of the vehicle."""
        drive = drive_of_scene(folder)
        fixed = [*sorted((drive.root / "calibration").glob("*.txt")), drive.poses]
        images = [path for camera in _cameras(drive) for path in _images(drive, camera)]
        return [*fixed, *images, *(drive.scan_file(int(path.stem)) for path in images), *_scene_mask(folder)]

    def scan(self, folder: Path, settings: ScanSettings) -> Scan:
        """The images of the cameras that the settings name, of frames with a pose; `frame.depth` is the LiDAR scan.

        Raises:
            InputError: calibration, poses, images or scans are missing or damaged.
        """
        drive = drive_of_scene(folder)
        rig = read_calibration(drive.root / "calibration")
        poses = read_vehicle_poses(drive.poses)
        frames = []
        for name in settings.cameras:
            vehicle_from_camera = rig.vehicle_from_rectified[CAMERAS.index(name)]
            usable = [
                [
                    Frame(
                        _frame_name(frame_index, name),
                        path,
                        drive.scan_file(frame_index),
                        poses[frame_index] @ vehicle_from_camera,
                    )
                    for path in group
                    for frame_index in [int(path.stem)]
                    if frame_index in poses and _frame_name(frame_index, name) not in settings.skip_frames
                ]
                for group in in_groups(_images(drive, name), settings)
            ]
            frames += choose_frames(usable, settings)
        if not frames:
            raise InputError(
                f"No image of {drive.images(settings.cameras[0])} has a pose in {drive.poses}"
                f"{_of_window(drive)}; compare their frame numbers."
            )
        missing = next((frame.depth for frame in frames if not frame.depth.is_file()), None)
        if missing is not None:
            raise InputError(f"The LiDAR scan {missing} does not exist; every frame with a pose needs one.")
        ordered = sorted(frames, key=lambda frame: frame.name)  # numbers of ten digits, then the camera's
        return Scan(folder.name, rig.camera, rig.camera, DEPTH_SCALE, tuple(ordered))

    def depths(self, folder: Path, scan: Scan, settings: ScanSettings) -> AccumulatedDepth:
        """Depth images from LiDAR scans along `scan.accumulate` metres of the way.

        Raises:
            InputError: poses, scans or the mask of the vehicle are missing or damaged.
        """
        return AccumulatedDepth(drive_of_scene(folder), scan, settings, _mask(folder, scan, settings))

    def alignment(self, folder: Path, settings: ScanSettings) -> Float[np.ndarray, "4 4"]:
        """The identity: KITTI-360's world has z up."""
        return np.eye(4)

    def annotation_files(self, folder: Path) -> list[Path]:
        """The windows of accumulated points that `annotation` reads; empty without any."""
        return annotated_windows(drive_of_scene(folder))

    def annotation(self, folder: Path, table: CategoryTable, visible_only: bool = False) -> PanopticMesh:
        """The accumulated static points (m), without faces; with `visible_only` those that no camera saw are void.

        Raises:
            InputError: a window is damaged.
        """
        windows = annotated_windows(drive_of_scene(folder))
        return truth.concatenated([truth.window_points(path, table, visible_only) for path in windows])

    def label_frames(self, folder: Path, table: CategoryTable) -> LabelFrames:
        """The label images of the first camera.

        Raises:
            InputError: there are none.
        """
        return truth.label_frames(drive_of_scene(folder), table)


def is_scene_of_drive(folder: Path) -> bool:
    """Whether the folder or name lies in a data set with KITTI-360's calibration."""
    return any((place / "calibration").is_dir() for place in (folder, folder.absolute().parent))


def camera_from_lidar(folder: Path, camera: str) -> Float[np.ndarray, "4 4"]:
    """The frame of a rectified camera, such as `image_00`, from that of the LiDAR.

    Raises:
        InputError: the calibration is missing or damaged.
    """
    rig = read_calibration(drive_of_scene(folder).root / "calibration")
    return invert(rig.vehicle_from_rectified[CAMERAS.index(camera)]) @ rig.vehicle_from_lidar


def drive_of_scene(folder: Path) -> Drive:
    """The drive, and the window of it, that a scene's folder or name means.

    Raises:
        InputError: it means none, or several.
    """
    folder = folder.absolute()
    if (folder / "calibration").is_dir():
        drives = _drives(folder)
        if len(drives) != 1:
            example = f"name one as SCENE with DATA={folder}, such as {drives[0]}" if drives else "put one there"
            raise InputError(f"{folder / 'data_2d_raw'} has {len(drives)} drives; {example}.")
        return Drive(folder, drives[0])
    root = folder.parent
    name = folder.name
    window = WINDOW.fullmatch(name)
    drive_name = window["drive"] if window else name
    drives = [drive for drive in _drives(root) if drive_name in (drive, _short_name(drive))]
    if not (root / "calibration").is_dir() or len(drives) != 1:
        raise InputError(
            f"{folder} is no scene of KITTI-360: neither has it calibration/ and data_2d_raw/ of one drive, nor is "
            f"{name!r} a drive (or <drive>_<first>_<last>) of a data set in {root}; name one of these."
        )
    first, last = (int(window["first"]), int(window["last"])) if window else (Drive.first, Drive.last)
    return Drive(root, drives[0], first, last)


def _short_name(drive: str) -> str:
    """`drive_0000` of `2013_05_28_drive_0000_sync`."""
    return drive.removesuffix("_sync")[-len("drive_0000") :]


def annotated_windows(drive: Drive) -> list[Path]:
    """The accumulated, annotated points that share frames with the place; those of its very name, if there are any."""
    folder = drive.semantics(SEMANTICS_3D) / "static"
    overlapping = []
    for path in sorted(folder.glob("*.ply")):
        ends = re.fullmatch(r"(\d+)_(\d+)", path.stem)
        if ends and (int(ends[1]), int(ends[2])) == (drive.first, drive.last):
            return [path]
        if ends and int(ends[1]) <= drive.last and int(ends[2]) >= drive.first:
            overlapping.append(path)
    return overlapping


def _cameras(drive: Drive) -> list[str]:
    return [camera for camera in CAMERAS if drive.images(camera).is_dir()]


def _drives(root: Path) -> list[str]:
    return sorted(path.name for path in (root / "data_2d_raw").glob("*") if path.is_dir())


def _images(drive: Drive, camera: str) -> list[Path]:
    paths = in_order(path for path in drive.images(camera).glob("*.png") if path.stem.isdecimal())
    return [path for path in paths if drive.contains(int(path.stem))]


def _frame_name(frame_index: int, camera: str) -> str:
    """Its index alone for image_00, whose detections and truth are named so."""
    return f"{frame_index:010d}" if camera == "image_00" else f"{frame_index:010d}_{camera.removeprefix('image_')}"


def _of_window(drive: Drive) -> str:
    return "" if drive.first == Drive.first else f" between {drive.first} and {drive.last}"


def _scene_mask(folder: Path) -> list[Path]:
    path = folder / "ego_mask.png"
    return [path] if path.is_file() else []


def _mask(folder: Path, scan: Scan, settings: ScanSettings) -> Bool[np.ndarray, "h w"]:
    """Pixels of the vehicle itself, from the setting's image or the scene's `ego_mask.png`; none without either."""
    shape = (scan.camera.height, scan.camera.width)
    paths = [settings.ego_mask] if settings.ego_mask else _scene_mask(folder)
    if not paths:
        return np.zeros(shape, bool)
    mask = read_ids(paths[0])
    if mask.shape != shape:
        raise InputError(
            f"The mask of the vehicle {paths[0]} is {mask.shape[1]} x {mask.shape[0]} pixels, the images are "
            f"{shape[1]} x {shape[0]}; draw it on an image of the drive."
        )
    return np.asarray(mask != 0)
