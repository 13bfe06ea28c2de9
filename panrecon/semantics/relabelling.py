"""Objects that look alike are named alike: by the words of their own masks and of those that they resemble."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import isotonic_regression

from panrecon.semantics.lifting import LiftedFeatures
from panrecon.structures import VOID, SceneObject

SAID: Final = 0.2  # share of an object's own words that a class needs: features alone name nothing
MARGIN: Final = 0.3  # by which the others must speak for the new name, in words of one object that many frames detect
FEW: Final = 3.0  # frames that detect an object, with which it knows its name half as well: half the margin
PRIOR_PAIRS: Final = 10.0  # of chance agreement, before any pair of objects is seen at a similarity


def relabel_by_similarity(
    objects: Sequence[SceneObject], instance: Int[np.ndarray, " V"], points: LiftedFeatures, categories: int
) -> tuple[SceneObject, ...]:
    """The objects, some with the class that one of their views and the objects that look like them agree on.

    A segmenter often calls one chair of a row a table, from most places; its features do not. How much likeness says
    is read from the scene itself (`label_affinity`), so that features which do not tell classes apart change no name.
    An object keeps its class, the choice of the graph, unless the words of its kin outweigh its own.

    Args:
        objects: as the graph found them.
        instance: the object of every point, `VOID` for none.
        points: the points' features.
        categories: how many classes there are.
    """
    if len(objects) < 2:
        return tuple(objects)
    words = class_histograms(objects, categories)
    rows, category = np.arange(len(objects)), np.array([found.category for found in objects])
    speak_for = words + label_affinity(similarities(points, instance, len(objects)), words) @ words
    frames = np.array([len(found.frames) for found in objects])
    speak_for[rows, category] += words.max(axis=1) - words[rows, category] + MARGIN * frames / (frames + FEW)
    possible = words >= SAID
    possible[rows, category] = True
    best = np.where(possible, speak_for, -np.inf).argmax(axis=1)
    return tuple(replace(found, category=int(named)) for found, named in zip(objects, best, strict=True))


def class_histograms(objects: Sequence[SceneObject], categories: int) -> Float[np.ndarray, "O C"]:
    """The share of every class in the scores of an object's masks; rows sum to 1, or to 0 without masks."""
    words = np.zeros((len(objects), categories))
    for row, found in zip(words, objects, strict=True):
        for mask in found.masks:
            row[mask.category] += mask.score
    return words / words.sum(axis=1, keepdims=True).clip(1e-9)


def similarities(points: LiftedFeatures, instance: Int[np.ndarray, " V"], count: int) -> Float[np.ndarray, "O O"]:
    """Cosines between the mean features of the objects, as they differ from the scene's; in [-1, 1]."""
    seen = points.weight > 0
    if not seen.any():
        return np.zeros((count, count))
    mine = seen & (instance != VOID)
    total = np.zeros((count, points.feature.shape[1]))
    np.add.at(total, instance[mine], points.feature[mine] - points.feature[seen].mean(axis=0))
    unit = total / np.linalg.norm(total, axis=1, keepdims=True).clip(1e-9)
    return np.asarray(unit @ unit.T)


def label_affinity(similarity: Float[np.ndarray, "O O"], words: Float[np.ndarray, "O C"]) -> Float[np.ndarray, "O O"]:
    """How much more often than by chance two objects so similar are called the same; in [0, 1], 0 with themselves.

    The chance of one word for both rises with their similarity, as the pairs of the scene show (isotonic regression,
    Barlow et al. 1972), and is drawn to that of any pair where there are few.
    """
    first, second = np.triu_indices(len(words), 1)
    agreement = (words[first] * words[second]).sum(axis=1)
    chance = float(agreement.mean())
    order = np.argsort(similarity[first, second], kind="stable")
    blocks = isotonic_regression(agreement[order]).blocks
    pairs = np.diff(blocks)
    seen = (np.add.reduceat(agreement[order], blocks[:-1]) + PRIOR_PAIRS * chance) / (pairs + PRIOR_PAIRS)
    result = np.zeros_like(similarity)
    result[first[order], second[order]] = np.repeat((seen - chance).clip(0) / max(1 - chance, 1e-9), pairs)
    return result + result.T
