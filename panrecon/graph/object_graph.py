"""The objects of a scene as a graph of networkx: what the votes say of every pair of objects."""

import networkx as nx
import numpy as np

from panrecon.structures import VOID, CategoryTable, Instances, SuperfaceGraph


def object_graph(instances: Instances, graph: SuperfaceGraph, table: CategoryTable) -> "nx.Graph[int]":
    """The objects as nodes, by the id of label files (from 1), with their `category` (name) and `confidence`.

    An edge joins two objects if there are votes between their superfaces, and has the sums as `votes_for` and
    `votes_against` (frames by weight): for and against both being one object.
    """
    objects: nx.Graph[int] = nx.Graph()
    for instance, scene_object in enumerate(instances.objects):
        name = table[scene_object.category].name
        objects.add_node(instance - VOID, category=name, confidence=scene_object.confidence)
    ends = np.stack([instances.of_superface.instance[end] for end in (graph.first, graph.second)], axis=1)
    between = (ends != VOID).all(axis=1) & (ends[:, 0] != ends[:, 1])
    pairs, pair = np.unique(np.sort(ends[between], axis=1), axis=0, return_inverse=True)
    votes_for = np.bincount(pair.ravel(), graph.votes_for[between], len(pairs))
    votes_against = np.bincount(pair.ravel(), graph.votes_against[between], len(pairs))
    for (first, second), together, apart in zip((pairs - VOID).tolist(), votes_for, votes_against, strict=True):
        objects.add_edge(first, second, votes_for=float(together), votes_against=float(apart))
    return objects
