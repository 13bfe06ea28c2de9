"""Class quality: known answers and laws."""

import numpy as np
from hypothesis import given, settings
from numpy.testing import assert_allclose

from panrecon.evaluation.metrics.semantic import confusion, frame_quality, semantic_quality
from panrecon.evaluation.overlap import merge_overlaps, overlap
from panrecon.structures import VOID, Labels
from tests.evaluation.plain import CHAIR, CLASSES, CLUTTER, EVALUATED, FLOOR, TABLE, WALL, label_pairs, labels


@settings(max_examples=200, deadline=None)
@given(label_pairs())
def test_equals_the_plain_definition(pair: tuple[Labels, Labels]) -> None:
    prediction, truth = (side.category.tolist() for side in pair)
    scored = [(p, t) for p, t in zip(prediction, truth, strict=True) if t in EVALUATED]
    ious, accuracies = [], []
    for c in {t for _, t in scored}:
        hit = sum(p == c == t for p, t in scored)
        ious.append(hit / sum(c in pair for pair in scored))
        accuracies.append(hit / sum(t == c for _, t in scored))
    actual = semantic_quality(confusion(overlap(*pair), CLASSES))
    assert_allclose(actual.miou, np.mean(ious) if ious else np.nan, atol=1e-12)
    assert_allclose(actual.macc, np.mean(accuracies) if accuracies else np.nan, atol=1e-12)


def test_semantickitti_example() -> None:
    """The data set's own evaluator: IoU 2/3, 2/3, 6/7 and 0."""
    prediction = labels((50, VOID, 0), (40, WALL, 0), (10, FLOOR, 0), (40, FLOOR, 0), (10, WALL, 0), (350, CHAIR, 0))
    truth = labels((50, VOID, 0), (50, WALL, 0), (50, FLOOR, 0), (50, TABLE, 0), (300, CHAIR, 0))
    assert_allclose(semantic_quality(confusion(overlap(prediction, truth), CLASSES)).miou, 0.547619048, atol=1e-9)


def test_void_is_missed_and_true_void_is_not_scored() -> None:
    prediction = labels((60, WALL, 0), (40, VOID, VOID), (30, WALL, 0))
    truth = labels((60, WALL, 0), (40, WALL, 0), (30, CLUTTER, 0))
    actual = semantic_quality(confusion(overlap(prediction, truth), CLASSES))
    assert (actual.miou, actual.macc) == (0.6, 0.6)


def test_frames_are_averaged_where_they_have_the_class() -> None:
    frames = [
        overlap(labels((50, WALL, 0), (50, VOID, 0)), labels((100, WALL, 0))),
        overlap(labels((10, WALL, 0), (90, CHAIR, 0)), labels((10, WALL, 0), (90, CHAIR, 0))),
    ]
    assert frame_quality(frames, CLASSES).miou == 1.75 / 2
    actual = frame_quality(frames, CLASSES, absent=0.0)
    assert_allclose(actual.iou[[WALL, CHAIR, FLOOR, TABLE]], [0.75, 1, 0, 0])
    assert np.isnan(actual.iou[CLUTTER])
    assert actual.miou == 1.75 / 4
    assert semantic_quality(confusion(merge_overlaps(frames), CLASSES)).iou[WALL] == 60 / 110
