"""Scans of places that are no living room, with exact depth and poses: a doctor that finds something in them is wrong.

Every place is built of boxes from a seed and walked through as a person, a robot or a turntable would.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import Float

from benchmarks.breaks import write_matrix
from panrecon.geometry.projective import look_at, pixel_directions
from panrecon.geometry.raycasting import Raycaster, index_kept
from panrecon.io.images import write_depth, write_image
from panrecon.simulation.room.sensor import SensorNoise, developed, measured_depth
from panrecon.simulation.scene.shapes import Part, Point, box, cylinder, pose
from panrecon.simulation.scene.surface import PartTextures, joined, unit_normals
from panrecon.simulation.scene.textures import Material
from panrecon.structures import VOID, Camera

Pose = Float[np.ndarray, "4 4"]
DEPTH_SCALE: Final = 1000.0
SUN: Final = np.array([0.4, 0.3, 0.87])  # towards it, world frame
CAMERA: Final = Camera(320, 240, 288.0, 288.0, 159.5, 119.5)
WIDE: Final = Camera(320, 240, 180.0, 180.0, 161.5, 121.0)
PHONE: Final = Camera(192, 256, 213.0, 213.0, 95.8, 127.9)
PATTERNS: Final = ("wallpaper", "wood", "planks", "fabric", "stripes", "checks", "cardboard", "tiles", "painting")


@dataclass(frozen=True)
class Place:
    """What stands there, world-from-camera poses of the walk, and the camera; world z is up."""

    parts: Sequence[Part]
    poses: Sequence[Pose]
    camera: Camera = CAMERA


def write_place(folder: Path, place: Place, noise: SensorNoise, seed: int) -> None:
    """A raw scene in ScanNet's layout, as the camera with this noise takes it."""
    camera = place.camera
    intrinsic = np.eye(4)
    intrinsic[:2, :3] = [[camera.fx, 0, camera.cx], [0, camera.fy, camera.cy]]
    for kind in ("color", "depth"):
        write_matrix(folder / "intrinsic" / f"intrinsic_{kind}.txt", intrinsic)
    mesh = joined(place.parts)
    textures = PartTextures.of(place.parts)
    normals = unit_normals(mesh)
    part_of_face = np.repeat(np.arange(len(place.parts)), [len(part.faces) for part in place.parts])
    with index_kept():
        raycaster = Raycaster(mesh)
        for frame, world_from_camera in enumerate(place.poses):
            rng = np.random.default_rng([seed, frame])
            image = raycaster.cast(camera, world_from_camera)
            hit = image.face != VOID
            directions = pixel_directions(camera) @ world_from_camera[:3, :3].T
            points = world_from_camera[:3, 3] + directions[hit] * image.depth[hit, None]
            normal = normals[image.face[hit]]
            cosine = np.zeros(hit.shape)
            cosine[hit] = np.abs((normal * directions[hit]).sum(axis=1)) / np.linalg.norm(directions[hit], axis=1)
            light = 0.35 + 0.3 * np.abs(normal @ SUN)
            radiance = np.full((*hit.shape, 3), 0.6)
            radiance[hit] = textures.color_at(points, normal, part_of_face[image.face[hit]]) * light[:, None]
            depth = measured_depth(image.depth, cosine, noise, rng)
            write_image(folder / "color" / f"{frame}.png", developed(radiance, noise, rng))
            write_depth(folder / "depth" / f"{frame}.png", depth, DEPTH_SCALE)
            write_matrix(folder / "pose" / f"{frame}.txt", world_from_camera)


def _material(rng: np.random.Generator, pattern: str = "") -> Material:
    color, accent = rng.uniform(0.15, 0.95, (2, 3)).tolist()
    pattern = pattern or str(rng.choice(PATTERNS))
    return Material(pattern, tuple(color), tuple(accent), float(rng.uniform(0.7, 1.4)), int(rng.integers(1000)))


def _plain(rng: np.random.Generator) -> Material:
    return _material(rng, "plain")


def _shell(size: Point, rng: np.random.Generator, pattern: str = "") -> Iterator[Part]:
    """Floor, ceiling and four walls of a space with its corner at the origin."""
    x, y, z = size
    thick = 0.2
    centres = ((x / 2, y / 2, -0.1), (x / 2, y / 2, z + 0.1), (-0.1, y / 2, z / 2), (x + 0.1, y / 2, z / 2))
    sizes = ((x + 1, y + 1, thick), (x + 1, y + 1, thick), (thick, y + 1, z), (thick, y + 1, z))
    for centre, extent in zip(centres, sizes, strict=True):
        yield box(extent, centre, _material(rng, pattern))
    for side in (-0.1, y + 0.1):
        yield box((x, thick, z), (x / 2, side, z / 2), _material(rng, pattern))


def _clutter(rng: np.random.Generator, count: int, low: Point, high: Point, sizes: tuple[float, float]) -> list[Part]:
    """Boxes on a floor at `low`'s height."""
    parts = []
    for _ in range(count):
        extent = rng.uniform(*sizes, 3)
        x, y = rng.uniform(low[:2], high[:2])
        turned = pose((float(x), float(y), low[2] + float(extent[2]) / 2), yaw=float(rng.uniform(0, np.pi)))
        parts.append(box(tuple(extent.tolist()), (0.0, 0.0, 0.0), _material(rng)).moved(turned))
    return parts


def _walk(
    points: Sequence[Point], targets: Sequence[Point], count: int, rng: np.random.Generator, shake: float = 0.0
) -> list[Pose]:
    """Poses evenly along a line of points, looking at a line of targets, with a hand's shake (m)."""
    along = np.linspace(0, 1, count)
    positions, aims = (
        np.stack([np.interp(along, np.linspace(0, 1, len(line)), axis) for axis in np.array(line, float).T], axis=1)
        for line in (points, targets)
    )
    shaken = positions + shake * rng.standard_normal(positions.shape)
    return [look_at(eye, aim) for eye, aim in zip(shaken, aims, strict=True)]


def corridor(rng: np.random.Generator) -> Place:
    """Half a metre a frame along an empty corridor."""
    length = 26.0
    parts = list(_shell((length, rng.uniform(1.4, 2.2), 2.5), rng))
    return Place(parts, _walk([(1, 0.8, 1.4), (14, 0.9, 1.4)], [(9, 0.9, 1.2), (22, 0.8, 1.2)], 27, rng))


def corridor_with_doors(rng: np.random.Generator) -> Place:
    """A corridor whose doors stand out, at a quick walk."""
    parts = list(_shell((20.0, 1.8, 2.6), rng))
    doors = rng.uniform(1, 19, 14)
    parts += [box((0.9, 0.12, 2.0), (float(x), float(rng.choice([0.05, 1.75])), 1.0), _material(rng)) for x in doors]
    return Place(parts, _walk([(0.7, 0.9, 1.5), (12, 0.9, 1.5)], [(4, 1.6, 1.2), (16, 0.2, 1.2)], 40, rng, 0.01))


def staircase(rng: np.random.Generator) -> Place:
    """Up a flight of stairs between two walls."""
    run, rise, width, steps = 0.28, 0.17, rng.uniform(1.0, 1.4), 16
    parts = [box((run, width, rise * (i + 1)), (run * i, 0, rise * (i + 1) / 2), _material(rng)) for i in range(steps)]
    parts += [box((7, 0.1, 6), (2, side * (width / 2 + 0.05), 2.5), _material(rng)) for side in (-1, 1)]
    parts += [box((0.1, width, 6), (steps * run + 1.2, 0, 2.5), _material(rng))]
    parts += [box((1.5, width, 0.1), (steps * run + 0.6, 0, steps * rise), _material(rng))]
    parts += [box((3, width, 0.1), (-1.6, 0, -0.05), _material(rng))]
    top = (steps * run, 0, steps * rise + 0.3)
    return Place(parts, _walk([(-2.2, 0, 1.5), (2.4, 0, 3.2)], [(1.5, 0, 0.8), top], 40, rng, 0.008))


def outdoor_wall(rng: np.random.Generator) -> Place:
    """Along a house's front with windows and a hedge, on a lawn; the sky has no depth."""
    parts = [
        box((24, 0.4, 5), (12, 5, 2.5), _material(rng, "facade")),
        box((40, 14, 0.1), (12, 2, -0.05), _material(rng, "greenery")),
    ]
    parts += [box((1.2, 0.1, 1.3), (float(x), 4.8, 1.8), _material(rng)) for x in np.arange(2, 23, 2.5)]
    parts += _clutter(rng, 10, (2, 3.2, 0), (22, 4.4, 0), (0.3, 0.9))
    return Place(parts, _walk([(2, 0, 1.6), (16, 0, 1.6)], [(4, 5, 1.4), (20, 5, 1.4)], 48, rng, 0.01))


def close_up(rng: np.random.Generator) -> Place:
    """Around a few small things on a table, from half a metre."""
    parts = [box((1.6, 1.2, 0.05), (0, 0, -0.025), _material(rng, "wood"))]
    parts += _clutter(rng, 9, (-0.2, -0.2, 0), (0.2, 0.2, 0), (0.04, 0.16))
    angles = np.linspace(0, 1.8, 45)
    eyes = [(0.5 * np.cos(a), 0.5 * np.sin(a), 0.32 + 0.05 * np.sin(3 * a)) for a in angles]
    return Place(parts, _walk(eyes, [(0, 0, 0.03), (0.02, 0, 0.05)], 45, rng, 0.002))


def turntable(rng: np.random.Generator) -> Place:
    """A thing that turns in front of a camera: around it there is no depth."""
    parts = [
        cylinder(0.22, 0.3, (0.0, 0.0, 0.0), _material(rng)),
        *_clutter(rng, 4, (-0.1, -0.1, 0.3), (0.1, 0.1, 0.3), (0.05, 0.15)),
    ]
    angles = np.linspace(0, 2 * np.pi, 61)[:-1]
    eyes = [(0.9 * np.cos(a), 0.9 * np.sin(a), 0.55) for a in angles]
    return Place(parts, [look_at(np.array(eye), np.array([0, 0, 0.2])) for eye in eyes])


def strides(rng: np.random.Generator) -> Place:
    """Half a metre a frame around a furnished hall."""
    parts = [*_shell((10, 8, 3), rng), *_clutter(rng, 25, (1.5, 1.5, 0), (8.5, 6.5, 0), (0.3, 1.4))]
    ring = [(1, 1, 1.6), (9, 1, 1.6), (9, 7, 1.6), (1, 7, 1.6), (1, 1, 1.6)]
    aims = [(6, 4, 1.0), (6, 5, 1.0), (4, 5, 1.0), (4, 3, 1.0), (6, 4, 1.0)]
    return Place(parts, _walk(ring, aims, 61, rng))


def five_a_second(rng: np.random.Generator) -> Place:
    """A room at five frames a second: 20 cm and 8 degrees a frame."""
    parts = [*_shell((5, 4, 2.6), rng), *_clutter(rng, 14, (0.4, 0.4, 0), (4.6, 3.6, 0), (0.3, 0.9))]
    angles = np.linspace(0, 2 * np.pi, 45)
    eyes = [(2.5 - 1.5 * np.cos(a), 2 - 1.1 * np.sin(a), 1.5) for a in angles]
    aims = [(2.5 + 1.8 * np.cos(a), 2 + 1.4 * np.sin(a), 0.8) for a in angles]
    return Place(parts, _walk(eyes, aims, 45, rng, 0.005))


def turning_on_the_spot(rng: np.random.Generator) -> Place:
    """A tripod's turn in a room."""
    parts = [*_shell((5, 5, 2.6), rng), *_clutter(rng, 18, (0.3, 0.3, 0), (4.7, 4.7, 0), (0.3, 0.8))]
    angles = np.linspace(0, 2 * np.pi, 61)[:-1]
    return Place(
        parts,
        [look_at(np.array([2.5, 2.5, 1.4]), np.array([2.5 + np.cos(a), 2.5 + np.sin(a), 1.3])) for a in angles],
    )


def one_wall(rng: np.random.Generator) -> Place:
    """Along one painted wall, nothing else in view."""
    parts = [box((14, 0.2, 5), (7, 3, 1.5), _material(rng, "wallpaper"))]
    return Place(parts, _walk([(3, 0.8, 1.4), (10, 1.0, 1.5)], [(3.4, 3, 1.4), (10.4, 3, 1.5)], 40, rng, 0.01))


def low_texture(rng: np.random.Generator) -> Place:
    """A white room with plain furniture."""
    white = Material("plain", (0.9, 0.9, 0.88))
    parts = [*_shell((5, 4, 2.6), rng, "plain")]
    parts += [
        box(tuple(rng.uniform(0.4, 1.0, 3).tolist()), (float(x), float(y), 0.4), white)
        for x, y in rng.uniform((0.6, 0.6), (4.4, 3.4), (7, 2))
    ]
    angles = np.linspace(0, 2 * np.pi, 60)
    eyes = [(2.5 - 1.4 * np.cos(a), 2 - 1.0 * np.sin(a), 1.5) for a in angles]
    aims = [(2.5 + 1.8 * np.cos(a), 2 + 1.4 * np.sin(a), 0.7) for a in angles]
    return Place(parts, _walk(eyes, aims, 60, rng, 0.004))


def columns(rng: np.random.Generator) -> Place:
    """Through a hall of columns with a wide lens."""
    parts = [*_shell((16, 9, 4), rng)]
    parts += [
        box((0.4, 0.4, 4), (float(x), float(y), 2), _material(rng)) for x in np.arange(2, 15, 2.5) for y in (2, 4.5, 7)
    ]
    return Place(parts, _walk([(1, 3.0, 1.6), (9, 3.4, 1.6)], [(6, 4, 1.4), (15, 4.5, 1.4)], 45, rng, 0.01), WIDE)


def aisle(rng: np.random.Generator) -> Place:
    """Sideways along the shelves of a shop."""
    parts = [box((12, 0.05, 2.2), (6, 2.5, 1.1), _material(rng)), box((12, 4, 0.1), (6, 1, -0.05), _material(rng))]
    for height in (0.3, 0.8, 1.3, 1.8):
        parts.append(box((12, 0.45, 0.03), (6, 2.25, height), _plain(rng)))
        parts += _clutter(rng, 26, (0.3, 2.15, height), (11.7, 2.4, height), (0.1, 0.3))
    return Place(parts, _walk([(1.5, 0.7, 1.3), (9.5, 0.8, 1.3)], [(2, 2.4, 1.1), (10.5, 2.4, 1.1)], 54, rng, 0.008))


def floor_robot(rng: np.random.Generator) -> Place:
    """A vacuum cleaner's view, 20 cm above the floor."""
    parts = [*_shell((6, 5, 2.6), rng), *_clutter(rng, 16, (1.0, 1.0, 0), (4.6, 4.0, 0), (0.1, 0.7))]
    ring = [(0.4, 0.4, 0.2), (5.4, 0.5, 0.2), (5.4, 4.5, 0.2), (0.6, 4.5, 0.2)]
    aims = [(4, 2, 0.2), (5, 4, 0.2), (2, 4, 0.2), (1, 1, 0.2)]
    return Place(parts, _walk(ring, aims, 70, rng, 0.002))


def yard(rng: np.random.Generator) -> Place:
    """Huts and crates at ten to thirty metres, no ceiling."""
    parts = [box((80, 80, 0.1), (0, 0, -0.05), _material(rng, "paving"))]
    parts += _clutter(rng, 40, (-14, 6, 0), (14, 28, 0), (0.8, 4.0))
    return Place(parts, _walk([(-5, 0, 1.7), (5, 1, 1.7)], [(-4, 12, 1.5), (6, 14, 1.5)], 40, rng, 0.01))


def bend(rng: np.random.Generator) -> Place:
    """Around the corner of two corridors."""
    floor, ceiling, *_ = _shell((9, 1.8, 2.5), rng)
    parts = [
        floor, ceiling,
        box((9, 0.2, 2.5), (4.5, -0.1, 1.25), _material(rng)), box((7.2, 0.2, 2.5), (3.6, 1.9, 1.25), _material(rng)),
        box((0.2, 9, 2.5), (9.1, 4.5, 1.25), _material(rng)), box((0.2, 7.2, 2.5), (7.1, 5.5, 1.25), _material(rng)),
        box((2, 9, 0.2), (8, 4.5, -0.1), _material(rng)), box((2, 9, 0.2), (8, 4.5, 2.6), _material(rng)),
        box((2, 0.2, 2.5), (8, 9, 1.25), _material(rng)),
    ]  # fmt: skip
    path = [(1, 0.9, 1.5), (4, 0.9, 1.5), (7.4, 0.9, 1.5), (8, 1.6, 1.5), (8, 4, 1.5)]
    aims = [(5, 0.9, 1.3), (8, 0.9, 1.3), (8.9, 2.5, 1.3), (8.1, 5, 1.3), (8, 9, 1.3)]
    return Place(parts, _walk(path, aims, 50, rng, 0.006))


def slow(rng: np.random.Generator) -> Place:
    """A desk at thirty frames a second: half a centimetre a frame."""
    parts = [*_shell((4, 4, 2.6), rng), box((1.6, 0.8, 0.05), (2, 3.4, 0.73), _material(rng, "wood"))]
    parts += _clutter(rng, 12, (1.3, 3.1, 0.755), (2.7, 3.7, 0.755), (0.05, 0.3))
    return Place(parts, _walk([(1.5, 2.0, 1.4), (2.2, 2.1, 1.4)], [(1.9, 3.6, 0.8), (2.2, 3.6, 0.8)], 120, rng))


def ceiling(rng: np.random.Generator) -> Place:
    """Beams and lamps overhead, as an inspector holds the camera."""
    parts = [*_shell((8, 5, 3), rng)]
    parts += [box((0.25, 5, 0.3), (float(x), 2.5, 2.85), _material(rng)) for x in np.arange(0.8, 8, 1.1)]
    parts += [cylinder(0.15, 0.2, (float(x), float(y), 2.4), _material(rng)) for x, y in rng.uniform(1, 4.5, (8, 2))]
    return Place(parts, _walk([(1.2, 1.5, 1.2), (5, 3.2, 1.2)], [(1.9, 2.2, 3), (6.2, 3.4, 3)], 45, rng, 0.006))


def phone(rng: np.random.Generator) -> Place:
    """A child's room in portrait, as a phone with LiDAR measures it."""
    parts = [*_shell((4, 3.4, 2.5), rng), *_clutter(rng, 22, (0.4, 0.4, 0), (3.6, 3.0, 0), (0.15, 0.7))]
    angles = np.linspace(0, 2 * np.pi, 80)
    eyes = [(2 - 1.0 * np.cos(a), 1.7 - 0.8 * np.sin(a), 1.45) for a in angles]
    aims = [(2 + 1.5 * np.cos(a), 1.7 + 1.2 * np.sin(a), 0.7) for a in angles]
    return Place(parts, _walk(eyes, aims, 80, rng, 0.006), PHONE)


def around_a_thing(rng: np.random.Generator) -> Place:
    """A quick circle of 24 frames around a wardrobe that stands in a yard."""
    parts = [box((30, 30, 0.1), (0, 0, -0.05), _material(rng, "paving"))]
    parts += [box((1.2, 0.7, 2.0), (0, 0, 1.0), _material(rng)), box((0.5, 0.5, 0.5), (1.0, 0.2, 0.25), _material(rng))]
    angles = np.linspace(0, 2 * np.pi, 49)[:-1]
    return Place(parts, [look_at(np.array([3 * np.cos(a), 3 * np.sin(a), 1.6]), np.array([0, 0, 0.9])) for a in angles])


def attic(rng: np.random.Generator) -> Place:
    """Under two slopes, with boxes."""
    parts = [box((8, 5, 0.1), (4, 0, -0.05), _material(rng, "planks"))]
    for side in (-1, 1):
        slope = pose((4, side * 1.25, 1.5), pitch=side * -0.88)
        parts.append(box((8, 4.2, 0.1), (0.0, 0.0, 0.0), _material(rng, "planks")).moved(slope))
    parts += [box((0.1, 5, 4), (x, 0, 1.5), _material(rng)) for x in (0.0, 8.0)]
    parts += _clutter(rng, 14, (1, -1.6, 0), (7.4, 1.6, 0), (0.2, 0.7))
    return Place(parts, _walk([(0.8, 0.1, 1.5), (5, -0.1, 1.5)], [(3, 0.4, 0.8), (7.5, -0.4, 0.9)], 45, rng, 0.008))


PLACES: Final[dict[str, Callable[[np.random.Generator], Place]]] = {
    place.__name__: place
    for place in (
        corridor, corridor_with_doors, staircase, outdoor_wall, close_up, turntable, strides, five_a_second,
        turning_on_the_spot, one_wall, low_texture, columns, aisle, floor_robot, yard, bend, slow, ceiling, phone,
        around_a_thing, attic,
    )
}  # fmt: skip


def simulate(name: str, folder: Path, seed: int, noise: SensorNoise) -> None:
    """Writes the place of this name, built from a seed, as a raw scene into a folder."""
    write_place(folder, PLACES[name](np.random.default_rng([seed, len(name)])), noise, seed)
