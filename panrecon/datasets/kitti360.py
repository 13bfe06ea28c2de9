"""Drives of KITTI-360 (Liao, Xie, Geiger, PAMI 2022) as scans: cameras see, the LiDAR measures.

calibration/  data_poses/<drive>/  data_2d_raw/<drive>/image_0{0,1}/data_rect/<frame>.png
data_3d_raw/<drive>/velodyne_points/data/<frame>.bin      (panrecon/io/kitti360.py)
data_2d_semantics/  data_3d_semantics/                    annotation (kitti360_truth.py)

A scene is the folder of a data set of one drive, or, beside `calibration/`, a name that need be no folder:
<drive> or <drive>_<first>_<last>, a window of frames as the accumulated points of the annotation are named.
"""

import re
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Float32

from panrecon.accumulation.depth import depth_image
from panrecon.accumulation.motion import PosedScan, moving_points, range_image
from panrecon.accumulation.sweep import APART, is_rolling, unrolled
from panrecon.config import ScanSettings
from panrecon.datasets import kitti360_truth as truth
from panrecon.errors import InputError
from panrecon.geometry import invert, transform
from panrecon.io.images import read_ids
from panrecon.io.kitti360 import CAMERAS, read_calibration, read_vehicle_poses
from panrecon.io.labels import LabelFrames, in_order
from panrecon.io.points import read_points
from panrecon.pictures import spread
from panrecon.structures import CategoryTable, Frame, PanopticMesh, Scan

DEPTH_SCALE: Final = 256.0  # units of a depth image per metre, as in KITTI's own: to 255 m in steps of 4 mm
WINDOW: Final = re.compile(r"(?P<drive>.*?)_(?P<first>\d{10})_(?P<last>\d{10})")
VEHICLE: Final = np.array([[-3.5, -1.3, -2.2], [2.2, 1.3, 0.3]])  # m around the LiDAR: points on the vehicle itself
NEIGHBOURS: Final = 5  # scans before and after one that tell what moved
SWEEPS_COMPARED: Final = 6  # pairs of scans that tell whether they roll


@dataclass(frozen=True)
class Place:
    """Which drive of which data set, and which of its frames (both ends belong to it)."""

    root: Path
    drive: str
    first: int = 0
    last: int = 10**10

    def images(self, camera: str) -> Path:
        return self.root / "data_2d_raw" / self.drive / camera / "data_rect"

    def scan_file(self, number: int) -> Path:
        return self.root / "data_3d_raw" / self.drive / "velodyne_points" / "data" / f"{number:010d}.bin"

    @property
    def poses(self) -> Path:
        return self.root / "data_poses" / self.drive / "poses.txt"

    def holds(self, number: int) -> bool:
        return self.first <= number <= self.last


class KITTI360:
    """One drive, or a window of its frames."""

    def check(self, folder: Path) -> None:
        find_place(folder)

    def files(self, folder: Path) -> list[Path]:
        place = find_place(folder)
        fixed = [*sorted((place.root / "calibration").glob("*.txt")), place.poses]
        images = [path for camera in _cameras(place) for path in _images(place, camera)]
        return [*fixed, *images, *(place.scan_file(int(path.stem)) for path in images), *_own_mask(folder)]

    def scan(self, folder: Path, settings: ScanSettings) -> Scan:
        place = find_place(folder)
        rig, poses = read_calibration(place.root / "calibration"), read_vehicle_poses(place.poses)
        frames = []
        for name in settings.cameras:
            mounted = rig.vehicle_from_rectified[CAMERAS.index(name)]
            numbered = [(int(path.stem), path) for path in _images(place, name)]
            frames += [
                (number, Frame(_frame_name(number, name), path, place.scan_file(number), poses[number] @ mounted))
                for number, path in numbered[:: settings.frame_stride]
                if number in poses and _frame_name(number, name) not in settings.skip_frames
            ]
        if not frames:
            raise InputError(
                f"No image of {place.images(settings.cameras[0])} has a pose in {place.poses}"
                f"{_of_window(place)}; compare their frame numbers."
            )
        missing = next((frame.depth for _, frame in frames if not frame.depth.is_file()), None)
        if missing is not None:
            raise InputError(f"The LiDAR scan {missing} does not exist; every frame with a pose needs one.")
        ordered = tuple(frame for _, frame in sorted(frames, key=lambda item: (item[0], item[1].name)))
        return Scan(folder.name, rig.camera, rig.camera, DEPTH_SCALE, ordered)

    def depths(self, folder: Path, scan: Scan, settings: ScanSettings) -> "AccumulatedDepth":
        return AccumulatedDepth(find_place(folder), scan, settings, _mask(folder, scan, settings))

    def alignment(self, folder: Path, settings: ScanSettings) -> Float[np.ndarray, "4 4"]:
        return np.eye(4)

    def annotation_files(self, folder: Path) -> list[Path]:
        return truth_windows(find_place(folder))

    def annotation(self, folder: Path, table: CategoryTable, visible_only: bool = False) -> PanopticMesh:
        windows = truth_windows(find_place(folder))
        return truth.joined([truth.window_points(path, table, visible_only) for path in windows])

    def label_frames(self, folder: Path, table: CategoryTable) -> LabelFrames:
        place = find_place(folder)
        return truth.label_frames(truth.Drive(place.root, place.drive), table)


class AccumulatedDepth:
    """Depth images of a drive: the scans along some metres of the way, without what moved, as each camera sees them.

    Frames may be asked for in any order and by several threads; neighbouring ones share the scans that are held.
    """

    def __init__(self, place: Place, scan: Scan, settings: ScanSettings, mask: Bool[np.ndarray, "h w"]) -> None:
        self._place, self._camera, self._mask, self._settings = place, scan.camera, mask, settings
        poses = read_vehicle_poses(place.poses)
        self._vehicle_from_lidar = read_calibration(place.root / "calibration").vehicle_from_lidar
        self._world_from_vehicle = {n: pose for n, pose in poses.items() if place.scan_file(n).is_file()}
        self._numbers = np.array(sorted(self._world_from_vehicle))
        positions = np.stack([self._world_from_vehicle[n][:3, 3] for n in self._numbers.tolist()])
        steps = np.linalg.norm(np.diff(positions, axis=0), axis=1)
        self._travelled = np.concatenate([[0.0], np.cumsum(steps)])
        self._lock = Lock()
        self._scans: OrderedDict[int, PosedScan] = OrderedDict()
        self._ranges: OrderedDict[int, Float32[np.ndarray, "rows columns"]] = OrderedDict()
        self._parts: OrderedDict[int, tuple[Float32[np.ndarray, "n 3"], Float32[np.ndarray, "m 3"]]] = OrderedDict()
        self.rolling = settings.sweep == "rolling" or (settings.sweep == "auto" and self._looks_rolling())

    def __call__(self, frame: Frame) -> Float32[np.ndarray, "h w"]:
        """Depth along the optical axis (m), 0 where not measured, hidden by what moves, or of the vehicle itself."""
        at = int(np.searchsorted(self._numbers, int(frame.depth.stem)))
        near = np.abs(self._travelled - self._travelled[at]) <= self._settings.accumulate
        held = np.flatnonzero(near)
        with self._lock:
            self._forget(len(held))
            parts = [self._separated(int(index)) for index in held]
            moved = self._separated(at)[1]
        camera_from_world = invert(frame.world_from_camera)
        origin = frame.world_from_camera[:3, 3]
        resting = _seen_from(camera_from_world, origin, [still for still, _ in parts])
        moving = _seen_from(camera_from_world, origin, [moved])
        return np.where(self._mask, np.float32(0), depth_image(self._camera, resting, moving))

    def _forget(self, window: int) -> None:
        """No more scans are held than a frame and its neighbours need."""
        for held in (self._scans, self._ranges, self._parts):
            while len(held) > window + 4 * NEIGHBOURS:
                held.popitem(last=False)

    def _separated(self, index: int) -> tuple[Float32[np.ndarray, "n 3"], Float32[np.ndarray, "m 3"]]:
        """World points of a scan: those that rest and those that move."""
        if index not in self._parts:
            first, last = max(index - NEIGHBOURS, 0), min(index + NEIGHBOURS + 1, len(self._numbers))
            others = [(self._scan(i), self._range(i)) for i in range(first, last) if i != index]
            scan = self._scan(index)
            moving = moving_points(scan, others)
            world = scan.in_world
            self._parts[index] = world[~moving], world[moving]
        self._parts.move_to_end(index)
        return self._parts[index]

    def _range(self, index: int) -> Float32[np.ndarray, "rows columns"]:
        if index not in self._ranges:
            self._ranges[index] = range_image(self._scan(index))
        return self._ranges[index]

    def _scan(self, index: int) -> PosedScan:
        if index not in self._scans:
            points = self._raw(index)
            if self.rolling:
                points = unrolled(points, self._later_from(index))
            self._scans[index] = PosedScan(points, self._world_from_lidar(index))
        return self._scans[index]

    def _raw(self, index: int) -> Float32[np.ndarray, "n 3"]:
        """The points of a scan as they are stored, those on the vehicle left out."""
        points = read_points(self._place.scan_file(int(self._numbers[index])))[:, :3]
        on_vehicle = ((points > VEHICLE[0]) & (points < VEHICLE[1])).all(axis=1)
        return np.ascontiguousarray(points[~on_vehicle])

    def _world_from_lidar(self, index: int) -> Float[np.ndarray, "4 4"]:
        return np.asarray(self._world_from_vehicle[int(self._numbers[index])] @ self._vehicle_from_lidar)

    def _later_from(self, index: int) -> Float[np.ndarray, "4 4"]:
        """How far the sensor gets in one turn, from the next scan, else from the last."""
        numbers = self._numbers
        for here, there in ((index, index + 1), (index - 1, index)):
            if here >= 0 and there < len(numbers) and numbers[there] == numbers[here] + 1:
                return np.asarray(invert(self._world_from_lidar(there)) @ self._world_from_lidar(here))
        return np.eye(4)

    def _looks_rolling(self) -> bool:
        later = np.searchsorted(self._travelled, self._travelled + APART)
        pairs = [(here, there) for here, there in enumerate(later.tolist()) if there < len(later)]
        chosen = [index for n in spread(len(pairs), SWEEPS_COMPARED) for index in pairs[n]]
        poses, motions = ([of(i) for i in chosen] for of in (self._world_from_lidar, self._later_from))
        return bool(chosen) and is_rolling([self._raw(i) for i in chosen], poses, motions)


def find_place(folder: Path) -> Place:
    """The drive, and the window of it, that a scene's folder or name means.

    Raises:
        InputError: it means none, or several.
    """
    folder = folder.absolute()
    if (folder / "calibration").is_dir():
        drives = _drives(folder)
        if len(drives) != 1:
            example = f"; name one as SCENE with DATA={folder}, such as {drives[0]}" if drives else ""
            raise InputError(f"{folder / 'data_2d_raw'} has {len(drives)} drives{example}.")
        return Place(folder, drives[0])
    root, name = folder.parent, folder.name
    window = WINDOW.fullmatch(name)
    wanted = window["drive"] if window else name
    drives = [drive for drive in _drives(root) if wanted in (drive, drive.removesuffix("_sync")[-len("drive_0000") :])]
    if not (root / "calibration").is_dir() or len(drives) != 1:
        raise InputError(
            f"{folder} is no scene of KITTI-360: neither has it calibration/ and data_2d_raw/ of one drive, nor is "
            f"{name!r} a drive (or <drive>_<first>_<last>) of a data set in {root}."
        )
    first, last = (int(window["first"]), int(window["last"])) if window else (Place.first, Place.last)
    return Place(root, drives[0], first, last)


def truth_windows(place: Place) -> list[Path]:
    """The accumulated, annotated points that share frames with the place; those of its very name, if there are any."""
    folder = truth.Drive(place.root, place.drive).folder(truth.SEMANTICS_3D) / "static"
    found = []
    for path in sorted(folder.glob("*.ply")):
        ends = re.fullmatch(r"(\d+)_(\d+)", path.stem)
        if ends and (int(ends[1]), int(ends[2])) == (place.first, place.last):
            return [path]
        if ends and int(ends[1]) <= place.last and int(ends[2]) >= place.first:
            found.append(path)
    return found


def _cameras(place: Place) -> list[str]:
    return [camera for camera in CAMERAS if place.images(camera).is_dir()]


def _seen_from(
    camera_from_world: Float[np.ndarray, "4 4"],
    origin: Float[np.ndarray, "3"],
    clouds: list[Float32[np.ndarray, "_ 3"]],
) -> Float32[np.ndarray, "n 3"]:
    """World points in the camera's frame; moved before they are turned, for the world's origin is far."""
    rotation = np.eye(4)
    rotation[:3, :3] = camera_from_world[:3, :3]
    points = np.concatenate(clouds) - origin.astype(np.float32)
    ahead = points @ camera_from_world[2, :3].astype(np.float32) > 0
    return transform(rotation, points[ahead])


def _drives(root: Path) -> list[str]:
    return sorted(path.name for path in (root / "data_2d_raw").glob("*") if path.is_dir())


def _images(place: Place, camera: str) -> list[Path]:
    paths = in_order(path for path in place.images(camera).glob("*.png") if path.stem.isdecimal())
    return [path for path in paths if place.holds(int(path.stem))]


def _frame_name(number: int, camera: str) -> str:
    """Its number alone for image_00, whose detections and truth are named so."""
    return f"{number:010d}" if camera == "image_00" else f"{number:010d}_{camera.removeprefix('image_')}"


def _of_window(place: Place) -> str:
    return "" if place.first == Place.first else f" between {place.first} and {place.last}"


def _own_mask(folder: Path) -> list[Path]:
    path = folder / "ego_mask.png"
    return [path] if path.is_file() else []


def _mask(folder: Path, scan: Scan, settings: ScanSettings) -> Bool[np.ndarray, "h w"]:
    """Pixels of the vehicle itself, from the setting's image or the scene's `ego_mask.png`; none without either."""
    shape = (scan.camera.height, scan.camera.width)
    paths = [settings.ego_mask] if settings.ego_mask else _own_mask(folder)
    if not paths:
        return np.zeros(shape, bool)
    mask = read_ids(paths[0])
    if mask.shape != shape:
        raise InputError(
            f"The mask of the vehicle {paths[0]} is {mask.shape[1]} x {mask.shape[0]} pixels, the images are "
            f"{shape[1]} x {shape[0]}; draw it on an image of the drive."
        )
    return np.asarray(mask != 0)
