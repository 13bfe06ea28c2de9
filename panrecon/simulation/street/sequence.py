"""A sequence recorded in the built-in street: the sensors' measurements, frame by frame, and their ground truth."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from panrecon.geometry.projective import invert, nearest_pixel, project, transform
from panrecon.geometry.raycasting import Raycaster
from panrecon.simulation.street.camera import StreetView, render
from panrecon.simulation.street.lidar import LidarModel, SimulatedScan, simulated_scan
from panrecon.simulation.street.street import Street
from panrecon.simulation.street.vehicle import VehicleSensors, frame_times, vehicle_path
from panrecon.structures import Camera, Labels

CELL: Final = 0.05  # m, side of the cells of which the accumulated truth keeps one point an object


@dataclass(frozen=True)
class SequenceFrame:
    """One moment: a scan and an image of each camera, all taken at `time` (s from the first frame)."""

    index: int
    time: float
    world_from_vehicle: Float[np.ndarray, "4 4"]
    scan: SimulatedScan
    views: tuple[StreetView, ...]


@dataclass(frozen=True)
class StreetPoints:
    """Accumulated points of all static surfaces, in the world frame (m) without noise, one a cell of 5 cm and object.

    `visible` are the points that the first camera saw in at least one frame.
    """

    points: Float[np.ndarray, "n 3"]
    colors: UInt8[np.ndarray, "n 3"]
    labels: Labels
    visible: Bool[np.ndarray, " n"]


def simulated_sequence(
    street: Street, sensors: VehicleSensors, model: LidarModel, frames: int, spacing: float = 1.0
) -> Iterator[SequenceFrame]:
    """The frames in order, `spacing` m apart, views in the order of the cameras; a function of the street's seed."""
    poses = vehicle_path(frames, street.seed, spacing)
    times = frame_times(frames, spacing).tolist()
    for frame_index, (world_from_vehicle, time) in enumerate(zip(poses, times, strict=True)):
        surface = street.surface_at(time)
        raycaster = Raycaster(surface.mesh)
        world_from_lidar = world_from_vehicle @ sensors.vehicle_from_lidar
        lidar_scan = simulated_scan(surface, raycaster, model, world_from_lidar, seed=street.seed, frame=frame_index)
        views = [
            render(
                surface,
                raycaster,
                mounted.camera,
                world_from_vehicle @ mounted.vehicle_from_camera,
                street.categories,
                seed=8 * street.seed + camera_index,
                frame=frame_index,
            )
            for camera_index, mounted in enumerate(sensors.cameras)
        ]
        yield SequenceFrame(frame_index, time, world_from_vehicle, lidar_scan, tuple(views))


@dataclass(frozen=True)
class _StoredView:
    """The part of a view that visibility needs, in few bytes: all views are held until all points are known."""

    camera: Camera
    world_from_camera: Float[np.ndarray, "4 4"]
    depth: Float[np.ndarray, "h w"]
    category: Int[np.ndarray, "h w"]
    instance: Int[np.ndarray, "h w"]

    @classmethod
    def of(cls, view: StreetView) -> "_StoredView":
        category = view.truth.category.astype(np.int8)
        instance = view.truth.instance.astype(np.int16)
        return cls(view.camera, view.world_from_camera, view.depth, category, instance)


class StaticPointAccumulator:
    """Collects the points of static surfaces over a sequence, frame by frame."""

    def __init__(self, street: Street) -> None:
        self._street = street
        self._surface = street.surface_at(0.0)
        self._points: list[Float[np.ndarray, "n 3"]] = []
        self._faces: list[Int[np.ndarray, " n"]] = []
        self._views: list[_StoredView] = []

    def add(self, frame: SequenceFrame) -> None:
        """Add the frame's points of objects that never move."""
        labels = frame.scan.truth
        is_dynamic = np.append(self._street.is_dynamic_instance, False)[labels.instance]
        static = np.flatnonzero(~is_dynamic)
        static_labels = Labels(labels.category[static], labels.instance[static])
        sampled = static[_first_in_cell(frame.scan.exact[static], static_labels)]
        self._points.append(frame.scan.exact[sampled])
        self._faces.append(frame.scan.face[sampled])
        self._views.append(_StoredView.of(frame.views[0]))

    def result(self) -> StreetPoints:
        """The points of all frames added so far."""
        points = np.concatenate(self._points)
        face = np.concatenate(self._faces)
        sampled = _first_in_cell(points, self._surface.labels.at(face))
        points = points[sampled]
        face = face[sampled]
        labels = self._surface.labels.at(face)
        colors = np.rint(255 * self._surface.texture(points, face)).astype(np.uint8)
        return StreetPoints(points, colors, labels, _is_visible(points, labels, self._views))


def _first_in_cell(points: Float[np.ndarray, "n 3"], labels: Labels) -> Int[np.ndarray, " m"]:
    """The indices of the first point of every cell and object, ascending."""
    if not len(points):
        return np.empty(0, dtype=np.int64)
    cell = np.floor(points / CELL).astype(np.int64)
    cell -= cell.min(axis=0)
    object_key = np.stack([labels.category, labels.instance]).astype(np.int64) + 1
    shape = (*(object_key.max(axis=1) + 1).tolist(), *(cell.max(axis=0) + 1).tolist())
    return np.sort(np.unique(np.ravel_multi_index((*object_key, *cell.T), shape), return_index=True)[1])


def _is_visible(
    points: Float[np.ndarray, "n 3"], labels: Labels, views: Sequence["_StoredView"]
) -> Bool[np.ndarray, " n"]:
    """Whether a point's pixel in any view has the point's own labels and about its depth."""
    visible = np.zeros(len(points), dtype=bool)
    for view in views:
        unseen = np.flatnonzero(~visible)
        pixels, depth = project(view.camera, transform(invert(view.world_from_camera), points[unseen]))
        column, row, inside = nearest_pixel(view.camera, pixels)
        depth_agrees = np.abs(view.depth[row, column] - depth) < 0.05 + 0.03 * np.maximum(depth, 0)
        same_category = view.category[row, column] == labels.category[unseen]
        same_instance = view.instance[row, column] == labels.instance[unseen]
        visible[unseen] = inside & depth_agrees & same_category & same_instance
    return visible
