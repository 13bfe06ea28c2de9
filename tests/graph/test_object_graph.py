"""Laws of the graph of objects."""

import networkx as nx
import numpy as np
import pytest

from panrecon.graph.object_graph import object_graph
from panrecon.structures import VOID, CategoryTable, Instances, Labels, SceneObject, SuperfaceGraph

OBJECTS = 5
SUPERFACES = 30


@pytest.fixture
def instances() -> Instances:
    rng = np.random.default_rng(0)
    instance = np.append(np.arange(OBJECTS), rng.integers(VOID, OBJECTS, SUPERFACES - OBJECTS)).astype(np.int32)
    category = rng.integers(0, 4, OBJECTS)
    objects = tuple(SceneObject(int(index), float(rng.random()), 1.0, 0.0, (), ()) for index in category)
    return Instances(Labels(np.append(category, VOID)[instance].astype(np.int32), instance), objects)


@pytest.fixture
def graph() -> SuperfaceGraph:
    rng = np.random.default_rng(1)
    first, second = np.triu_indices(SUPERFACES, 1)
    is_pair = rng.random(len(first)) < 0.2
    votes = rng.integers(0, 9, (2, is_pair.sum())).astype(np.float64)
    return SuperfaceGraph(first[is_pair].astype(np.int32), second[is_pair].astype(np.int32), *votes)


def test_edges_hold_the_sums_of_the_votes_between_the_superfaces_of_two_objects(
    instances: Instances, graph: SuperfaceGraph, table: CategoryTable
) -> None:
    objects = object_graph(instances, graph, table)
    expected: nx.Graph[int] = nx.Graph()
    expected.add_nodes_from(range(1, OBJECTS + 1))
    for first, second, votes_for, votes_against in zip(
        graph.first, graph.second, graph.votes_for, graph.votes_against, strict=True
    ):
        one_end = int(instances.of_superface.instance[first]) + 1
        other_end = int(instances.of_superface.instance[second]) + 1
        if 0 not in (one_end, other_end) and one_end != other_end:
            if not expected.has_edge(one_end, other_end):
                expected.add_edge(one_end, other_end, votes_for=0.0, votes_against=0.0)
            expected[one_end][other_end]["votes_for"] += float(votes_for)
            expected[one_end][other_end]["votes_against"] += float(votes_against)
    assert expected.number_of_edges() > OBJECTS
    assert nx.utils.edges_equal(objects.edges(data=True), expected.edges(data=True))


def test_nodes_are_all_objects_with_the_ids_of_label_files(
    instances: Instances, graph: SuperfaceGraph, table: CategoryTable
) -> None:
    objects = object_graph(instances, graph, table)
    assert list(objects) == list(range(1, OBJECTS + 1))
    for index, scene_object in enumerate(instances.objects):
        name = table[scene_object.category].name
        assert objects.nodes[index + 1] == {"category": name, "confidence": scene_object.confidence}
