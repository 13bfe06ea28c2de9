"""Principal component analysis of the features of a whole scene."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from panrecon.structures import FeatureMap


@dataclass(frozen=True)
class Projection:
    """`(feature - mean) @ components`: the directions of most variance, scaled so that features have mean square 1."""

    mean: Float[np.ndarray, " D"]
    components: Float[np.ndarray, "D K"]

    def __call__(self, features: FeatureMap) -> FeatureMap:
        return FeatureMap(((features.values - self.mean) @ self.components).astype(np.float32))


def fit_projection(maps: Iterable[FeatureMap], dimensions: int) -> Projection:
    """At most `dimensions` leading principal components of all maps, in bounded memory."""
    count = 0
    total = np.zeros(0)
    moment = np.zeros((0, 0))
    for features in maps:
        rows = features.values.reshape(-1, features.values.shape[-1]).astype(np.float64)
        if not count:
            total = np.zeros(rows.shape[1])
            moment = np.zeros((rows.shape[1], rows.shape[1]))
        count += len(rows)
        total += rows.sum(axis=0)
        moment += rows.T @ rows
    mean = total / max(count, 1)
    variance, vectors = np.linalg.eigh(moment / max(count, 1) - np.outer(mean, mean))
    leading = vectors[:, ::-1][:, :dimensions]
    signs = np.sign(leading[np.abs(leading).argmax(axis=0), np.arange(leading.shape[1])])
    scale = np.sqrt(max(variance[::-1][:dimensions].sum(), 1e-12))
    return Projection(mean, leading * signs / scale)
