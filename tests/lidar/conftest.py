"""A toy scan: boxes on a floor around the sensor, with vision features that are their classes' embeddings."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from jaxtyping import Float

from panrecon.lidar.classify import Vocabulary, vocabulary
from panrecon.lidar.settings import EncoderSizes, NetworkSizes
from panrecon.lidar.voxels import grid_over
from panrecon.structures import VOID, Category, CategoryTable, Labels, PointFeatures

EMBEDDING = 12
TABLE = CategoryTable(
    (
        Category(1, "car", thing=True, synonyms=("auto",)),
        Category(2, "road", thing=False),
        Category(3, "bus", thing=True),
        Category(4, "grass", thing=False),
        Category(5, "wall", thing=False),
    )
)
NOVEL = ("bus", "grass")
TINY = NetworkSizes(
    grid_over((20, 24, 6), (-2.0, 2.0), 20.0),
    EncoderSizes((8, 16), 8, 8, (8, 16), ((2, 2, 2), (2, 2, 1)), 16),
    embedding=EMBEDDING,
    free_queries=6,
    sampled_queries=4,
    waves=3,
    layers=2,
    heads=2,
    hidden=16,
)


@dataclass(frozen=True)
class ToyScan:
    points: Float[np.ndarray, "n 4"]
    features: PointFeatures
    labels: Labels


def embedding_of_word() -> dict[str, Float[np.ndarray, " D"]]:
    axes = np.linalg.qr(np.random.default_rng(5).standard_normal((EMBEDDING, EMBEDDING)))[0].astype(np.float32)
    words = [word for category in TABLE for word in (category.name, *category.synonyms)]
    return dict(zip(words, 0.5 * axes[-1] + axes[: len(words)], strict=True))


def toy_scan(seed: int = 0) -> ToyScan:
    """Road within 8 m and grass beyond, two cars, a bus and a piece of wall; the rear is in no image."""
    rng = np.random.default_rng(seed)
    ground = np.column_stack([rng.uniform(-16, 16, (900, 2)), np.full(900, -1.5)])
    rows = np.where(np.hypot(ground[:, 0], ground[:, 1]) < 8, 1, 3)
    parts, categories, instances = [ground], [rows], [np.full(900, VOID)]
    for number, (row, x, y, size) in enumerate([(0, 4, 4, 1.5), (0, 5, -4, 1.5), (2, -6, 3, 3.0), (4, 12, 0, 3.0)]):
        parts.append(rng.uniform(-0.5, 0.5, (120, 3)) * [size, size, 1.5] + [x, y, -0.7])
        categories.append(np.full(120, row))
        instances.append(np.full(120, number if TABLE[row].thing else VOID))
    xyz, category = np.concatenate(parts), np.concatenate(categories)
    points = np.column_stack([xyz, rng.uniform(0, 1, len(xyz))]).astype(np.float32)
    embeddings = np.stack([embedding_of_word()[entry.name] for entry in TABLE])
    valid = xyz[:, 0] > -10
    values = np.where(valid[:, None], embeddings[category] + 0.05 * rng.standard_normal((len(xyz), EMBEDDING)), 0)
    labels = Labels(category.astype(np.int64), np.concatenate(instances).astype(np.int64))
    return ToyScan(points, PointFeatures(values.astype(np.float32), valid), labels)


def emptied(scan: ToyScan, kept: int) -> ToyScan:
    """Its first points."""
    features = PointFeatures(scan.features.values[:kept], scan.features.valid[:kept])
    return ToyScan(scan.points[:kept], features, Labels(scan.labels.category[:kept], scan.labels.instance[:kept]))


def without_images(scan: ToyScan) -> ToyScan:
    none = PointFeatures(np.zeros_like(scan.features.values), np.zeros_like(scan.features.valid))
    return replace(scan, features=none)


@pytest.fixture(scope="session")
def words() -> Vocabulary:
    return vocabulary(TABLE, embedding_of_word(), NOVEL)


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)
