"""Laws of the assignment."""

import torch
from torch import Tensor

from panrecon.lidar.matching import match

SURE = 12.0
ALL = torch.ones(6, dtype=torch.bool)
SEGMENTS = torch.tensor([[1, 1, 0, 0, 0, 0], [0, 0, 1, 1, 1, 0]], dtype=torch.bool)
CLASSES = torch.tensor([1, 0])


def logits_of(masks: Tensor) -> Tensor:
    return SURE * (2 * masks.float() - 1)


def test_segments_find_the_queries_that_show_them() -> None:
    mask = logits_of(torch.stack([SEGMENTS[1], ~SEGMENTS[0], SEGMENTS[0]]))
    found = match(torch.zeros(3, 2), mask, SEGMENTS, CLASSES, ALL)
    assert dict(zip(found.segment.tolist(), found.query.tolist(), strict=True)) == {0: 2, 1: 0}


def test_of_equal_masks_the_class_decides() -> None:
    mask = logits_of(SEGMENTS[:1].expand(3, 6))
    classes = torch.tensor([[0.0, -5.0], [-5.0, 5.0], [0.0, -5.0]])
    assert match(classes, mask, SEGMENTS[:1], CLASSES[:1], ALL).query.tolist() == [1]


def test_unlabelled_voxels_say_nothing() -> None:
    known = torch.tensor([True, True, True, False, False, False])
    mask = torch.randn(4, 6)
    other = torch.where(known, mask, torch.randn(4, 6) * SURE)
    one, two = (match(torch.zeros(4, 2), values, SEGMENTS, CLASSES, known) for values in (mask, other))
    assert one.query.equal(two.query)


def test_the_order_of_segments_does_not_matter() -> None:
    mask, classes = torch.randn(5, 6), torch.randn(5, 2)
    one = match(classes, mask, SEGMENTS, CLASSES, ALL)
    two = match(classes, mask, SEGMENTS.flip(0), CLASSES.flip(0), ALL)
    pairs = {(q, s) for q, s in zip(one.query.tolist(), one.segment.tolist(), strict=True)}
    assert pairs == {(q, 1 - s) for q, s in zip(two.query.tolist(), two.segment.tolist(), strict=True)}


def test_more_segments_than_queries_and_none_at_all() -> None:
    assert len(match(torch.zeros(1, 2), torch.randn(1, 6), SEGMENTS, CLASSES, ALL).query) == 1
    assert len(match(torch.zeros(3, 2), torch.randn(3, 6), SEGMENTS[:0], CLASSES[:0], ALL).query) == 0
    assert len(match(torch.zeros(3, 2), torch.randn(3, 6), SEGMENTS, CLASSES, ~ALL).query) == 2
