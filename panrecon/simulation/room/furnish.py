"""The seeded draw of a room: its size, materials, furniture and small objects."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from panrecon.simulation.room import furniture as make
from panrecon.simulation.room.building import Opening, Shell, daylight, shell_items
from panrecon.simulation.room.items import Item, Light
from panrecon.simulation.room.layout import YAW_OF_WALL, FloorPlan, NoSpaceError, Placement, free_positions
from panrecon.simulation.scene.shapes import Part, Point, bounds, box, moved, pose
from panrecon.simulation.scene.textures import RGB, Material

WALLS: Final = tuple(YAW_OF_WALL)
WOODS: Final[tuple[tuple[RGB, RGB], ...]] = (
    ((0.72, 0.52, 0.32), (0.56, 0.37, 0.2)),
    ((0.5, 0.32, 0.19), (0.36, 0.22, 0.13)),
    ((0.82, 0.68, 0.48), (0.7, 0.53, 0.34)),
    ((0.34, 0.22, 0.15), (0.24, 0.15, 0.1)),
)
PAPERS: Final[tuple[tuple[RGB, RGB], ...]] = (
    ((0.55, 0.66, 0.66), (0.82, 0.86, 0.8)),
    ((0.74, 0.6, 0.5), (0.9, 0.82, 0.7)),
    ((0.45, 0.53, 0.66), (0.78, 0.82, 0.88)),
    ((0.62, 0.68, 0.52), (0.88, 0.9, 0.76)),
)
PLASTERS: Final[tuple[RGB, ...]] = ((0.88, 0.85, 0.78), (0.84, 0.86, 0.86), (0.9, 0.86, 0.8), (0.82, 0.85, 0.79))
CLOTHS: Final[tuple[RGB, ...]] = (
    (0.27, 0.4, 0.5), (0.55, 0.24, 0.2), (0.38, 0.45, 0.3), (0.5, 0.47, 0.44), (0.72, 0.53, 0.22), (0.4, 0.33, 0.4),
)  # fmt: skip
LIGHT_CLOTHS: Final[tuple[RGB, ...]] = ((0.9, 0.85, 0.72), (0.85, 0.72, 0.5), (0.75, 0.82, 0.82), (0.88, 0.76, 0.7))


@dataclass(frozen=True)
class Furnisher:
    """Draws materials, furniture and its placement from one generator, in a fixed order.

    Methods that return items raise NoSpaceError where the furniture does not fit the floor plan.
    """

    shell: Shell
    plan: FloorPlan
    rng: np.random.Generator

    def wood(self) -> Material:
        """A random wood."""
        color, accent = WOODS[self.rng.integers(len(WOODS))]
        return Material("wood", color, accent, seed=int(self.rng.integers(1000)))

    def cloth(self, patterns: Sequence[str] = ("fabric",)) -> Material:
        """A cloth of a random colour and of one of these patterns."""
        pattern = patterns[int(self.rng.integers(len(patterns)))]
        accent = LIGHT_CLOTHS[self.rng.integers(len(LIGHT_CLOTHS))]
        return Material(pattern, CLOTHS[self.rng.integers(len(CLOTHS))], accent, seed=int(self.rng.integers(1000)))

    def glaze(self) -> Material:
        """A ceramic glaze of two random colours."""
        tones: tuple[RGB, ...] = (
            (0.88, 0.86, 0.8),
            (0.25, 0.42, 0.55),
            (0.68, 0.3, 0.22),
            (0.35, 0.5, 0.42),
            (0.8, 0.62, 0.3),
        )
        return Material("ceramic", tones[self.rng.integers(len(tones))], tones[self.rng.integers(len(tones))])

    def walls_without(self, *openings: Opening) -> tuple[str, ...]:
        """The names of the walls that have none of these openings."""
        return tuple(wall for wall in WALLS if wall not in {opening.wall for opening in openings})

    def dining(self) -> list[Item]:
        """A table away from the walls, its chairs, a hanging lamp above it, and small objects on it."""
        round_top = bool(self.rng.uniform() < 0.3)
        length, width = (
            (1.15, 1.15) if round_top else (float(self.rng.uniform(1.3, 1.6)), float(self.rng.uniform(0.8, 0.9)))
        )
        placement = self.plan.in_the_open(length + 1.3, width + 1.3, 0.35)
        top = make.table(length, width, self.wood(), round_top=round_top)
        items = [Item("table", tuple(moved(top, pose(placement.at(0.0)))))]
        items += self._chairs(placement, length, width)
        items += self._on_table(placement, (length / 2, width / 2), round_top)
        drop = self.shell.size[2] - float(self.rng.uniform(1.5, 1.6))
        shade = Material("plain", self.cloth().color, glow=0.12)
        lamp = moved(make.hanging_lamp(drop, shade), pose(placement.at(self.shell.size[2])))
        return [*items, Item("lamp", tuple(lamp))]

    def _chairs(self, placement: Placement, length: float, width: float) -> list[Item]:
        wood = self.wood()
        seat = self.cloth(("fabric", "stripes", "checks"))
        distance = 0.29  # m, from the table's edge to a chair's centre
        sides = [(0.0, 1), (np.pi, 1)] if length < 1.25 or self.rng.uniform() < 0.3 else [(0.0, 2), (np.pi, 2)]
        if self.rng.uniform() < 0.8:
            sides += [(np.pi / 2, 1)]
        if self.rng.uniform() < 0.5 or length < 1.25:
            sides += [(-np.pi / 2, 1)]
        items = []
        for yaw, count in sides:
            edge = (length if abs(np.sin(yaw)) > 0.5 else width) / 2
            for i in range(count):
                along = (i - (count - 1) / 2) * 0.62 + self.rng.uniform(-0.03, 0.03)
                out = edge + distance + self.rng.uniform(0.0, 0.06)
                parts = moved(make.chair(wood, seat), pose((0, 0, 0), yaw=self.rng.uniform(-0.1, 0.1)))
                parts = moved(moved(parts, pose((along, out, 0))), pose(placement.at(0.0), yaw=yaw))
                items.append(Item("chair", tuple(parts)))
        return items

    def _on_table(self, placement: Placement, half: tuple[float, float], round_top: bool) -> list[Item]:
        fruit: tuple[RGB, ...] = ((0.75, 0.16, 0.12), (0.9, 0.62, 0.15), (0.55, 0.65, 0.2), (0.85, 0.4, 0.12))
        candidates: list[tuple[str, float, Callable[[], list[Part]]]] = [  # class, radius (m), parts
            ("bowl", 0.14, lambda: make.bowl(self.glaze(), fruit)),
            ("laptop", 0.23, lambda: make.laptop(self.rng)),
            ("vase", 0.09, lambda: make.vase(float(self.rng.uniform(0.24, 0.32)), self.glaze())),
            ("book", 0.155, lambda: make.lying_book(self.rng)),
            ("cup", 0.07, lambda: make.cup(self.glaze())),
            ("cup", 0.07, lambda: make.cup(self.glaze())),
            ("cup", 0.07, lambda: make.cup(self.glaze())),
        ]
        drawn = [candidate for candidate in candidates if self.rng.uniform() < 0.85]
        positions = free_positions(self.rng, half, [radius for _, radius, _ in drawn], disc=round_top)
        items = []
        for (category, _, build), (x, y) in zip(drawn, positions, strict=False):
            parts = make.standing_on(build(), float(x), float(y), 0.751, yaw=float(self.rng.uniform(-0.5, 0.5)))
            items.append(Item(category, tuple(moved(parts, pose(placement.at(0.0))))))
        return items

    def sofa(self) -> list[Item]:
        """A sofa against a wall."""
        length = float(self.rng.uniform(1.75, 2.15))
        placement = self.plan.against_wall(length, 0.86, WALLS)
        feet = self.wood()
        parts = make.sofa(length, self.cloth(), self.cloth(("stripes", "checks", "fabric")), feet)
        return [Item("sofa", standing(parts, placement))]

    def shelf(self) -> list[Item]:
        """A bookcase against a wall without the window, and the objects on its boards."""
        width = float(self.rng.uniform(0.95, 1.3))
        boards = int(self.rng.integers(5, 7))
        placement = self.plan.against_wall(width, 0.31, self.walls_without(self.shell.window))
        items = [Item("shelf", standing(make.shelf(width, boards, self.wood()), placement))]
        for z in make.shelf_heights(boards)[:-1]:
            items += [Item(name, standing(parts, placement)) for name, parts in self._on_board(width - 0.1, z + 0.001)]
        return items

    def _on_board(self, width: float, z: float) -> list[tuple[str, list[Part]]]:
        """Books, vases and boxes side by side on one board, with gaps."""
        x = -width / 2 + float(self.rng.uniform(0, 0.05))
        result = []
        while x < width / 2 - 0.15:
            free_width = width / 2 - x
            draw = float(self.rng.uniform())
            if draw < 0.55:
                name = "book"
                item_width = min(float(self.rng.uniform(0.24, 0.45)), free_width)
                parts = make.standing_books(item_width, self.rng)
            elif draw < 0.78:
                name = "vase"
                item_width = 0.2
                parts = make.vase(float(self.rng.uniform(0.2, 0.29)), self.glaze())
            else:
                name = "box"
                item_width = float(self.rng.uniform(0.2, 0.3))
                parts = make.carton(item_width, 0.2, float(self.rng.uniform(0.12, 0.22)))
            if item_width <= free_width:
                result.append((name, make.standing_on(parts, x + item_width / 2, -0.02, z)))
            x += item_width + float(self.rng.uniform(0.04, 0.16))
        return result

    def bed(self) -> list[Item]:
        """A bed against a wall without the door; wide in large rooms, narrow in small ones."""
        width = 0.95 if min(self.shell.size[:2]) < 4.5 else 1.45
        placement = self.plan.against_wall(width, 2.05, self.walls_without(self.shell.door))
        linen = Material("fabric", (0.9, 0.88, 0.83))
        parts = make.bed(2.05, width, self.wood(), self.cloth(("checks", "stripes", "fabric")), linen)
        return [Item("bed", standing(parts, placement))]

    def cabinet(self) -> list[Item]:
        """A sideboard against a wall, with a vase, a box and books on it."""
        width = float(self.rng.uniform(1.1, 1.6))
        height = float(self.rng.uniform(0.72, 0.88))
        placement = self.plan.against_wall(width + 0.02, 0.45, WALLS)
        front = (
            self.wood() if self.rng.uniform() < 0.5 else Material("plain", PLASTERS[self.rng.integers(len(PLASTERS))])
        )
        items = [Item("cabinet", standing(make.cabinet(width, height, self.wood(), front), placement))]
        candidates = [
            ("vase", make.vase(float(self.rng.uniform(0.28, 0.36)), self.glaze())),
            ("box", make.carton(0.3, 0.22, 0.18)),
            ("book", make.standing_books(0.26, self.rng)),
        ]
        third = (width - 0.2) / 3
        for i, index in enumerate(self.rng.permutation(3)):
            name, parts = candidates[index]
            parts_on_top = make.standing_on(parts, (i - 1) * third, 0.0, height + 0.001)
            items.append(Item(name, standing(parts_on_top, placement)))
        return items

    def standing_lamp(self) -> list[Item]:
        """A floor lamp in a corner, lit."""
        placement = self.plan.in_corner(0.46)
        shade = Material("fabric", LIGHT_CLOTHS[self.rng.integers(len(LIGHT_CLOTHS))], glow=0.75)
        return [Item("lamp", standing(make.floor_lamp(shade), placement))]

    def plants(self) -> list[Item]:
        """One or two potted plants in corners."""
        items = []
        for _ in range(int(self.rng.integers(1, 3))):
            height = float(self.rng.uniform(0.85, 1.15))
            pot = self.glaze()
            parts = make.plant(height, self.rng, pot)
            low, high = bounds(parts)
            placement = self.plan.in_corner(2 * float(np.abs([low[:2], high[:2]]).max()), 0.05)
            items.append(Item("plant", standing(parts, placement)))
        return items

    def cartons(self) -> list[Item]:
        """A box on the floor, beside a wall."""
        placement = self.plan.against_wall(0.45, 0.4, WALLS, 0.15)
        return [Item("box", standing(make.carton(0.42, 0.36, 0.3), placement))]

    def rug(self, items: Sequence[Item]) -> Item:
        """A rug under the table among `items`."""
        low, high = bounds([part for item in items if item.category == "table" for part in item.parts])
        x, y = (low[0] + high[0]) / 2, (low[1] + high[1]) / 2
        size = (float(high[0] - low[0] + 1.0), float(high[1] - low[1] + 0.95), 0.012)
        color = CLOTHS[self.rng.integers(len(CLOTHS))]
        accent = LIGHT_CLOTHS[self.rng.integers(len(LIGHT_CLOTHS))]
        return Item("rug", (box(size, (float(x), float(y), 0.006), Material("carpet", color, accent)),))

    def pictures(self, items: Sequence[Item]) -> list[Item]:
        """Up to six pictures on free parts of the walls, clear of `items`, window and door."""
        pictures: list[Item] = []
        for _ in range(60):
            width = float(self.rng.uniform(0.4, 0.9))
            height = float(self.rng.uniform(0.4, 0.65))
            wall = WALLS[self.rng.integers(4)]
            middle = float(self.rng.uniform(0.2 + width / 2, self.shell.wall_length(wall) - 0.2 - width / 2))
            z = float(self.rng.uniform(1.5, 1.65))
            frame = (
                Material("wood", *WOODS[self.rng.integers(len(WOODS))]) if self.rng.uniform() < 0.6 else make.DARK_METAL
            )
            motif = Material("painting", self.cloth().color, self.cloth().color, seed=int(self.rng.integers(1000)))
            parts = make.picture(width, height, frame, motif)
            world_from_picture = self.shell.world_from_wall(wall) @ pose((middle, -0.001, z))
            picture = Item("picture", tuple(moved(parts, world_from_picture)))
            clear = all(_apart(picture, other, 0.15) for other in [*items, *pictures])
            if clear and not self._before_opening(wall, middle, width):
                pictures.append(picture)
            if len(pictures) == 6:
                break
        return pictures

    def _before_opening(self, wall: str, middle: float, width: float) -> bool:
        openings = [opening for opening in (self.shell.window, self.shell.door) if opening.wall == wall]
        return any(abs(middle - opening.middle) < (width + opening.width) / 2 + 0.2 for opening in openings)


def furnished(rng: np.random.Generator) -> tuple[tuple[float, float, float], list[Item], list[Light]]:
    """The size (m), the items and the lights of a random room; layouts that do not fit are drawn again."""
    while True:
        shell = random_shell(rng)
        try:
            return shell.size, *_furnish(shell, rng)
        except NoSpaceError:
            continue


def _furnish(shell: Shell, rng: np.random.Generator) -> tuple[list[Item], list[Light]]:
    plan = FloorPlan(shell.size[:2], rng)
    plan.keep_free(shell.floor_before(shell.door, 0.8))
    furnisher = Furnisher(shell, plan, rng)
    large = furnisher.bed() if rng.uniform() < 0.5 else furnisher.cabinet()
    items = [
        *large,
        *furnisher.sofa(),
        *furnisher.shelf(),
        *furnisher.dining(),
        *furnisher.standing_lamp(),
        *furnisher.plants(),
        *furnisher.cartons(),
    ]
    items += furnisher.pictures(items)
    lights = [daylight(shell, 16.0)] + [lamp_light(item) for item in items if item.category == "lamp"]
    return [*random_shell_items(furnisher), furnisher.rug(items), *items], lights


def random_shell(rng: np.random.Generator) -> Shell:
    """A building of random size with a window and a door in two of its walls."""
    size = (float(rng.uniform(5.0, 6.2)), float(rng.uniform(4.2, 5.2)), float(rng.uniform(2.5, 2.8)))
    walls = [WALLS[i] for i in rng.permutation(4)[:2]]
    lengths = [size[0] if wall in ("north", "south") else size[1] for wall in walls]
    width = float(rng.uniform(1.5, 1.9))
    window = Opening(walls[0], lengths[0] * float(rng.uniform(0.4, 0.6)), width, 0.95, 2.15)
    near_end = 0.65 if rng.uniform() < 0.5 else lengths[1] - 0.65
    return Shell(size, window, Opening(walls[1], near_end, 0.86, 0.0, 2.03))


def random_shell_items(furnisher: Furnisher) -> list[Item]:
    """Walls, floor, ceiling, window and door of random materials, one wall with paper."""
    color, accent = PAPERS[furnisher.rng.integers(len(PAPERS))]
    plain = Material("plaster", PLASTERS[furnisher.rng.integers(len(PLASTERS))])
    feature = WALLS[furnisher.rng.integers(4)]
    paper = {wall: Material("wallpaper", color, accent) if wall == feature else plain for wall in WALLS}
    floor_color, floor_accent = WOODS[furnisher.rng.integers(3)]
    floor = Material("planks", floor_color, floor_accent)
    door = furnisher.wood() if furnisher.rng.uniform() < 0.6 else Material("plain", (0.86, 0.86, 0.83))
    return shell_items(furnisher.shell, paper, floor, Material("plaster", (0.92, 0.92, 0.9)), door)


def standing(parts: Sequence[Part], placement: Placement) -> tuple[Part, ...]:
    """The parts where the placement says, in the world frame."""
    return tuple(moved(parts, pose(placement.at(0.0), yaw=placement.yaw)))


def lamp_light(lamp: Item) -> Light:
    """Warm light from just under a lamp's shade; a standing lamp also lights through its shade."""
    low, high = bounds(lamp.parts)
    x, y = (float(value) for value in (low + high)[:2] / 2)
    z = float(low[2]) - 0.01 if low[2] > 0.5 else float(high[2]) + 0.02
    power: Point = (2.3, 1.85, 1.25) if low[2] > 0.5 else (1.3, 1.0, 0.65)
    return Light((x, y, z), ((0.15, 0.0, 0.0), (0.0, 0.15, 0.0)), (0.0, 0.0, 0.0), power)


def _apart(a: Item, b: Item, gap: float) -> bool:
    first = bounds(a.parts)
    second = bounds(b.parts)
    return bool(((first[0] - second[1] > gap) | (second[0] - first[1] > gap)).any())
