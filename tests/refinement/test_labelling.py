"""Class and object of a vertex are decided together, and an untrained field changes nothing but void."""

import numpy as np
import pytest

from panrecon.refinement.labelling import FULL_TRUST, Decided, panoptic_labels, reliability
from panrecon.structures import VOID, Category, CategoryTable, Labels, SceneObject, SupportingMask, TriangleMesh

WALL, FLOOR, CHAIR, TABLE, CLUTTER = range(5)
CATEGORY_OF_OBJECT = [CHAIR, CHAIR, TABLE]


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
    category: list[int], instance: list[int], known: Labels, table: CategoryTable, certainty: float = 0.97
) -> Labels:
    heads = one_hot(category, len(table), certainty), one_hot(instance, len(CATEGORY_OF_OBJECT) + 1, certainty)
    return panoptic_labels(*heads, known, OBJECTS, table, strip(len(category)), 0.1).labels


def test_a_trained_field_fills_void(table: CategoryTable) -> None:
    known = labels([WALL] * 50 + [VOID], [VOID] * 51)
    found = decide([WALL] * 50 + [CHAIR], [3] * 50 + [1], known, table)
    assert (found.category[-1], found.instance[-1]) == (CHAIR, 1)


def test_an_object_has_one_class_whatever_the_heads_say(table: CategoryTable) -> None:
    rng = np.random.default_rng(0)
    known = labels([VOID] * 500, [VOID] * 500)
    heads = rng.dirichlet(np.ones(len(table)), 500), rng.dirichlet(np.ones(4), 500)
    found = panoptic_labels(*heads, known, OBJECTS, table, strip(500), 0.1).labels
    thing = found.instance != VOID
    assert (found.category[thing] == np.array(CATEGORY_OF_OBJECT)[found.instance[thing]]).all()
    assert (~table.is_thing[found.category[~thing]]).all()


def test_a_field_that_contradicts_everything_changes_nothing(table: CategoryTable) -> None:
    known = labels([WALL] * 30 + [CHAIR] * 20, [VOID] * 30 + [0] * 20)
    found = decide([FLOOR] * 50, [3] * 50, known, table)
    np.testing.assert_array_equal(found.category, known.category)
    np.testing.assert_array_equal(found.instance, known.instance)


def test_a_sure_field_moves_a_border_where_all_looks_alike_and_nothing_else(table: CategoryTable) -> None:
    known = labels([WALL] * 50 + [FLOOR] * 50, [VOID] * 100)
    moved = decide([WALL] * 53 + [FLOOR] * 47, [3] * 100, known, table, 0.9999)
    assert moved.category.tolist() == [WALL] * 53 + [FLOOR] * 47
    stain = [WALL] * 20 + [FLOOR] * 3 + [WALL] * 27 + [FLOOR] * 50
    assert decide(stain, [3] * 100, known, table, 0.9999).category.tolist() == known.category.tolist()


def test_an_unsure_field_moves_nothing(table: CategoryTable) -> None:
    known = labels([WALL] * 50 + [FLOOR] * 50, [VOID] * 100)
    found = decide([WALL] * 53 + [FLOOR] * 47, [3] * 100, known, table, 0.6)
    assert found.category.tolist() == known.category.tolist()


def test_a_scene_without_things(table: CategoryTable) -> None:
    known = labels([WALL, VOID], [VOID, VOID])
    found = panoptic_labels(one_hot([WALL, FLOOR], len(table)), np.ones((2, 1)), known, [], table, strip(2), 0.1).labels
    assert found.category.tolist() == [WALL, FLOOR]


@pytest.mark.parametrize(("share", "weight"), [(0.2, 1e-6), (0.5, 1e-6), (FULL_TRUST, 1.0), (1.0, 1.0)])
def test_reliability_at_its_ends(share: float, weight: float) -> None:
    assert reliability(np.arange(1000) < 1000 * share) == pytest.approx(weight)


CHAIR_HERE = 40  # vertices, of 400


def with_a_chair(object_found: SceneObject, shown: int, table: CategoryTable, floor_agrees: int = 360) -> Decided:
    """A floor and a chair; the field shows so many vertices of either, and elsewhere wall."""
    floor = 400 - CHAIR_HERE
    known = labels([FLOOR] * floor + [CHAIR] * CHAIR_HERE, [VOID] * floor + [0] * CHAIR_HERE)
    category = (
        [FLOOR] * floor_agrees + [WALL] * (floor - floor_agrees) + [CHAIR] * shown + [WALL] * (CHAIR_HERE - shown)
    )
    instance = [1] * floor + [0] * shown + [1] * (CHAIR_HERE - shown)
    heads = one_hot(category, len(table)), one_hot(instance, 2)
    return panoptic_labels(*heads, known, [object_found], table, strip(400), 0.1)


def test_what_few_frames_detect_and_the_field_does_not_show_is_no_object(table: CategoryTable) -> None:
    found = with_a_chair(detected(CHAIR, 2, 5), 20, table)
    np.testing.assert_array_equal(found.disputed, [0])
    assert (found.labels.instance == VOID).all()
    np.testing.assert_array_equal(found.labels.category[-CHAIR_HERE // 2 :], WALL)


@pytest.mark.parametrize(
    ("object_found", "shown"),
    [(detected(CHAIR, 2, 5), 38), (detected(CHAIR, 5, 2), 0), (detected(CHAIR, 2, 0), 0), (detected(CHAIR, 0, 0), 0)],
    ids=["the field shows it", "most frames detect it", "nobody contradicts", "nobody saw it"],
)
def test_an_object_stays_unless_frames_and_field_dispute_it(
    table: CategoryTable, object_found: SceneObject, shown: int
) -> None:
    found = with_a_chair(object_found, shown, table)
    assert not len(found.disputed)
    np.testing.assert_array_equal(found.labels.instance[-CHAIR_HERE:], 0)


def test_a_field_that_is_wrong_elsewhere_disputes_nothing(table: CategoryTable) -> None:
    found = with_a_chair(detected(CHAIR, 2, 5), 0, table, floor_agrees=250)
    assert not len(found.disputed)


def test_where_a_disputed_object_is_all_there_is_it_stays() -> None:
    only_chairs = CategoryTable((Category(1, "chair", thing=True),))
    heads = np.full((100, 1), 1.0), np.full((100, 2), 0.5)
    known = labels([0] * 100, [0] * 100)
    heads[1][90:] = (0.1, 0.9)
    found = panoptic_labels(*heads, known, [detected(0, 1, 9)], only_chairs, strip(100), 0.1)
    np.testing.assert_array_equal(found.labels.instance, 0)
