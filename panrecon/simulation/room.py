"""The built-in scene: a seeded, furnished room whose surfaces know their class, their object and their texture."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from jaxtyping import Float, Int

from panrecon.geometry import face_normals
from panrecon.simulation.furnish import furnished
from panrecon.simulation.items import Item, Light
from panrecon.simulation.shapes import Part
from panrecon.simulation.textures import PATTERNS, Points, surface_points
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
    rows = [(name, words, False) for name, words in _STUFF.items()] + [
        (name, words, True) for name, words in _THINGS.items()
    ]
    return CategoryTable(
        tuple(
            Category(id=i, name=name, thing=thing, synonyms=words, raw_ids=(i,))
            for i, (name, words, thing) in enumerate(rows, start=1)
        )
    )


@dataclass(frozen=True)
class Room:
    """A furnished room with z up, its floor at z = 0 and one corner at the origin (m).

    `labels` and `part_of_face` belong to the faces of `mesh`; stuff has the instance `VOID`. Items that stand
    apart share no vertices. Points of a part are textured in the part's own frame.
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
        return int(self.labels.instance.max()) + 1

    @cached_property
    def glow(self) -> Float[np.ndarray, " F"]:
        """Light that each face gives off by itself (1 = as bright as white paper in the room)."""
        return np.array([part.material.glow for part in self.parts])[self.part_of_face]

    @cached_property
    def boxes(self) -> Float[np.ndarray, "I 2 3"]:
        """Lowest and highest corner of every instance."""
        corners = self.mesh.vertices[self.mesh.faces]
        members = [corners[self.labels.instance == i].reshape(-1, 3) for i in range(self.instance_count)]
        return np.array([[points.min(axis=0), points.max(axis=0)] for points in members])

    @cached_property
    def category_of_instance(self) -> Int[np.ndarray, " I"]:
        things = self.labels.instance != VOID
        result = np.empty(self.instance_count, dtype=np.int32)
        result[self.labels.instance[things]] = self.labels.category[things]
        return result

    @cached_property
    def _tables(self) -> "_PartTables":
        return _PartTables.of(self.parts)

    def texture(self, points: Float[np.ndarray, "n 3"], face: Int[np.ndarray, " n"]) -> Float[np.ndarray, "n 3"]:
        """The unlit colour, RGB in [0, 1], of world points on these faces."""
        part = self.part_of_face[face]
        local = np.einsum(
            "nij,nj->ni", self._tables.rotation[part], points.astype(np.float32) - self._tables.origin[part]
        )
        normals = np.einsum("nij,nj->ni", self._tables.rotation[part], self._unit_normals[face])
        result = np.empty((len(points), 3), dtype=np.float32)
        for number, name in enumerate(PATTERNS):
            chosen = np.flatnonzero(self._tables.pattern[part] == number)
            if len(chosen):
                result[chosen] = PATTERNS[name](self._tables.at(part[chosen], local[chosen], normals[chosen]))
        return np.clip(result, 0.0, 1.0)

    @cached_property
    def _unit_normals(self) -> Float[np.ndarray, "F 3"]:
        normals = face_normals(self.mesh.vertices, self.mesh.faces)
        return (normals / np.linalg.norm(normals, axis=1, keepdims=True)).astype(np.float32)


@dataclass(frozen=True)
class _PartTables:
    """Materials and frames of all parts as arrays."""

    rotation: Float[np.ndarray, "P 3 3"]
    origin: Float[np.ndarray, "P 3"]
    extent: Float[np.ndarray, "P 3"]
    color: Float[np.ndarray, "P 3"]
    accent: Float[np.ndarray, "P 3"]
    scale: Float[np.ndarray, " P"]
    seed: Int[np.ndarray, " P"]
    pattern: Int[np.ndarray, " P"]

    @classmethod
    def of(cls, parts: Sequence[Part]) -> "_PartTables":
        names = list(PATTERNS)
        return cls(
            rotation=np.array([part.world_from_part[:3, :3].T for part in parts], dtype=np.float32),
            origin=np.array([part.world_from_part[:3, 3] for part in parts], dtype=np.float32),
            extent=np.array([part.extent for part in parts], dtype=np.float32),
            color=np.array([part.material.color for part in parts], dtype=np.float32),
            accent=np.array([part.material.accent for part in parts], dtype=np.float32),
            scale=np.array([part.material.scale for part in parts], dtype=np.float32),
            seed=np.array([part.material.seed for part in parts]),
            pattern=np.array([names.index(part.material.pattern) for part in parts]),
        )

    def at(
        self, part: Int[np.ndarray, " n"], local: Float[np.ndarray, "n 3"], normals: Float[np.ndarray, "n 3"]
    ) -> Points:
        return surface_points(
            local, normals, self.extent[part], self.color[part], self.accent[part], self.scale[part], self.seed[part]
        )


def build_room(seed: int) -> Room:
    """The room of this seed; the same seed gives the same bytes."""
    size, items, lights = furnished(np.random.default_rng([seed, 20]))
    return assemble(seed, size, items, lights)


def assemble(seed: int, size: tuple[float, float, float], items: Sequence[Item], lights: Sequence[Light]) -> Room:
    """The room made of these items; things are numbered in their order."""
    categories = room_categories()
    rows = np.array([categories.row_of(item.category) for item in items])
    is_thing = categories.is_thing[rows]
    instances = np.where(is_thing, np.cumsum(is_thing) - 1, VOID)
    parts = [part for item in items for part in item.parts]
    item_of_part = np.repeat(np.arange(len(items)), [len(item.parts) for item in items])
    part_of_face = np.repeat(np.arange(len(parts)), [len(part.faces) for part in parts]).astype(np.int32)
    item_of_face = item_of_part[part_of_face]
    labels = Labels(rows[item_of_face].astype(np.int32), instances[item_of_face].astype(np.int32))
    return Room(seed, size, _joined(parts), labels, part_of_face, tuple(parts), tuple(lights), categories)


def _joined(parts: Sequence[Part]) -> TriangleMesh:
    offsets = np.cumsum([0] + [len(part.vertices) for part in parts])
    vertices = np.concatenate([part.vertices for part in parts])
    faces = np.concatenate([part.faces + offset for part, offset in zip(parts, offsets[:-1], strict=True)])
    colors = np.concatenate([np.tile(part.material.color, (len(part.vertices), 1)) for part in parts])
    return TriangleMesh(vertices, faces.astype(np.int32), np.rint(255 * colors.clip(0, 1)).astype(np.uint8))
