"""Walls: vertical planes of much surface, whatever their labels. Furniture has faces, too, but smaller ones."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Int

from panrecon.geometry.mesh import smoothed_normals, vertex_areas
from panrecon.layout.columns import ground_axes
from panrecon.layout.gravity import Gravity
from panrecon.layout.parameters import LayoutParameters
from panrecon.structures import VOID, TriangleMesh

DIRECTIONS: Final = 180  # of the compass that are tried, 2 degrees apart
TRIED: Final = 6  # directions of most surface that may have another wall; more find none


@dataclass(frozen=True)
class Walls:
    """The wall of every vertex by its index, `VOID` = none, and the area (m^2) of every wall, the largest first found.

    Windows, doors and pictures that lie in the plane of a wall or are recessed in it count as of it.
    """

    of_vertex: Int[np.ndarray, " V"]
    area: Float[np.ndarray, " W"]


def find_walls(
    mesh: TriangleMesh, gravity: Gravity, voxel_size: float, parameters: LayoutParameters = LayoutParameters()
) -> Walls:
    """The vertical planes of at least `min_wall_area`, one after the other from what is left of the surface."""
    surface = _Vertical.of(mesh, gravity, parameters)
    of_vertex = np.full(len(mesh.vertices), VOID)
    areas: list[float] = []
    while (wall := next(_walls(surface, of_vertex == VOID, voxel_size, parameters), None)) is not None:
        of_vertex[wall] = len(areas)
        areas.append(float(surface.area[wall].sum()))
    return Walls(of_vertex, np.array(areas))


@dataclass(frozen=True)
class _Vertical:
    """Places in the ground plan (m), horizontal directions of the normals (rad), and areas (m^2, 0 if not vertical)."""

    place: Float[np.ndarray, "V 2"]
    azimuth: Float[np.ndarray, " V"]
    area: Float[np.ndarray, " V"]

    @classmethod
    def of(cls, mesh: TriangleMesh, gravity: Gravity, parameters: LayoutParameters) -> "_Vertical":
        normals = smoothed_normals(mesh.vertices, mesh.faces, parameters.smoothing_rounds)
        across, along = np.einsum("vk,ak->av", normals, ground_axes(gravity))
        is_vertical = np.abs(np.einsum("vk,k->v", normals, gravity.up)) < np.sin(parameters.vertical_angle)
        area = np.where(is_vertical, vertex_areas(mesh.vertices, mesh.faces), 0.0)
        place = np.einsum("vk,ak->va", mesh.vertices.astype(np.float64), ground_axes(gravity))
        return cls(place, np.arctan2(along, across), area)

    def faces(self, azimuth: float, angle: float) -> Bool[np.ndarray, " V"]:
        """Which normals deviate less than `angle` from a direction."""
        return np.asarray(np.cos(self.azimuth - azimuth) > np.cos(angle))

    def distance(self, azimuth: float) -> Float[np.ndarray, " V"]:
        """How far all vertices lie in a direction (m)."""
        return np.asarray(self.place @ np.array([np.cos(azimuth), np.sin(azimuth)]))


def _walls(
    surface: _Vertical, is_free: Bool[np.ndarray, " V"], voxel_size: float, parameters: LayoutParameters
) -> Iterator[Bool[np.ndarray, " V"]]:
    """The vertices of a wall that are free, in the directions of most surface."""
    area = np.where(is_free, surface.area, 0.0)
    bin_of_vertex = np.floor((surface.azimuth / (2 * np.pi) + 0.5) * DIRECTIONS).astype(np.int64) % DIRECTIONS
    of_bin = np.bincount(bin_of_vertex, area, minlength=DIRECTIONS)
    around = sum(np.roll(of_bin, shift) for shift in (-2, -1, 0, 1, 2))
    tolerance = parameters.level_tolerance(voxel_size)
    for direction in np.argsort(-around, kind="stable")[:TRIED]:
        azimuth = ((direction + 0.5) / DIRECTIONS - 0.5) * 2 * np.pi
        facing = np.flatnonzero(surface.faces(azimuth, parameters.vertical_angle) & (area > 0))
        if area[facing].sum() < parameters.min_wall_area:
            continue
        sine, cosine = area[facing] @ np.sin(surface.azimuth[facing]), area[facing] @ np.cos(surface.azimuth[facing])
        azimuth = float(np.arctan2(sine, cosine))
        distance = surface.distance(azimuth)
        place = _densest(distance[facing], area[facing], tolerance, voxel_size)
        is_near = np.abs(distance - place) < tolerance
        if area[facing][is_near[facing]].sum() >= parameters.min_wall_area:
            is_recessed = (distance < place) & (distance > place - parameters.max_recess)
            yield is_free & (is_near | is_recessed) & surface.faces(azimuth, parameters.horizontal_angle)


def _densest(
    distance: Float[np.ndarray, " n"], area: Float[np.ndarray, " n"], tolerance: float, voxel_size: float
) -> float:
    """The distance (m) with the most area within `tolerance`."""
    cell = np.floor(distance / voxel_size).astype(np.int64)
    width = 2 * max(round(tolerance / voxel_size), 1) + 1
    density = np.convolve(np.bincount(cell - cell.min(), area), np.ones(width), "same")
    centre = (int(density.argmax()) + int(cell.min()) + 0.5) * voxel_size
    return float(np.median(distance[np.abs(distance - centre) < tolerance]))
