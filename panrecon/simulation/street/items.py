"""The objects of a street as lists of parts: origin on the ground under the middle, front to +x (m)."""

from typing import Final

import numpy as np

from panrecon.simulation.scene.shapes import Part, box, cushion, cylinder, lathe, moved, pose, prism, rod
from panrecon.simulation.scene.textures import RGB, Material

RUBBER: Final = Material("plain", (0.07, 0.07, 0.08))
RIM: Final = Material("plain", (0.62, 0.63, 0.65))
GLASS: Final = Material("plain", (0.12, 0.16, 0.2))
STEEL: Final = Material("plain", (0.45, 0.47, 0.48))
BARK: Final = Material("bark", (0.3, 0.22, 0.15))
HEADLIGHT: Final = Material("plain", (0.95, 0.95, 0.9))
TAIL_LIGHT: Final = Material("plain", (0.75, 0.08, 0.06))
BODY_COLORS: Final[tuple[RGB, ...]] = (
    (0.75, 0.1, 0.1), (0.1, 0.2, 0.55), (0.85, 0.85, 0.86), (0.12, 0.12, 0.14),
    (0.5, 0.52, 0.55), (0.1, 0.4, 0.25), (0.85, 0.6, 0.1), (0.55, 0.7, 0.85),
)  # fmt: skip


def wheel(radius: float, x: float, y: float, width: float = 0.2) -> list[Part]:
    """A wheel that stands on the ground and rolls along x, its middle at (x, y)."""
    upright = pose((x, y + width / 2, radius), pitch=np.pi / 2)
    tyre = lathe([(0, 0), (radius, 0), (radius, width), (0, width)], (0, 0, 0), RUBBER, sides=16)
    rim = lathe(
        [(0, 0), (0.6 * radius, 0), (0.6 * radius, width + 0.02), (0, width + 0.02)], (0, 0, -0.01), RIM, sides=12
    )
    return [tyre.moved(upright), rim.moved(upright)]


def car(paint: Material, length: float, width: float, height: float, *, van: bool = False) -> list[Part]:
    """A car: body with bonnet and boot, a cabin of glass under a roof, four wheels, lights."""
    h = 0.56 * height
    front = length / 2
    back = -length / 2
    w = width - 0.06
    body = prism(
        [(back + 0.06, 0.22), (front - 0.1, 0.22), (front, 0.42), (front - 0.06, h - 0.12), (front - 0.9, h),
         (back, h)],
        width, (0, 0, 0), paint,
    )  # fmt: skip
    nose, tail = (front - 0.75, back + 0.05) if van else (front - 1.05, back + 0.25)
    slope, rear = (0.55, 0.08) if van else (0.75, 0.55)
    cabin = prism(
        [(tail, h), (nose, h), (nose - slope, height - 0.04), (tail + rear, height - 0.04)], w - 0.1, (0, 0, 0), GLASS
    )
    roof = prism(
        [(tail + rear - 0.04, height - 0.05), (nose - slope + 0.05, height - 0.05),
         (nose - slope - 0.1, height), (tail + rear + 0.1, height)],
        w - 0.06, (0, 0, 0), paint,
    )  # fmt: skip
    middle = (nose + tail) / 2 - 0.1
    pillars = [box((0.09, w - 0.08, height - h), (middle, 0, (height + h) / 2 - 0.02), paint)]
    wheels = [
        part for x in (front - 0.8, back + 0.75) for y in (-1, 1) for part in wheel(0.32, x, y * (width / 2 - 0.08))
    ]
    lights = [
        box((0.05, 0.34, 0.13), (x, y * (width / 2 - 0.25), 0.6), material)
        for x, material in ((front - 0.03, HEADLIGHT), (back + 0.01, TAIL_LIGHT))
        for y in (-1, 1)
    ]
    return [body, cabin, roof, *pillars, *wheels, *lights]


def truck(cab: Material, cargo: Material, length: float) -> list[Part]:
    """A lorry 2.4 m wide: cab, box body 3.2 m high, six wheels."""
    front = length / 2
    profile = [(front - 1.9, 0.5), (front, 0.5), (front, 1.6), (front - 0.3, 2.6), (front - 1.9, 2.6)]
    cabin = prism(profile, 2.3, (0, 0, 0), cab)
    window = box((0.06, 2.0, 0.7), (0, 0, 0), GLASS).moved(pose((front - 0.13, 0, 2.05), roll=-0.29))
    sides = [box((0.8, 0.04, 0.6), (front - 0.95, y * 1.15, 2.05), GLASS) for y in (-1, 1)]
    bed = box((length - 2.1, 2.4, 2.35), (-1.05, 0, 2.02), cargo)
    frame = box((length - 0.5, 0.9, 0.3), (0, 0, 0.7), STEEL)
    wheels = [
        part
        for x in (front - 1.0, -front + 1.0, -front + 2.1)
        for y in (-1, 1)
        for part in wheel(0.48, x, y * 1.02, 0.3)
    ]
    lights = [box((0.05, 0.3, 0.15), (-front + 0.02, y * 0.95, 0.95), TAIL_LIGHT) for y in (-1, 1)]
    return [cabin, window, *sides, bed, frame, *wheels, *lights]


def bus(paint: Material, length: float) -> list[Part]:
    """A city bus 2.5 m wide and 3.1 m high with a band of windows."""
    front = length / 2
    outline = [(-front, 0.35), (front, 0.35), (front, 2.9), (front - 0.15, 3.1), (-front, 3.1)]
    body = prism(outline, 2.5, (0, 0, 0), paint)
    panes = round((length - 1.0) / 1.4)
    step = (length - 1.0) / panes
    windows = [
        box((step - 0.12, 0.04, 1.05), (-front + 0.5 + (i + 0.5) * step, y * 1.25, 2.0), GLASS)
        for i in range(panes)
        for y in (-1, 1)
    ]
    screens = [box((0.04, 2.2, 1.2), (x, 0, 2.0), GLASS) for x in (front, -front)]
    lights = [box((0.05, 0.3, 0.16), (-front, y * 1.0, 0.8), TAIL_LIGHT) for y in (-1, 1)]
    wheels = [part for x in (front - 2.2, -front + 2.4) for y in (-1, 1) for part in wheel(0.48, x, y * 1.12, 0.28)]
    return [body, *windows, *screens, *lights, *wheels]


def bicycle(paint: Material, *, motor: bool = False) -> list[Part]:
    """A bicycle 1.75 m long that leans on its stand; with `motor` a motorcycle."""
    radius, half, thick = (0.3, 0.68, 0.06) if motor else (0.34, 0.52, 0.022)
    inner = (0.6 if motor else 0.86) * radius
    tyres = [
        lathe([(inner, 0), (radius, 0), (radius, thick * 2), (inner, thick * 2)], (0, 0, -thick), RUBBER)
        .moved(pose((x, 0, radius), pitch=np.pi / 2))
        for x in (-half, half)
    ]  # fmt: skip
    spokes = [
        rod((x - dx, 0, radius - dz), (x + dx, 0, radius + dz), 0.008, RIM)
        for x in (-half, half)
        for dx, dz in ((radius * np.cos(angle), radius * np.sin(angle)) for angle in (0.3, 1.35, 2.4))
    ]
    top = (-0.18, 0.0, 0.82)
    crank = (-0.05, 0.0, 0.3)
    head = (0.38, 0.0, 0.86)
    tubes = [(top, crank), (top, head), (crank, head), (crank, (-half, 0.0, radius)), (top, (-half, 0.0, radius)),
             ((half, 0.0, radius), (0.36, 0.0, 1.0))]  # fmt: skip
    frame = [rod(start, end, thick, paint) for start, end in tubes]
    bar = [rod((0.36, -0.3, 1.0), (0.36, 0.3, 1.0), 0.018, RUBBER)]
    seat = [cushion((0.3, 0.17, 0.1), (-0.2, 0, 0.9), RUBBER)]
    if motor:
        tank = cushion((0.62, 0.3, 0.3), (0.12, 0, 0.78), paint)
        engine = box((0.45, 0.34, 0.35), (0.0, 0, 0.45), STEEL)
        seat = [cushion((0.65, 0.28, 0.14), (-0.38, 0, 0.8), RUBBER)]
        return [*tyres, *frame, *bar, *seat, tank, engine]
    return [*tyres, *spokes, *frame, *bar, *seat]


def person(height: float, shirt: Material, trousers: Material, skin: Material) -> list[Part]:
    """A pedestrian in mid step: head, trunk, two arms and two legs."""
    s = height / 1.75
    legs = [rod((0.0, y * 0.1 * s, 0.88 * s), (y * 0.2 * s, y * 0.1 * s, 0.02), 0.085 * s, trousers) for y in (-1, 1)]
    arms = [
        rod((0.0, y * 0.24 * s, 1.42 * s), (-y * 0.14 * s, y * 0.27 * s, 0.85 * s), 0.05 * s, shirt) for y in (-1, 1)
    ]
    trunk = cushion((0.26 * s, 0.44 * s, 0.66 * s), (0, 0, 1.16 * s), shirt, softness=0.55)
    return [*legs, *arms, trunk, cushion((0.21 * s, 0.18 * s, 0.26 * s), (0.01, 0, 1.62 * s), skin, softness=1.0)]


def trunk(height: float, radius: float) -> list[Part]:
    """A tree's trunk that reaches into its crown."""
    return [cylinder(radius * 1.25, height, (0, 0, 0), BARK, top_radius=radius * 0.7)]


def crown(height: float, radius: float, bottom: float, green: Material, rng: np.random.Generator) -> list[Part]:
    """Leaves from `bottom` to `height`: one large ball and smaller ones about it, or a cone of a conifer."""
    if rng.uniform() < 0.25:
        size = height - bottom
        tiers = [(0.3 * i, radius * (1 - 0.22 * i), 0.45) for i in range(4)]
        return [
            cylinder(r, share * size, (0, 0, bottom + start * size / 1.35), green, top_radius=0.12 * r)
            for start, r, share in tiers
        ]
    middle = (height + bottom) / 2
    balls = [cushion((2 * radius, 2 * radius, height - bottom), (0, 0, middle), green, softness=0.9)]
    for angle in rng.uniform(0, 2 * np.pi, 4):
        r = radius * rng.uniform(0.45, 0.65)
        at = (0.7 * radius * np.cos(angle), 0.7 * radius * np.sin(angle), middle + radius * rng.uniform(-0.35, 0.45))
        balls.append(cushion((2 * r, 2 * r, 1.8 * r), at, green, softness=1.0))
    return balls


def lamp_post(height: float, arm_length: float) -> list[Part]:
    """A street lamp whose arm points to +y."""
    mast = cylinder(0.09, height, (0, 0, 0), STEEL, top_radius=0.055)
    arm = rod((0, 0, height - 0.05), (0, arm_length, height + 0.25), 0.045, STEEL)
    return [mast, arm, box((0.25, 0.6, 0.12), (0, arm_length, height + 0.22), STEEL)]


def post(height: float, radius: float = 0.045) -> list[Part]:
    """A vertical steel post."""
    return [cylinder(radius, height, (0, 0, 0), STEEL)]


def sign_plate(size: float, bottom: float, color: RGB, accent: RGB, *, round_plate: bool) -> list[Part]:
    """The plate of a traffic sign before its post, its face towards -x."""
    material = Material("signboard", color, accent)
    disc = [(0.0, 0.0), (size / 2, 0.0), (size / 2, 0.03), (0.0, 0.03)]
    plate = lathe(disc, (0, 0, 0), material) if round_plate else box((size, size, 0.03), (0, 0, 0), material)
    return [plate.moved(pose((-0.06, 0.0, bottom + size / 2), roll=-np.pi / 2))]


def traffic_light(bottom: float) -> list[Part]:
    """A box of three lights towards -x."""
    case = box((0.24, 0.3, 0.9), (-0.18, 0, bottom + 0.45), Material("plain", (0.09, 0.1, 0.09)))
    colors: list[RGB] = [(0.2, 0.9, 0.4), (0.35, 0.28, 0.05), (0.35, 0.05, 0.05)]
    lamps = [
        box((0.04, 0.2, 0.2), (-0.31, 0, bottom + 0.18 + 0.27 * i), Material("plain", color))
        for i, color in enumerate(colors)
    ]
    return [case, *lamps]


def house(length: float, depth: float, height: float, wall: Material, roof: Material, *, gable: bool) -> list[Part]:
    """A building whose front lies at y = 0 and faces -y; its windows are painted on."""
    body = box((length, depth, height), (0, depth / 2, height / 2), wall)
    door = box((1.1, 0.12, 2.2), (0.18 * length, -0.02, 1.1), Material("plain", (0.32, 0.2, 0.13)))
    if gable:
        rise = 0.38 * depth
        outline = [(-depth / 2 - 0.4, 0.0), (depth / 2 + 0.4, 0.0), (0.0, rise)]
        top = prism(outline, length + 0.5, (0, 0, 0), roof).moved(pose((0, depth / 2, height), yaw=np.pi / 2))
    else:
        top = box((length + 0.3, depth + 0.3, 0.35), (0, depth / 2, height + 0.17), roof)
    return [body, door, top]


def fence(length: float, height: float, wood: Material) -> list[Part]:
    """Boards along x between posts."""
    posts = [
        box((0.1, 0.1, height), (x, 0.06, height / 2), wood)
        for x in np.linspace(-length / 2, length / 2, max(2, round(length / 2)))
    ]
    return [*posts, box((length, 0.05, height - 0.15), (0, 0, height / 2 + 0.05), wood)]


def litter_bin(paint: Material) -> list[Part]:
    """A litter bin on the pavement."""
    return [cylinder(0.27, 0.95, (0, 0, 0), paint, top_radius=0.31), cylinder(0.33, 0.08, (0, 0, 0.95), RUBBER)]


def cone() -> list[Part]:
    """A traffic cone with a white ring."""
    orange = Material("plain", (0.95, 0.35, 0.08))
    white = Material("plain", (0.95, 0.95, 0.95))
    foot = box((0.4, 0.4, 0.04), (0, 0, 0.02), orange)
    rings = [(0.16, 0.11, 0.04, 0.25, orange), (0.11, 0.07, 0.29, 0.18, white), (0.07, 0.03, 0.47, 0.25, orange)]
    return [foot, *(cylinder(a, height, (0, 0, z), material, top_radius=b) for a, b, z, height, material in rings)]


def barrier(length: float) -> list[Part]:
    """A red and white barrier along x on two feet."""
    board = Material("stripes", (0.92, 0.92, 0.92), (0.85, 0.1, 0.1), scale=3.0)
    feet = [box((0.12, 0.5, 0.75), (x, 0, 0.375), RUBBER) for x in (-0.4 * length, 0.4 * length)]
    return [*feet, box((length, 0.08, 0.3), (0, 0, 0.95), board), box((length, 0.08, 0.2), (0, 0, 0.5), board)]


def bush(length: float, depth: float, height: float, green: Material) -> list[Part]:
    """A rounded bush or hedge."""
    return [cushion((length, depth, height), (0, 0, height / 2), green, softness=0.4)]


def placed(parts: list[Part], x: float, y: float, z: float = 0.0, yaw: float = 0.0) -> tuple[Part, ...]:
    """The parts where they stand in the street."""
    return tuple(moved(parts, pose((x, y, z), yaw=yaw)))
