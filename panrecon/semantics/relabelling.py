"""Relabelling of objects by similarity: by the classes of an object's own masks and of objects of similar features."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import isotonic_regression

from panrecon.semantics.lifting import LiftedFeatures
from panrecon.semantics.parameters import SemanticsParameters
from panrecon.structures import VOID, SceneObject


def relabel_by_similarity(
    objects: Sequence[SceneObject],
    instance: Int[np.ndarray, " V"],
    points: LiftedFeatures,
    category_count: int,
    parameters: SemanticsParameters = SemanticsParameters(),
) -> tuple[SceneObject, ...]:
    """The objects, each with the class of the greatest support in its own masks and in those of similar objects.

    A segmenter often confuses the class of one object of a row from most viewpoints; features do so less. The weight of
    similarity is estimated from the scene itself (`label_affinity`), so features that do not separate classes change
    nothing. An object keeps its class unless the support for another exceeds it by a margin, and takes no class that
    is not in its own masks. `instance` is the object of every point, `VOID` for none.
    """
    if len(objects) < 2:
        return tuple(objects)
    histogram = class_histograms(objects, category_count)
    index = np.arange(len(objects))
    category = np.array([scene_object.category for scene_object in objects])
    affinity = label_affinity(similarities(points, instance, len(objects)), histogram, parameters.prior_pairs)
    support = histogram + affinity @ histogram
    frames = np.array([len(scene_object.frames) for scene_object in objects])
    margin = parameters.margin * frames / (frames + parameters.half_margin_frames)
    support[index, category] += histogram.max(axis=1) - histogram[index, category] + margin
    is_possible = histogram >= parameters.min_own_share
    is_possible[index, category] = True
    best = np.where(is_possible, support, -np.inf).argmax(axis=1)
    return tuple(
        replace(scene_object, category=int(new_category))
        for scene_object, new_category in zip(objects, best, strict=True)
    )


def class_histograms(objects: Sequence[SceneObject], category_count: int) -> Float[np.ndarray, "O C"]:
    """The share of every class in the scores of an object's masks; rows sum to 1, or to 0 without masks."""
    histograms = np.zeros((len(objects), category_count))
    for histogram, scene_object in zip(histograms, objects, strict=True):
        for mask in scene_object.masks:
            histogram[mask.category] += mask.score
    return histograms / histograms.sum(axis=1, keepdims=True).clip(1e-9)


def similarities(points: LiftedFeatures, instance: Int[np.ndarray, " V"], count: int) -> Float[np.ndarray, "O O"]:
    """Cosine similarity of the objects' mean features, centred on the scene's mean; in [-1, 1]."""
    has_feature = points.weight > 0
    if not has_feature.any():
        return np.zeros((count, count))
    on_object = has_feature & (instance != VOID)
    total = np.zeros((count, points.feature.shape[1]))
    np.add.at(total, instance[on_object], points.feature[on_object] - points.feature[has_feature].mean(axis=0))
    unit = total / np.linalg.norm(total, axis=1, keepdims=True).clip(1e-9)
    return np.asarray(unit @ unit.T)


def label_affinity(
    similarity: Float[np.ndarray, "O O"], histogram: Float[np.ndarray, "O C"], prior_pairs: float
) -> Float[np.ndarray, "O O"]:
    """How far the class agreement of two objects of this similarity exceeds chance; in [0, 1], 0 with themselves.

    The agreement is an increasing function of similarity, fitted to all pairs of the scene (isotonic regression, Barlow
    et al., 1972) and shrunk towards the mean of all pairs by `prior_pairs` of them.
    """
    first, second = np.triu_indices(len(histogram), 1)
    agreement = (histogram[first] * histogram[second]).sum(axis=1)
    chance = float(agreement.mean())
    order = np.argsort(similarity[first, second], kind="stable")
    blocks = isotonic_regression(agreement[order]).blocks
    pair_count = np.diff(blocks)
    observed = np.add.reduceat(agreement[order], blocks[:-1])
    fitted = (observed + prior_pairs * chance) / (pair_count + prior_pairs)
    affinity = np.zeros_like(similarity)
    affinity[first[order], second[order]] = np.repeat((fitted - chance).clip(0) / max(1 - chance, 1e-9), pair_count)
    return affinity + affinity.T
