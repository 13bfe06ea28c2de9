"""Distances between a reconstructed surface and the true one, measured between points sampled on both."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial import cKDTree

from panrecon.geometry.mesh import face_normals
from panrecon.structures import TriangleMesh

SAMPLES: Final = 200_000
TINY: Final = np.finfo(float).tiny
DISTANCES: Final = (0.02, 0.05, 0.10)  # m


@dataclass(frozen=True)
class SurfaceQuality:
    """Distances in metres, shares in [0, 1] within each of `DISTANCES`.

    `accuracy` is the mean distance from prediction to truth and `completeness` that from truth to prediction, `chamfer`
    their mean (L1); `precision` and `recall` are the shares of either side near the other, `f_score` their harmonic
    mean. `normal_consistency` is the mean |cosine| between the normals of nearest points, both ways; nan for a cloud.
    Where a side has no points all shares are 0 and no distance is finite.
    """

    accuracy: float
    completeness: float
    chamfer: float
    precision: Mapping[float, float]
    recall: Mapping[float, float]
    f_score: Mapping[float, float]
    normal_consistency: float


@dataclass(frozen=True)
class _Samples:
    """Points of a surface and the unit normals there (none on a cloud)."""

    points: Float[np.ndarray, "N 3"]
    normals: Float[np.ndarray, "N 3"] | None


def surface_quality(
    prediction: TriangleMesh, truth: TriangleMesh, samples: int = SAMPLES, seed: int = 0
) -> SurfaceQuality:
    """Distances between `samples` points of either surface, drawn evenly over its area.

    Two tessellations of one surface are left about half the spacing of the samples apart (1 cm at 2,000 a square
    metre); a mesh is 0 from itself, for both sides draw alike. Of a mesh without area `samples` vertices are drawn.
    """
    predicted = _sampled(prediction, samples, seed)
    true = _sampled(truth, samples, seed)
    to_truth, nearest_true = _nearest(predicted.points, true.points)
    to_prediction, nearest_predicted = _nearest(true.points, predicted.points)
    accuracy = _mean(to_truth)
    completeness = _mean(to_prediction)
    precision = _shares_within(to_truth)
    recall = _shares_within(to_prediction)
    prediction_consistency = _normal_consistency(predicted, true, nearest_true)
    truth_consistency = _normal_consistency(true, predicted, nearest_predicted)
    return SurfaceQuality(
        accuracy=accuracy,
        completeness=completeness,
        chamfer=(accuracy + completeness) / 2,
        precision=precision,
        recall=recall,
        f_score={distance: _harmonic_mean(precision[distance], recall[distance]) for distance in DISTANCES},
        normal_consistency=(prediction_consistency + truth_consistency) / 2,
    )


def _sampled(mesh: TriangleMesh, count: int, seed: int) -> _Samples:
    area = np.linalg.norm(face_normals(mesh.vertices, mesh.faces), axis=1)
    rng = np.random.default_rng(seed)
    if not area.any():
        sample = rng.permutation(len(mesh.vertices))[:count]
        return _Samples(mesh.vertices[sample].astype(np.float64), None)
    cumulative = np.cumsum(area)
    face = np.searchsorted(cumulative, rng.random(count) * cumulative[-1], side="right").clip(max=len(area) - 1)
    faces = mesh.faces[face]
    root = np.sqrt(rng.random(count))  # uniform over a triangle (Osada et al., 2002)
    second = rng.random(count)
    weight = np.stack([1 - root, root * (1 - second), root * second], axis=1)
    points = (mesh.vertices[faces].astype(np.float64) * weight[..., None]).sum(axis=1)
    normals = face_normals(mesh.vertices, faces)
    return _Samples(points, normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), TINY))


def _normal_consistency(samples: _Samples, other: _Samples, nearest: Int[np.ndarray, " N"]) -> float:
    """Mean |cosine| between the samples' normals and those of the nearest other samples."""
    if samples.normals is None or other.normals is None:
        return float("nan")
    return _mean(np.abs((samples.normals * other.normals[nearest]).sum(axis=1)))


def _nearest(
    points: Float[np.ndarray, "N 3"], others: Float[np.ndarray, "M 3"]
) -> tuple[Float[np.ndarray, " N"], Int[np.ndarray, " N"]]:
    """Distance (m) to the nearest other point, and which it is."""
    distance, index = cKDTree(others).query(points, workers=-1)
    return np.asarray(distance), np.asarray(index)


def _shares_within(distances: Float[np.ndarray, " N"]) -> dict[float, float]:
    return {limit: float((distances <= limit).sum() / max(len(distances), 1)) for limit in DISTANCES}


def _harmonic_mean(precision: float, recall: float) -> float:
    return 2 * precision * recall / (precision + recall) if precision + recall > 0 else 0.0


def _mean(values: Float[np.ndarray, " N"]) -> float:
    return float(values.mean()) if len(values) else float("nan")
