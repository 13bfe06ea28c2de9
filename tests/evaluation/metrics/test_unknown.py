"""Objects without a name: counts of a scene small enough to count by hand, and that names do not matter."""

from dataclasses import asdict

import numpy as np

from panrecon.evaluation.metrics.unknown import unknown_quality
from panrecon.evaluation.overlap import overlap
from panrecon.evaluation.protocols import PROTOCOLS, parse_protocol
from panrecon.structures import VOID, Category, CategoryTable, Labels

WALL, CHAIR, LAMP = range(3)
COMPLETE = CategoryTable(
    (Category(1, "wall", thing=False), Category(2, "chair", thing=True), Category(3, "lamp", thing=True))
)
TABLE = CategoryTable(COMPLETE.categories[:LAMP]).with_unknown()
UNKNOWN = TABLE.unknown
TRUTH = [(WALL, VOID)] * 10 + [(CHAIR, 0)] * 10 + [(LAMP, 1)] * 10 + [(LAMP, 2)] * 10 + [(VOID, VOID)] * 10


def labels(pairs: list[tuple[int, int]]) -> Labels:
    category, instance = np.array(pairs, dtype=np.int32).T
    return Labels(category, instance)


def counts(prediction: list[tuple[int, int]]) -> list[int]:
    """Predicted, false, ignored, left out, found."""
    return list(asdict(unknown_quality(overlap(labels(prediction), labels(TRUTH)), TABLE, COMPLETE)).values())


def test_true_false_and_ignored_objects_are_counted() -> None:
    on_wall = [(UNKNOWN, 5)] * 10
    on_chair = [(UNKNOWN, 6)] * 10
    on_first_lamp = [(UNKNOWN, 7)] * 6 + [(WALL, VOID)] * 4
    on_second_lamp = [(WALL, VOID)] * 10
    on_void = [(UNKNOWN, 8)] * 10
    assert counts([*on_wall, *on_chair, *on_first_lamp, *on_second_lamp, *on_void]) == [4, 1, 1, 2, 1]


def test_an_object_that_was_called_by_another_class_is_found() -> None:
    assert counts([(WALL, VOID)] * 20 + [(CHAIR, 3)] * 10 + [(WALL, VOID)] * 20) == [0, 0, 0, 2, 1]


def test_void_is_left_out_of_unions() -> None:
    assert counts([(WALL, VOID)] * 30 + [(UNKNOWN, 4)] * 20) == [1, 0, 0, 2, 1]


def test_objects_without_a_name_are_never_false_nor_matched_by_any_protocol() -> None:
    """For the named classes they are void: the same truth, with as many points void instead, scores the same."""
    named = [(WALL, VOID)] * 10 + [(CHAIR, 0)] * 7
    truth = labels([(WALL, VOID)] * 10 + [(CHAIR, 0)] * 10 + [(VOID, VOID)] * 10)
    nameless = labels([*named, *[(UNKNOWN, 3)] * 13])
    void = labels([*named, *[(VOID, VOID)] * 13])
    for protocol in map(parse_protocol, PROTOCOLS):
        expected = protocol.match(overlap(void, truth), TABLE).statistics
        actual = protocol.match(overlap(nameless, truth), TABLE).statistics
        assert actual.false_positives[UNKNOWN] == 0, protocol
        for name in ("iou_sum", "true_positives", "false_positives", "false_negatives"):
            np.testing.assert_allclose(getattr(actual, name), getattr(expected, name), err_msg=f"{protocol} {name}")


def test_a_table_keeps_its_own_class_unknown() -> None:
    of_things = CategoryTable((Category(4, "Unknown", thing=True),))
    of_stuff = CategoryTable((Category(4, "unknown", thing=False),))
    assert of_things.with_unknown() is of_things
    assert of_things.unknown == 0
    assert of_stuff.with_unknown() is of_stuff
    assert of_stuff.unknown == VOID


def test_the_class_unknown_takes_an_id_that_no_class_has() -> None:
    table = CategoryTable((Category(65535, "wall", thing=False), Category(65534, "chair", thing=True))).with_unknown()
    assert table[table.unknown].id == 65533
    assert not table.is_evaluated[table.unknown]
