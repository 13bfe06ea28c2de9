"""A hand-held walk through a built-in room that shows its surfaces."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.interpolate import CubicSpline
from scipy.ndimage import distance_transform_edt, gaussian_filter1d, label
from skimage.graph import MCP_Geometric

from panrecon.geometry.projective import invert, look_at, nearest_pixel, project, transform
from panrecon.geometry.raycasting import Raycaster
from panrecon.simulation.room.room import Room
from panrecon.simulation.scene.shapes import pose
from panrecon.structures import VOID, Camera

CELL: Final = 0.05  # of the floor grid, m
BODY: Final = 0.22  # distance the camera keeps from furniture and walls, m
STOPS: Final = 9
_EYE: Final = Camera(32, 24, 28.0, 28.0, 15.5, 11.5)  # field of view 60 x 46 degrees, for planning only


@dataclass(frozen=True)
class FreeFloor:
    """Cells of the floor grid where a camera may be, those connected to the roomiest spot."""

    free: Bool[np.ndarray, "x y"]
    distance: Float[np.ndarray, "x y"]

    def centre(self, cell: Int[np.ndarray, "*n 2"]) -> Float[np.ndarray, "*n 2"]:
        return (cell + 0.5) * CELL

    def contains(self, points: Float[np.ndarray, "n 2"]) -> Bool[np.ndarray, " n"]:
        """Whether these floor points (m) are in free cells."""
        cell = np.clip((points / CELL).astype(int), 0, np.array(self.free.shape) - 1)
        return np.asarray(self.free[cell[:, 0], cell[:, 1]])


def hand_held_path(room: Room, frames: int, seed: int) -> Float[np.ndarray, "n 4 4"]:
    """`world_from_camera` of a smooth walk with looks about, up and down; inside the room and outside all furniture."""
    rng = np.random.default_rng([seed, 41])
    floor = free_floor(room)
    walk = _smooth_walk(floor, _stops(floor, rng), max(frames, 2))
    time = np.linspace(0, 1, len(walk))
    height = 1.45 + 0.16 * np.sin(2 * np.pi * (1.5 * time + rng.uniform()))
    eyes = np.concatenate([walk, np.minimum(height, room.size[2] - 0.4)[:, None]], axis=1)[:frames]
    targets = eyes + _gaze(room, eyes, rng)
    wobble = _wobble(len(eyes), rng)
    return np.stack([look_at(eye, target) @ shake for eye, target, shake in zip(eyes, targets, wobble, strict=True)])


def free_floor(room: Room) -> FreeFloor:
    """Where a camera at eye height can be: at least `BODY` away from walls and from things that stand on the floor."""
    shape = (int(room.size[0] / CELL), int(room.size[1] / CELL))
    x, y = ((np.arange(n) + 0.5) * CELL for n in shape)
    free = np.ones(shape, dtype=bool)
    free[[0, -1]] = free[:, [0, -1]] = False
    for low, high in room.boxes:
        free &= ~(((x > low[0]) & (x < high[0]))[:, None] & ((y > low[1]) & (y < high[1]))[None])
    distance = np.asarray(distance_transform_edt(free)) * CELL
    return FreeFloor(_connected(distance > BODY, distance), distance)


def _connected(free: Bool[np.ndarray, "x y"], distance: Float[np.ndarray, "x y"]) -> Bool[np.ndarray, "x y"]:
    """The largest connected free region."""
    regions, _ = label(free)
    sizes = np.bincount(regions.ravel())
    sizes[0] = 0
    return np.asarray(regions == sizes.argmax()) & (distance > 0)


def _stops(floor: FreeFloor, rng: np.random.Generator) -> Int[np.ndarray, "s 2"]:
    """Cells far from each other all over the free floor, in the order of a short walk around the middle."""
    cells = np.argwhere(floor.free)
    chosen = [cells[rng.integers(len(cells))]]
    for _ in range(STOPS - 1):
        gap = np.min([np.hypot(*(cells - stop).T) for stop in chosen], axis=0)
        chosen.append(cells[gap.argmax()])
    stops = np.array(chosen)
    from_middle = stops - np.array(floor.free.shape) / 2
    order = np.argsort(np.arctan2(from_middle[:, 1], from_middle[:, 0]))
    return np.roll(stops[order], int(rng.integers(STOPS)), axis=0)


def _smooth_walk(floor: FreeFloor, stops: Int[np.ndarray, "s 2"], count: int) -> Float[np.ndarray, "n 2"]:
    """`count` floor points at even distances along the shortest free way through the stops, rounded at corners."""
    cost = np.where(floor.free, 1 + 0.3 / np.maximum(floor.distance, 0.05), 1e6)
    router = MCP_Geometric(cost)
    legs = [_route(router, a, b) for a, b in pairwise(stops)]
    cells = np.array([cell for leg in legs for cell in leg] + [tuple(stops[-1])])
    way = floor.centre(cells)
    rounded = gaussian_filter1d(way, 4, axis=0, mode="nearest")
    rounded = np.where(floor.contains(rounded)[:, None], rounded, way)
    length = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(rounded, axis=0).T))])
    even = np.linspace(0, length[-1], count)
    return np.stack([np.interp(even, length, rounded[:, i]) for i in range(2)], axis=1)


def _route(router: MCP_Geometric, start: Int[np.ndarray, "2"], end: Int[np.ndarray, "2"]) -> list[tuple[int, int]]:
    """The cells of the cheapest way, without the last."""
    router.find_costs([tuple(start)], [tuple(end)])
    return list(router.traceback(tuple(end)))[:-1]


def _gaze(room: Room, eyes: Float[np.ndarray, "n 3"], rng: np.random.Generator) -> Float[np.ndarray, "n 3"]:
    """Unit viewing directions: at every third frame the one that shows most of what was seen least, smooth between."""
    keys = np.unique(np.append(np.arange(0, len(eyes), 3), len(eyes) - 1))
    angles = _best_angles(room, eyes[keys], rng)
    if len(keys) > 1:
        angles = CubicSpline(keys, angles, bc_type="natural")(np.arange(len(eyes)))
    return _directions(np.clip(angles, [-np.inf, -1.1], [np.inf, 0.75]))


def _best_angles(room: Room, eyes: Float[np.ndarray, "k 3"], rng: np.random.Generator) -> Float[np.ndarray, "k 2"]:
    """For each eye in turn the yaw and pitch that show most surface, counting less what was seen before."""
    points, areas = _surface_points(room, rng)
    caster = Raycaster(room.mesh)
    seen = np.zeros(len(points))
    angles: list[np.ndarray] = []
    for eye in eyes:
        choices = _choices(angles[-1] if angles else None)
        views = [_visible(caster, points, eye, direction) for direction in _directions(choices)]
        best = int(np.argmax([float((areas[view] * 0.4 ** seen[view]).sum()) for view in views]))
        seen[views[best]] += 1
        angles.append(choices[best])
    return np.stack(angles)


def _choices(last: Float[np.ndarray, "2"] | None) -> Float[np.ndarray, "c 2"]:
    """Yaws and pitches that may come after `last`: a hand turns by at most 70 degrees between keys."""
    yaws = np.arange(0, 2 * np.pi, np.pi / 8) if last is None else last[0] + np.radians([-70, -45, -20, 0, 20, 45, 70])
    pitches = np.radians([-48, -26, -8, 24])
    if last is not None:
        pitches = pitches[np.abs(pitches - last[1]) < np.radians(60)]
    return np.stack([grid.ravel() for grid in np.meshgrid(yaws, pitches, indexing="ij")], axis=1)


def _directions(angles: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n 3"]:
    yaw = angles[:, 0]
    pitch = angles[:, 1]
    return np.stack([np.cos(pitch) * np.cos(yaw), np.cos(pitch) * np.sin(yaw), np.sin(pitch)], axis=1)


def _surface_points(
    room: Room, rng: np.random.Generator, count: int = 3000
) -> tuple[Float[np.ndarray, "n 3"], Float[np.ndarray, " n"]]:
    """Points of the surface and their weights; small faces are drawn more often than their area asks for."""
    corners = room.mesh.vertices[room.mesh.faces]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1) / 2
    share = area**0.7 / (area**0.7).sum()
    face = rng.choice(len(area), count, p=share)
    weights = rng.dirichlet(np.ones(3), count)
    return np.einsum("nk,nkc->nc", weights, corners[face]), np.minimum(
        area[face] / share[face], np.median(area / share) * 30
    )


def _visible(
    caster: Raycaster, points: Float[np.ndarray, "n 3"], eye: Float[np.ndarray, "3"], direction: Float[np.ndarray, "3"]
) -> Int[np.ndarray, " m"]:
    """The points that a camera there would measure: within 0.5 and 5 m, and not hidden."""
    world_from_camera = look_at(eye, eye + direction)
    pixels, depth = project(_EYE, transform(invert(world_from_camera), points))
    column, row, inside = nearest_pixel(_EYE, pixels)
    surface = caster.cast(_EYE, world_from_camera)
    close = np.abs(surface.depth[row, column] - depth) < 0.06 * depth
    return np.flatnonzero(inside & close & (depth > 0.5) & (depth < 5.0) & (surface.face[row, column] != VOID))


def _wobble(count: int, rng: np.random.Generator) -> Float[np.ndarray, "n 4 4"]:
    """Small smooth motions of the hand in the camera's frame: about 1 cm and 1.5 degrees."""
    shift = gaussian_filter1d(rng.standard_normal((count, 3)), 1.0, axis=0) * 0.008
    angle = gaussian_filter1d(rng.standard_normal((count, 3)), 1.0, axis=0) * np.radians(1.5)
    return np.stack(
        [
            pose((float(s[0]), float(s[1]), float(s[2])), *(float(a) for a in turn))
            for s, turn in zip(shift, angle, strict=True)
        ]
    )
