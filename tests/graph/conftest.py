"""A flat world of tiles: a tile is a superface of 100 pixels, frames show windows of it, masks are sets of tiles."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from jaxtyping import Bool, Int

from panrecon.config import GraphSettings
from panrecon.graph.evidence import Evidence, frame_overlap, gather
from panrecon.graph.instances import infer_instances
from panrecon.graph.voting import membership, vote
from panrecon.structures import CategoryTable, Detections, Instances

TILE = 10  # pixels along an edge
WALL, FLOOR, CHAIR, TABLE, CLUTTER = range(5)


@dataclass(frozen=True)
class Shot:
    """One frame: its superface image and what was detected in it."""

    name: str
    superface: Int[np.ndarray, "h w"]
    detections: Detections


@dataclass(frozen=True)
class Tiles:
    """A truth: the class and the object (any number; same class and number = same object) of every tile."""

    category: Int[np.ndarray, "rows columns"]
    number: Int[np.ndarray, "rows columns"]

    @property
    def count(self) -> int:
        return self.category.size

    def superface_image(self) -> Int[np.ndarray, "h w"]:
        tile = np.arange(self.count, dtype=np.int32).reshape(self.category.shape)
        return tile.repeat(TILE, axis=0).repeat(TILE, axis=1)

    def perfect(self, name: str, columns: slice = slice(None)) -> Shot:
        """A frame that shows these columns of tiles, every object of which has one exact mask."""
        pixels = slice((columns.start or 0) * TILE, None if columns.stop is None else columns.stop * TILE)
        superface = self.superface_image()[:, pixels]
        objects = sorted({(int(self.category.flat[i]), int(self.number.flat[i])) for i in np.unique(superface)})
        masks = [self.is_part(*found).ravel()[superface] for found in objects]
        return Shot(name, superface, detections([category for category, _ in objects], masks))

    def is_part(self, category: int, number: int) -> Bool[np.ndarray, "rows columns"]:
        return (self.category == category) & (self.number == number)


def detections(category: Sequence[int], masks: Sequence[np.ndarray], score: Sequence[float] = ()) -> Detections:
    """Masks with the given scores, else 0.9, 0.89, ..."""
    scores = np.array(score or [0.9 - 0.01 * number for number in range(len(masks))], dtype=np.float32)
    return Detections(np.array(category, dtype=np.int32), scores, np.stack(masks).astype(bool))


def evidence_of(shots: Iterable[Shot], table: CategoryTable, count: int) -> Evidence:
    overlaps = (frame_overlap(shot.name, shot.superface, shot.detections, table, count) for shot in shots)
    return gather(overlaps, table, count)


def solve(shots: Iterable[Shot], table: CategoryTable, count: int, min_frames: int = 3) -> Instances:
    """The instances of otherwise default settings."""
    settings = GraphSettings(min_frames=min_frames)
    evidence = evidence_of(shots, table, count)
    members = membership(evidence, settings.overlap)
    return infer_instances(evidence, members, vote(evidence, members), table, settings)[0]


def partition(instances: Instances) -> set[tuple[int, frozenset[int]]]:
    """The class and the superfaces of every object: what is left of a result when its numbers are forgotten."""
    labels = instances.of_superface
    return {
        (found.category, frozenset(np.flatnonzero(labels.instance == number).tolist()))
        for number, found in enumerate(instances.objects)
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
