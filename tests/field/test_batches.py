"""Batches drawn ahead are those drawn one after another."""

import torch

from panrecon.config import FieldSettings
from panrecon.field.batches import BatchStream, TrainingBatch
from panrecon.field.parameters import FieldParameters
from panrecon.field.sampling import FieldData

FREE = (4, 4, 0, 0, 4)  # free samples of five steps
CPU = torch.device("cpu")


def stream(room: FieldData, seed: int = 0) -> BatchStream:
    return BatchStream(room, FieldSettings(rays=16, seed=seed, device="cpu"), FieldParameters(), CPU)


def drawn_ahead(batches: BatchStream, first: int = 0) -> list[TrainingBatch]:
    return [batches.take(free, following) for free, following in zip(FREE, (*FREE[1:], None), strict=True)][first:]


def assert_same(actual: TrainingBatch, expected: TrainingBatch) -> None:
    assert torch.equal(actual.depth, expected.depth)
    assert torch.equal(actual.points, expected.points)
    assert torch.equal(actual.pixels.color, expected.pixels.color)


def test_batches_drawn_ahead_are_those_drawn_when_asked_for(room: FieldData) -> None:
    one_by_one = stream(room)
    for actual in drawn_ahead(stream(room)):
        assert_same(actual, one_by_one.take(actual.depth.shape[1] - FieldSettings().near_samples))


def test_a_wrong_guess_of_what_is_taken_next_changes_nothing(room: FieldData) -> None:
    guessing, asked = stream(room), stream(room)
    for free in FREE:
        assert_same(guessing.take(free, 4 - free), asked.take(free))


def test_the_state_is_that_of_the_batch_taken_last(room: FieldData) -> None:
    batches = stream(room)
    batches.take(4, 4)
    state = batches.state.clone()
    expected = batches.take(4, 4)
    batches.take(4, 4)
    batches.resume(state)
    assert_same(batches.take(4), expected)
    resumed = stream(room, seed=7)
    resumed.resume(state)
    assert_same(resumed.take(4), expected)
