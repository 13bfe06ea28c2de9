"""Laws of the energy: the mean field is the dense one; every judge can decide, and none vetoes alone."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
from jaxtyping import Float, Int
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_array

from panrecon.graph.votes import VertexVotes
from panrecon.layout.gravity import Gravity
from panrecon.layout.levels import Levels
from panrecon.layout.scene import Layout
from panrecon.layout.situations import Situation
from panrecon.refinement.energy import FinalLabels, final_labels, likeliest, smoothed, weighted_neighbours
from panrecon.refinement.layout_likelihood import SHARES_OF_ALL, SHARES_OF_ROLE
from panrecon.refinement.parameters import EnergyParameters
from panrecon.refinement.terms import LabelEvidence
from panrecon.structures import VOID, Category, CategoryTable, Labels, SceneObject, TriangleMesh
from tests import CHECKOUT
from tests.refinement.sheets import SIDE, VOXEL_SIZE, halves, painted, sheet

WALL, FLOOR, CHAIR, TABLE, CLUTTER = range(5)
COUNT = SIDE**2
PARAMETERS = EnergyParameters()
ALL = np.ones(COUNT, bool)


def dense_mean_field(
    score: Float[np.ndarray, "n L"], edges: Int[np.ndarray, "E 2"], weight: Float[np.ndarray, " E"], rounds: int
) -> Float[np.ndarray, "n L"]:
    """All segments at all vertices, edge by edge."""
    total = score.copy()
    for _ in range(rounds):
        probability = np.exp(total - total.max(axis=1, keepdims=True))
        probability /= probability.sum(axis=1, keepdims=True)
        total = score.copy()
        for (a, b), w in zip(edges, weight, strict=True):
            total[a] += w * probability[b]
            total[b] += w * probability[a]
    return total


def grid(side: int) -> Int[np.ndarray, "E 2"]:
    index = np.arange(side * side).reshape(side, side)
    across = np.stack([index[:, :-1].ravel(), index[:, 1:].ravel()], axis=1)
    down = np.stack([index[:-1].ravel(), index[1:].ravel()], axis=1)
    return np.concatenate([across, down])


def test_candidates_of_all_segments_give_the_dense_mean_field() -> None:
    rng = np.random.default_rng(0)
    score = rng.normal(size=(36, 4))
    edges = grid(6)
    weight = rng.uniform(0, 2, len(edges))
    result = smoothed(likeliest(score, 4), weighted_neighbours(edges, weight, 36), rounds=3)
    expected = dense_mean_field(score, edges, weight, 3)
    assert_allclose(np.take_along_axis(expected, result.segment, 1), result.score, atol=1e-5)
    assert_array_equal(result.best, expected.argmax(axis=1))


def test_neighbours_outvote_a_doubtful_vertex_and_no_sure_one() -> None:
    edges = grid(3)
    score = np.tile([2.0, 0.0], (9, 1))
    for lead, stays in ((1.0, False), (9.0, True)):
        score[4] = [0.0, lead]
        result = smoothed(likeliest(score, 2), weighted_neighbours(edges, np.ones(len(edges)), 9), rounds=5)
        assert (result.best[4] == 1) == stays
        assert not result.best[np.arange(9) != 4].any()


def test_without_weight_nothing_changes() -> None:
    score = np.random.default_rng(1).normal(size=(25, 6))
    candidates = likeliest(score, 3)
    result = smoothed(candidates, weighted_neighbours(grid(5), np.zeros(len(grid(5))), 25), rounds=4)
    assert_array_equal(result.segment, candidates.segment)
    assert_allclose(result.score, candidates.score)


def test_the_likeliest_are_the_greatest_scores_in_order() -> None:
    score = np.random.default_rng(2).normal(size=(40, 9))
    candidates = likeliest(score, 4)
    assert_array_equal(candidates.segment, np.argsort(-score, axis=1)[:, :4])
    assert likeliest(score[:, :2], 4).segment.shape == (40, 2)


def scene_object(category: int) -> SceneObject:
    return SceneObject(category, 1.0, 0.0, 0.0, (), ())


def shares(columns: dict[int, Float[np.ndarray, " V"]], count: int) -> Float[np.ndarray, "V n"]:
    """Columns of shares, the others 0."""
    result = np.zeros((COUNT, count), np.float32)
    for column, share in columns.items():
        result[:, column] = share
    return result


def decide(
    table: CategoryTable,
    mesh: TriangleMesh,
    stuff: dict[int, Float[np.ndarray, " V"]],
    objects: dict[int, Float[np.ndarray, " V"]] | None = None,
    category_of_object: tuple[int, ...] = (),
    field: dict[int, Float[np.ndarray, " V"]] | None = None,
    situation: Situation = Situation.SLANTED,
    floors: tuple[float, ...] = (),
    parameters: EnergyParameters = PARAMETERS,
    prior: int = FLOOR,
) -> FinalLabels:
    """What is decided of these shares of votes; field and features say nothing unless they are given."""
    uniform = np.full((COUNT, len(table)), 1 / len(table), np.float32)
    instances = len(category_of_object) + 1
    nowhere = np.full(COUNT, VOID, np.int32)
    layout = Layout(
        Gravity(np.array([0.0, 0.0, 1.0]), 0.01), Levels(floors, None), np.zeros(COUNT), np.full(COUNT, situation)
    )
    evidence = LabelEvidence(
        VertexVotes(
            csr_array(shares(objects or {}, len(category_of_object))),
            csr_array(shares(stuff, len(table))),
            np.zeros(COUNT),
        ),
        uniform if field is None else shares(field, len(table)),
        np.full((COUNT, instances), 1 / instances, np.float32),
        uniform,
        Labels(np.full(COUNT, prior, np.int32), nowhere),
        layout,
    )
    scene_objects = [scene_object(category) for category in category_of_object]
    return final_labels(mesh, evidence, scene_objects, table, VOXEL_SIZE, parameters)


GREY = sheet(np.full((SIDE, SIDE, 3), 120))


def test_votes_decide_where_nothing_else_speaks(table: CategoryTable) -> None:
    right = halves(0).ravel()
    decided = decide(table, GREY, {WALL: 0.9 * right, FLOOR: 0.9 * ~right}).labels
    assert_array_equal(decided.category, np.where(right, WALL, FLOOR))
    assert_array_equal(decided.instance, VOID)


def test_an_object_has_its_own_class_and_stuff_no_instance(table: CategoryTable) -> None:
    random = np.random.default_rng(0)
    stuff = {c: random.random(COUNT).astype(np.float32) for c in (WALL, FLOOR)}
    objects = {o: random.random(COUNT).astype(np.float32) for o in range(3)}
    categories = (CHAIR, CHAIR, TABLE)
    alone = replace(PARAMETERS, smoothness=0.0, appearance=0.0)
    decided = decide(table, GREY, stuff, objects, categories, parameters=alone).labels
    is_thing = decided.instance != VOID
    assert is_thing.any() and not is_thing.all()
    assert_array_equal(decided.category[is_thing], np.array(categories)[decided.instance[is_thing]])
    assert not table.is_thing[decided.category[~is_thing]].any()


@pytest.mark.parametrize("error", [-0.03, 0.03])
def test_a_boundary_moves_to_the_edge_of_the_colours(table: CategoryTable, error: float) -> None:
    """Where masks are unsure the surface itself decides."""
    right = halves(error).ravel()
    near = np.abs(GREY.vertices[:, 0]) < 0.05
    sure = np.where(near, 0.55, 0.95)
    votes = {WALL: np.where(right, sure, 1 - sure), FLOOR: np.where(right, 1 - sure, sure)}
    decided = decide(table, sheet(painted(halves(0))), votes).labels
    assert_array_equal(decided.category, np.where(halves(0).ravel(), WALL, FLOOR))


def test_a_single_wrong_vertex_follows_its_neighbours(table: CategoryTable) -> None:
    wrong = np.arange(COUNT) == COUNT // 2
    votes = {WALL: np.where(wrong, 0.6, 0.3), FLOOR: np.where(wrong, 0.4, 0.9)}
    assert (decide(table, GREY, votes).labels.category == FLOOR).all()
    alone = replace(PARAMETERS, smoothness=0.0, appearance=0.0)
    assert_array_equal(decide(table, GREY, votes, parameters=alone).labels.category, np.where(wrong, WALL, FLOOR))


def test_a_judge_that_is_sure_of_the_impossible_vetoes_nothing_alone(table: CategoryTable) -> None:
    decided = decide(table, GREY, {FLOOR: 0.95 * ALL, WALL: 0.02 * ALL}, field={WALL: 1.0 * ALL})
    assert (decided.labels.category == FLOOR).all()


def test_the_field_decides_where_votes_are_even(table: CategoryTable) -> None:
    right = halves(0).ravel()
    votes = {WALL: 0.5 * ALL, FLOOR: 0.5 * ALL}
    decided = decide(table, GREY, votes, field={WALL: 1.0 * right, FLOOR: 1.0 * ~right}).labels
    assert_array_equal(decided.category, np.where(right, WALL, FLOOR))


@pytest.mark.parametrize(("situation", "expected"), [(Situation.ON_FLOOR, FLOOR), (Situation.VERTICAL, WALL)])
def test_the_layout_corrects_a_repeated_wrong_word(table: CategoryTable, situation: Situation, expected: int) -> None:
    """Most views call a piece of floor wall: agreement among views does not tell, gravity does."""
    votes = {WALL: 0.55 * ALL, FLOOR: 0.35 * ALL} if expected == FLOOR else {WALL: 0.35 * ALL, FLOOR: 0.55 * ALL}
    prior = WALL if expected == FLOOR else FLOOR
    assert (
        decide(table, GREY, votes, situation=situation, floors=(0.0,), prior=prior).labels.category == expected
    ).all()


def test_where_no_floor_was_seen_the_layout_is_silent(table: CategoryTable) -> None:
    votes = {WALL: 0.55 * ALL, FLOOR: 0.35 * ALL}
    decided = decide(table, GREY, votes, situation=Situation.ON_FLOOR, floors=(), prior=WALL)
    assert (decided.labels.category == WALL).all()


def test_probabilities_follow_the_votes(table: CategoryTable) -> None:
    sure = decide(table, GREY, {FLOOR: 0.95 * ALL}).probability
    doubtful = decide(table, GREY, {FLOOR: 0.5 * ALL, WALL: 0.45 * ALL}).probability
    assert ((sure > 0) & (sure <= 1)).all()
    assert (sure > doubtful).all()


def test_temperature_changes_how_sure_the_labels_are_and_no_label(table: CategoryTable) -> None:
    random = np.random.default_rng(0)
    votes = {c: random.random(COUNT) for c in (WALL, FLOOR)}
    cool, warm = (decide(table, GREY, votes, parameters=replace(PARAMETERS, temperature=t)) for t in (1.0, 3.0))
    assert_array_equal(warm.labels.category, cool.labels.category)
    assert (warm.probability < cool.probability).all()


def test_the_order_of_vertices_does_not_matter(table: CategoryTable) -> None:
    random = np.random.default_rng(0)
    votes = {c: random.random(COUNT) for c in (WALL, FLOOR)}
    mesh = sheet(painted(halves(0)))
    order = random.permutation(COUNT)
    place = np.argsort(order)
    shuffled = TriangleMesh(mesh.vertices[order], place[mesh.faces].astype(np.int32), mesh.colors[order])
    shuffled_votes = {c: share[order] for c, share in votes.items()}
    decided = decide(table, shuffled, shuffled_votes).labels.category[place]
    assert_array_equal(decided, decide(table, mesh, votes).labels.category)


def test_without_stuff_and_objects_all_labels_stay() -> None:
    only_chairs = CategoryTable((Category(1, "chair", thing=True),))
    decided = decide(only_chairs, GREY, {}, prior=0)
    assert (decided.labels.category == 0).all()
    assert not decided.probability.any()


def test_no_vertex_lies_behind_all_surfaces() -> None:
    """Sky takes no vertex, whatever masks say."""
    outdoors = CategoryTable((Category(1, "sky", thing=False), Category(2, "road", thing=False)))
    decided = decide(outdoors, GREY, {0: 0.9 * ALL, 1: 0.1 * ALL}, prior=1)
    assert (decided.labels.category == 1).all()


def test_the_parameters_are_those_of_the_published_fit() -> None:
    """A number that decides labels is fitted, not set: `benchmarks/label_parameters` and `benchmarks.publish`."""
    published = json.loads((CHECKOUT / "docs" / "results" / "label_parameters.json").read_text())
    assert asdict(PARAMETERS) == published["measurements"]["parameters"]
    shares = {str(role): list(of_role) for role, of_role in SHARES_OF_ROLE.items()}
    assert shares == published["measurements"]["shares_of_role"]
    assert list(SHARES_OF_ALL) == published["measurements"]["shares_of_all"]
