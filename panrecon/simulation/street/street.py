"""The built-in street: seeded, its surfaces know their class, their object and their texture, and some of it moves.

The world has z up; the street runs along +x, driven on the right, its middle line at y = 0 and the road at z = 0 (m).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Final, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from panrecon.roles import Role
from panrecon.simulation.scene.shapes import Part, Point, moved, pose
from panrecon.simulation.scene.surface import PartTextures, joined, unit_normals
from panrecon.simulation.street.layout import StreetItem, street_items
from panrecon.structures import VOID, Category, CategoryTable, Labels, TriangleMesh


class BenchmarkIds(NamedTuple):
    """The benchmarks' raw ids of a class: SemanticKITTI has ids of their own for what moves; 0 is unlabelled."""

    kitti360: int
    semantic_kitti: int
    semantic_kitti_moving: int
    nuscenes: int


# Class: whether single objects of it are numbered, and its ids.
_CLASSES: Final = {
    "road": (False, BenchmarkIds(7, 40, 40, 24)),
    "sidewalk": (False, BenchmarkIds(8, 48, 48, 26)),
    "parking": (False, BenchmarkIds(9, 44, 44, 24)),
    "terrain": (False, BenchmarkIds(22, 72, 72, 27)),
    "building": (True, BenchmarkIds(11, 50, 50, 28)),
    "fence": (False, BenchmarkIds(13, 51, 51, 28)),
    "vegetation": (False, BenchmarkIds(21, 70, 70, 30)),
    "trunk": (False, BenchmarkIds(21, 71, 71, 30)),
    "pole": (True, BenchmarkIds(17, 80, 80, 28)),
    "traffic light": (True, BenchmarkIds(19, 99, 99, 28)),
    "traffic sign": (True, BenchmarkIds(20, 81, 81, 28)),
    "trash bin": (True, BenchmarkIds(39, 99, 99, 11)),
    "person": (True, BenchmarkIds(24, 30, 254, 2)),
    "car": (True, BenchmarkIds(26, 10, 252, 17)),
    "truck": (True, BenchmarkIds(27, 18, 258, 23)),
    "bus": (True, BenchmarkIds(28, 13, 257, 16)),
    "motorcycle": (True, BenchmarkIds(32, 15, 15, 21)),
    "bicycle": (True, BenchmarkIds(33, 11, 11, 14)),
    "barrier": (True, BenchmarkIds(42, 52, 52, 9)),
    "traffic cone": (True, BenchmarkIds(44, 99, 99, 12)),
    "sky": (False, BenchmarkIds(23, 0, 0, 0)),
}
BENCHMARK_IDS: Final = {name: ids for name, (_, ids) in _CLASSES.items()}


def street_categories() -> CategoryTable:
    """The classes of every built-in street, without roles; `raw_ids` are KITTI-360's. Sky is where nothing is."""
    return CategoryTable(
        tuple(
            Category(id=category_id, name=name, thing=thing, raw_ids=(ids.kitti360,), stated_role=Role.ANY)
            for category_id, (name, (thing, ids)) in enumerate(_CLASSES.items(), start=1)
        )
    )


@dataclass(frozen=True)
class StreetSurface:
    """All that is solid in the street at one moment, in the world frame.

    `labels` and `part_of_face` are per face of `mesh`; stuff has the instance `VOID`.
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
    def _textures(self) -> PartTextures:
        return PartTextures.of(self.parts)

    def texture(self, points: Float[np.ndarray, "n 3"], face: Int[np.ndarray, " n"]) -> Float[np.ndarray, "n 3"]:
        """The albedo, RGB in [0, 1], of world points on these faces."""
        return self._textures.color_at(points, self.normals[face], self.part_of_face[face])


@dataclass(frozen=True)
class Street:
    """A street of `length` metres to drive along, with what lies beside, before and behind it.

    Instances are the things among `items`, in their order.
    """

    seed: int
    length: float
    items: tuple[StreetItem, ...]
    categories: CategoryTable

    @cached_property
    def labels(self) -> Labels:
        """Category and instance of every item."""
        category = np.array([self.categories.index_of(item.category) for item in self.items], dtype=np.int32)
        is_thing = self.categories.is_thing[category]
        return Labels(category, np.where(is_thing, np.cumsum(is_thing) - 1, VOID).astype(np.int32))

    @cached_property
    def is_dynamic_item(self) -> Bool[np.ndarray, " items"]:
        """Whether an item moves during the drive; a parked car does not."""
        return np.array([any(item.velocity) for item in self.items])

    @cached_property
    def is_dynamic_instance(self) -> Bool[np.ndarray, " I"]:
        """Whether an instance moves during the drive."""
        return self.is_dynamic_item[self.labels.instance != VOID]

    @cached_property
    def category_of_instance(self) -> Int[np.ndarray, " I"]:
        """The class index of every instance."""
        return self.labels.category[self.labels.instance != VOID]

    def surface_at(self, time: float) -> StreetSurface:
        """The surface at a time (s from the first frame); faces keep their indices at all times."""
        parts: list[Part] = []
        item_of_part: list[int] = []
        for item_index, item in enumerate(self.items):
            shift = pose(_scaled(item.velocity, time))
            parts.extend(moved(item.parts, shift) if self.is_dynamic_item[item_index] else item.parts)
            item_of_part.extend([item_index] * len(item.parts))
        part_of_face = np.repeat(np.arange(len(parts)), [len(part.faces) for part in parts]).astype(np.int32)
        labels = self.labels.at(np.array(item_of_part)[part_of_face])
        return StreetSurface(joined(parts), labels, part_of_face, tuple(parts))


def build_street(seed: int, length: float = 60.0) -> Street:
    """The street of this seed; the same seed and length give the same bytes."""
    return assemble_street(seed, length, street_items(np.random.default_rng([seed, 80]), length))


def assemble_street(seed: int, length: float, items: Iterable[StreetItem]) -> Street:
    """The street made of these items."""
    return Street(seed, length, tuple(items), street_categories())


def _scaled(velocity: Point, time: float) -> Point:
    return velocity[0] * time, velocity[1] * time, velocity[2] * time
