"""A simulated feature extractor: patch features made of true labels, with seeded errors. A test bench, not DINOv2."""

import zlib
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, Int

from panrecon.structures import VOID, CategoryTable, FeatureMap, Labels, normalised


@dataclass(frozen=True)
class FeatureFaults:
    """Standard deviations of the components of a feature, per dimension; `blur` is a Gaussian's, in cells."""

    class_signal: float = 1.0
    instance_signal: float = 0.35
    view_noise: float = 0.3
    patch_noise: float = 0.5
    position_artefact: float = 0.35
    blur: float = 0.6


def simulated_features(
    truth: Labels,
    categories: CategoryTable,
    faults: FeatureFaults | None = None,
    *,
    seed: int = 0,
    frame: int = 0,
    cell: int = 8,
    dimensions: int = 64,
) -> FeatureMap:
    """Features of one frame, one every `cell` pixels; a function of truth, `seed` and `frame` alone.

    The class signal is a random vector of the class's name, the same in every scene of a seed. Void has noise only.
    """
    faults = FeatureFaults() if faults is None else faults
    height, width = truth.category.shape
    rows = max(1, height // cell)
    columns = max(1, width // cell)
    segments, segment_of_pixel = segments_of(truth)
    coverage = coverage_of(segment_of_pixel, len(segments), (rows, columns), faults.blur)
    signals = np.stack([_signal(segment, categories, faults, seed, frame, dimensions) for segment in segments])
    rng = np.random.default_rng([seed, frame, 61])
    noise = faults.patch_noise * rng.standard_normal((rows, columns, dimensions))
    artefact = faults.position_artefact * _position_waves(rows, columns, seed, dimensions)
    return FeatureMap((coverage @ signals + noise + artefact).astype(np.float32))


def segments_of(truth: Labels) -> tuple[Int[np.ndarray, "s 2"], Int[np.ndarray, "h w"]]:
    """The distinct (class index, instance) pairs of the image, and the index of the pair of every pixel."""
    base = int(truth.instance.max(initial=0)) + 2
    keys = (truth.category.astype(np.int64) + 1) * base + truth.instance + 1
    distinct, segment_of_pixel = np.unique(keys, return_inverse=True)
    segments = np.stack([distinct // base - 1, distinct % base - 1], axis=1)
    return segments, segment_of_pixel.reshape(truth.category.shape)


def coverage_of(
    segment_of_pixel: Int[np.ndarray, "h w"], count: int, shape: tuple[int, int], blur: float
) -> Float[np.ndarray, "r c s"]:
    """The share of every cell of a `shape` grid that each segment covers, blurred by a Gaussian of `blur` cells."""
    shares = []
    for segment in range(count):
        mask = (segment_of_pixel == segment).astype(np.float32)
        share = cv2.resize(mask, shape[::-1], interpolation=cv2.INTER_AREA)
        shares.append(cv2.GaussianBlur(share, (0, 0), blur) if blur > 0 else share)
    return np.stack(shares, axis=-1)


def _signal(
    segment: Int[np.ndarray, "2"],
    categories: CategoryTable,
    faults: FeatureFaults,
    seed: int,
    frame: int,
    dimensions: int,
) -> Float[np.ndarray, " D"]:
    """The feature of a segment without noise; zero for void."""
    category = int(segment[0])
    instance = int(segment[1])
    if category == VOID:
        return np.zeros(dimensions)
    name = zlib.crc32(normalised(categories[category].name).encode())
    identity = [seed, name, instance + 1]
    return (
        faults.class_signal * np.random.default_rng([seed, name]).standard_normal(dimensions)
        + faults.instance_signal * np.random.default_rng([*identity, 62]).standard_normal(dimensions)
        + faults.view_noise * np.random.default_rng([*identity, frame, 63]).standard_normal(dimensions)
    )


def _position_waves(rows: int, columns: int, seed: int, dimensions: int) -> Float[np.ndarray, "r c D"]:
    """Waves of standard deviation 1 over the image, the same in every frame."""
    rng = np.random.default_rng([seed, 64])
    y, x = np.meshgrid(np.linspace(0, 1, rows), np.linspace(0, 1, columns), indexing="ij")
    frequency = rng.normal(0, 3, (2, dimensions))
    phase = rng.uniform(0, 2 * np.pi, dimensions)
    return np.sqrt(2) * np.sin(y[..., None] * frequency[0] + x[..., None] * frequency[1] + phase)
