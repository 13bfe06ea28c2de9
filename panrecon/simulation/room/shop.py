"""The seeded draw of a shop: shelves, tables and a counter with rows of small things."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

import numpy as np

from panrecon.errors import InputError
from panrecon.simulation.room import furniture as make
from panrecon.simulation.room.building import daylight
from panrecon.simulation.room.furnish import (
    LIGHT_CLOTHS,
    WALLS,
    Furnisher,
    lamp_light,
    random_shell,
    random_shell_items,
    standing,
)
from panrecon.simulation.room.items import Item, Light
from panrecon.simulation.room.layout import FloorPlan, NoSpaceError, Placement
from panrecon.simulation.scene.shapes import Part, Point, bounds, moved, pose
from panrecon.simulation.scene.textures import Material

SMALL_THINGS: Final = ("cup", "bowl", "vase", "book", "box")
DRAWS: Final = 8  # of shops, before so many things are said not to fit
_MARGIN: Final = 0.05  # m, between a row and the ends of its board, and between rows

Goods = tuple[str, Callable[[], list[Part]]]  # class, and what makes another one: its origin is under its middle


def shop(rng: np.random.Generator, small_things: int) -> tuple[tuple[float, float, float], list[Item], list[Light]]:
    """The size (m), the items and the lights of a random shop with at least `small_things` in rows.

    Raises:
        InputError: in none of the shops drawn there was place for them.
    """
    most = 0
    for _ in range(DRAWS):
        shell = random_shell(rng)
        plan = FloorPlan(shell.size[:2], rng)
        plan.keep_free(shell.floor_before(shell.door, 0.8))
        furnisher = Furnisher(shell, plan, rng)
        items = _stocked(furnisher, small_things)
        in_rows = _count_small_things(items)
        if in_rows >= small_things:
            with suppress(NoSpaceError):
                items += furnisher.plants()
            items += furnisher.pictures(items)
            lights = [daylight(shell, 16.0)] + [lamp_light(item) for item in items if item.category == "lamp"]
            return shell.size, [*random_shell_items(furnisher), *items], lights
        most = max(most, in_rows)
    raise InputError(
        f"A shop with {small_things} small things was not found in {DRAWS} draws, the fullest has {most}; ask for "
        f"{most} or fewer."
    )


def _stocked(furnisher: Furnisher, small_things: int) -> list[Item]:
    """A counter, then shelves and tables until there are enough small things or nothing more fits."""
    items: list[Item] = []
    with suppress(NoSpaceError):
        items += _counter(furnisher)
        items += _display_table(furnisher)
        items += _shelf(furnisher)
        while _count_small_things(items) < small_things:
            items += _shelf_or_table(furnisher)
    return items


def _count_small_things(items: Sequence[Item]) -> int:
    return sum(item.category in SMALL_THINGS for item in items)


def _shelf_or_table(furnisher: Furnisher) -> list[Item]:
    with suppress(NoSpaceError):
        return _shelf(furnisher)
    return _display_table(furnisher)


def _shelf(furnisher: Furnisher) -> list[Item]:
    """A bookcase against a wall without the window, with a row of goods on every board."""
    rng = furnisher.rng
    width = float(rng.uniform(1.0, 1.4))
    boards = int(rng.integers(5, 7))
    placement = furnisher.plan.against_wall(width, 0.31, furnisher.walls_without(furnisher.shell.window), 0.1)
    items = [Item("shelf", standing(make.shelf(width, boards, furnisher.wood()), placement))]
    for z in make.shelf_heights(boards)[:-1]:
        items += _row(furnisher, placement, width - 0.05, front=-0.14, z=z + 0.001)
    return items


def _counter(furnisher: Furnisher) -> list[Item]:
    """A sideboard against a wall with a row of goods on it."""
    rng = furnisher.rng
    width = float(rng.uniform(1.1, 1.6))
    height = float(rng.uniform(0.8, 0.95))
    placement = furnisher.plan.against_wall(width + 0.02, 0.45, WALLS)
    front = furnisher.wood()
    cabinet = Item("cabinet", standing(make.cabinet(width, height, furnisher.wood(), front), placement))
    return [cabinet, *_row(furnisher, placement, width, front=-0.17, z=height + 0.001)]


def _display_table(furnisher: Furnisher) -> list[Item]:
    """A table away from the walls with rows of goods on it, under a hanging lamp."""
    rng = furnisher.rng
    length = float(rng.uniform(1.3, 1.6))
    width = float(rng.uniform(0.8, 0.95))
    placement = furnisher.plan.in_the_open(length + 0.4, width + 0.4, 0.3)
    items = [Item("table", standing(make.table(length, width, furnisher.wood(), round_top=False), placement))]
    front = -width / 2 + _MARGIN
    while front < width / 2 - _MARGIN - 0.27:  # the deepest goods are bowls, 0.26 m
        row = _row(furnisher, placement, length, front=front, z=0.751)
        items += row
        depths = bounds([part for item in row for part in item.parts])[:, 1]
        front += float(np.ptp(depths)) + _MARGIN
    shade = Material("plain", LIGHT_CLOTHS[rng.integers(len(LIGHT_CLOTHS))], glow=0.12)
    lamp = moved(make.hanging_lamp(0.9, shade), pose(placement.at(furnisher.shell.size[2])))
    return [*items, Item("lamp", tuple(lamp))]


def _row(furnisher: Furnisher, placement: Placement, length: float, *, front: float, z: float) -> list[Item]:
    """Goods of one kind side by side on a board of this length (m), as many as fit.

    Their fronts lie at y = `front` of the furniture's frame, and they stand at the height `z` (m).
    """
    category, another = _goods(furnisher)
    gap = float(furnisher.rng.uniform(0.03, 0.08))
    left = -length / 2 + _MARGIN
    items: list[Item] = []
    while True:
        parts = another()
        low, high = bounds(parts)
        right = left + float(high[0] - low[0])
        if right > length / 2 - _MARGIN:
            return items
        offset: Point = (left - float(low[0]), front - float(low[1]), z - float(low[2]))
        items.append(Item(category, standing(moved(parts, pose(offset)), placement)))
        left = right + gap


def _goods(furnisher: Furnisher) -> Goods:
    """What a random row is made of; every other row has one glaze for all."""
    rng = furnisher.rng
    category = SMALL_THINGS[int(rng.integers(len(SMALL_THINGS)))]
    shared_glaze = furnisher.glaze() if rng.uniform() < 0.5 else None
    height = float(rng.uniform(0.16, 0.28))
    width, depth = float(rng.uniform(0.1, 0.24)), float(rng.uniform(0.1, 0.24))

    def turned_cup() -> list[Part]:
        return moved(make.cup(shared_glaze or furnisher.glaze()), pose(yaw=float(rng.uniform(-np.pi, np.pi))))

    def books() -> list[Part]:
        return make.lying_book(rng) if width > 0.17 else make.standing_books(width, rng)

    makers: dict[str, Callable[[], list[Part]]] = {
        "cup": turned_cup,
        "bowl": lambda: make.bowl(shared_glaze or furnisher.glaze(), ()),
        "vase": lambda: make.vase(height, shared_glaze or furnisher.glaze()),
        "book": books,
        "box": lambda: make.carton(width, depth, height),
    }
    return category, makers[category]
