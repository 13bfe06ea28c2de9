"""Every protocol: its known answers, its slow plain twin, and what must hold whatever the labels."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from torchmetrics.functional.detection import panoptic_quality as torchmetrics_quality

from panrecon.errors import InputError
from panrecon.evaluation.metrics.panoptic_quality import Matching, PanopticStatistics, panoptic_quality
from panrecon.evaluation.overlap import overlap
from panrecon.evaluation.protocols import PROTOCOLS, parse_protocol
from panrecon.structures import VOID, Category, CategoryTable, Labels
from tests.evaluation.plain import (
    CHAIR,
    CLASSES,
    CLUTTER,
    EVALUATED,
    FLOOR,
    TABLE,
    WALL,
    Counts,
    label_pairs,
    labels,
    plain_lidar,
    plain_panogs,
    plain_panoptic_lifting,
    plain_remapped,
    plain_strict,
)

ONE_THING = CategoryTable((Category(1, "chair", thing=True),))
ONE_STUFF = CategoryTable((Category(1, "wall", thing=False),))


def match(prediction: Labels, truth: Labels, name: str, table: CategoryTable = CLASSES) -> Matching:
    return parse_protocol(name).match(overlap(prediction, truth), table)


def mean(prediction: Labels, truth: Labels, name: str, table: CategoryTable = CLASSES) -> dict[str, float]:
    return panoptic_quality(match(prediction, truth, name, table).statistics).mean()


def assert_same(actual: PanopticStatistics, plain: Counts, is_counted: set[int]) -> None:
    for values, expected in (
        (actual.iou_sum, plain.iou_sum),
        (actual.true_positives, plain.tp),
        (actual.false_positives, plain.fp),
        (actual.false_negatives, plain.fn),
    ):
        assert_allclose(values, [expected[category] for category in range(len(CLASSES))], atol=1e-12)
    assert set(np.flatnonzero(actual.is_counted)) == is_counted
    pq = panoptic_quality(actual).mean()["pq"]
    expected_pq = np.mean([plain.pq(category) for category in is_counted]) if is_counted else np.nan
    assert_allclose(pq, expected_pq, atol=1e-12)


@settings(max_examples=300, deadline=None)
@given(label_pairs(), st.sampled_from([0.1, 0.25, 0.4, 0.5, 0.7]))
def test_strict_equals_its_twin(pair: tuple[Labels, Labels], threshold: float) -> None:
    plain = plain_strict(*pair, threshold)
    assert_same(match(*pair, f"strict@{threshold}").statistics, plain, plain.occurring())


@settings(max_examples=300, deadline=None)
@given(label_pairs(), st.sampled_from([0.1, 0.3]))
def test_panopticrecon_equals_its_twin(pair: tuple[Labels, Labels], threshold: float) -> None:
    actual = match(*pair, f"panopticrecon@{threshold}").statistics
    assert_same(actual, plain_remapped(*pair, threshold), EVALUATED)


@pytest.mark.parametrize("name", ["panopticrecon", "pvlff"])
def test_an_id_that_the_table_does_not_list_is_not_void_to_released_scripts(name: str) -> None:
    """Class 1 has most points of the id that all of these share: more than void, and more than the class 99."""
    side = labels((4, 0, 7), (3, VOID, 7), (3, VOID - 99, 7))
    assert mean(side, side, name, ONE_THING)["pq"] == 1
    pooled = labels((4, 0, 7), (6, VOID, 7))
    assert np.nan_to_num(mean(pooled, pooled, name, ONE_THING)["pq"]) == 0


@settings(max_examples=300, deadline=None)
@given(label_pairs())
def test_pvlff_equals_its_twin(pair: tuple[Labels, Labels]) -> None:
    plain = plain_remapped(*pair, 0.5)
    assert_same(match(*pair, "pvlff").statistics, plain, plain.occurring())


@settings(max_examples=300, deadline=None)
@given(label_pairs())
def test_panoptic_lifting_equals_its_twin(pair: tuple[Labels, Labels]) -> None:
    plain, classes = plain_panoptic_lifting(*pair, 0.5)
    assert_same(match(*pair, "panoptic_lifting").statistics, plain, classes)


@settings(max_examples=300, deadline=None)
@given(label_pairs())
def test_panogs_equals_its_twin(pair: tuple[Labels, Labels]) -> None:
    plain = plain_panogs(*pair, 0.25)
    assert_same(match(*pair, "panogs").statistics, plain, plain.occurring())


@settings(max_examples=300, deadline=None)
@given(label_pairs(), st.sampled_from([1, 5, 15]))
def test_lidar_equals_its_twin(pair: tuple[Labels, Labels], min_points: int) -> None:
    plain = plain_lidar(*pair, 0.5, min_points)
    actual = parse_protocol("lidar", min_points).match(overlap(*pair), CLASSES).statistics
    assert_same(actual, plain, plain.occurring())


@settings(max_examples=100, deadline=None)
@given(label_pairs(void=False, highest=999), st.sampled_from(["strict", "panoptic_lifting"]))
def test_agrees_with_torchmetrics_where_nothing_is_void(pair: tuple[Labels, Labels], name: str) -> None:
    prediction, truth = (Labels(np.where(s.category == CLUTTER, TABLE, s.category), s.instance) for s in pair)
    stacked = [
        torch.from_numpy(np.stack([s.category, np.where(s.category >= CHAIR, s.instance + 1, 0)], axis=-1))[None]
        for s in (prediction, truth)
    ]
    order = [CHAIR, TABLE, WALL, FLOOR]
    expected = torchmetrics_quality(
        stacked[0], stacked[1], things={CHAIR, TABLE}, stuffs={WALL, FLOOR}, return_per_class=True
    )
    actual = panoptic_quality(match(prediction, truth, name).statistics).pq
    assert_allclose(np.nan_to_num(actual[order]), expected.numpy().ravel(), atol=1e-6)


@settings(max_examples=100, deadline=None)
@given(label_pairs(highest=999))
def test_panoptic_lifting_ignores_void_as_torchmetrics_does(pair: tuple[Labels, Labels]) -> None:
    """Its released script is torchmetrics' code on the points that have a truth."""
    labelled = pair[1].category > VOID
    sides = [Labels(side.category[labelled], side.instance[labelled]) for side in pair]
    if not labelled.any():
        return
    stacked = []
    for side in sides:
        known = np.isin(side.category, list(EVALUATED))
        numbers = np.where(known & (side.category >= CHAIR), side.instance + 1, 0)
        stacked.append(torch.from_numpy(np.stack([np.where(known, side.category, 99), numbers], axis=-1))[None])
    expected = torchmetrics_quality(
        stacked[0],
        stacked[1],
        things={CHAIR, TABLE},
        stuffs={WALL, FLOOR},
        allow_unknown_preds_category=True,
        return_per_class=True,
    )
    actual = panoptic_quality(match(sides[0], sides[1], "panoptic_lifting").statistics).pq
    assert_allclose(np.nan_to_num(actual[[CHAIR, TABLE, WALL, FLOOR]]), expected.numpy().ravel(), atol=1e-6)


@settings(max_examples=100, deadline=None)
@given(label_pairs(), st.sampled_from([name for name in PROTOCOLS if name != "panogs"]), st.integers(0, 2**32 - 1))
def test_neither_names_of_instances_nor_order_of_points_matter(
    pair: tuple[Labels, Labels], name: str, seed: int
) -> None:
    order = np.random.default_rng(seed).permutation(len(pair[0].category))
    prediction, truth = (
        Labels(side.category[order], np.where(side.instance == VOID, VOID, 2**31 - side.instance)[order])
        for side in pair
    )
    one, other = match(*pair, name).statistics, match(prediction, truth, name).statistics
    assert_allclose(other.iou_sum, one.iou_sum, atol=1e-12)
    assert_allclose(other.false_positives, one.false_positives)


@settings(max_examples=100, deadline=None)
@given(label_pairs(), st.sampled_from([*PROTOCOLS, "strict@0.2"]))
def test_qualities_lie_between_0_and_1(pair: tuple[Labels, Labels], name: str) -> None:
    quality = panoptic_quality(match(*pair, name).statistics)
    for values in (quality.pq, quality.sq, quality.rq):
        assert ((values >= 0) & (values <= 1) | np.isnan(values)).all()


@settings(max_examples=100, deadline=None)
@given(label_pairs())
def test_strict_never_gains_from_erasing_an_object(pair: tuple[Labels, Labels]) -> None:
    """A prediction that turns correct points void loses; two released scripts reward it."""
    _, truth = pair
    erased = truth.instance == truth.instance[0]
    prediction = Labels(np.where(erased, VOID, truth.category), np.where(erased, VOID, truth.instance))
    before, after = (panoptic_quality(match(p, truth, "strict").statistics) for p in (truth, prediction))
    assert (np.nan_to_num(after.pq) <= np.nan_to_num(before.pq)).all()


@pytest.mark.parametrize("name", ["panopticrecon@0.1", "panopticrecon@0.3"])
@pytest.mark.parametrize("flip", [False, True], ids=["one object in two pieces", "two objects in one"])
def test_sixty_forty(name: str, flip: bool) -> None:
    whole, pieces = labels((100, 0, 0)), labels((60, 0, 1), (40, 0, 2))
    pair = (whole, pieces) if flip else (pieces, whole)
    actual = match(*pair, name, ONE_THING).statistics
    assert actual.true_positives.tolist() == [2]
    assert_allclose(list(mean(*pair, name, ONE_THING).values()), [0.5, 0.5, 1.0])
    assert_allclose(list(mean(*pair, "strict", ONE_THING).values()), [0.4, 0.6, 2 / 3])


def test_of_two_classes_with_equal_shares_of_an_id_the_lower_id_counts_whatever_the_order_of_the_table() -> None:
    wall = Category(1, "wall", thing=True)
    floor = Category(2, "floor", thing=True)
    for rows in ((wall, floor), (floor, wall)):
        table = CategoryTable(rows)
        prediction = labels((1, rows.index(wall), 5), (1, rows.index(floor), 5))
        assert mean(prediction, labels((2, rows.index(wall), 7)), "pvlff", table)["pq"] == 1


def test_a_perfect_wall_of_two_ids() -> None:
    truth, prediction = labels((100, 0, VOID)), labels((60, 0, VOID), (40, 0, 7))
    actual = {name: mean(prediction, truth, name, ONE_STUFF)["pq"] for name in ("panopticrecon", "panopticrecon@0.5")}
    assert_allclose(list(actual.values()), [0.5, 0.4])
    assert mean(prediction, truth, "strict", ONE_STUFF)["pq"] == 1


def test_a_class_that_occurs_nowhere_halves_panopticrecon() -> None:
    two = CategoryTable((Category(1, "chair", thing=True), Category(2, "table", thing=True)))
    truth = labels((100, 0, 3))
    assert mean(truth, truth, "panopticrecon", two)["pq"] == 0.5
    for name in ("strict", "pvlff", "panogs", "panoptic_lifting", "lidar"):
        assert mean(truth, truth, name, two)["pq"] == 1


@pytest.mark.parametrize("name", ["strict", "panopticrecon", "pvlff", "panogs", "lidar"])
def test_all_void_scores_nothing(name: str) -> None:
    assert mean(labels((100, VOID, VOID)), labels((100, CHAIR, 0)), name)["pq"] == 0


def test_predicted_void_is_missed_by_strict_and_ignored_by_panoptic_lifting() -> None:
    truth, prediction = labels((100, CHAIR, 0)), labels((40, CHAIR, 0), (60, VOID, VOID))
    assert mean(prediction, truth, "strict")["pq"] == 0
    assert mean(prediction, truth, "panoptic_lifting")["pq"] == 1


def test_erasing_every_second_object_raises_panoptic_lifting_and_lowers_strict() -> None:
    """Objects predicted at IoU 0.6 to 1; the worse half is erased."""
    truth = labels(*[(100, CHAIR, i) for i in range(8)])
    cover = [60, 65, 70, 75, 90, 95, 97, 100]
    runs = [run for i, n in enumerate(cover) for run in ((n, CHAIR, i), (100 - n, TABLE, i))]
    erased = [run if i >= 8 else (run[0], VOID, VOID) for i, run in enumerate(runs)]
    before, after = (
        {name: panoptic_quality(match(labels(*run_list), truth, name).statistics).pq[CHAIR] for name in PROTOCOLS}
        for run_list in (runs, erased)
    )
    assert after["panoptic_lifting"] > before["panoptic_lifting"]
    assert after["strict"] < before["strict"]


def test_semantickitti_example() -> None:
    """The known answer of the data set's own evaluator: a grass, sky, person and dog problem."""
    table = CategoryTable(
        tuple(Category(i + 1, name, thing=i > 1) for i, name in enumerate(["grass", "sky", "person", "dog"]))
    )
    grass, sky, person, dog = range(4)
    prediction = labels(
        (50, VOID, VOID), (40, grass, 0), (10, sky, 0), (40, sky, 0), (10, grass, 0),
        (50, person, 35), (200, person, 8), (100, person, 95),
    )  # fmt: skip
    truth = labels(
        (50, VOID, VOID),
        (50, grass, 0),
        (50, sky, 0),
        (50, dog, 22),
        (150, person, 33),
        (50, person, 42),
        (100, person, 11),
    )
    actual = parse_protocol("lidar", min_points=1).match(overlap(prediction, truth), table).statistics
    quality = panoptic_quality(actual)
    assert_allclose(quality.pq, [2 / 3, 2 / 3, 0.583333333, 0], atol=1e-9)
    assert_allclose(list(quality.mean().values()), [0.479166667, 0.552083333, 2 / 3], atol=1e-9)


def test_scans_of_lidar_add() -> None:
    scans = [labels((60, CHAIR, 0)), labels((60, CHAIR, 0), (60, WALL, VOID))]
    total = match(scans[0], scans[0], "lidar").statistics + match(scans[1], scans[1], "lidar").statistics
    assert total.true_positives.tolist() == [1, 0, 2, 0, 0]


def test_small_segments_are_neither_false_nor_missed_by_lidar() -> None:
    truth, prediction = labels((49, CHAIR, 0), (51, WALL, VOID)), labels((49, TABLE, 0), (51, WALL, VOID))
    actual = match(prediction, truth, "lidar").statistics
    assert (actual.false_positives + actual.false_negatives).tolist() == [0] * 5


def test_correct_rows_lie_in_matched_pairs() -> None:
    truth, prediction = labels((100, CHAIR, 0)), labels((60, CHAIR, 3), (40, CHAIR, 4))
    labels_overlap = overlap(prediction, truth)
    matching = parse_protocol("strict").match(labels_overlap, CLASSES)
    assert labels_overlap.area[matching.is_correct].tolist() == [60]


@pytest.mark.parametrize("text", ["strikt", "strict@", "strict@x", "strict@1", "strict@-1", "lidar@0.3", "strict@nan"])
def test_a_protocol_that_does_not_exist_is_named(text: str) -> None:
    with pytest.raises(InputError, match=text.partition("@")[0]):
        parse_protocol(text)


def test_a_protocol_prints_as_it_is_written() -> None:
    assert [str(parse_protocol(text)) for text in ("strict", "strict@0.25", "panopticrecon@0.1")] == [
        "strict",
        "strict@0.25",
        "panopticrecon",
    ]
