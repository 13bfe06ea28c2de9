"""The heights of floors and of the ceiling.

A floor is horizontal, the lowest surface at its place, and carries the person who holds the camera: hardly anything
lies deeper around it, and cameras are held well above it. Split levels and landings, which have something deeper beside
them, are floors where the cameras rose with them; a bed does not lift a camera that is held above it. Levels are flat:
of a street that falls by more than their thickness the part at the commonest height is the floor.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.spatial import cKDTree

from panrecon.layout.columns import Columns, ground_axes
from panrecon.layout.gravity import Gravity
from panrecon.layout.parameters import LayoutParameters


@dataclass(frozen=True)
class Levels:
    """Heights along the upward direction, from the world's origin (m).

    `floors` ascend, and are empty where no floor was seen; `ceiling` is the largest one, None where none was seen.
    """

    floors: tuple[float, ...]
    ceiling: float | None


def find_levels(
    surface: Columns, poses: Float[np.ndarray, "n 4 4"], parameters: LayoutParameters = LayoutParameters()
) -> Levels:
    """The floors and the ceiling of a mesh that was fused from these poses (world from camera)."""
    cameras = _Cameras.of(poses, surface.gravity)
    floors = _floors(surface, cameras, parameters)
    lowest = float(np.median(cameras.height)) + parameters.min_clearance
    if floors:
        lowest = max(lowest, floors[0] + parameters.headroom)
    heights = [-plateau.height for plateau in _plateaus(surface.upside_down, parameters)]
    return Levels(floors, next((height for height in heights if height > lowest), None))


@dataclass(frozen=True)
class _Plateau:
    """Horizontal surface at one height (m), its area (m^2) and the columns that it lies in."""

    height: float
    area: float
    columns: Int[np.ndarray, " n"]


@dataclass(frozen=True)
class _Cameras:
    """Where cameras were: their height, and their place in the ground plan (m)."""

    height: Float[np.ndarray, " n"]
    place: Float[np.ndarray, "n 2"]

    @classmethod
    def of(cls, poses: Float[np.ndarray, "n 4 4"], gravity: Gravity) -> "_Cameras":
        position = poses[:, :3, 3]
        return cls(np.einsum("nk,k->n", position, gravity.up), np.einsum("nk,ak->na", position, ground_axes(gravity)))

    def of_storey(self, level: float, parameters: LayoutParameters) -> "_Cameras":
        """Those that may be held by someone who stands at this level (m)."""
        inside = (self.height > level) & (self.height < level + parameters.max_camera_height)
        return _Cameras(self.height[inside], self.place[inside])

    def nearest_to(self, places: Float[np.ndarray, "p 2"]) -> Float[np.ndarray, " p"]:
        """The height of the camera nearest in the ground plan to every place."""
        _, nearest = cKDTree(self.place).query(places)
        return self.height[nearest]

    def over(self, places: Float[np.ndarray, "p 2"], radius: float) -> Bool[np.ndarray, " n"]:
        """Which cameras are so near (m) in the ground plan to one of the places."""
        distance, _ = cKDTree(places).query(self.place)
        return np.asarray(distance <= radius)


def _plateaus(surface: Columns, parameters: LayoutParameters) -> list[_Plateau]:
    """Horizontal surface with nothing below it, by height, the largest first; they lie two tolerances apart."""
    tolerance = parameters.level_tolerance(surface.voxel_size)
    lowest = np.flatnonzero(surface.faces_up(parameters))
    lowest = lowest[surface.is_clear_below(lowest, parameters)]
    lowest = lowest[np.argsort(surface.height[lowest], kind="stable")]
    plateaus = []
    while len(lowest):
        height = surface.height[lowest]
        cumulated = np.concatenate([[0.0], np.cumsum(surface.area[lowest])])
        first, last = np.searchsorted(height, np.stack([height - tolerance, height + tolerance]))
        best = int((cumulated[last] - cumulated[first]).argmax())
        members = slice(first[best], last[best])
        area = float(cumulated[last[best]] - cumulated[first[best]])
        if area < parameters.min_level_area:
            break
        level = float(np.median(height[members]))
        plateaus.append(_Plateau(level, area, np.unique(surface.column[lowest[members]])))
        lowest = lowest[np.abs(height - level) > 2 * tolerance]
    return plateaus


def _floors(surface: Columns, cameras: _Cameras, parameters: LayoutParameters) -> tuple[float, ...]:
    """The heights of the plateaus that are floors: the largest with nothing deeper, and those that lift the cameras."""
    plateaus = _plateaus(surface, parameters)
    ground = next((plateau for plateau in plateaus if _is_ground(surface, plateau, cameras, parameters)), None)
    if ground is None:
        return ()
    of_ground = cameras.of_storey(ground.height, parameters)
    held_at = float(np.median(of_ground.nearest_to(surface.centre[ground.columns]))) - ground.height

    def lifts_cameras(plateau: _Plateau) -> bool:
        of_storey = cameras.of_storey(plateau.height, parameters)
        over = of_storey.over(surface.centre[plateau.columns], surface.size)
        if over.sum() < parameters.min_floor_cameras:
            return False
        height = float(np.median(of_storey.height[over]))
        return abs(height - plateau.height - held_at) < abs(height - ground.height - held_at)

    floors = [plateau.height for plateau in plateaus if plateau is ground or lifts_cameras(plateau)]
    return tuple(sorted(floors))


def _is_ground(surface: Columns, plateau: _Plateau, cameras: _Cameras, parameters: LayoutParameters) -> bool:
    """Whether cameras are held well above a plateau, and hardly anything lies deeper around it."""
    places = surface.centre[plateau.columns]
    of_storey = cameras.of_storey(plateau.height, parameters)
    if not len(of_storey.height):
        return False
    if np.median(of_storey.nearest_to(places)) - plateau.height < parameters.min_camera_height:
        return False
    distance, _ = cKDTree(places).query(surface.centre, distance_upper_bound=parameters.surroundings)
    margin = 2 * parameters.level_tolerance(surface.voxel_size)
    deeper = np.isfinite(distance)[surface.column] & (surface.height < plateau.height - margin)
    return bool(surface.area[deeper].sum() < parameters.max_deeper_share * plateau.area)
