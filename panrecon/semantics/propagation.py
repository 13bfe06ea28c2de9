"""Propagation of labels to superfaces that no mask covers, by the point classifier."""

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import csr_array

from panrecon.geometry.mesh import mesh_edges
from panrecon.structures import VOID, CategoryTable, Labels, PointSemantics, TriangleMesh


def propagate(
    mesh: TriangleMesh,
    superface_of_vertex: Int[np.ndarray, " V"],
    of_superface: Labels,
    semantics: PointSemantics,
    table: CategoryTable,
    min_confidence: float,
) -> Labels:
    """The labels of every superface, with void ones filled where the classifier's probability is `min_confidence`.

    A superface takes the most likely class of the mean over its vertices. If that is a thing, it joins the adjacent
    object of this class with the longest common boundary, and stays void where there is none: features separate
    classes, not instances.
    """
    count = len(of_superface.category)
    probability = superface_mean(semantics.probability, superface_of_vertex, count)
    likely = probability.argmax(axis=1)
    void = (of_superface.category == VOID) & (probability.max(axis=1) >= min_confidence)
    neighbour = _neighbour_object(mesh, superface_of_vertex, of_superface, likely)
    fillable = void & (~table.is_thing[likely] | (neighbour != VOID))
    category = np.where(fillable, likely, of_superface.category).astype(np.int32)
    instance = np.where(fillable & table.is_thing[likely], neighbour, of_superface.instance).astype(np.int32)
    return Labels(category, instance)


def superface_mean(
    values: Float[np.ndarray, "V C"], superface_of_vertex: Int[np.ndarray, " V"], count: int
) -> Float[np.ndarray, "S C"]:
    """The mean over those vertices of every superface that have values, 0 where none has."""
    known = np.asarray(values.any(axis=1), dtype=np.float32)
    groups = csr_array((known, (superface_of_vertex, np.arange(len(values)))), (count, len(values)))
    total = np.bincount(superface_of_vertex, known, minlength=count)[:, None]
    return np.asarray(groups @ values) / np.maximum(total, 1)


def _neighbour_object(
    mesh: TriangleMesh,
    superface_of_vertex: Int[np.ndarray, " V"],
    of_superface: Labels,
    category: Int[np.ndarray, " S"],
) -> Int[np.ndarray, " S"]:
    """The object of its given category with the longest boundary to every superface, `VOID` where none is adjacent."""
    pairs = superface_of_vertex[mesh_edges(mesh.faces)]
    pairs = np.concatenate([pairs, pairs[:, ::-1]])
    here, there = pairs[pairs[:, 0] != pairs[:, 1]].T
    fits = (of_superface.instance[there] != VOID) & (of_superface.category[there] == category[here])
    here = here[fits].astype(np.int64)
    instance = of_superface.instance[there[fits]].astype(np.int64)
    result = np.full(len(category), VOID, dtype=np.int32)
    if len(here):
        span = instance.max() + 1
        keys, boundary_length = np.unique(here * span + instance, return_counts=True)
        order = np.argsort(boundary_length, kind="stable")
        result[keys[order] // span] = keys[order] % span
    return result
