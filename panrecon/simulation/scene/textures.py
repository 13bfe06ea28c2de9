"""Procedural textures: the albedo of any point of a surface, in the frame of the part it belongs to."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.ndimage import gaussian_filter

RGB = tuple[float, float, float]
Values = Float[np.ndarray, " n"]
Colors = Float[np.ndarray, "n 3"]


@dataclass(frozen=True)
class Material:
    """A pattern by its name in `PATTERNS`, with two colours (RGB in [0, 1]), a scale factor and a seed.

    `glow` is the light that the surface emits (1 = as bright as white paper in the room).
    """

    pattern: str
    color: RGB
    accent: RGB = (1.0, 1.0, 1.0)
    scale: float = 1.0
    seed: int = 0
    glow: float = 0.0


@dataclass(frozen=True)
class TextureCoordinates:
    """Points of surfaces that share a pattern.

    `u` and `v` are metres along the surface (v up on vertical surfaces), `relative` the point in the part's box
    (-0.5 .. 0.5 along each axis), `axis` the part's axis nearest to the surface normal, `lengthwise` whether the part
    is longer along u than along v.
    """

    u: Values
    v: Values
    relative: Float[np.ndarray, "n 3"]
    axis: Int[np.ndarray, " n"]
    lengthwise: Bool[np.ndarray, " n"]
    color: Colors
    accent: Colors
    seed: Int[np.ndarray, " n"]


def texture_coordinates(
    points: Float[np.ndarray, "n 3"],
    normals: Float[np.ndarray, "n 3"],
    extent: Float[np.ndarray, "n 3"],
    color: Colors,
    accent: Colors,
    scale: Values,
    seed: Int[np.ndarray, " n"],
) -> TextureCoordinates:
    """The coordinates of points (m) and normals that are given in their part's frame."""
    axis = np.abs(normals).argmax(axis=1)
    u_axis = np.where(axis == 0, 1, 0)
    v_axis = np.where(axis == 2, 1, 2)
    point = np.arange(len(points))
    return TextureCoordinates(
        u=points[point, u_axis] / scale,
        v=points[point, v_axis] / scale,
        relative=points / np.maximum(extent, 1e-6),
        axis=axis,
        lengthwise=extent[point, u_axis] >= extent[point, v_axis],
        color=color,
        accent=accent,
        seed=seed,
    )


def noise(u: Values, v: Values, seed: Int[np.ndarray, " n"]) -> Values:
    """Smooth noise of standard deviation 1 that is correlated over about one unit of u and v."""
    tile = _noise_tile()
    column = np.floor(16 * (u + 17.31 * seed)).astype(np.int64) & (len(tile) - 1)
    row = np.floor(16 * (v + 9.17 * seed)).astype(np.int64) & (len(tile) - 1)
    return tile[row, column]


def random_of_cell(i: Values, j: Values, seed: Int[np.ndarray, " n"]) -> Values:
    """A random number in [0, 1) for every integer cell (i, j), the same at every call."""
    hashed = i.astype(np.int64) * 73856093 ^ j.astype(np.int64) * 19349663 ^ seed.astype(np.int64) * 83492791
    hashed = (hashed ^ (hashed >> 13)) * 1274126177
    return ((hashed ^ (hashed >> 16)) & 0xFFFF) / 65536.0


@cache
def _noise_tile() -> Float[np.ndarray, "s s"]:
    white = np.random.default_rng(7).standard_normal((1024, 1024))
    smooth = gaussian_filter(white, 7, mode="wrap")
    return (smooth / smooth.std()).astype(np.float32)


def _blend(a: Colors, b: Colors, share: Values) -> Colors:
    return a + (b - a) * np.clip(share, 0.0, 1.0)[:, None]


def _shaded(color: Colors, factor: Values) -> Colors:
    return np.clip(color * factor[:, None], 0.0, 1.0)


def _line(position: Values, width: float) -> Values:
    """1 within `width` of an integer position, else 0; soft at its edge."""
    distance = np.abs(position - np.rint(position))
    return np.clip(1.5 - distance / width, 0.0, 1.0)


def plain(p: TextureCoordinates) -> Colors:
    """A single colour with slight variation."""
    return _shaded(p.color, 1 + 0.025 * noise(8 * p.u, 8 * p.v, p.seed))


def plaster(p: TextureCoordinates) -> Colors:
    """A painted wall: a fine grain over broad, faint patches."""
    fine = noise(45 * p.u, 45 * p.v, p.seed)
    broad = noise(1.3 * p.u, 1.3 * p.v, p.seed + 1)
    return _shaded(p.color, 1 + 0.012 * fine + 0.012 * broad)


def wallpaper(p: TextureCoordinates) -> Colors:
    """Broad soft stripes with a lattice of small diamonds."""
    stripe = 0.5 + 0.5 * np.tanh(6 * np.sin(2 * np.pi * p.u / 0.36))
    column = np.floor(p.u / 0.18)
    across = p.u / 0.18 - column - 0.5
    up = (p.v / 0.26 + 0.5 * (column % 2)) % 1.0 - 0.5
    diamond = np.clip(8 * (0.22 - np.abs(across) - 1.1 * np.abs(up)), 0, 1)
    base = _blend(p.color, p.accent, 0.18 * stripe + 0.45 * diamond)
    return _shaded(base, 1 + 0.015 * noise(30 * p.u, 30 * p.v, p.seed))


def wood(p: TextureCoordinates) -> Colors:
    """Growth rings and grain along the longer side of the part."""
    along = np.where(p.lengthwise, p.u, p.v)
    across = np.where(p.lengthwise, p.v, p.u)
    bend = across + 0.012 * noise(2.5 * along, 5 * across, p.seed)
    rings = np.sin(2 * np.pi * (bend * 16 + 0.7 * noise(0.8 * along, 3 * bend, p.seed + 3)))
    grain = noise(6 * along, 130 * across, p.seed + 5)
    return _shaded(_blend(p.color, p.accent, 0.3 + 0.22 * rings), 1 + 0.05 * grain)


def planks(p: TextureCoordinates) -> Colors:
    """Floor boards of 14 cm with staggered joints."""
    row = np.floor(p.v / 0.14)
    shifted = p.u / 1.1 + random_of_cell(row, row, p.seed)
    column = np.floor(shifted)
    tone = random_of_cell(row, column, p.seed + 1)
    shift = 7.3 * tone
    rings = np.sin(2 * np.pi * (8 * p.v + noise(1.1 * p.u + shift, 9 * p.v, p.seed + 2)))
    grain = noise(7 * p.u + shift, 110 * p.v, p.seed + 3)
    base = _blend(p.color, p.accent, 0.75 * tone + 0.12 * rings)
    gap = np.maximum(_line(p.v / 0.14, 0.014), _line(shifted, 0.002))
    return _shaded(base, (1 + 0.05 * grain) * (1 - 0.55 * gap))


def carpet(p: TextureCoordinates) -> Colors:
    """A woven rug: field with a lattice of lozenges, double border."""
    edge = np.minimum(*(0.5 - np.abs(p.relative[:, i]) for i in (0, 1)))
    lozenge = np.abs((p.u / 0.34) % 1 - 0.5) + np.abs((p.v / 0.34) % 1 - 0.5)
    pattern = 0.75 * (np.abs(lozenge - 0.5) < 0.09) + 0.9 * (lozenge < 0.16)
    border = (edge < 0.035) | ((edge > 0.06) & (edge < 0.075))
    base = _blend(p.color, p.accent, np.where(edge < 0.085, 0.9 * border, pattern))
    return _shaded(base, 1 + 0.07 * noise(120 * p.u, 120 * p.v, p.seed) + 0.03 * np.sin(2 * np.pi * p.v / 0.012))


def fabric(p: TextureCoordinates) -> Colors:
    """Plain cloth with a weave of 14 mm."""
    weave = np.sin(2 * np.pi * p.u / 0.014) * np.sin(2 * np.pi * p.v / 0.014)
    return _shaded(p.color, 1 + 0.05 * weave + 0.04 * noise(9 * p.u, 9 * p.v, p.seed))


def stripes(p: TextureCoordinates) -> Colors:
    """Cloth with bands across."""
    band = (np.abs((p.u / 0.11) % 1 - 0.5) < 0.17) | (np.abs((p.u / 0.11) % 1 - 0.02) < 0.03)
    return _shaded(_blend(p.color, p.accent, 0.85 * band), 1 + 0.04 * noise(70 * p.u, 70 * p.v, p.seed))


def checks(p: TextureCoordinates) -> Colors:
    """Cloth with a tartan of two colours."""
    share = 0.45 * ((p.u / 0.16) % 1 < 0.45) + 0.45 * ((p.v / 0.16) % 1 < 0.45)
    return _shaded(_blend(p.color, p.accent, share), 1 + 0.04 * noise(70 * p.u, 70 * p.v, p.seed))


def ceramic(p: TextureCoordinates) -> Colors:
    """Glaze with two painted rings."""
    ring = (np.abs(p.relative[:, 2] - 0.78) < 0.05) | (np.abs(p.relative[:, 2] - 0.62) < 0.02)
    return _blend(p.color, p.accent, 0.9 * ring)


def cardboard(p: TextureCoordinates) -> Colors:
    """Brown card with a strip of tape over the middle and a label in front."""
    tape = (np.abs(p.relative[:, 0]) < 0.09) & ((p.axis == 2) | (p.relative[:, 2] > 0.3))
    label = (p.axis == 1) & (np.abs(p.relative[:, 0] - 0.2) < 0.15) & (np.abs(p.relative[:, 2] + 0.1) < 0.15)
    base = _blend(_blend(p.color, p.accent, 0.6 * tape), np.ones_like(p.color), 0.8 * label)
    return _shaded(base, 1 + 0.03 * noise(20 * p.u, 3 * p.v, p.seed))


def book(p: TextureCoordinates) -> Colors:
    """Cloth cover with a title plate on the spine (facing -y) and bands; paper at top and bottom."""
    height = p.relative[:, 2]
    side = p.relative[:, 0]
    bands = (np.abs(np.abs(height) - 0.4) < 0.018) | (np.abs(height + 0.25) < 0.012)
    plate = (np.abs(height - 0.12) < 0.14) & (np.abs(side) < 0.32)
    print_lines = plate & (np.abs((height * 34) % 1 - 0.5) < 0.22) & (np.abs(side) < 0.22)
    cover = _blend(p.color, p.accent, 0.85 * np.where(p.axis == 1, bands | plate, np.abs(height) > 0.44))
    cover = _blend(cover, np.full_like(cover, 0.15), 0.8 * (print_lines & (p.axis == 1)))
    paper = np.full_like(cover, 0.9) * (1 - 0.12 * (np.abs((p.u * 700) % 1 - 0.5) < 0.2))[:, None]
    pages = (p.axis == 2) & (np.abs(side) < 0.42)
    return np.where(pages[:, None], paper, cover)


def leafy(p: TextureCoordinates) -> Colors:
    """A leaf with a light midrib and side veins."""
    rib = np.clip(1 - np.abs(p.relative[:, 0]) / 0.05, 0, 1)
    vein = 0.35 * _line((p.relative[:, 1] + 0.5 * np.abs(p.relative[:, 0])) * 9, 0.12)
    return _shaded(_blend(p.color, p.accent, np.maximum(rib, vein)), 1 + 0.06 * noise(25 * p.u, 25 * p.v, p.seed))


def soil(p: TextureCoordinates) -> Colors:
    """Earth of strong, fine variation."""
    return _shaded(p.color, 1 + 0.25 * noise(90 * p.u, 90 * p.v, p.seed))


def outdoors(p: TextureCoordinates) -> Colors:
    """The view through a window: sky with clouds over hills and trees."""
    x = p.u
    y = p.relative[:, 1]
    sky = _blend(np.full_like(p.color, 0.93), p.color, 0.25 + 1.3 * y)
    cloud = np.clip(0.6 * noise(2.2 * x, 5 * y, p.seed) + 0.3 * noise(6 * x, 13 * y, p.seed + 1), 0, 1)
    sky = _blend(sky, np.full_like(sky, 0.99), cloud)
    hill = y < -0.12 + 0.05 * np.sin(2.7 * x + p.seed) + 0.02 * np.sin(7.1 * x)
    tree = y < -0.3 + 0.045 * noise(5 * x, 0 * x, p.seed + 2)
    green = _shaded(p.accent, 1 + 0.22 * noise(14 * x, 14 * y, p.seed + 3))
    hazy_green = 0.5 * p.accent + np.array([0.24, 0.3, 0.36])
    return np.where(tree[:, None], 0.75 * green, np.where(hill[:, None], hazy_green, sky))


def keyboard(p: TextureCoordinates) -> Colors:
    """The upper side of a laptop: rows of keys and a touch pad."""
    x = p.relative[:, 0]
    y = p.relative[:, 1]
    keys = (np.abs(x) < 0.44) & (y > -0.12) & (y < 0.4) & (_line(x * 16, 0.09) < 0.5) & (_line(y * 11, 0.09) < 0.5)
    pad = (np.abs(x) < 0.16) & (y < -0.18) & (y > -0.42)
    dark = (keys | pad) & (p.axis == 2)
    return _blend(p.color, p.accent, np.where(keys, 0.9, 0.35) * dark)


def screen(p: TextureCoordinates) -> Colors:
    """A laptop's lid: a lit page with a title bar and lines of text on the side that faces -y."""
    x = p.relative[:, 0]
    z = p.relative[:, 2]
    glass = (p.axis == 1) & (np.abs(x) < 0.46) & (np.abs(z) < 0.45)
    text = (np.abs(x + 0.1) < 0.3 * random_of_cell(np.floor(z * 22), np.floor(z * 22), p.seed) + 0.05) & (
        (z * 22) % 1 < 0.5
    )
    page = np.where((z > 0.32)[:, None], p.accent, np.where(text[:, None], 0.35, 0.93))
    return np.where(glass[:, None], page, p.color)


def asphalt(p: TextureCoordinates) -> Colors:
    """A road along x: worn tar with broad patches, and a dashed line in its middle."""
    fine = noise(14 * p.u, 14 * p.v, p.seed)
    broad = noise(0.5 * p.u, 0.9 * p.v, p.seed + 1)
    dash = (np.abs(p.relative[:, 1]) < 0.008) & ((p.u / 6) % 1 < 0.5)
    return _blend(_shaded(p.color, 1 + 0.09 * fine + 0.08 * broad), p.accent, 0.9 * dash)


def paving(p: TextureCoordinates) -> Colors:
    """Slabs of 50 cm with joints, each of a different brightness."""
    column = np.floor(p.u / 0.5)
    row = np.floor(p.v / 0.5)
    joint = np.maximum(_line(p.u / 0.5, 0.03), _line(p.v / 0.5, 0.03))
    return _shaded(p.color, (0.92 + 0.14 * random_of_cell(column, row, p.seed)) * (1 - 0.35 * joint))


def greenery(p: TextureCoordinates) -> Colors:
    """Grass or leaves: blades and tufts of two greens."""
    tuft = noise(1.5 * p.u, 1.5 * p.v, p.seed)
    blade = noise(9 * p.u, 9 * p.v, p.seed + 1)
    return _shaded(_blend(p.color, p.accent, 0.5 + 0.3 * tuft), 1 + 0.16 * blade)


def bark(p: TextureCoordinates) -> Colors:
    """Bark of a trunk, with vertical fissures."""
    return _shaded(p.color, 1 + 0.2 * noise(30 * p.u, 4 * p.v, p.seed))


def facade(p: TextureCoordinates) -> Colors:
    """Upright walls with a grid of dark windows in light frames, 3 m a storey; bricks or plaster between them."""
    storey = p.relative[:, 2] + 0.5  # windows count from the ground, whatever the height
    x = (p.u / 2.4) % 1 - 0.5
    z = (p.v / 3.0) % 1 - 0.5
    framed = (np.abs(x) < 0.24) & (np.abs(z) < 0.29) & (p.axis != 2) & (storey > 0.05) & (storey < 0.97)
    glass = framed & (np.abs(x) < 0.21) & (np.abs(z) < 0.26) & (np.abs(x) > 0.012)
    brick = np.maximum(_line(p.v / 0.25, 0.06), _line(p.u / 0.5 + 0.5 * (np.floor(p.v / 0.25) % 2), 0.03))
    wall = _shaded(p.color, (1 + 0.04 * noise(4 * p.u, 4 * p.v, p.seed)) * (1 - 0.22 * brick * (p.seed % 2)))
    pane = 0.55 * p.accent * (0.5 + 0.5 * random_of_cell(np.floor(p.u / 2.4), np.floor(p.v / 3.0), p.seed))[:, None]
    return np.where(glass[:, None], pane, np.where(framed[:, None], 0.85, wall))


def tiles(p: TextureCoordinates) -> Colors:
    """A roof in rows of tiles."""
    return _shaded(p.color, (1 + 0.06 * noise(6 * p.u, 6 * p.v, p.seed)) * (1 - 0.3 * _line(p.v / 0.35, 0.09)))


def signboard(p: TextureCoordinates) -> Colors:
    """A plate in two colours, rim with bar and field, on the side that faces +z; its back is grey."""
    across = np.abs(p.relative[:, 1])
    up = np.abs(p.relative[:, 0])
    field = (np.hypot(across, up) < 0.39) & ((up > 0.09) | (across > 0.3))
    front = _blend(p.color, p.accent, field.astype(np.float32))
    return np.where(((p.axis == 2) & (p.relative[:, 2] > 0.3))[:, None], front, 0.55)


def painting(p: TextureCoordinates) -> Colors:
    """A picture in a mount; the seed decides whether a landscape, blocks, discs, waves or a flower."""
    x = p.relative[:, 0]
    y = p.relative[:, 1]
    inside = (np.abs(x) < 0.4) & (np.abs(y) < 0.4)
    motif_of_point = p.seed % len(_MOTIFS)
    image = np.empty_like(p.color)
    for motif_index, motif in enumerate(_MOTIFS):
        has_motif = motif_of_point == motif_index
        image[has_motif] = motif(
            2.5 * x[has_motif], 2.5 * y[has_motif], p.color[has_motif], p.accent[has_motif], p.seed[has_motif]
        )
    return np.where(inside[:, None], image, np.array([0.94, 0.93, 0.9]))


def _landscape(x: Values, y: Values, a: Colors, b: Colors, seed: Int[np.ndarray, " n"]) -> Colors:
    sky = _blend(np.broadcast_to([0.98, 0.85, 0.6], a.shape), a, y + 0.45)
    sun = np.hypot(x - 0.45, y - 0.35) < 0.16
    ridges = [(0.05, 4.0, 0.8), (-0.3, 6.5, 0.55), (-0.62, 5.0, 0.33)]
    image = np.where(sun[:, None], [1.0, 0.95, 0.75], sky)
    for level, waves, tone in ridges:
        ridge = y < level + 0.14 * np.sin(waves * x + seed) + 0.05 * np.sin(11 * x + level)
        image = np.where(ridge[:, None], tone * b + 0.12 * tone, image)
    return image


def _blocks(x: Values, y: Values, a: Colors, b: Colors, seed: Int[np.ndarray, " n"]) -> Colors:
    column = np.floor(2.2 * (x + 1 + 0.3 * np.sin(seed)))
    row = np.floor(2.6 * (y + 1) + 2 * random_of_cell(column, column, seed))
    share = random_of_cell(column, row, seed + 2)[:, None]
    image = np.where(share < 0.3, a, np.where(share < 0.55, b, np.where(share < 0.75, 0.95, [0.93, 0.72, 0.2])))
    bars = (_line(2.2 * (x + 1 + 0.3 * np.sin(seed)), 0.05) > 0.5)[:, None]
    return np.where(bars, 0.1, image)


def _discs(x: Values, y: Values, a: Colors, b: Colors, seed: Int[np.ndarray, " n"]) -> Colors:
    radius = np.hypot(x + 0.2 * np.sin(seed), y + 0.1)
    image = _blend(a, b, 1.0 * ((5 * radius).astype(np.int64) % 2))
    return np.where((radius < 0.12)[:, None], [0.95, 0.55, 0.2], np.where((radius > 0.85)[:, None], 0.92, image))


def _waves(x: Values, y: Values, a: Colors, b: Colors, seed: Int[np.ndarray, " n"]) -> Colors:
    phase = 5 * y + 0.8 * np.sin(3 * x + seed) + 0.3 * np.sin(7 * x)
    return _blend(_blend(a, b, 0.5 + 0.5 * np.sin(np.pi * phase)), np.ones_like(a), 0.8 * _line(phase, 0.09))


def _flower(x: Values, y: Values, a: Colors, b: Colors, seed: Int[np.ndarray, " n"]) -> Colors:
    radius = np.hypot(x, y - 0.25)
    angle = np.arctan2(y - 0.25, x)
    petal = radius < 0.32 + 0.16 * np.cos(6 * angle + seed)
    stem = (np.abs(x + 0.08 * np.sin(3 * y)) < 0.03) & (y < 0.2)
    image = np.where(stem[:, None], [0.25, 0.45, 0.22], np.where(petal[:, None], a, 0.25 * b + 0.7))
    return np.where((radius < 0.13)[:, None], [0.95, 0.78, 0.25], image)


_MOTIFS: Final = (_landscape, _blocks, _discs, _waves, _flower)

PATTERNS: Final[dict[str, Callable[[TextureCoordinates], Colors]]] = {
    pattern.__name__: pattern
    for pattern in (
        plain, plaster, wallpaper, wood, planks, carpet, fabric, stripes, checks, ceramic, cardboard, book, leafy, soil,
        outdoors, keyboard, screen, painting, asphalt, paving, greenery, bark, facade, tiles, signboard,
    )
}  # fmt: skip
