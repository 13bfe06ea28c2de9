"""Depth images of a drive of KITTI-360, from its accumulated LiDAR scans."""

from collections import OrderedDict
from threading import Lock

import numpy as np
from jaxtyping import Bool, Float, Float32

from panrecon.accumulation.depth import depth_image
from panrecon.accumulation.deskewing import deskewed, is_motion_distorted
from panrecon.accumulation.motion import PosedScan, dynamic_points, range_image
from panrecon.accumulation.parameters import AccumulationParameters
from panrecon.config import ScanSettings
from panrecon.datasets.kitti360.format import Drive, read_calibration, read_vehicle_poses
from panrecon.datasets.points import read_points
from panrecon.geometry.projective import invert, transform
from panrecon.structures import Frame, Scan
from panrecon.visualization import evenly_spaced


class AccumulatedDepth:
    """Depth images of a drive, by camera: the scans along some metres of the way, without dynamic points.

    Frames may be asked for in any order and by several threads; neighbouring ones share the scans that are held.
    """

    def __init__(
        self,
        drive: Drive,
        scan: Scan,
        settings: ScanSettings,
        mask: Bool[np.ndarray, "h w"],
        parameters: AccumulationParameters = AccumulationParameters(),
    ) -> None:
        """`mask`: pixels of the vehicle itself, which have no depth.

        Raises:
            InputError: poses, calibration or a LiDAR scan are missing or damaged.
        """
        self._drive = drive
        self._camera = scan.camera
        self._mask = mask
        self._settings = settings
        self._parameters = parameters
        poses = read_vehicle_poses(drive.poses)
        self._vehicle_from_lidar = read_calibration(drive.root / "calibration").vehicle_from_lidar
        self._world_from_vehicle = {
            frame_index: pose for frame_index, pose in poses.items() if drive.scan_file(frame_index).is_file()
        }
        self._frame_indices = np.array(sorted(self._world_from_vehicle))
        positions = np.stack(
            [self._world_from_vehicle[frame_index][:3, 3] for frame_index in self._frame_indices.tolist()]
        )
        steps = np.linalg.norm(np.diff(positions, axis=0), axis=1)
        self._travelled = np.concatenate([[0.0], np.cumsum(steps)])
        _, self._spaced = np.unique(np.floor(self._travelled / parameters.scans.spacing), return_index=True)
        self._lock = Lock()
        self._scans: OrderedDict[int, PosedScan] = OrderedDict()
        self._ranges: OrderedDict[int, Float32[np.ndarray, "rows columns"]] = OrderedDict()
        self._parts: OrderedDict[int, tuple[Float32[np.ndarray, "n 3"], Float32[np.ndarray, "m 3"]]] = OrderedDict()
        self.deskew = self._is_motion_distorted() if settings.deskew == "auto" else settings.deskew

    def __call__(self, frame: Frame) -> Float32[np.ndarray, "h w"]:
        """Depth along the optical axis (m); 0 where not measured, behind dynamic points, or on the vehicle itself."""
        at = self._at(frame)
        window = self._window(frame)
        with self._lock:
            self._forget(len(window))
            parts = [self._separated(index) for index in window]
            own_dynamic = self._separated(at)[1]
        camera_from_world = invert(frame.world_from_camera)
        origin = frame.world_from_camera[:3, 3]
        static = _seen_from(camera_from_world, origin, [static for static, _ in parts])
        dynamic = _seen_from(camera_from_world, origin, [own_dynamic])
        depth = depth_image(self._camera, static, dynamic, parameters=self._parameters.depth_image)
        return np.where(self._mask, np.float32(0), depth)

    def _at(self, frame: Frame) -> int:
        return int(np.searchsorted(self._frame_indices, int(frame.depth.stem)))

    def _window(self, frame: Frame) -> list[int]:
        at = self._at(frame)
        distance = np.abs(self._travelled[self._spaced] - self._travelled[at])
        return sorted({at, *self._spaced[distance <= self._settings.accumulate].tolist()})

    def _forget(self, size: int) -> None:
        """No more scans are held than a frame and its neighbours need."""
        for held in (self._scans, self._ranges, self._parts):
            while len(held) > size + 4 * self._parameters.scans.tested_neighbours:
                held.popitem(last=False)

    def _separated(self, index: int) -> tuple[Float32[np.ndarray, "n 3"], Float32[np.ndarray, "m 3"]]:
        """World points of a scan: static and dynamic ones."""
        if index not in self._parts:
            neighbour_count = self._parameters.scans.tested_neighbours
            first = max(index - neighbour_count, 0)
            last = min(index + neighbour_count + 1, len(self._frame_indices))
            others = [(self._scan(i), self._range(i)) for i in range(first, last) if i != index]
            scan = self._scan(index)
            is_dynamic = dynamic_points(scan, others, self._parameters.dynamic_points, self._parameters.range_image)
            world = scan.in_world
            self._parts[index] = world[~is_dynamic], world[is_dynamic]
        self._parts.move_to_end(index)
        return self._parts[index]

    def _range(self, index: int) -> Float32[np.ndarray, "rows columns"]:
        if index not in self._ranges:
            self._ranges[index] = range_image(self._scan(index), self._parameters.range_image)
        return self._ranges[index]

    def _scan(self, index: int) -> PosedScan:
        if index not in self._scans:
            points = self._raw(index)
            if self.deskew:
                points = deskewed(points, self._next_from(index))
            self._scans[index] = PosedScan(points, self._world_from_lidar(index))
        return self._scans[index]

    def _raw(self, index: int) -> Float32[np.ndarray, "n 3"]:
        """The points of a scan as they are stored, those on the vehicle left out."""
        points = read_points(self._drive.scan_file(int(self._frame_indices[index])))[:, :3]
        low = np.array(self._parameters.scans.vehicle_min)
        high = np.array(self._parameters.scans.vehicle_max)
        on_vehicle = ((points > low) & (points < high)).all(axis=1)
        return np.ascontiguousarray(points[~on_vehicle])

    def _world_from_lidar(self, index: int) -> Float[np.ndarray, "4 4"]:
        return np.asarray(self._world_from_vehicle[int(self._frame_indices[index])] @ self._vehicle_from_lidar)

    def _next_from(self, index: int) -> Float[np.ndarray, "4 4"]:
        """The sensor's motion in one turn, by the pose of the next scan, else of the previous one."""
        indices = self._frame_indices
        for here, there in ((index, index + 1), (index - 1, index)):
            if here >= 0 and there < len(indices) and indices[there] == indices[here] + 1:
                return np.asarray(invert(self._world_from_lidar(there)) @ self._world_from_lidar(here))
        return np.eye(4)

    def _is_motion_distorted(self) -> bool:
        later = np.searchsorted(self._travelled, self._travelled + self._parameters.deskew.pair_distance)
        pairs = [(here, there) for here, there in enumerate(later.tolist()) if there < len(later)]
        compared = [index for n in evenly_spaced(len(pairs), self._parameters.deskew.pair_count) for index in pairs[n]]
        if not compared:
            return False
        scans = [self._raw(index) for index in compared]
        poses = [self._world_from_lidar(index) for index in compared]
        motions = [self._next_from(index) for index in compared]
        return is_motion_distorted(scans, poses, motions, self._parameters.deskew)


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
