"""A flat world of tiles: a tile is a superface of 100 vertices, a vertex a pixel; frames show windows of it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from jaxtyping import Bool, Int

from panrecon.config import GraphSettings
from panrecon.graph.adjacency import SuperfaceAdjacency
from panrecon.graph.evidence import Evidence
from panrecon.graph.instances import GraphResult, infer_instances
from panrecon.graph.observation import FrameObservation, aggregate_observations
from panrecon.masks.overlap import resolve_overlaps
from panrecon.structures import VOID, CategoryTable, Detections, Labels

TILE = 10  # pixels along an edge
WALL, FLOOR, CHAIR, TABLE, CLUTTER = range(5)
RULES = ("panopticrecon", "consensus")
NO_ADJACENCY = SuperfaceAdjacency(np.zeros((0, 2), np.int64), np.zeros(0))


@dataclass(frozen=True)
class Shot:
    """One frame: the vertex at every pixel (`VOID` = none), what was detected in it, and the camera's position."""

    name: str
    vertex: Int[np.ndarray, "h w"]
    detections: Detections
    position: float | None = None  # m; None: a position of its own

    def observation(self, number: int, table: CategoryTable) -> FrameObservation:
        pose = np.eye(4)
        pose[0, 3] = number if self.position is None else -1 - self.position
        seen = self.vertex != VOID
        order = np.argsort(self.vertex[seen], kind="stable")
        is_thing = table.is_thing[self.detections.category]
        thing, stuff = (resolve_overlaps(self.detections, chosen)[seen][order] for chosen in (is_thing, ~is_thing))
        found = self.detections
        return FrameObservation(self.name, pose, found.category, found.score, self.vertex[seen][order], thing, stuff)


@dataclass(frozen=True)
class Tiles:
    """A truth: the class and the object (any number; same class and number = same object) of every tile."""

    category: Int[np.ndarray, "rows columns"]
    number: Int[np.ndarray, "rows columns"]

    @property
    def count(self) -> int:
        return self.category.size

    def tile_image(self) -> Int[np.ndarray, "h w"]:
        tile = np.arange(self.count, dtype=np.int32).reshape(self.category.shape)
        return tile.repeat(TILE, axis=0).repeat(TILE, axis=1)

    def vertex_image(self) -> Int[np.ndarray, "h w"]:
        return np.arange(self.count * TILE**2, dtype=np.int32).reshape(self.tile_image().shape)

    @property
    def superface_of_vertex(self) -> Int[np.ndarray, " V"]:
        return self.tile_image().ravel()

    @property
    def labels_of_vertex(self) -> Labels:
        """The truth; numbers of things only."""
        tile = self.superface_of_vertex
        category = self.category.ravel()[tile].astype(np.int32)
        number = self.number.ravel()[tile].astype(np.int32)
        return Labels(category, np.where(number > 0, number, VOID).astype(np.int32))

    def perfect(self, name: str, columns: slice = slice(None)) -> Shot:
        """A frame that shows these columns of tiles, every object of which has one exact mask."""
        pixels = slice((columns.start or 0) * TILE, None if columns.stop is None else columns.stop * TILE)
        tile = self.tile_image()[:, pixels]
        objects = sorted({(int(self.category.flat[i]), int(self.number.flat[i])) for i in np.unique(tile)})
        masks = [self.is_part(*found).ravel()[tile] for found in objects]
        vertex = np.ascontiguousarray(self.vertex_image()[:, pixels])
        return Shot(name, vertex, detections([category for category, _ in objects], masks))

    def is_part(self, category: int, number: int) -> Bool[np.ndarray, "rows columns"]:
        return (self.category == category) & (self.number == number)


def detections(category: Sequence[int], masks: Sequence[np.ndarray], score: Sequence[float] = ()) -> Detections:
    """Masks with the given scores, else 0.9, 0.89, ..."""
    scores = np.array(score or [0.9 - 0.01 * number for number in range(len(masks))], dtype=np.float32)
    return Detections(np.array(category, dtype=np.int32), scores, np.stack(masks).astype(bool))


def observations(shots: Iterable[Shot], table: CategoryTable) -> list[FrameObservation]:
    return [shot.observation(number, table) for number, shot in enumerate(shots)]


def evidence_of(shots: Iterable[Shot], table: CategoryTable, superface_of_vertex: np.ndarray) -> Evidence:
    """The evidence on superfaces."""
    on_vertices = aggregate_observations(observations(shots, table), table, len(superface_of_vertex))
    return on_vertices.grouped(superface_of_vertex, int(superface_of_vertex.max()) + 1)


def solve(
    shots: Iterable[Shot],
    table: CategoryTable,
    superface_of_vertex: np.ndarray,
    rule: str = "consensus",
    **changed: int,
) -> GraphResult:
    """The result of otherwise default settings."""
    settings = GraphSettings.model_validate({"rule": rule, **changed})
    return infer_instances(observations(shots, table), superface_of_vertex, NO_ADJACENCY, table, settings)


def labels_of_vertices(found: GraphResult) -> Labels:
    return found.instances.of_superface.at(found.superface_of_vertex)


def partition(labels: Labels) -> set[tuple[int, frozenset[int]]]:
    """The class and the points of every object: what is left of a result when its numbers are forgotten."""
    return {
        (int(labels.category[mine][0]), frozenset(np.flatnonzero(mine).tolist()))
        for number in np.unique(labels.instance[labels.instance != VOID])
        for mine in [labels.instance == number]
    }


@pytest.fixture(scope="session")
def tiles() -> Tiles:
    """Two chairs side by side and a table, on a floor before a wall."""
    category = np.array([[WALL] * 8, [CHAIR, CHAIR, CHAIR, CHAIR, WALL, TABLE, TABLE, WALL], [FLOOR] * 8])
    number = np.array([[0] * 8, [1, 1, 2, 2, 0, 3, 3, 0], [0] * 8])
    return Tiles(category, number)


@pytest.fixture(scope="session")
def walk(tiles: Tiles) -> list[Shot]:
    """Frames that pass by: no frame but the last shows all."""
    windows = [slice(start, start + 5) for start in (0, 0, 1, 2, 3, 3)]
    shots = [tiles.perfect(f"{number:02}", window) for number, window in enumerate(windows)]
    return [*shots, tiles.perfect("99")]
