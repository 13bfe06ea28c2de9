"""Laws of what the field is taught."""

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from panrecon.field.supervision import DISPUTED, combine_labels, held_out, taught_and_held_out
from panrecon.structures import VOID, Frame, Labels


@pytest.mark.parametrize("count", [0, 1, 4, 5, 9, 20, 83, 2000])
@pytest.mark.parametrize("wanted", [0, 1, 4, 7])
def test_few_frames_are_held_out_and_they_lie_apart(count: int, wanted: int) -> None:
    kept = held_out(count, wanted)
    assert len(kept) == min(wanted, count // 5)
    assert kept == sorted(set(kept))
    assert all(0 < number < count - 1 for number in kept)  # what only the first or last frame sees stays taught
    gaps = np.diff([-1, *kept, count])[1:-1]
    assert not len(gaps) or gaps.min() >= count // len(kept)


def test_a_masks_label_stands_less_trusted_where_the_surface_disagrees() -> None:
    of_masks = Labels(np.array([[1, 1, VOID, VOID]]), np.array([[3, 3, VOID, VOID]]))
    of_surface = Labels(np.array([[1, 2, 2, VOID]]), np.array([[3, VOID, VOID, VOID]]))
    labels, weight = combine_labels(of_masks, of_surface, np.array([[0.4, 0.4, 0.4, 0.0]]))
    assert_array_equal(labels.category, [[1, 1, 2, VOID]])
    assert_array_equal(labels.instance, [[3, 3, VOID, VOID]])
    assert_array_equal(weight, np.array([[1.0, DISPUTED, 0.4, 0.0]], np.float32))


@pytest.mark.parametrize(("count", "wanted"), [(3, 4), (20, 4), (41, 2), (40, 0)])
def test_every_frame_is_either_taught_or_held_out(count: int, wanted: int) -> None:
    frames = [Frame(str(number), Path("c"), Path("d"), np.eye(4)) for number in range(count)]
    taught, kept = taught_and_held_out(frames, wanted)
    assert [frame.name for frame in kept] == [str(number) for number in held_out(count, wanted)]
    rest = [number for number in range(count) if number not in held_out(count, wanted)]
    assert [frame.name for frame in taught] == [str(number) for number in rest]
