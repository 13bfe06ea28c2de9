"""What frames say for and against an occupied cell adds up; near frames and frames with little clutter say more."""

import numpy as np
import pytest
from scipy.special import logit

from panrecon.refinement.occupancy import DepthFrame, OccupancyGrid, log_odds, occupied_cells
from panrecon.refinement.parameters import RefinementParameters
from panrecon.structures import Camera

PARAMETERS = RefinementParameters(0.02)
CAMERA = Camera(32, 24, 30.0, 30.0, 15.5, 11.5)


def frame_at(distance: float, depth: float, front_share: float = 0.0) -> DepthFrame:
    """A frame that looks along z at the origin from this distance (m) and measures one depth everywhere."""
    pose = np.eye(4)
    pose[2, 3] = -distance
    return DepthFrame(CAMERA, pose, np.full((CAMERA.height, CAMERA.width), depth, np.float16), front_share)


def evidence(frame: DepthFrame, is_hit: bool) -> float:
    """What one frame adds to the log odds of a cell at the origin, which another frame hits anyway."""
    other = frame_at(1.0, 0.0)  # measures nothing
    hitting = [0, 1] if is_hit else [0]
    grid = OccupancyGrid.of(np.zeros((len(hitting), 3)), np.array(hitting), 2, PARAMETERS)
    both = log_odds(grid, np.array([0]), [other, frame], PARAMETERS)
    alone = log_odds(
        OccupancyGrid.of(np.zeros((1, 3)), np.array([0]), 1, PARAMETERS), np.array([0]), [other], PARAMETERS
    )
    return float(both[0] - alone[0])


def test_hits_count_for_a_cell_and_frames_that_see_through_it_against_it() -> None:
    assert evidence(frame_at(2.0, 2.0), is_hit=True) > 0
    assert evidence(frame_at(2.0, 3.0), is_hit=False) < 0


@pytest.mark.parametrize("depth", [0.0, 1.0, 2.0, 2.05])
def test_frames_that_measure_nothing_or_what_lies_before_or_close_say_nothing(depth: float) -> None:
    assert evidence(frame_at(2.0, depth), is_hit=False) == 0


@pytest.mark.parametrize("is_hit", [True, False])
def test_far_frames_say_less(is_hit: bool) -> None:
    strength = [abs(evidence(frame_at(d, 9.0), is_hit)) for d in (1.0, 3.0, 4.0, 5.0)]
    assert np.all(np.diff(strength) < 0)


@pytest.mark.parametrize("is_hit", [True, False])
def test_frames_with_much_in_front_of_the_mesh_say_less_and_at_last_nothing(is_hit: bool) -> None:
    strength = [abs(evidence(frame_at(1.0, 9.0, share), is_hit)) for share in (0.0, 0.1, 0.3, 1.0)]
    assert np.all(np.diff(strength) < 0)
    assert strength[-1] == pytest.approx(0)


def test_occupied_are_just_the_cells_whose_posterior_says_so() -> None:
    """Cells that too few frames hit are never looked at: it does not change the result."""
    rng = np.random.default_rng(0)
    position = rng.uniform(-0.1, 0.1, (300, 3))
    frame = rng.integers(0, 12, 300)
    frames = [frame_at(rng.uniform(1, 5), rng.choice([0.0, 9.0]), rng.uniform(0, 0.1)) for _ in range(12)]
    grid = OccupancyGrid.of(position, frame, 12, PARAMETERS)
    posterior = log_odds(grid, np.arange(len(grid.position)), frames, PARAMETERS)
    expected = np.flatnonzero(posterior >= logit(PARAMETERS.min_occupancy))
    assert 0 < len(expected) < len(posterior)
    np.testing.assert_array_equal(occupied_cells(grid, frames, PARAMETERS), expected)
