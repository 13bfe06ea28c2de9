"""Simulated vision-language features of LiDAR points and simulated text embeddings. A test bench, neither is CLIP's."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float, Int

from panrecon.features.points import MapView, interpolate_views
from panrecon.geometry.projective import invert
from panrecon.simulation.predictions.features import coverage_of, segments_of
from panrecon.simulation.street.camera import StreetView
from panrecon.structures import FeatureMap, PointFeatures, normalised

CELL: Final = 8  # px, width of the image patch of one feature
_LANGUAGE: Final = 84  # seed of all text embeddings: a text encoder is the same everywhere

# Words of one family have similar embeddings.
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
MIN_DIMENSIONS: Final = 1 + len(_FAMILIES) + len(_WORDS)


@dataclass(frozen=True)
class PointFeatureFaults:
    """Errors of features, as lengths relative to the unit embedding of the class; `blur` is a Gaussian's, in cells.

    `object_noise` is one error for all of an object in one image, `patch_noise` differs from cell to cell. A share
    `confused` of the objects of an image has a random mixture with the embedding of the most similar class.
    """

    confused: float = 0.25
    object_noise: float = 0.35
    patch_noise: float = 0.4
    blur: float = 0.6


def simulated_text_embeddings(words: Sequence[str], dimensions: int = 64) -> Float[np.ndarray, "n D"]:
    """Unit vectors that depend on the word alone; all cosines are positive, as CLIP's are.

    Different words of the vocabulary have cosines of 0.25 to 0.3, and of 0.6 to 0.7 within a family such as car,
    truck and bus. Synonyms are more similar; an unknown word has a cosine of 0.25 to 0.3 with all of them.
    """
    if dimensions < MIN_DIMENSIONS:
        raise ValueError(f"{dimensions} dimensions are too few for the vocabulary; {MIN_DIMENSIONS} are needed.")
    random_matrix = np.random.default_rng(_LANGUAGE).standard_normal((dimensions, dimensions))
    axes = np.linalg.qr(random_matrix)[0].T
    return np.stack([_embedding(normalised(word), axes) for word in words]).astype(np.float32)


def _embedding(word: str, axes: Float[np.ndarray, "D D"]) -> Float[np.ndarray, " D"]:
    """The sum of components along the axis of all words, along that of the word's family and along its own."""
    rng = np.random.default_rng([_LANGUAGE, zlib.crc32(word.encode())])
    common = rng.uniform(0.25, 0.3)
    family = rng.uniform(0.35, 0.4)
    if word in _SYNONYMS:
        mixture = _embedding(_SYNONYMS[word], axes) + 0.5 * _embedding(f"the word {word}", axes)
        return mixture / np.linalg.norm(mixture)
    if word not in _WORDS:
        own_axis = rng.standard_normal(len(axes) - 1) @ axes[1:]
        return np.sqrt(common) * axes[0] + np.sqrt(1 - common) * own_axis / np.linalg.norm(own_axis)
    family_index = next(index for index, words in enumerate(_FAMILIES) if word in words)
    family_axis = axes[1 + family_index]
    own_axis = axes[1 + len(_FAMILIES) + _WORDS.index(word)]
    return np.sqrt(common) * axes[0] + np.sqrt(family) * family_axis + np.sqrt(1 - common - family) * own_axis


def simulated_point_features(
    points: Float[np.ndarray, "n 3"],
    views: Sequence[StreetView],
    embedding_of_category: Float[np.ndarray, "C D"],
    faults: PointFeatureFaults | None = None,
    *,
    seed: int = 0,
    frame: int = 0,
) -> PointFeatures:
    """The features of world points: the mean over the views whose image they project into.

    Occlusion is not tested, as in OpenScene (Peng et al., 2023). Pixels of a class have the class's embedding.
    """
    faults = PointFeatureFaults() if faults is None else faults
    map_views = (
        MapView(
            view.camera,
            invert(view.world_from_camera),
            _feature_map(view, embedding_of_category, faults, np.random.default_rng([seed, frame, view_index, 85])),
        )
        for view_index, view in enumerate(views)
    )
    return interpolate_views(points, map_views).features()


def _feature_map(
    view: StreetView,
    embedding_of_category: Float[np.ndarray, "C D"],
    faults: PointFeatureFaults,
    rng: np.random.Generator,
) -> FeatureMap:
    segments, segment_of_pixel = segments_of(view.truth)
    rows = max(1, view.camera.height // CELL)
    columns = max(1, view.camera.width // CELL)
    dimensions = embedding_of_category.shape[1]
    coverage = coverage_of(segment_of_pixel, len(segments), (rows, columns), faults.blur)
    unit_deviation = 1 / np.sqrt(dimensions)  # per dimension, of a vector of length 1
    signal = _segment_embeddings(segments[:, 0], embedding_of_category, faults.confused, rng)
    signal += faults.object_noise * unit_deviation * rng.standard_normal(signal.shape)
    noise = faults.patch_noise * unit_deviation * rng.standard_normal((rows, columns, dimensions))
    return FeatureMap((coverage @ signal + noise).astype(np.float32))


def _segment_embeddings(
    category_of_segment: Int[np.ndarray, " s"],
    embedding_of_category: Float[np.ndarray, "C D"],
    confused: float,
    rng: np.random.Generator,
) -> Float[np.ndarray, "s D"]:
    """The embeddings of segments, a share `confused` of them mixed with that of the most similar class."""
    cosine = embedding_of_category @ embedding_of_category.T
    cosine[cosine > 0.999] = -1.0  # itself, or another class that has the same word
    similar_category = cosine.argmax(axis=1)[category_of_segment]
    is_confused = rng.uniform(size=len(category_of_segment)) < confused
    weight = np.where(is_confused, rng.uniform(size=len(category_of_segment)), 0.0)[:, None]
    own = embedding_of_category[category_of_segment]
    return (1 - weight) * own + weight * embedding_of_category[similar_category]
