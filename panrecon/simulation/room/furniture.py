"""Furniture as lists of parts: origin on the floor under the middle, x to the right, front towards -y (m)."""

import numpy as np

from panrecon.simulation.scene.shapes import Part, bounds, box, cushion, cylinder, lathe, leaf, moved, panel, pose, rod
from panrecon.simulation.scene.textures import RGB, Material

DARK_METAL = Material("plain", (0.16, 0.16, 0.17))
BRASS = Material("plain", (0.72, 0.58, 0.3))
WHITE = Material("plain", (0.9, 0.89, 0.87))


def chair(wood: Material, seat: Material) -> list[Part]:
    """A dining chair, 0.44 x 0.46 m, with an upholstered seat and a slatted back."""
    legs = [box((0.04, 0.04, 0.44), (x, y, 0.22), wood) for x in (-0.19, 0.19) for y in (-0.19, 0.19)]
    posts = [rod((x, 0.19, 0.42), (x, 0.225, 0.92), 0.019, wood) for x in (-0.19, 0.19)]
    slats = [
        box((0.38, 0.018, 0.075), (0, 0, 0), wood).moved(pose((0, 0.19 + 0.07 * (z - 0.42), z), pitch=-0.07))
        for z in (0.6, 0.72, 0.86)
    ]
    frame = box((0.43, 0.43, 0.04), (0, 0, 0.43), wood)
    return [*legs, *posts, *slats, frame, cushion((0.43, 0.43, 0.07), (0, -0.005, 0.475), seat, softness=0.25)]


def table(length: float, width: float, wood: Material, *, round_top: bool) -> list[Part]:
    """A dining table 0.75 m high: a board on four legs, or a round one of diameter `width` on a column."""
    if round_top:
        foot = lathe(
            [(0, 0), (0.3, 0), (0.3, 0.02), (0.06, 0.07), (0.045, 0.3), (0.045, 0.715), (0, 0.715)], (0, 0, 0), wood
        )
        return [foot, cylinder(width / 2, 0.035, (0, 0, 0.715), wood)]
    x, y = length / 2 - 0.06, width / 2 - 0.06
    legs = [box((0.06, 0.06, 0.71), (i * x, j * y, 0.355), wood) for i in (-1, 1) for j in (-1, 1)]
    aprons = [box((2 * x, 0.022, 0.08), (0, j * y, 0.67), wood) for j in (-1, 1)]
    ends = [box((0.022, 2 * y, 0.08), (i * x, 0, 0.67), wood) for i in (-1, 1)]
    return [*legs, *aprons, *ends, box((length, width, 0.035), (0, 0, 0.7325), wood)]


def sofa(length: float, cloth: Material, pillow: Material, feet: Material) -> list[Part]:
    """A sofa 0.85 m deep with seat and back cushions, armrests and two loose pillows."""
    inner = length - 0.36
    seats = max(2, round(inner / 0.7))
    width = inner / seats
    middles = [(i - (seats - 1) / 2) * width for i in range(seats)]
    base = box((length - 0.04, 0.76, 0.2), (0, 0.02, 0.2), cloth)
    back = cushion((length - 0.02, 0.22, 0.62), (0, 0.31, 0.5), cloth, softness=0.15)
    arms = [cushion((0.18, 0.82, 0.5), (s * (length / 2 - 0.09), 0.0, 0.36), cloth, softness=0.2) for s in (-1, 1)]
    seating = [cushion((width - 0.01, 0.6, 0.19), (x, -0.1, 0.37), cloth, softness=0.22) for x in middles]
    backing = [
        cushion((width - 0.02, 0.17, 0.44), (0, 0, 0), cloth, softness=0.3).moved(pose((x, 0.15, 0.63), pitch=-0.18))
        for x in middles
    ]
    pillows = [
        cushion((0.42, 0.14, 0.42), (0, 0, 0), pillow, softness=0.45).moved(
            pose((s * (inner / 2 - 0.2), -0.02, 0.64), yaw=-0.35 * s, pitch=-0.3)
        )
        for s in (-1, 1)
    ]
    posts = [cylinder(0.025, 0.11, (i * (length / 2 - 0.1), j * 0.28, 0), feet) for i in (-1, 1) for j in (-1, 1)]
    return [base, back, *arms, *seating, *backing, *pillows, *posts]


def bed(length: float, width: float, wood: Material, blanket: Material, linen: Material) -> list[Part]:
    """A bed whose head is at the wall (+y): frame, mattress, blanket, pillows."""
    frame = box((width, length - 0.06, 0.24), (0, -0.03, 0.2), wood)
    legs = [
        box((0.07, 0.07, 0.09), (i * (width / 2 - 0.07), j * (length / 2 - 0.16), 0.045), wood)
        for i in (-1, 1)
        for j in (-1, 1)
    ]
    head = box((width, 0.06, 0.95), (0, length / 2 - 0.03, 0.475), wood)
    mattress = cushion((width - 0.06, length - 0.12, 0.22), (0, -0.03, 0.41), linen, softness=0.12)
    cover = cushion((width - 0.01, 0.68 * length, 0.2), (0, -0.15 * length, 0.46), blanket, softness=0.14)
    fold = cushion((width - 0.005, 0.2, 0.21), (0, 0.16 * length, 0.465), linen, softness=0.2)
    count = 2 if width > 1.2 else 1
    pillows = [
        cushion((0.55, 0.38, 0.16), (0, 0, 0), linen, softness=0.45).moved(
            pose(((i - (count - 1) / 2) * 0.62, length / 2 - 0.29, 0.59), pitch=0.2)
        )
        for i in range(count)
    ]
    return [frame, *legs, head, mattress, cover, fold, *pillows]


def shelf(width: float, boards: int, wood: Material) -> list[Part]:
    """An open bookcase 0.3 m deep; its boards' tops lie at `shelf_heights(boards)`."""
    height = shelf_heights(boards)[-1]
    sides = [box((0.025, 0.3, height), (s * (width / 2 - 0.0125), 0, height / 2), wood) for s in (-1, 1)]
    back = box((width - 0.05, 0.012, height - 0.05), (0, 0.142, height / 2), wood)
    planks = [box((width - 0.05, 0.285, 0.025), (0, -0.006, z - 0.0125), wood) for z in shelf_heights(boards)]
    return [*sides, back, *planks]


def shelf_heights(boards: int) -> list[float]:
    """Heights of the boards' upper faces; the last one is the top of the bookcase."""
    return [0.1 + 0.36 * i for i in range(boards)]


def cabinet(width: float, height: float, wood: Material, front: Material) -> list[Part]:
    """A sideboard 0.42 m deep with two rows of fronts and knobs."""
    body = box((width, 0.4, height - 0.1), (0, 0.01, 0.08 + (height - 0.1) / 2), wood)
    plinth = box((width - 0.08, 0.34, 0.08), (0, 0.02, 0.04), DARK_METAL)
    top = box((width + 0.02, 0.43, 0.025), (0, 0, height - 0.0125), wood)
    columns = max(2, round(width / 0.5))
    rows = 2
    w, h = width / columns, (height - 0.13) / rows
    places = [((i - (columns - 1) / 2) * w, 0.09 + (j + 0.5) * h) for i in range(columns) for j in range(rows)]
    doors = [box((w - 0.015, 0.018, h - 0.015), (x, -0.198, z), front) for x, z in places]
    knobs = [cushion((0.03, 0.03, 0.03), (x, -0.218, z + 0.3 * h), BRASS, softness=1.0) for x, z in places]
    return [body, plinth, top, *doors, *knobs]


def floor_lamp(shade: Material) -> list[Part]:
    """A standing lamp, 1.6 m, with a conical shade."""
    base = cylinder(0.14, 0.025, (0, 0, 0), DARK_METAL)
    pole = rod((0, 0, 0.02), (0, 0, 1.45), 0.013, DARK_METAL)
    body = lathe([(0, 0.012), (0.16, 0), (0.2, 0), (0.13, 0.28), (0, 0.27)], (0, 0, 1.34), shade)
    return [base, pole, body]


def hanging_lamp(drop: float, shade: Material) -> list[Part]:
    """A pendant lamp; its origin is on the ceiling and it hangs `drop` metres down."""
    rose = cylinder(0.05, 0.03, (0, 0, -0.03), DARK_METAL)
    cord = rod((0, 0, -0.02), (0, 0, -drop + 0.15), 0.006, DARK_METAL)
    bulb = Material("plain", (1.0, 0.95, 0.85), glow=1.6)
    body = lathe([(0, 0.05), (0.19, 0.0), (0.21, 0.0), (0.16, 0.1), (0.05, 0.19), (0, 0.2)], (0, 0, -drop), shade)
    return [rose, cord, body, cushion((0.12, 0.12, 0.08), (0, 0, -drop + 0.045), bulb, softness=1.0)]


def plant(height: float, rng: np.random.Generator, pot: Material) -> list[Part]:
    """A potted plant: long leaves that spring from a short stem."""
    tub = lathe([(0, 0), (0.115, 0), (0.16, 0.27), (0.14, 0.27), (0.135, 0.24), (0, 0.24)], (0, 0, 0), pot)
    earth = cylinder(0.137, 0.012, (0, 0, 0.235), Material("soil", (0.2, 0.14, 0.1)))
    stem = rod(
        (0, 0, 0.22), (0, 0, 0.24 + 0.45 * height), 0.016, Material("wood", (0.35, 0.27, 0.15), (0.28, 0.3, 0.14))
    )
    blades = []
    for i in range(15):
        tone = rng.uniform(0.75, 1.15)
        green = Material("leafy", (0.13 * tone, 0.38 * tone, 0.13 * tone), (0.55, 0.7, 0.35), seed=i)
        root = (0.0, 0.0, 0.26 + 0.45 * height * (i / 14) ** 0.8)
        blade = leaf(height * rng.uniform(0.36, 0.5), 0.1 * rng.uniform(0.85, 1.25), rng.uniform(0.3, 0.75), green)
        blades.append(blade.moved(pose(root, yaw=i * 2.4 + rng.uniform(-0.3, 0.3))))
    return [tub, earth, stem, *blades]


def picture(width: float, height: float, frame: Material, motif: Material) -> list[Part]:
    """A framed picture whose middle is the origin and whose back leans on the wall at y = 0."""
    edge = 0.028
    bars = [box((width, 0.028, edge), (0, -0.016, s * (height - edge) / 2), frame) for s in (-1, 1)]
    posts = [box((edge, 0.028, height - 2 * edge), (s * (width - edge) / 2, -0.016, 0), frame) for s in (-1, 1)]
    backing = box((width - edge, 0.012, height - edge), (0, -0.008, 0), frame)
    canvas = panel((width - 2 * edge, height - 2 * edge), motif, pose((0, -0.016, 0), pitch=np.pi / 2))
    return [*bars, *posts, backing, canvas]


def cup(glaze: Material) -> list[Part]:
    """A mug with a handle, 9 cm."""
    profile = [(0, 0), (0.032, 0), (0.04, 0.02), (0.04, 0.09), (0.035, 0.09), (0.034, 0.02), (0, 0.016)]
    handle = [
        rod((0.037, 0, 0.07), (0.062, 0, 0.066), 0.006, glaze),
        rod((0.062, 0, 0.068), (0.062, 0, 0.032), 0.006, glaze),
    ]
    return [lathe(profile, (0, 0, 0), glaze), *handle, rod((0.062, 0, 0.034), (0.037, 0, 0.028), 0.006, glaze)]


def bowl(glaze: Material, fruit: tuple[RGB, ...]) -> list[Part]:
    """A bowl of fruit, 26 cm across."""
    profile = [(0, 0), (0.06, 0), (0.065, 0.012), (0.11, 0.045), (0.13, 0.09), (0.122, 0.09), (0.1, 0.052), (0, 0.02)]
    angles = np.linspace(0, 2 * np.pi, len(fruit), endpoint=False)
    pieces = [
        cushion(
            (0.078, 0.078, 0.074), (0.058 * np.cos(a), 0.058 * np.sin(a), 0.075), Material("plain", tone), softness=1.0
        )
        for a, tone in zip(angles, fruit, strict=True)
    ]
    return [lathe(profile, (0, 0, 0), glaze), *pieces]


def vase(height: float, glaze: Material) -> list[Part]:
    """A round vase with a narrow neck."""
    outline = [
        (0, 0),
        (0.3, 0),
        (0.34, 0.04),
        (0.44, 0.2),
        (0.46, 0.38),
        (0.38, 0.58),
        (0.2, 0.76),
        (0.16, 0.86),
        (0.22, 1),
        (0.13, 0.97),
        (0, 0.8),
    ]
    return [lathe([(0.62 * r * height, z * height) for r, z in outline], (0, 0, 0), glaze, smooth=True, sides=24)]


def carton(width: float, depth: float, height: float) -> list[Part]:
    """A closed cardboard box."""
    return [box((width, depth, height), (0, 0, height / 2), Material("cardboard", (0.68, 0.52, 0.34), (0.8, 0.7, 0.5)))]


def standing_books(width: float, rng: np.random.Generator) -> list[Part]:
    """A row of upright books, about `width` wide, spines to the front; one instance, as annotators name it."""
    parts: list[Part] = []
    x = -width / 2
    while x + 0.022 < width / 2:
        thickness = min(rng.uniform(0.022, 0.05), width / 2 - x)
        height = rng.uniform(0.2, 0.28)
        depth = rng.uniform(0.15, 0.2)
        cover = Material("book", book_color(rng), (0.88, 0.8, 0.6), seed=int(rng.integers(1000)))
        parts.append(box((thickness - 0.001, depth, height), (x + thickness / 2, depth / 2 - 0.1, height / 2), cover))
        x += thickness
    return parts


def lying_book(rng: np.random.Generator) -> list[Part]:
    """A closed book that lies on its side."""
    thickness = rng.uniform(0.025, 0.045)
    cover = Material("book", book_color(rng), (0.88, 0.8, 0.6), seed=int(rng.integers(1000)))
    upright = box((thickness, 0.17, 0.24), (0, 0, 0), cover)
    return [upright.moved(pose((0, 0, thickness / 2), roll=np.pi / 2))]


def laptop(rng: np.random.Generator) -> list[Part]:
    """An open laptop whose screen faces -y."""
    base = box((0.33, 0.23, 0.018), (0, 0, 0.009), Material("keyboard", (0.72, 0.73, 0.75), (0.12, 0.12, 0.13)))
    shown = Material("screen", (0.2, 0.2, 0.22), (0.2, 0.4, 0.75), seed=int(rng.integers(99)), glow=0.55)
    lid = box((0.33, 0.012, 0.22), (0, 0, 0.11), shown).moved(pose((0, 0.117, 0.016), pitch=-0.3))
    return [base, lid]


def book_color(rng: np.random.Generator) -> RGB:
    """A muted cover colour."""
    tones = [
        (0.5, 0.13, 0.12),
        (0.13, 0.25, 0.42),
        (0.16, 0.35, 0.22),
        (0.75, 0.6, 0.25),
        (0.25, 0.2, 0.3),
        (0.78, 0.74, 0.66),
        (0.2, 0.42, 0.46),
        (0.68, 0.36, 0.16),
    ]
    r, g, b = np.array(tones[rng.integers(len(tones))]) * rng.uniform(0.85, 1.15)
    return float(r), float(g), float(b)


def standing_on(parts: list[Part], x: float, y: float, z: float, yaw: float = 0.0) -> list[Part]:
    """The parts turned and set down so that their lowest point is at height `z` (m)."""
    turned = moved(parts, pose(yaw=yaw))
    return moved(turned, pose((x, y, z - float(bounds(turned)[0, 2]))))
