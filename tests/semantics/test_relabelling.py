"""Laws of the classes that objects take from those of similar features."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from panrecon.semantics.lifting import LiftedFeatures
from panrecon.semantics.parameters import SemanticsParameters
from panrecon.semantics.relabelling import class_histograms, likelihood_ratios, relabel_by_similarity, similarities
from panrecon.structures import VOID, Labels, SceneObject, SupportingMask, with_categories

WALL, FLOOR, CHAIR, TABLE, CUP = range(5)
POINTS = 20  # of every object


def called(category: int, *words: int) -> SceneObject:
    """An object of the class, with a mask for every word."""
    masks = tuple(SupportingMask(str(frame), 0, word, 1.0, 100) for frame, word in enumerate(words))
    return SceneObject(category, 1.0, 0.0, 0.0, masks, ())


def looking(kinds: list[int], noise: float = 0.1) -> tuple[np.ndarray, LiftedFeatures]:
    """Points of objects, whose features are of the kind that they look like; and the object of every point."""
    rng = np.random.default_rng(0)
    appearance = rng.standard_normal((max(kinds) + 1, 16))
    instance = np.repeat(np.arange(len(kinds)), POINTS)
    feature = appearance[np.array(kinds)[instance]] + noise * rng.standard_normal((len(instance), 16))
    return instance.astype(np.int32), LiftedFeatures(feature.astype(np.float32), np.ones(len(instance), np.float32))


CHAIRS = [called(CHAIR, CHAIR, CHAIR, CHAIR)] * 5
TABLES = [called(TABLE, TABLE, TABLE)] * 4
CUPS = [called(CUP, CUP)] * 4
MISNAMED = called(TABLE, TABLE, TABLE, TABLE, CHAIR, CHAIR)
ROOM = [*CHAIRS, *TABLES, *CUPS, MISNAMED]
LOOKS = [CHAIR] * 5 + [TABLE] * 4 + [CUP] * 4


def names(objects: list[SceneObject], looks: list[int], noise: float = 0.1) -> list[int]:
    instance, points = looking(looks, noise)
    return [found.category for found in relabel_by_similarity(objects, instance, points, 5)]


def test_an_object_that_looks_like_the_chairs_and_is_sometimes_called_one_is_a_chair() -> None:
    assert names(ROOM, [*LOOKS, CHAIR]) == [*LOOKS, CHAIR]


def test_it_stays_a_table_if_it_looks_like_the_tables() -> None:
    assert names(ROOM, [*LOOKS, TABLE]) == [*LOOKS, TABLE]


@pytest.mark.parametrize("views", [1, 10])
def test_a_segmenter_that_repeats_itself_is_no_surer(views: int) -> None:
    """The same shares of words, from two frames and from twenty, beside the chairs that it looks like."""
    torn = called(TABLE, *[TABLE, CHAIR] * views)
    assert names([*CHAIRS, *CUPS, *TABLES, torn], [CHAIR] * 5 + [CUP] * 4 + [TABLE] * 4 + [CHAIR])[-1] == CHAIR


def test_the_only_object_of_a_class_is_not_outvoted_by_classes_of_many() -> None:
    """A lamp that some call chair and that looks like nothing else stays a lamp, however many chairs there are."""
    lamp = called(FLOOR, FLOOR, FLOOR, FLOOR, CHAIR, CHAIR)
    assert names([*CHAIRS, *CHAIRS, *CUPS, lamp], [CHAIR] * 10 + [CUP] * 4 + [FLOOR])[-1] == FLOOR


def test_features_alone_name_nothing() -> None:
    never_called_chair = called(TABLE, TABLE, TABLE, TABLE)
    many_chairs = [*CHAIRS, *CHAIRS, *CHAIRS]
    looks = [CHAIR] * 15 + LOOKS[5:]
    assert names([*many_chairs, *ROOM[5:-1], never_called_chair], [*looks, CHAIR]) == [*looks, TABLE]
    assert names([*many_chairs, *ROOM[5:-1], MISNAMED], [*looks, CHAIR]) == [*looks, CHAIR]


def test_features_that_do_not_tell_classes_apart_change_no_name() -> None:
    assert names(ROOM, [0] * len(ROOM), noise=1.0) == [found.category for found in ROOM]


@pytest.mark.parametrize("objects", [[], [MISNAMED]])
def test_there_is_nothing_to_learn_from_fewer_than_two_objects(objects: list[SceneObject]) -> None:
    instance, points = looking([0])
    assert relabel_by_similarity(objects, instance, points, 5) == tuple(objects)


def test_words_that_are_worth_much_change_no_name() -> None:
    instance, points = looking([*LOOKS, CHAIR])
    relabelled = relabel_by_similarity(ROOM, instance, points, 5, SemanticsParameters(own_words=100.0))
    assert [scene_object.category for scene_object in relabelled] == [*LOOKS, TABLE]


def test_objects_that_no_frame_gave_a_feature_keep_their_names() -> None:
    instance, points = looking([*LOOKS, CHAIR])
    unseen = LiftedFeatures(np.zeros_like(points.feature), np.zeros_like(points.weight))
    assert [found.category for found in relabel_by_similarity(ROOM, instance, unseen, 5)] == [o.category for o in ROOM]


@settings(max_examples=20, deadline=None)
@given(st.permutations(range(len(ROOM))))
def test_the_order_of_objects_does_not_matter(order: list[int]) -> None:
    instance, points = looking([*LOOKS, CHAIR])
    place = np.argsort(order).astype(np.int32)
    shuffled = relabel_by_similarity([ROOM[number] for number in order], place[instance], points, 5)
    assert [shuffled[place[number]].category for number in range(len(ROOM))] == [*LOOKS, CHAIR]


def test_class_histograms_are_shares_of_score_and_area() -> None:
    masks = (SupportingMask("0", 0, CHAIR, 0.9, 10), SupportingMask("1", 3, TABLE, 0.3, 90))
    histograms = class_histograms([SceneObject(CHAIR, 1.0, 0.0, 0.0, masks, ()), called(CUP)], 5)
    assert_allclose(histograms, np.array([[0, 0, 0.25, 0.75, 0], [0, 0, 0, 0, 0]]))


def test_similarity_is_that_of_directions_from_the_mean_of_the_scene() -> None:
    feature = np.array([[1, 0], [3, 0], [-1, 0], [-3, 0], [0, 2], [0, -2]], np.float32)
    instance = np.array([0, 1, 2, VOID, VOID, VOID], np.int32)
    found = similarities(LiftedFeatures(feature + 5, np.ones(6, np.float32)), instance, 3)
    assert_allclose(found, [[1, 1, -1], [1, 1, -1], [-1, -1, 1]], atol=1e-6)


def test_alike_objects_are_likelier_of_one_class_and_unlike_ones_less() -> None:
    instance, points = looking([*LOOKS, CHAIR])
    ratio = likelihood_ratios(similarities(points, instance, len(ROOM)), class_histograms(ROOM, 5), 10.0)
    named = ratio[:13, :13]
    one_class = np.add.outer(LOOKS, -np.array(LOOKS)) == 0
    assert_array_equal(ratio, ratio.T)
    assert_array_equal(np.diag(ratio), 0)
    assert named[one_class & ~np.eye(13, dtype=bool)].min() > 1 > named[~one_class].max()


def test_points_take_the_class_of_their_object_and_stuff_keeps_its_own() -> None:
    before = Labels(np.array([WALL, TABLE, VOID], np.int32), np.array([VOID, 0, VOID], np.int32))
    after = with_categories(before, [called(CHAIR)])
    assert_array_equal(after.category, [WALL, CHAIR, VOID])
    assert_array_equal(after.instance, before.instance)
