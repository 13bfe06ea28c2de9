"""A drive through the built-in street: what the vehicle's sensors measure, frame by frame, and the truth of it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from panrecon.geometry.projective import invert, nearest_pixel, project, transform
from panrecon.geometry.raycasting import Raycaster
from panrecon.simulation.street.camera import StreetView, render
from panrecon.simulation.street.lidar import LidarModel, SimulatedScan, scan
from panrecon.simulation.street.street import Street
from panrecon.simulation.street.vehicle import Sensors, driven_path, frame_times
from panrecon.structures import Camera, Labels

CELL: Final = 0.05  # m, of which the accumulated truth keeps one point


@dataclass(frozen=True)
class DriveFrame:
    """One moment: a scan and what each camera sees, taken at once. Names are frame numbers."""

    number: int
    time: float
    world_from_vehicle: Float[np.ndarray, "4 4"]
    scan: SimulatedScan
    views: tuple[StreetView, ...]


@dataclass(frozen=True)
class StreetPoints:
    """What the scans measured of all that stands still, one exact point a cell of 5 cm and object.

    `visible` are the points that the first camera saw in some frame.
    """

    points: Float[np.ndarray, "n 3"]
    colors: UInt8[np.ndarray, "n 3"]
    labels: Labels
    visible: Bool[np.ndarray, " n"]


def driven(
    street: Street, sensors: Sensors, model: LidarModel, frames: int, spacing: float = 1.0
) -> Iterator[DriveFrame]:
    """The frames in order, `spacing` m apart, views in the order of the cameras; the seed decides all."""
    poses, times = driven_path(frames, street.seed, spacing), frame_times(frames, spacing)
    for number, (world_from_vehicle, time) in enumerate(zip(poses, times.tolist(), strict=True)):
        surface = street.at(time)
        raycaster, world_from_lidar = Raycaster(surface.mesh), world_from_vehicle @ sensors.vehicle_from_lidar
        measured = scan(surface, raycaster, model, world_from_lidar, seed=street.seed, frame=number)
        views = []
        for side, mounted in enumerate(sensors.cameras):
            world_from_camera, seed = world_from_vehicle @ mounted.vehicle_from_camera, 8 * street.seed + side
            view = render(
                surface, raycaster, mounted.camera, world_from_camera, street.categories, seed=seed, frame=number
            )
            views.append(view)
        yield DriveFrame(number, time, world_from_vehicle, measured, tuple(views))


@dataclass(frozen=True)
class _Glance:
    """What is kept of a view until all points are known, in few bytes."""

    camera: Camera
    world_from_camera: Float[np.ndarray, "4 4"]
    depth: Float[np.ndarray, "h w"]
    category: Int[np.ndarray, "h w"]
    instance: Int[np.ndarray, "h w"]

    @classmethod
    def of(cls, view: StreetView) -> "_Glance":
        category, instance = view.truth.category.astype(np.int8), view.truth.instance.astype(np.int16)
        return cls(view.camera, view.world_from_camera, view.depth, category, instance)


class Accumulation:
    """Gathers the static truth of a drive while its frames go by."""

    def __init__(self, street: Street) -> None:
        self._street = street
        self._surface = street.at(0.0)
        self._points: list[Float[np.ndarray, "n 3"]] = []
        self._faces: list[Int[np.ndarray, " n"]] = []
        self._views: list[_Glance] = []

    def add(self, frame: DriveFrame) -> None:
        """Take the frame's points of what never moves; faces are numbered alike at all times."""
        labels, moving = frame.scan.truth, np.append(self._street.is_moving_instance, False)
        still = np.flatnonzero(~moving[labels.instance])
        kept = still[_one_a_cell(frame.scan.exact[still], _at(labels, still))]
        self._points.append(frame.scan.exact[kept])
        self._faces.append(frame.scan.face[kept])
        self._views.append(_Glance.of(frame.views[0]))

    def result(self) -> StreetPoints:
        points, face = np.concatenate(self._points), np.concatenate(self._faces)
        kept = _one_a_cell(points, self._surface.labels.at(face))
        points, face = points[kept], face[kept]
        labels = self._surface.labels.at(face)
        colors = np.rint(255 * self._surface.texture(points, face)).astype(np.uint8)
        return StreetPoints(points, colors, labels, _seen(points, labels, self._views))


def _one_a_cell(points: Float[np.ndarray, "n 3"], labels: Labels) -> Int[np.ndarray, " m"]:
    """The first point of every cell and object, in order."""
    if not len(points):
        return np.empty(0, dtype=np.int64)
    cell = np.floor(points / CELL).astype(np.int64)
    cell -= cell.min(axis=0)
    who = np.stack([labels.category, labels.instance]).astype(np.int64) + 1
    shape = (*(who.max(axis=1) + 1).tolist(), *(cell.max(axis=0) + 1).tolist())
    return np.sort(np.unique(np.ravel_multi_index((*who, *cell.T), shape), return_index=True)[1])


def _at(labels: Labels, index: Int[np.ndarray, " m"]) -> Labels:
    return Labels(labels.category[index], labels.instance[index])


def _seen(points: Float[np.ndarray, "n 3"], labels: Labels, views: Sequence["_Glance"]) -> Bool[np.ndarray, " n"]:
    """The points whose pixel in some view shows their own object at about their depth."""
    seen = np.zeros(len(points), dtype=bool)
    for view in views:
        waiting = np.flatnonzero(~seen)
        pixels, depth = project(view.camera, transform(invert(view.world_from_camera), points[waiting]))
        column, row, inside = nearest_pixel(view.camera, pixels)
        near = np.abs(view.depth[row, column] - depth) < 0.05 + 0.03 * np.maximum(depth, 0)
        own = (view.category[row, column] == labels.category[waiting]) & (
            view.instance[row, column] == labels.instance[waiting]
        )
        seen[waiting] = inside & near & own
    return seen
