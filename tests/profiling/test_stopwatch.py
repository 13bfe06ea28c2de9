"""Laws of what is measured by progress, and of how it grows."""

import itertools
from types import SimpleNamespace

import pytest

from panrecon.profiling import costs
from panrecon.profiling.stopwatch import BOTH, FIXED, FRAMES, GROWTH, REST, SURFACE, Ratios, Stopwatch, extrapolated
from panrecon.workflow.stages import STAGES


@pytest.fixture(autouse=True)
def counting_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever looks at the clock takes a second."""
    monkeypatch.setattr(costs, "time", SimpleNamespace(perf_counter=itertools.count(0.0).__next__))


def measured(**steps: int) -> Stopwatch:
    """Parts of so many steps of a second each, with a second after the last one."""
    watch = Stopwatch()
    for name, count in steps.items():
        with watch(name, count) as advance:
            for step in range(count):
                advance(step + 1)
    return watch


def test_a_part_is_its_steps_and_what_comes_after() -> None:
    watch = measured(frames=4, superfaces=0)
    assert (watch.parts["frames"].stepping, watch.parts["frames"].finishing) == (4.0, 1.0)
    assert (watch.parts["superfaces"].stepping, watch.parts["superfaces"].finishing) == (0.0, 1.0)


def test_what_was_measured_is_told_for_a_scan_as_large() -> None:
    watch = measured(frames=4, superfaces=2, objects=1)
    assert extrapolated("graph", 20.0, watch, Ratios(1.0, 1.0)) == 20.0


@pytest.mark.parametrize(("frames", "surface"), [(10.0, 1.0), (1.0, 3.0), (10.0, 3.0)])
def test_every_part_grows_by_its_own_law(frames: float, surface: float) -> None:
    watch = measured(frames=4, superfaces=2, classifier=0)
    watch.parts["relabelling"] = watch.parts.pop("superfaces")
    grown = extrapolated("semantics", 10.0, watch, Ratios(frames, surface))
    assert grown == 4 * frames * surface + 2 * surface + 3 * surface + (10.0 - 5 - 3 - 1) * surface


def test_parts_that_are_told_otherwise_are_left_out() -> None:
    watch = measured(labels=4, fit=7)
    assert extrapolated("field", 20.0, watch, Ratios(2.0, 1.0), without=("fit",)) == 8 + 1 + (20 - 5 - 8)


def test_ratios_multiply() -> None:
    ratios = Ratios(5.0, 3.0)
    assert [ratios.product(growth) for growth in (FIXED, FRAMES, SURFACE, BOTH)] == [1.0, 5.0, 3.0, 15.0]


def test_growth_is_of_stages_and_says_what_the_rest_does() -> None:
    assert set(GROWTH) < set(STAGES)
    assert all(REST in parts for parts in GROWTH.values())
