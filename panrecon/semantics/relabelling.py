"""Relabelling of objects: the likeliest class by the words of an object's own masks and by objects that look alike."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import isotonic_regression

from panrecon.semantics.lifting import LiftedFeatures
from panrecon.semantics.parameters import SemanticsParameters
from panrecon.structures import VOID, SceneObject

RARE: Final = 1e-3  # the least share of pairs of one class, and of two classes


def relabel_by_similarity(
    objects: Sequence[SceneObject],
    instance: Int[np.ndarray, " V"],
    points: LiftedFeatures,
    category_count: int,
    parameters: SemanticsParameters = SemanticsParameters(),
) -> tuple[SceneObject, ...]:
    """The objects, each with the likeliest class by the words of its own masks and by objects of similar features.

    A segmenter often confuses the class of one object of a row from most viewpoints, and repeats itself: all words of
    an object count as `own_words` independent ones. How much likelier two objects of a similarity are of one class than
    any two is estimated from the scene itself (`likelihood_ratios`), so features that do not separate classes change
    nothing, and a class of no other object is neither favoured nor refused. No object takes a class that is not in its
    own masks. `instance` is the object of every point, `VOID` for none.
    """
    if len(objects) < 2:
        return tuple(objects)
    histogram = class_histograms(objects, category_count)
    index = np.arange(len(objects))
    category = np.array([scene_object.category for scene_object in objects])
    ratio = likelihood_ratios(similarities(points, instance, len(objects)), histogram, parameters.prior_pairs)
    members = histogram.sum(axis=0) - histogram + parameters.prior_members
    of_others = np.log((ratio @ histogram + parameters.prior_members) / members)
    score = parameters.own_words * np.log(histogram + parameters.word_floor) + of_others
    score[histogram == 0] = -np.inf
    best = score.argmax(axis=1)
    is_better = score[index, best] > score[index, category]
    return tuple(
        replace(scene_object, category=int(new_category))
        for scene_object, new_category in zip(objects, np.where(is_better, best, category), strict=True)
    )


def class_histograms(objects: Sequence[SceneObject], category_count: int) -> Float[np.ndarray, "O C"]:
    """The share of every class in the score x area of an object's masks; rows sum to 1, or to 0 without masks."""
    histograms = np.zeros((len(objects), category_count))
    for histogram, scene_object in zip(histograms, objects, strict=True):
        for mask in scene_object.masks:
            histogram[mask.category] += mask.score * mask.vertices
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


def likelihood_ratios(
    similarity: Float[np.ndarray, "O O"], histogram: Float[np.ndarray, "O C"], prior_pairs: float
) -> Float[np.ndarray, "O O"]:
    """The odds that two objects of this similarity are of one class, over those of any two; 0 with themselves.

    The share of pairs of one class is an increasing function of similarity, fitted to all pairs of the scene (isotonic
    regression, Barlow et al., 1972) and shrunk towards the mean of all pairs by `prior_pairs` of them.
    """
    first, second = np.triu_indices(len(histogram), 1)
    agreement = (histogram[first] * histogram[second]).sum(axis=1)
    chance = float(agreement.mean().clip(RARE, 1 - RARE))
    order = np.argsort(similarity[first, second], kind="stable")
    blocks = isotonic_regression(agreement[order]).blocks
    pair_count = np.diff(blocks)
    observed = np.add.reduceat(agreement[order], blocks[:-1])
    fitted = ((observed + prior_pairs * chance) / (pair_count + prior_pairs)).clip(RARE, 1 - RARE)
    ratio = np.zeros_like(similarity)
    ratio[first[order], second[order]] = np.repeat(fitted / (1 - fitted) * (1 - chance) / chance, pair_count)
    return ratio + ratio.T
