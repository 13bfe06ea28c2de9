"""The layout of a street: a seeded draw of houses, trees, vehicles and people along a road."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from panrecon.simulation.scene.shapes import Part, Point, box
from panrecon.simulation.scene.textures import RGB, Material
from panrecon.simulation.street import items as build

METRE_TIME: Final = 0.1  # s that a driven metre takes; KITTI-360's frames are about a metre apart in towns
LANE: Final = 3.5  # m, the width of each of the two lanes
STRIP: Final = 2.3  # m, for parked vehicles on either side
PAVEMENT: Final = 2.6  # m
KERB: Final = 0.13  # m, by which pavements lie above the road
VERGE: Final = 3.0  # m of grass between the pavement and the houses
CURB_Y: Final = LANE + STRIP
FRONT_Y: Final = CURB_Y + PAVEMENT + VERGE
BEHIND: Final = 25.0  # m of street behind the start
AHEAD: Final = 45.0  # m of street after the end
FIELD: Final = 140.0  # m of grass on all sides

WALLS: Final[tuple[RGB, ...]] = (
    (0.72, 0.35, 0.26), (0.86, 0.8, 0.66), (0.62, 0.6, 0.56), (0.8, 0.66, 0.45), (0.55, 0.62, 0.68), (0.9, 0.88, 0.85),
)  # fmt: skip
ROOFS: Final[tuple[RGB, ...]] = ((0.45, 0.18, 0.13), (0.28, 0.28, 0.3), (0.38, 0.27, 0.2))
GREENS: Final[tuple[tuple[RGB, RGB], ...]] = (
    ((0.16, 0.34, 0.1), (0.28, 0.46, 0.14)),
    ((0.22, 0.4, 0.12), (0.4, 0.5, 0.16)),
    ((0.1, 0.26, 0.13), (0.18, 0.36, 0.17)),
)
SIGNS: Final[tuple[tuple[RGB, RGB, bool], ...]] = (
    ((0.85, 0.08, 0.08), (0.95, 0.95, 0.95), True),
    ((0.1, 0.25, 0.7), (0.95, 0.95, 0.95), False),
    ((0.95, 0.75, 0.1), (0.15, 0.15, 0.15), False),
)


@dataclass(frozen=True)
class StreetItem:
    """One object or one region of stuff: the name of its class, its parts at the first frame, its velocity (m/s)."""

    category: str
    parts: tuple[Part, ...]
    velocity: Point = (0.0, 0.0, 0.0)


def street_items(rng: np.random.Generator, length: float) -> list[StreetItem]:
    """The items of a street that is driven from x = 0 to `length` (m); every class of the street occurs."""
    return [
        *_ground(length),
        *_houses(rng, length),
        *_gardens(rng, length),
        *_kerbside(rng, length),
        *_parked(rng, length),
        *_work_site(rng, length),
        *_people(rng, length),
        *_traffic(rng),
    ]


def _ground(length: float) -> Iterator[StreetItem]:
    total_length = length + BEHIND + AHEAD
    middle = (length + AHEAD - BEHIND) / 2

    def slab(category: str, material: Material, low: float, high: float, top: float, side: int) -> StreetItem:
        size = (total_length, high - low, 0.3)
        return StreetItem(category, (box(size, (middle, side * (low + high) / 2, top - 0.15), material),))

    asphalt = Material("asphalt", (0.3, 0.3, 0.32), (0.92, 0.92, 0.9))
    gravel = Material("plain", (0.4, 0.38, 0.38))
    paving = Material("paving", (0.62, 0.6, 0.57))
    grass = Material("greenery", (0.25, 0.4, 0.13), (0.4, 0.5, 0.2))
    yield StreetItem("road", (box((total_length, 2 * LANE, 0.3), (middle, 0.0, -0.15), asphalt),))
    for side in (-1, 1):
        yield slab("parking", gravel, LANE, CURB_Y, 0.0, side)
        yield slab("sidewalk", paving, CURB_Y, CURB_Y + PAVEMENT, KERB, side)
        yield slab("terrain", grass, CURB_Y + PAVEMENT, FIELD, KERB - 0.01, side)
    for x, size in ((-BEHIND - FIELD / 2, FIELD), (length + AHEAD + FIELD / 2, FIELD)):
        yield StreetItem("terrain", (box((size, 2 * FIELD, 0.3), (x, 0.0, -0.16), grass),))


def _houses(rng: np.random.Generator, length: float) -> Iterator[StreetItem]:
    """Two rows of houses; fences or hedges close the gaps between them."""
    for side in (-1, 1):
        x = -BEHIND + rng.uniform(0, 4)
        while x < length + AHEAD - 8:
            width = float(rng.uniform(8, 16))
            depth = float(rng.uniform(8, 12))
            gable = bool(rng.uniform() < 0.6)
            height = float(rng.uniform(5, 7) if gable else 3 * rng.integers(2, 5) + 0.5)
            wall = Material("facade", _random_color(rng, WALLS), (0.3, 0.38, 0.46), seed=int(rng.integers(100)))
            roof = Material("tiles", _random_color(rng, ROOFS), seed=int(rng.integers(100)))
            front = FRONT_Y + float(rng.uniform(0, 1.5))
            parts = build.house(width, depth, height, wall, roof, gable=gable)
            yield StreetItem("building", _facing_road(parts, x + width / 2, front, side))
            gap = float(rng.uniform(2.5, 7))
            middle = x + width + gap / 2
            if rng.uniform() < 0.5:
                wood = Material("wood", (0.45, 0.32, 0.2), (0.6, 0.45, 0.3))
                yield StreetItem("fence", _facing_road(build.fence(gap - 0.6, 1.5, wood), middle, FRONT_Y, side))
            else:
                hedge = build.bush(gap - 0.6, 0.9, 1.3, _random_greenery(rng))
                yield StreetItem("vegetation", _facing_road(hedge, middle, FRONT_Y, side))
            x += width + gap


def _gardens(rng: np.random.Generator, length: float) -> Iterator[StreetItem]:
    """Trees and bushes on the grass before the houses."""
    for side in (-1, 1):
        for x in _positions_along(rng, -BEHIND + 2, length + AHEAD - 4, 7.0, 13.0):
            y = CURB_Y + PAVEMENT + float(rng.uniform(0.9, VERGE - 1.2))
            if rng.uniform() < 0.6:
                yield from _tree(rng, x, side * y)
            else:
                width, height = (float(value) for value in rng.uniform((1.0, 0.6), (2.4, 1.3)))
                parts = build.bush(width, 1.2, height, _random_greenery(rng))
                yield StreetItem("vegetation", build.placed(parts, x, side * y, KERB))


def _tree(rng: np.random.Generator, x: float, y: float) -> Iterator[StreetItem]:
    height = float(rng.uniform(4.5, 8.0))
    radius = float(rng.uniform(1.2, 2.0))
    bottom = float(rng.uniform(1.9, 2.5))
    yield StreetItem("trunk", build.placed(build.trunk(bottom + 0.8, float(rng.uniform(0.11, 0.2))), x, y, KERB - 0.02))
    yield StreetItem(
        "vegetation", build.placed(build.crown(height, radius, bottom, _random_greenery(rng), rng), x, y, KERB)
    )


def _kerbside(rng: np.random.Generator, length: float) -> Iterator[StreetItem]:
    """Lamps, signs, bins, trees and bicycles along the kerbs; traffic lights at the end of the street."""
    y = CURB_Y + 0.4
    for side in (-1, 1):
        kinds = ["lamp", "sign", "bin", "tree", "bike"]
        for index, x in enumerate(_positions_along(rng, -BEHIND + 3, length + AHEAD - 6, 5.0, 9.0)):
            kind = kinds[index % len(kinds)] if index < 2 * len(kinds) else str(rng.choice(kinds))
            match kind:
                case "lamp":
                    lamp = build.lamp_post(float(rng.uniform(5.5, 7.5)), 1.6)
                    yield StreetItem("pole", build.placed(lamp, x, side * y, KERB, np.pi if side > 0 else 0.0))
                case "sign":
                    yield from _sign(rng, x, side * y)
                case "bin":
                    paint = Material("plain", (0.1, 0.35, 0.2))
                    yield StreetItem("trash bin", build.placed(build.litter_bin(paint), x, side * y, KERB))
                case "tree":
                    yield from _tree(rng, x, side * (y + 0.2))
                case _:
                    motor = bool(index >= len(kinds))
                    bike = build.bicycle(Material("plain", _random_color(rng, build.BODY_COLORS)), motor=motor)
                    yaw = float(rng.uniform(-0.2, 0.2)) + np.pi * int(rng.integers(2))
                    yield StreetItem("motorcycle" if motor else "bicycle", build.placed(bike, x, side * y, KERB, yaw))
        yield StreetItem("pole", build.placed(build.post(2.9, 0.07), length + 2.0, side * y, KERB))
        yield StreetItem("traffic light", build.placed(build.traffic_light(2.0), length + 2.0, side * y, KERB))


def _sign(rng: np.random.Generator, x: float, y: float) -> Iterator[StreetItem]:
    color, accent, round_plate = SIGNS[int(rng.integers(len(SIGNS)))]
    bottom = float(rng.uniform(2.0, 2.3))
    size = float(rng.uniform(0.6, 0.8))
    plate = build.sign_plate(size, bottom, color, accent, round_plate=round_plate)
    yield StreetItem("pole", build.placed(build.post(bottom + size), x, y, KERB))
    yield StreetItem("traffic sign", build.placed(plate, x, y, KERB))


def _parked(rng: np.random.Generator, length: float) -> Iterator[StreetItem]:
    """Parked cars on both sides, a truck on the one and a bus on the other."""
    large_vehicle_of_side = dict(zip(rng.permutation([-1, 1]).tolist(), ("truck", "bus"), strict=True))
    for side in (-1, 1):
        y = side * (LANE + STRIP / 2 + 0.05)
        is_large_pending = True
        yaw_of_side = 0.0 if side < 0 else np.pi
        large_vehicle_x = float(rng.uniform(0.3, 0.7)) * length
        x = -BEHIND + float(rng.uniform(1, 5))
        while x < length + AHEAD - 14:
            yaw = yaw_of_side + float(rng.normal(0, 0.02))
            if is_large_pending and x > large_vehicle_x:
                is_large_pending = False
                is_truck = large_vehicle_of_side[side] == "truck"
                vehicle_length = 8.0 if is_truck else 11.0
                paint = Material("plain", _random_color(rng, build.BODY_COLORS))
                cargo = Material("stripes", (0.8, 0.8, 0.78), _random_color(rng, build.BODY_COLORS), scale=6.0)
                parts = build.truck(paint, cargo, vehicle_length) if is_truck else build.bus(paint, vehicle_length)
                yield StreetItem(large_vehicle_of_side[side], build.placed(parts, x + vehicle_length / 2, y, 0.0, yaw))
            else:
                parts, vehicle_length = _random_car(rng)
                yield StreetItem("car", build.placed(parts, x + vehicle_length / 2, y, 0.0, yaw))
            x += vehicle_length + float(rng.uniform(1.0, 2.5) if rng.uniform() < 0.6 else rng.uniform(5, 12))


def _random_car(rng: np.random.Generator) -> tuple[list[Part], float]:
    """A random car or van, and its length (m)."""
    paint = Material("plain", _random_color(rng, build.BODY_COLORS))
    van = bool(rng.uniform() < 0.2)
    length = float(rng.uniform(4.6, 5.1) if van else rng.uniform(3.7, 4.7))
    height = float(rng.uniform(1.9, 2.1) if van else rng.uniform(1.4, 1.65))
    return build.car(paint, length, float(rng.uniform(1.68, 1.85)), height, van=van), length


def _work_site(rng: np.random.Generator, length: float) -> Iterator[StreetItem]:
    """Barriers and cones at the edge of a pavement."""
    x, y = float(rng.uniform(0.35, 0.8)) * length, -CURB_Y - PAVEMENT + 0.45  # the other side is walked on
    for i in range(2):
        yield StreetItem("barrier", build.placed(build.barrier(1.8), x + 2.1 * i, y, KERB))
    for i in (-1, 2):
        yield StreetItem("traffic cone", build.placed(build.cone(), x + 1.6 * i + 0.3, y, KERB))


def _people(rng: np.random.Generator, length: float) -> Iterator[StreetItem]:
    """Standing people on the pavements, one who walks along it and one who crosses the road."""
    for x in _positions_along(rng, 0.0, length + 15, 8.0, 16.0):
        y = float(rng.choice([-1, 1])) * (CURB_Y + float(rng.uniform(1.1, 1.55)))
        for i in range(int(rng.integers(1, 3))):
            parts = _random_person(rng)
            yield StreetItem("person", build.placed(parts, x + 1.0 * i, y, KERB, float(rng.uniform(-3, 3))))
    walk = build.placed(_random_person(rng), 26.0, CURB_Y + 2.3, KERB, np.pi)
    yield StreetItem("person", walk, (-1.4, 0.0, 0.0))
    cross = build.placed(_random_person(rng), 44.0, -LANE + 0.9, 0.0, np.pi / 2)  # behind one car, before the other
    yield StreetItem("person", cross, (0.0, 1.4, 0.0))


def _random_person(rng: np.random.Generator) -> list[Part]:
    shirt = Material("fabric", _random_color(rng, build.BODY_COLORS))
    trousers = Material("fabric", _random_color(rng, build.BODY_COLORS))
    skin = Material("plain", _random_color(rng, ((0.85, 0.65, 0.52), (0.55, 0.38, 0.28), (0.93, 0.76, 0.65))))
    return build.person(float(rng.uniform(1.55, 1.9)), shirt, trousers, skin)


def _traffic(rng: np.random.Generator) -> Iterator[StreetItem]:
    """A faster car ahead, and an oncoming one."""
    ahead, _ = _random_car(rng)
    yield StreetItem("car", build.placed(ahead, 14.0, -LANE / 2), (11.0, 0.0, 0.0))
    oncoming, _ = _random_car(rng)
    yield StreetItem("car", build.placed(oncoming, 54.0, LANE / 2, 0.0, np.pi), (-8.0, 0.0, 0.0))


def _facing_road(parts: list[Part], x: float, front: float, side: int) -> tuple[Part, ...]:
    """Parts that face -y, moved to the `side` (-1 or 1) of the road, their front `front` metres from its middle."""
    return build.placed(parts, x, side * front, KERB - 0.02, 0.0 if side > 0 else np.pi)


def _positions_along(rng: np.random.Generator, start: float, end: float, least: float, most: float) -> Iterator[float]:
    x = start + float(rng.uniform(0, most))
    while x < end:
        yield x
        x += float(rng.uniform(least, most))


def _random_greenery(rng: np.random.Generator) -> Material:
    color, accent = GREENS[int(rng.integers(len(GREENS)))]
    return Material("greenery", color, accent, seed=int(rng.integers(100)))


def _random_color(rng: np.random.Generator, colors: tuple[RGB, ...]) -> RGB:
    return colors[int(rng.integers(len(colors)))]
