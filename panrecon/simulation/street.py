"""The built-in street: seeded, its surfaces know their class, their object and their texture, and some of it moves.

The world has z up; the street runs along +x, driven on the right, its middle line at y = 0 and the road at z = 0 (m).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Int

from panrecon.simulation.shapes import Part, Point, moved, pose
from panrecon.simulation.street_layout import StreetItem, laid_out
from panrecon.simulation.surface import Paint, joined, unit_normals
from panrecon.structures import VOID, Category, CategoryTable, Labels, TriangleMesh

# Class: whether single objects of it are numbered, and the class ids of KITTI-360.
_CLASSES: Final = {
    "road": (False, 7),
    "sidewalk": (False, 8),
    "parking": (False, 9),
    "terrain": (False, 22),
    "building": (True, 11),
    "fence": (False, 13),
    "vegetation": (False, 21),
    "trunk": (False, 21),
    "pole": (True, 17),
    "traffic light": (True, 19),
    "traffic sign": (True, 20),
    "trash bin": (True, 39),
    "person": (True, 24),
    "car": (True, 26),
    "truck": (True, 27),
    "bus": (True, 28),
    "motorcycle": (True, 32),
    "bicycle": (True, 33),
    "barrier": (True, 42),
    "traffic cone": (True, 44),
    "sky": (False, 23),
}


def street_categories() -> CategoryTable:
    """The classes of every built-in street; `raw_ids` are KITTI-360's. Sky is where nothing is."""
    return CategoryTable(
        tuple(
            Category(id=number, name=name, thing=thing, raw_ids=(kitti,))
            for number, (name, (thing, kitti)) in enumerate(_CLASSES.items(), start=1)
        )
    )


@dataclass(frozen=True)
class Surface:
    """All that is solid in the street at one moment.

    `labels` and `part_of_face` belong to the faces of `mesh`; what is not numbered has the instance `VOID`.
    """

    mesh: TriangleMesh
    labels: Labels
    part_of_face: Int[np.ndarray, " F"]
    parts: tuple[Part, ...]

    @cached_property
    def normals(self) -> Float[np.ndarray, "F 3"]:
        """Unit normals of the faces."""
        return unit_normals(self.mesh)

    @cached_property
    def _paint(self) -> Paint:
        return Paint.of(self.parts)

    def texture(self, points: Float[np.ndarray, "n 3"], face: Int[np.ndarray, " n"]) -> Float[np.ndarray, "n 3"]:
        """The unlit colour, RGB in [0, 1], of world points on these faces."""
        return self._paint.at(points, self.normals[face], self.part_of_face[face])


@dataclass(frozen=True)
class Street:
    """A street of `length` metres to drive along, with what lies beside, before and behind it.

    Things are numbered in the order of `items`.
    """

    seed: int
    length: float
    items: tuple[StreetItem, ...]
    categories: CategoryTable

    @cached_property
    def labels(self) -> Labels:
        """Category and instance of every item."""
        rows = np.array([self.categories.row_of(item.category) for item in self.items], dtype=np.int32)
        is_thing = self.categories.is_thing[rows]
        return Labels(rows, np.where(is_thing, np.cumsum(is_thing) - 1, VOID).astype(np.int32))

    @cached_property
    def moves(self) -> Bool[np.ndarray, " items"]:
        return np.array([any(item.velocity) for item in self.items])

    @cached_property
    def is_moving_instance(self) -> Bool[np.ndarray, " I"]:
        return self.moves[self.labels.instance != VOID]

    @cached_property
    def category_of_instance(self) -> Int[np.ndarray, " I"]:
        return self.labels.category[self.labels.instance != VOID]

    def at(self, time: float) -> Surface:
        """The street at a time (s from the first frame)."""
        parts: list[Part] = []
        item_of_part: list[int] = []
        for number, item in enumerate(self.items):
            shift = pose(_scaled(item.velocity, time))
            parts.extend(moved(item.parts, shift) if self.moves[number] else item.parts)
            item_of_part.extend([number] * len(item.parts))
        part_of_face = np.repeat(np.arange(len(parts)), [len(part.faces) for part in parts]).astype(np.int32)
        return Surface(joined(parts), self.labels.at(np.array(item_of_part)[part_of_face]), part_of_face, tuple(parts))


def build_street(seed: int, length: float = 60.0) -> Street:
    """The street of this seed; the same seed and length give the same bytes."""
    return assemble_street(seed, length, laid_out(np.random.default_rng([seed, 80]), length))


def assemble_street(seed: int, length: float, items: Iterable[StreetItem]) -> Street:
    """The street made of these items."""
    return Street(seed, length, tuple(items), street_categories())


def _scaled(velocity: Point, time: float) -> Point:
    return velocity[0] * time, velocity[1] * time, velocity[2] * time
