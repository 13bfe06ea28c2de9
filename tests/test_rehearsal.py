"""What an estimate tells grows as the work does: counted with a clock by which every piece of work takes a second."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

from panrecon import rehearsal
from panrecon.config import Settings, load_settings
from panrecon.errors import InputError
from panrecon.field.supervision import held_out
from panrecon.rehearsal import Estimate, Rehearsal
from panrecon.stage import VERSIONS

T = TypeVar("T")
FRAMES = 40  # of the small room
QUICK = ["field.log2_table_size=12", "semantics.iterations=20"]


def of_a_second(work: Callable[[], T]) -> tuple[float, T]:
    return 1.0, work()


@pytest.fixture(autouse=True)
def steady_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rehearsal, "timed", of_a_second)


def estimate(raw_scenes: Path, folder: Path, overrides: list[str]) -> Estimate:
    settings: Settings = load_settings([], QUICK + overrides)
    return Rehearsal("scannet", raw_scenes / "room", settings, folder).estimate(lambda _: None)


@pytest.fixture(scope="module")
def usual(raw_scenes: Path, tmp_path_factory: pytest.TempPathFactory) -> Estimate:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rehearsal, "timed", of_a_second)
        return estimate(raw_scenes, tmp_path_factory.mktemp("usual"), ["field.frozen_iterations=700"])


def test_every_stage_is_told_and_the_starts(usual: Estimate) -> None:
    assert list(usual.costs) == [*VERSIONS, "starts of all stages"]
    assert usual.costs["starts of all stages"].seconds == len(VERSIONS)
    assert usual.frames == FRAMES


def test_frames_count_as_many_times_as_they_are_more_than_rehearsed(usual: Estimate) -> None:
    more = FRAMES / rehearsal.FRAMES
    assert usual.costs["scan"].seconds == 1.0  # all frames of so short a scan are read and fused
    assert usual.costs["mesh"].seconds == 1.0 + 1.0  # and its picture
    assert usual.costs["features"].seconds == 1.0 + more  # the basis, which one frame gives, and the maps on it
    assert usual.costs["field"].seconds == 1.0 + more + Settings().field.steps  # the labels, and a second a step
    rendered = len(held_out(FRAMES, Settings().field.held_out_frames))
    assert usual.costs["panoptic"].seconds == 3.0 + rendered + 1.0


def test_a_longer_training_takes_as_much_longer(usual: Estimate, raw_scenes: Path, tmp_path: Path) -> None:
    longer = estimate(raw_scenes, tmp_path, ["field.frozen_iterations=7000"])
    assert longer.costs["field"].seconds - usual.costs["field"].seconds == 6300
    assert {name: cost.seconds for name, cost in longer.costs.items() if name != "field"} == {
        name: cost.seconds for name, cost in usual.costs.items() if name != "field"
    }


def test_unseen_surface_is_told_from_the_depth_images(raw_scenes: Path, tmp_path: Path) -> None:
    whole = Rehearsal("scannet", raw_scenes / "room", Settings(), tmp_path).whole
    few, half = rehearsal._some(whole, 2), rehearsal._some(whole, 20)
    assert rehearsal.share_seen(whole, whole, 6.0) == 1.0
    assert 0 < rehearsal.share_seen(whole, few, 6.0) < rehearsal.share_seen(whole, half, 6.0) < 1.0


@pytest.mark.parametrize("backend", ["masks.backend=grounded_sam", "features.backend=dinov2"])
def test_what_networks_take_is_not_guessed(backend: str, raw_scenes: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=rf"What {backend} takes is not told.*scan.frame_stride=50"):
        estimate(raw_scenes, tmp_path, [backend])
