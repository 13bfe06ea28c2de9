"""Simulated vision-language features of LiDAR points and simulated text embeddings. A test bench, neither is CLIP's."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float, Int

from panrecon.features.points import MapView, read_points
from panrecon.geometry.projective import invert
from panrecon.simulation.predictions.features import coverage_of, segments_of
from panrecon.simulation.street.camera import StreetView
from panrecon.structures import FeatureMap, PointFeatures, normalised

CELL: Final = 8  # px of an image a feature
_LANGUAGE: Final = 84  # seed of all text embeddings: a text encoder is the same everywhere

# Words of one family mean like things: their embeddings are close.
_FAMILIES: Final = (
    ("car", "truck", "bus", "trailer", "caravan", "train", "construction vehicle", "other vehicle", "unknown vehicle"),
    ("bicycle", "motorcycle", "bicyclist", "motorcyclist", "rider"),
    ("person", "pedestrian"),
    ("road", "sidewalk", "parking", "driveable surface", "other ground", "other flat", "rail track"),
    ("vegetation", "trunk", "terrain"),
    ("building", "wall", "fence", "manmade", "bridge", "tunnel", "guard rail", "barrier", "unknown construction"),
    ("pole", "polegroup", "traffic sign", "traffic light", "lamp", "stop"),
    ("traffic cone", "trash bin", "box", "vending machine", "unknown object"),
    ("sky",),
)
_WORDS: Final = tuple(word for family in _FAMILIES for word in family)
_SYNONYMS: Final = {
    "house": "building", "garage": "building", "gate": "fence", "tree": "vegetation", "bush": "vegetation",
    "hedge": "vegetation", "tree crown": "vegetation", "tree trunk": "trunk", "grass": "terrain", "street": "road",
    "lane marking": "road", "pavement": "sidewalk", "parking lot": "parking", "small pole": "pole",
    "smallpole": "pole", "road sign": "traffic sign", "street lamp": "lamp", "trash can": "trash bin",
    "bike": "bicycle", "motorbike": "motorcycle", "cyclist": "bicyclist", "excavator": "construction vehicle",
    "crane": "construction vehicle", "tram": "train",
}  # fmt: skip
LEAST_DIMENSIONS: Final = 1 + len(_FAMILIES) + len(_WORDS)


@dataclass(frozen=True)
class VisionFaults:
    """Deviations of features, as lengths beside the unit embedding of the class; `blur` in cells over boundaries.

    `object_noise` is one error for all of an object in one image, `patch_noise` differs from cell to cell. A share
    `mistaken` of the objects of an image shows a mixture with the class most like theirs, any part of it.
    """

    mistaken: float = 0.25
    object_noise: float = 0.35
    patch_noise: float = 0.4
    blur: float = 0.6


def simulated_text_embeddings(words: Sequence[str], dimensions: int = 64) -> Float[np.ndarray, "n D"]:
    """Unit vectors that depend on the word alone; all cosines are positive, as CLIP's are.

    Different words of the vocabulary have cosines of 0.25 to 0.3, and of 0.6 to 0.7 within a family such as car,
    truck and bus. Synonyms are closer still; a word that is not known is about as far from all of them.
    """
    if dimensions < LEAST_DIMENSIONS:
        raise ValueError(f"{dimensions} dimensions are too few for the vocabulary; {LEAST_DIMENSIONS} are needed.")
    turn = np.random.default_rng(_LANGUAGE).standard_normal((dimensions, dimensions))
    axes = np.linalg.qr(turn)[0].T
    return np.stack([_embedding(normalised(word), axes) for word in words]).astype(np.float32)


def _embedding(word: str, axes: Float[np.ndarray, "D D"]) -> Float[np.ndarray, " D"]:
    """Parts along the axis of all words, along that of the word's family and along its own."""
    rng = np.random.default_rng([_LANGUAGE, zlib.crc32(word.encode())])
    common = rng.uniform(0.25, 0.3)
    family = rng.uniform(0.35, 0.4)
    if word in _SYNONYMS:
        mixture = _embedding(_SYNONYMS[word], axes) + 0.5 * _embedding(f"the word {word}", axes)
        return mixture / np.linalg.norm(mixture)
    if word not in _WORDS:
        own = rng.standard_normal(len(axes) - 1) @ axes[1:]
        return np.sqrt(common) * axes[0] + np.sqrt(1 - common) * own / np.linalg.norm(own)
    number = next(i for i, members in enumerate(_FAMILIES) if word in members)
    own = axes[1 + len(_FAMILIES) + _WORDS.index(word)]
    return np.sqrt(common) * axes[0] + np.sqrt(family) * axes[1 + number] + np.sqrt(1 - common - family) * own


def simulated_point_features(
    points: Float[np.ndarray, "n 3"],
    views: Sequence[StreetView],
    embedding_of_row: Float[np.ndarray, "C D"],
    faults: VisionFaults | None = None,
    *,
    seed: int = 0,
    frame: int = 0,
) -> PointFeatures:
    """What world points read from features of the views: the mean over those whose image they fall into.

    Whether something hides a point is not asked, as in OpenScene. A class's pixels show its row of the embeddings.
    """
    faults = VisionFaults() if faults is None else faults
    shown = (
        MapView(view.camera, invert(view.world_from_camera), _feature_image(view, embedding_of_row, faults, rng))
        for number, view in enumerate(views)
        for rng in [np.random.default_rng([seed, frame, number, 85])]
    )
    return read_points(points, shown).features()


def _feature_image(
    view: StreetView, embedding_of_row: Float[np.ndarray, "C D"], faults: VisionFaults, rng: np.random.Generator
) -> FeatureMap:
    segments, number = segments_of(view.truth)
    rows, columns = max(1, view.camera.height // CELL), max(1, view.camera.width // CELL)
    dimensions = embedding_of_row.shape[1]
    share = coverage_of(number, len(segments), (rows, columns), faults.blur)
    unit = 1 / np.sqrt(dimensions)
    signal = _mixed(segments[:, 0], embedding_of_row, faults.mistaken, rng)
    signal += faults.object_noise * unit * rng.standard_normal(signal.shape)
    noise = faults.patch_noise * unit * rng.standard_normal((rows, columns, dimensions))
    return FeatureMap((share @ signal + noise).astype(np.float32))


def _mixed(
    rows: Int[np.ndarray, " s"], embedding_of_row: Float[np.ndarray, "C D"], share: float, rng: np.random.Generator
) -> Float[np.ndarray, "s D"]:
    """The embeddings of segments of these classes, a share of them mixed with their class's next one."""
    cosine = embedding_of_row @ embedding_of_row.T
    cosine[cosine > 0.999] = -1.0  # itself, or another class that has the same word
    next_row = cosine.argmax(axis=1)[rows]
    part = np.where(rng.uniform(size=len(rows)) < share, rng.uniform(size=len(rows)), 0.0)[:, None]
    return (1 - part) * embedding_of_row[rows] + part * embedding_of_row[next_row]
