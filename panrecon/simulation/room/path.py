"""The path of a hand-held camera through a built-in room that covers its surfaces."""

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
CLEARANCE: Final = 0.22  # least distance between the camera and furniture or walls, m
WAYPOINTS: Final = 9
_PLANNING_CAMERA: Final = Camera(32, 24, 28.0, 28.0, 15.5, 11.5)  # field of view 60 x 46 degrees


@dataclass(frozen=True)
class FreeFloor:
    """The largest connected region of the floor grid where the camera may be.

    `distance` (m) is to the nearest furniture or wall.
    """

    free: Bool[np.ndarray, "x y"]
    distance: Float[np.ndarray, "x y"]

    def centre(self, cell: Int[np.ndarray, "*n 2"]) -> Float[np.ndarray, "*n 2"]:
        """The floor points (m) at the centres of cells."""
        return (cell + 0.5) * CELL

    def contains(self, points: Float[np.ndarray, "n 2"]) -> Bool[np.ndarray, " n"]:
        """Whether these floor points (m) are in free cells."""
        cell = np.clip((points / CELL).astype(int), 0, np.array(self.free.shape) - 1)
        return np.asarray(self.free[cell[:, 0], cell[:, 1]])


def hand_held_path(room: Room, frames: int, seed: int) -> Float[np.ndarray, "n 4 4"]:
    """`world_from_camera` of a smooth walk in which the camera turns to surfaces that were covered least.

    The camera stays inside the room and outside all furniture.
    """
    rng = np.random.default_rng([seed, 41])
    floor = free_floor(room)
    walk = _smooth_walk(floor, _waypoints(floor, rng), max(frames, 2))
    time = np.linspace(0, 1, len(walk))
    height = 1.45 + 0.16 * np.sin(2 * np.pi * (1.5 * time + rng.uniform()))
    eyes = np.concatenate([walk, np.minimum(height, room.size[2] - 0.4)[:, None]], axis=1)[:frames]
    targets = eyes + _viewing_directions(room, eyes, rng)
    jitter = _hand_jitter(len(eyes), rng)
    poses = [look_at(eye, target) for eye, target in zip(eyes, targets, strict=True)]
    return np.stack([pose @ motion for pose, motion in zip(poses, jitter, strict=True)])


def free_floor(room: Room) -> FreeFloor:
    """The cells where a camera at eye height can be: more than `CLEARANCE` from walls and from all objects."""
    shape = (int(room.size[0] / CELL), int(room.size[1] / CELL))
    x, y = ((np.arange(n) + 0.5) * CELL for n in shape)
    free = np.ones(shape, dtype=bool)
    free[[0, -1]] = free[:, [0, -1]] = False
    for low, high in room.boxes:
        free &= ~(((x > low[0]) & (x < high[0]))[:, None] & ((y > low[1]) & (y < high[1]))[None])
    distance = np.asarray(distance_transform_edt(free)) * CELL
    return FreeFloor(_connected(distance > CLEARANCE, distance), distance)


def _connected(free: Bool[np.ndarray, "x y"], distance: Float[np.ndarray, "x y"]) -> Bool[np.ndarray, "x y"]:
    """The largest connected free region."""
    regions, _ = label(free)
    sizes = np.bincount(regions.ravel())
    sizes[0] = 0
    return np.asarray(regions == sizes.argmax()) & (distance > 0)


def _waypoints(floor: FreeFloor, rng: np.random.Generator) -> Int[np.ndarray, "s 2"]:
    """Cells of the free floor by farthest point sampling, in the order of their angle about the room's middle."""
    cells = np.argwhere(floor.free)
    sampled = [cells[rng.integers(len(cells))]]
    for _ in range(WAYPOINTS - 1):
        distance = np.min([np.hypot(*(cells - waypoint).T) for waypoint in sampled], axis=0)
        sampled.append(cells[distance.argmax()])
    waypoints = np.array(sampled)
    from_middle = waypoints - np.array(floor.free.shape) / 2
    order = np.argsort(np.arctan2(from_middle[:, 1], from_middle[:, 0]))
    return np.roll(waypoints[order], int(rng.integers(WAYPOINTS)), axis=0)


def _smooth_walk(floor: FreeFloor, waypoints: Int[np.ndarray, "s 2"], count: int) -> Float[np.ndarray, "n 2"]:
    """`count` evenly spaced floor points (m) along the cheapest free path through the waypoints, corners rounded."""
    cost = np.where(floor.free, 1 + 0.3 / np.maximum(floor.distance, 0.05), 1e6)
    router = MCP_Geometric(cost)
    legs = [_route(router, start, end) for start, end in pairwise(waypoints)]
    cells = np.array([cell for leg in legs for cell in leg] + [tuple(waypoints[-1])])
    path = floor.centre(cells)
    rounded = gaussian_filter1d(path, 4, axis=0, mode="nearest")
    rounded = np.where(floor.contains(rounded)[:, None], rounded, path)
    length = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(rounded, axis=0).T))])
    sample_length = np.linspace(0, length[-1], count)
    return np.stack([np.interp(sample_length, length, rounded[:, i]) for i in range(2)], axis=1)


def _route(router: MCP_Geometric, start: Int[np.ndarray, "2"], end: Int[np.ndarray, "2"]) -> list[tuple[int, int]]:
    """The cells of the cheapest path, without the last."""
    router.find_costs([tuple(start)], [tuple(end)])
    return list(router.traceback(tuple(end)))[:-1]


def _viewing_directions(
    room: Room, eyes: Float[np.ndarray, "n 3"], rng: np.random.Generator
) -> Float[np.ndarray, "n 3"]:
    """Unit directions: the best one (`_best_angles`) at every third frame, a spline between."""
    key_frames = np.unique(np.append(np.arange(0, len(eyes), 3), len(eyes) - 1))
    angles = _best_angles(room, eyes[key_frames], rng)
    if len(key_frames) > 1:
        angles = CubicSpline(key_frames, angles, bc_type="natural")(np.arange(len(eyes)))
    return _directions(np.clip(angles, [-np.inf, -1.1], [np.inf, 0.75]))


def _best_angles(room: Room, eyes: Float[np.ndarray, "k 3"], rng: np.random.Generator) -> Float[np.ndarray, "k 2"]:
    """The yaw and pitch of each eye in turn with the largest visible area, weighted by 0.4 for each earlier view."""
    points, areas = _surface_points(room, rng)
    caster = Raycaster(room.mesh)
    view_count = np.zeros(len(points))
    angles: list[np.ndarray] = []
    for eye in eyes:
        candidates = _candidate_angles(angles[-1] if angles else None)
        visible = [_visible_points(caster, points, eye, direction) for direction in _directions(candidates)]
        gains = [float((areas[points_of_view] * 0.4 ** view_count[points_of_view]).sum()) for points_of_view in visible]
        best = int(np.argmax(gains))
        view_count[visible[best]] += 1
        angles.append(candidates[best])
    return np.stack(angles)


def _candidate_angles(previous: Float[np.ndarray, "2"] | None) -> Float[np.ndarray, "c 2"]:
    """Yaws and pitches that may follow `previous`: a hand turns by at most 70 degrees between key frames."""
    yaws = np.arange(0, 2 * np.pi, np.pi / 8)
    pitches = np.radians([-48, -26, -8, 24])
    if previous is not None:
        yaws = previous[0] + np.radians([-70, -45, -20, 0, 20, 45, 70])
        pitches = pitches[np.abs(pitches - previous[1]) < np.radians(60)]
    return np.stack([grid.ravel() for grid in np.meshgrid(yaws, pitches, indexing="ij")], axis=1)


def _directions(angles: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n 3"]:
    yaw = angles[:, 0]
    pitch = angles[:, 1]
    return np.stack([np.cos(pitch) * np.cos(yaw), np.cos(pitch) * np.sin(yaw), np.sin(pitch)], axis=1)


def _surface_points(
    room: Room, rng: np.random.Generator, count: int = 3000
) -> tuple[Float[np.ndarray, "n 3"], Float[np.ndarray, " n"]]:
    """Random points of the surface and the area that each stands for; small faces are sampled more densely."""
    corners = room.mesh.vertices[room.mesh.faces]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1) / 2
    share = area**0.7 / (area**0.7).sum()
    face = rng.choice(len(area), count, p=share)
    weights = rng.dirichlet(np.ones(3), count)
    return np.einsum("nk,nkc->nc", weights, corners[face]), np.minimum(
        area[face] / share[face], np.median(area / share) * 30
    )


def _visible_points(
    caster: Raycaster, points: Float[np.ndarray, "n 3"], eye: Float[np.ndarray, "3"], direction: Float[np.ndarray, "3"]
) -> Int[np.ndarray, " m"]:
    """The indices of the points that a camera there would measure: at a depth of 0.5 to 5 m and not occluded."""
    world_from_camera = look_at(eye, eye + direction)
    pixels, depth = project(_PLANNING_CAMERA, transform(invert(world_from_camera), points))
    column, row, inside = nearest_pixel(_PLANNING_CAMERA, pixels)
    surface = caster.cast(_PLANNING_CAMERA, world_from_camera)
    depth_agrees = np.abs(surface.depth[row, column] - depth) < 0.06 * depth
    in_range = (depth > 0.5) & (depth < 5.0)
    return np.flatnonzero(inside & depth_agrees & in_range & (surface.face[row, column] != VOID))


def _hand_jitter(count: int, rng: np.random.Generator) -> Float[np.ndarray, "n 4 4"]:
    """Small smooth motions in the camera's frame: about 1 cm and 1.5 degrees."""
    shifts = gaussian_filter1d(rng.standard_normal((count, 3)), 1.0, axis=0) * 0.008
    angles = gaussian_filter1d(rng.standard_normal((count, 3)), 1.0, axis=0) * np.radians(1.5)
    motions = []
    for (x, y, z), (yaw, pitch, roll) in zip(shifts.tolist(), angles.tolist(), strict=True):
        motions.append(pose((x, y, z), yaw, pitch, roll))
    return np.stack(motions)
