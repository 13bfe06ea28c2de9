"""Numbers for TensorBoard come back as they were written."""

import sys
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from panrecon.errors import InputError
from panrecon.io.tensorboard import event_log


def read(folder: Path) -> dict[str, list[tuple[int, float]]]:
    events = EventAccumulator(str(folder)).Reload()
    return {name: [(event.step, event.value) for event in events.Scalars(name)] for name in events.Tags()["scalars"]}


def test_a_log_that_goes_on_has_every_step_once(tmp_path: Path) -> None:
    for first, last, sign in ((0, 6, 1.0), (3, 8, -1.0)):
        with event_log(tmp_path, first) as log:
            for step in range(first, last):
                log.add(step, {"loss/mask": sign * step, "rate": 0.5})
    found = read(tmp_path)
    assert found["loss/mask"] == [*((step, step) for step in range(3)), *((step, -step) for step in range(3, 8))]
    assert found["rate"] == [(step, 0.5) for step in range(8)]


def test_a_new_start_forgets_the_old_one(tmp_path: Path) -> None:
    for last in (5, 2):
        with event_log(tmp_path, 0) as log:
            for step in range(last):
                log.add(step, {"loss": float(last)})
    assert read(tmp_path) == {"loss": [(0, 2.0), (1, 2.0)]}


def test_what_is_flushed_is_there_before_the_log_ends(tmp_path: Path) -> None:
    with event_log(tmp_path, 0) as log:
        log.add(0, {"loss": 1.0})
        log.flush()
        assert read(tmp_path) == {"loss": [(0, 1.0)]}


def test_without_tensorboard_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(InputError, match="TensorBoard is not installed"), event_log(tmp_path / "log", 0):
        pass
    assert not (tmp_path / "log").exists()
