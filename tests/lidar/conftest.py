"""A toy scan: boxes on a floor around the sensor, with vision features that are their classes' embeddings."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from jaxtyping import Float

from panrecon.lidar.classify import TextEmbeddings, class_text_embeddings
from panrecon.lidar.settings import EncoderSettings, NetworkSettings
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
TINY = NetworkSettings(
    grid_over((20, 24, 6), (-2.0, 2.0), 20.0),
    EncoderSettings((8, 16), 8, 8, (8, 16), ((2, 2, 2), (2, 2, 1)), 16),
    embedding_width=EMBEDDING,
    free_queries=6,
    anchored_queries=4,
    wavelengths=3,
    layers=2,
    heads=2,
    feed_forward_width=16,
)


def narrow(width: int = 8, **changes: Any) -> NetworkSettings:
    """The tiny network's settings with features of another width, and without anchors unless told."""
    encoder = replace(TINY.encoder, output_width=width)
    return replace(TINY, encoder=encoder, **{"anchored_queries": 0, **changes})


@dataclass(frozen=True)
class ToyScan:
    points: Float[np.ndarray, "n 4"]
    features: PointFeatures
    labels: Labels


def embedding_of_name() -> dict[str, Float[np.ndarray, " D"]]:
    axes = np.linalg.qr(np.random.default_rng(5).standard_normal((EMBEDDING, EMBEDDING)))[0].astype(np.float32)
    names = [name for category in TABLE for name in (category.name, *category.synonyms)]
    return dict(zip(names, 0.5 * axes[-1] + axes[: len(names)], strict=True))


def toy_scan(seed: int = 0) -> ToyScan:
    """Road within 8 m and grass beyond, two cars, a bus and a piece of wall; the rear is in no image."""
    rng = np.random.default_rng(seed)
    ground = np.column_stack([rng.uniform(-16, 16, (900, 2)), np.full(900, -1.5)])
    parts = [ground]
    categories = [np.where(np.hypot(ground[:, 0], ground[:, 1]) < 8, 1, 3)]
    instances = [np.full(900, VOID)]
    boxes = [(0, 4, 4, 1.5), (0, 5, -4, 1.5), (2, -6, 3, 3.0), (4, 12, 0, 3.0)]
    for instance, (category, x, y, size) in enumerate(boxes):
        parts.append(rng.uniform(-0.5, 0.5, (120, 3)) * [size, size, 1.5] + [x, y, -0.7])
        categories.append(np.full(120, category))
        instances.append(np.full(120, instance if TABLE[category].thing else VOID))
    xyz = np.concatenate(parts)
    category_of_point = np.concatenate(categories)
    points = np.column_stack([xyz, rng.uniform(0, 1, len(xyz))]).astype(np.float32)
    embeddings = np.stack([embedding_of_name()[entry.name] for entry in TABLE])
    valid = xyz[:, 0] > -10
    values = np.where(
        valid[:, None], embeddings[category_of_point] + 0.05 * rng.standard_normal((len(xyz), EMBEDDING)), 0
    )
    labels = Labels(category_of_point.astype(np.int64), np.concatenate(instances).astype(np.int64))
    return ToyScan(points, PointFeatures(values.astype(np.float32), valid), labels)


def first_points(scan: ToyScan, count: int) -> ToyScan:
    features = PointFeatures(scan.features.values[:count], scan.features.valid[:count])
    return ToyScan(scan.points[:count], features, Labels(scan.labels.category[:count], scan.labels.instance[:count]))


def without_images(scan: ToyScan) -> ToyScan:
    none = PointFeatures(np.zeros_like(scan.features.values), np.zeros_like(scan.features.valid))
    return replace(scan, features=none)


@pytest.fixture(scope="session")
def text() -> TextEmbeddings:
    return class_text_embeddings(TABLE, embedding_of_name(), NOVEL)


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)
