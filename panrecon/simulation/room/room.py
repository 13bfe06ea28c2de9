"""The built-in room: a seeded, furnished scene with the true class, object and texture of every face."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from jaxtyping import Float, Int

from panrecon.simulation.room.furnish import furnished
from panrecon.simulation.room.items import Item, Light
from panrecon.simulation.room.shop import shop
from panrecon.simulation.scene.shapes import Part
from panrecon.simulation.scene.surface import PartTextures, joined, unit_normals
from panrecon.structures import VOID, Category, CategoryTable, Labels, TriangleMesh

_STUFF: Final = {
    "wall": ("walls", "skirting"),
    "floor": ("flooring", "wooden floor"),
    "ceiling": (),
    "window": ("window frame", "window sill"),
    "door": ("doorframe",),
    "rug": ("carpet", "mat"),
}
_THINGS: Final = {
    "chair": ("dining chair", "seat"),
    "table": ("dining table", "desk"),
    "sofa": ("couch", "settee"),
    "shelf": ("bookshelf", "bookcase"),
    "bed": (),
    "cabinet": ("sideboard", "cupboard"),
    "lamp": ("floor lamp", "ceiling lamp", "light"),
    "plant": ("potted plant",),
    "picture": ("painting", "poster"),
    "cup": ("mug",),
    "bowl": ("fruit bowl",),
    "book": ("books", "row of books"),
    "laptop": ("computer", "notebook computer"),
    "vase": (),
    "box": ("cardboard box", "carton"),
}


def room_categories() -> CategoryTable:
    """The classes of every built-in room; ids count from 1 and are their own raw ids."""
    classes = [(name, synonyms, False) for name, synonyms in _STUFF.items()]
    classes += [(name, synonyms, True) for name, synonyms in _THINGS.items()]
    return CategoryTable(
        tuple(
            Category(id=category_id, name=name, thing=thing, synonyms=synonyms, raw_ids=(category_id,))
            for category_id, (name, synonyms, thing) in enumerate(classes, start=1)
        )
    )


@dataclass(frozen=True)
class Room:
    """A furnished room with z up, its floor at z = 0 and one corner at the origin (m).

    `labels` and `part_of_face` are per face of `mesh`; stuff has the instance `VOID`. Different items share no
    vertices.
    """

    seed: int
    size: tuple[float, float, float]
    mesh: TriangleMesh
    labels: Labels
    part_of_face: Int[np.ndarray, " F"]
    parts: tuple[Part, ...]
    lights: tuple[Light, ...]
    categories: CategoryTable

    @property
    def instance_count(self) -> int:
        """The number of things."""
        return int(self.labels.instance.max()) + 1

    @cached_property
    def glow(self) -> Float[np.ndarray, " F"]:
        """The light that each face emits (1 = as bright as white paper in the room)."""
        return np.array([part.material.glow for part in self.parts])[self.part_of_face]

    @cached_property
    def boxes(self) -> Float[np.ndarray, "I 2 3"]:
        """The axis-aligned bounding box of every instance: its lowest and its highest corner (m)."""
        corners = self.mesh.vertices[self.mesh.faces]
        points_of_instance = [corners[self.labels.instance == i].reshape(-1, 3) for i in range(self.instance_count)]
        return np.array([[points.min(axis=0), points.max(axis=0)] for points in points_of_instance])

    @cached_property
    def category_of_instance(self) -> Int[np.ndarray, " I"]:
        """The class index of every instance."""
        things = self.labels.instance != VOID
        result = np.empty(self.instance_count, dtype=np.int32)
        result[self.labels.instance[things]] = self.labels.category[things]
        return result

    @cached_property
    def _textures(self) -> PartTextures:
        return PartTextures.of(self.parts)

    def texture(self, points: Float[np.ndarray, "n 3"], face: Int[np.ndarray, " n"]) -> Float[np.ndarray, "n 3"]:
        """The albedo, RGB in [0, 1], of world points on these faces."""
        return self._textures.color_at(points, self._unit_normals[face], self.part_of_face[face])

    @cached_property
    def _unit_normals(self) -> Float[np.ndarray, "F 3"]:
        return unit_normals(self.mesh)


def build_room(seed: int, small_things: int = 0) -> Room:
    """The room of this seed; the same seed gives the same bytes. With `small_things` a shop that has as many or more.

    Raises:
        InputError: so many do not fit.
    """
    if small_things > 0:
        size, items, lights = shop(np.random.default_rng([seed, 21]), small_things)
    else:
        size, items, lights = furnished(np.random.default_rng([seed, 20]))
    return assemble(seed, size, items, lights)


def assemble(seed: int, size: tuple[float, float, float], items: Sequence[Item], lights: Sequence[Light]) -> Room:
    """The room made of these items; instances are the things among them, in their order."""
    categories = room_categories()
    category_of_item = np.array([categories.index_of(item.category) for item in items])
    is_thing = categories.is_thing[category_of_item]
    instance_of_item = np.where(is_thing, np.cumsum(is_thing) - 1, VOID)
    parts = [part for item in items for part in item.parts]
    item_of_part = np.repeat(np.arange(len(items)), [len(item.parts) for item in items])
    part_of_face = np.repeat(np.arange(len(parts)), [len(part.faces) for part in parts]).astype(np.int32)
    item_of_face = item_of_part[part_of_face]
    category = category_of_item[item_of_face].astype(np.int32)
    instance = instance_of_item[item_of_face].astype(np.int32)
    labels = Labels(category, instance)
    return Room(seed, size, joined(parts), labels, part_of_face, tuple(parts), tuple(lights), categories)
