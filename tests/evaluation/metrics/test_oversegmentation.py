"""Laws of the quality of over-segmentations: leaks over true boundaries, and which boundaries they have."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from panrecon.evaluation.metrics.oversegmentation import boundary_recall, undersegmentation_error
from panrecon.structures import VOID

LINE = np.stack([np.arange(10.0), np.zeros(10), np.zeros(10)], axis=1)
EDGES = np.stack([np.arange(9), np.arange(1, 10)], axis=1)
HALVES = np.repeat([0, 1], 5)


@given(seed=st.integers(0, 2**32 - 1))
def test_cutting_a_segment_never_loses(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth, coarse = rng.integers(VOID, 3, 40), rng.integers(0, 4, 40)
    fine = coarse * 2 + rng.integers(0, 2, 40)
    coarse_error, fine_error = (undersegmentation_error(s, truth) for s in (coarse, fine))
    assert 0 <= fine_error <= coarse_error + 1e-12 or np.isnan(coarse_error)
    vertices, edges = rng.random((40, 3)), rng.integers(0, 40, (60, 2))
    recall = [boundary_recall(s, truth, vertices, edges, 0.1) for s in (coarse, fine)]
    assert recall[0] <= recall[1] or np.isnan(recall[0])


def test_segments_inside_regions_make_no_error_and_have_every_boundary() -> None:
    assert undersegmentation_error(np.arange(10), HALVES) == 0
    assert boundary_recall(np.arange(10), HALVES, LINE, EDGES, 0.1) == 1


def test_a_segment_over_a_boundary_counts_its_smaller_part_on_both_sides() -> None:
    segment = np.array([0, 0, 0, 1, 1, 1, 2, 2, 2, 2])  # segment 1 has two points of region 0, one of region 1
    assert undersegmentation_error(segment, HALVES) == pytest.approx(2 / 10)
    assert undersegmentation_error(np.zeros(10, int), HALVES) == pytest.approx(10 / 10)


def test_void_truth_counts_for_nothing() -> None:
    truth = np.array([0, 0, VOID, VOID, VOID, VOID, VOID, 1, 1, 1])
    assert undersegmentation_error(np.zeros(10, int), truth) == pytest.approx(4 / 5)
    assert np.isnan(boundary_recall(np.arange(10), truth, LINE, EDGES, 1.0))
    assert np.isnan(undersegmentation_error(np.zeros(10, int), np.full(10, VOID)))


@pytest.mark.parametrize(("radius", "expected"), [(0.5, 0.0), (1.0 + 1e-9, 1.0)])
def test_a_boundary_is_found_within_the_radius(radius: float, expected: float) -> None:
    segment = (np.arange(10) > 5).astype(int)  # one edge beside the true boundary
    assert boundary_recall(segment, HALVES, LINE, EDGES, radius) == expected
    assert boundary_recall(np.zeros(10, int), HALVES, LINE, EDGES, radius) == 0
