"""Class and object of a vertex are decided together, and an untrained field changes nothing but void."""

from dataclasses import replace

import numpy as np
import pytest

from panrecon.refinement.labelling import PanopticLabels, panoptic_labels, relabel_boundaries, reliability
from panrecon.refinement.parameters import RefinementParameters
from panrecon.structures import VOID, Category, CategoryTable, Labels, SceneObject, SupportingMask, TriangleMesh

WALL, FLOOR, CHAIR, TABLE, CLUTTER = range(5)
CATEGORY_OF_OBJECT = [CHAIR, CHAIR, TABLE]
PARAMETERS = RefinementParameters(0.02)
FULL = PARAMETERS.full_reliability


def detected(category: int, frames: int, against: int) -> SceneObject:
    """An object that so many frames detect, and others call something else."""
    masks = tuple(SupportingMask(f"{number}", 0, category, 0.5) for number in range(frames))
    return SceneObject(category, 0.5, 0.0, 0.0, masks, tuple(f"{frames + number}" for number in range(against)))


OBJECTS = [detected(category, 5, 0) for category in CATEGORY_OF_OBJECT]


def strip(count: int) -> TriangleMesh:
    """A ribbon of one colour: vertices 1 cm apart, those of even and odd number on its two sides."""
    number = np.arange(count)
    vertices = np.stack([number * 0.01, number % 2 * 0.01, np.zeros(count)], axis=1).astype(np.float32)
    faces = np.stack([number[:-2], number[1:-1], number[2:]], axis=1).astype(np.int32)
    return TriangleMesh(vertices, faces, np.full((count, 3), 120, np.uint8))


def one_hot(rows: list[int], count: int, certainty: float = 0.97) -> np.ndarray:
    result = np.full((len(rows), count), (1 - certainty) / (count - 1))
    result[np.arange(len(rows)), rows] = certainty
    return result


def labels(category: list[int], instance: list[int]) -> Labels:
    return Labels(np.array(category, np.int32), np.array(instance, np.int32))


def decide(
    category: list[int], instance: list[int], prior: Labels, table: CategoryTable, certainty: float = 0.97
) -> Labels:
    heads = one_hot(category, len(table), certainty), one_hot(instance, len(CATEGORY_OF_OBJECT) + 1, certainty)
    return panoptic_labels(*heads, prior, OBJECTS, table, strip(len(category)), PARAMETERS).labels


def test_a_trained_field_fills_void(table: CategoryTable) -> None:
    prior = labels([WALL] * 50 + [VOID], [VOID] * 51)
    decided = decide([WALL] * 50 + [CHAIR], [3] * 50 + [1], prior, table)
    assert (decided.category[-1], decided.instance[-1]) == (CHAIR, 1)


def test_an_object_has_one_class_whatever_the_heads_say(table: CategoryTable) -> None:
    rng = np.random.default_rng(0)
    prior = labels([VOID] * 500, [VOID] * 500)
    heads = rng.dirichlet(np.ones(len(table)), 500), rng.dirichlet(np.ones(4), 500)
    decided = panoptic_labels(*heads, prior, OBJECTS, table, strip(500), PARAMETERS).labels
    thing = decided.instance != VOID
    assert (decided.category[thing] == np.array(CATEGORY_OF_OBJECT)[decided.instance[thing]]).all()
    assert (~table.is_thing[decided.category[~thing]]).all()


def test_a_field_that_contradicts_everything_changes_nothing(table: CategoryTable) -> None:
    prior = labels([WALL] * 30 + [CHAIR] * 20, [VOID] * 30 + [0] * 20)
    decided = decide([FLOOR] * 50, [3] * 50, prior, table)
    np.testing.assert_array_equal(decided.category, prior.category)
    np.testing.assert_array_equal(decided.instance, prior.instance)


def test_a_sure_field_moves_a_boundary_where_all_looks_alike_and_nothing_else(table: CategoryTable) -> None:
    prior = labels([WALL] * 50 + [FLOOR] * 50, [VOID] * 100)
    moved = decide([WALL] * 53 + [FLOOR] * 47, [3] * 100, prior, table, 0.9999)
    assert moved.category.tolist() == [WALL] * 53 + [FLOOR] * 47
    stain = [WALL] * 20 + [FLOOR] * 3 + [WALL] * 27 + [FLOOR] * 50
    assert decide(stain, [3] * 100, prior, table, 0.9999).category.tolist() == prior.category.tolist()


def test_an_unsure_field_moves_nothing(table: CategoryTable) -> None:
    prior = labels([WALL] * 50 + [FLOOR] * 50, [VOID] * 100)
    decided = decide([WALL] * 53 + [FLOOR] * 47, [3] * 100, prior, table, 0.6)
    assert decided.category.tolist() == prior.category.tolist()


def test_a_scene_without_things(table: CategoryTable) -> None:
    prior = labels([WALL, VOID], [VOID, VOID])
    decided = panoptic_labels(
        one_hot([WALL, FLOOR], len(table)), np.ones((2, 1)), prior, [], table, strip(2), PARAMETERS
    ).labels
    assert decided.category.tolist() == [WALL, FLOOR]


@pytest.mark.parametrize(("share", "weight"), [(0.2, 1e-6), (0.5, 1e-6), (FULL, 1.0), (1.0, 1.0)])
def test_reliability_at_its_ends(share: float, weight: float) -> None:
    assert reliability(np.arange(1000) < 1000 * share, FULL) == pytest.approx(weight)


CHAIR_HERE = 40  # vertices, of 400


def with_a_chair(
    scene_object: SceneObject,
    shown: int,
    table: CategoryTable,
    floor_agrees: int = 360,
    parameters: RefinementParameters = PARAMETERS,
) -> PanopticLabels:
    """A floor and a chair; the field shows so many vertices of either, and elsewhere wall."""
    floor = 400 - CHAIR_HERE
    prior = labels([FLOOR] * floor + [CHAIR] * CHAIR_HERE, [VOID] * floor + [0] * CHAIR_HERE)
    category = (
        [FLOOR] * floor_agrees + [WALL] * (floor - floor_agrees) + [CHAIR] * shown + [WALL] * (CHAIR_HERE - shown)
    )
    instance = [1] * floor + [0] * shown + [1] * (CHAIR_HERE - shown)
    heads = one_hot(category, len(table)), one_hot(instance, 2)
    return panoptic_labels(*heads, prior, [scene_object], table, strip(400), parameters)


def test_what_few_frames_detect_and_the_field_does_not_show_is_no_object(table: CategoryTable) -> None:
    decided = with_a_chair(detected(CHAIR, 2, 5), 20, table)
    np.testing.assert_array_equal(decided.rejected, [0])
    assert (decided.labels.instance == VOID).all()
    np.testing.assert_array_equal(decided.labels.category[-CHAIR_HERE // 2 :], WALL)


@pytest.mark.parametrize(
    ("scene_object", "shown"),
    [(detected(CHAIR, 2, 5), 38), (detected(CHAIR, 5, 2), 0), (detected(CHAIR, 2, 0), 0), (detected(CHAIR, 0, 0), 0)],
    ids=["the field shows it", "most frames detect it", "nobody contradicts", "nobody saw it"],
)
def test_an_object_stays_unless_frames_and_field_reject_it(
    table: CategoryTable, scene_object: SceneObject, shown: int
) -> None:
    decided = with_a_chair(scene_object, shown, table)
    assert not len(decided.rejected)
    np.testing.assert_array_equal(decided.labels.instance[-CHAIR_HERE:], 0)


def test_a_field_that_is_wrong_elsewhere_rejects_nothing(table: CategoryTable) -> None:
    decided = with_a_chair(detected(CHAIR, 2, 5), 0, table, floor_agrees=250)
    assert not len(decided.rejected)


def test_where_a_rejected_object_is_all_there_is_it_stays() -> None:
    only_chairs = CategoryTable((Category(1, "chair", thing=True),))
    heads = np.full((100, 1), 1.0), np.full((100, 2), 0.5)
    prior = labels([0] * 100, [0] * 100)
    heads[1][90:] = (0.1, 0.9)
    decided = panoptic_labels(*heads, prior, [detected(0, 1, 9)], only_chairs, strip(100), PARAMETERS)
    np.testing.assert_array_equal(decided.labels.instance, 0)


def test_without_stuff_and_objects_all_labels_stay() -> None:
    only_chairs = CategoryTable((Category(1, "chair", thing=True),))
    prior = labels([0] * 20 + [VOID] * 20, [VOID] * 40)
    decided = panoptic_labels(np.ones((40, 1)), np.ones((40, 1)), prior, [], only_chairs, strip(40), PARAMETERS)
    assert decided.labels is prior
    assert relabel_boundaries(strip(40), prior, decided.scores, PARAMETERS) is prior


@pytest.mark.parametrize(
    "parameters",
    [
        replace(PARAMETERS, min_detection_rate=0.25),
        replace(PARAMETERS, min_field_agreement=0.4),
        replace(PARAMETERS, min_field_reliability=0.99),
    ],
)
def test_the_rates_of_rejection_are_parameters(table: CategoryTable, parameters: RefinementParameters) -> None:
    assert not len(with_a_chair(detected(CHAIR, 2, 5), 20, table, parameters=parameters).rejected)
