"""Laws of a run that is killed, at whichever change it was about to make on disk."""

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from panrecon.config import Settings, load_settings
from panrecon.io.files import write_text
from panrecon.workflow.scenes import Scene
from panrecon.workflow.script import Stage, carry_out, digest
from panrecon.workflow.stages import RECORD, STAGES
from panrecon.workflow.staleness import stale_stages

REMOVE = shutil.rmtree
CHANGES = ("os.mkdir", "os.remove", "os.rename", "os.rmdir")


class KilledError(BaseException):
    """What a process meets that is killed: nothing catches it, and nothing can be done any more."""


class Killer:
    """Kills whatever is about to make the change of this number below `folder`, and every change after it."""

    folder: Path | None = None
    changes_left = 0

    def audit(self, event: str, arguments: tuple[object, ...]) -> None:
        if self.folder is None or not (event in CHANGES or (event == "open" and _writes(arguments))):
            return
        if not (self.folder / str(arguments[0])).is_relative_to(self.folder):  # relative: of a folder being removed
            return
        self.changes_left -= 1
        if self.changes_left < 0:
            raise KilledError


def _writes(arguments: tuple[object, ...]) -> bool:
    return isinstance(arguments[1], str) and "w" in arguments[1] and not str(arguments[0]).endswith(".lock")


KILLER = Killer()
sys.addaudithook(KILLER.audit)  # for good; it does nothing where no folder is named


@contextmanager
def killed_after(changes: int, folder: Path) -> Iterator[None]:
    KILLER.changes_left = changes
    KILLER.folder = folder
    try:
        yield
    finally:
        KILLER.folder = None


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """A scene without any stage done."""
    write_text(tmp_path / "raw" / "room" / "classes.csv", "content")
    return Scene("scannet", "room", tmp_path / "raw" / "room", tmp_path / "runs" / "room")


def scan(scene: Scene, settings: Settings) -> None:
    """Writes what a stage `scan` might: some files that are stated, others that are not, and a picture."""

    def work(stage: Stage) -> None:
        for name in ("classes.csv", "depth/0.png", "depth/1.png", "scan.json", "scan.jpg"):
            write_text(stage.output / name, str(stage.settings.scan.frame_stride))

    carry_out("scan", scene, settings, work)


def remove_record_last(folder: Path, ignore_errors: bool) -> None:
    """Removes a folder in the worst of the orders in which a file system may list it."""
    stated = (*STAGES["scan"].files, RECORD)
    for path in sorted(folder.glob("**/*"), key=lambda path: path.name in stated):
        if path.is_file():
            path.unlink()
    REMOVE(folder, ignore_errors=ignore_errors)


def test_whatever_a_kill_leaves_is_not_called_up_to_date_and_is_taken_up_again(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither by the settings that it ran with, nor by those of the artifact that it was about to replace."""
    monkeypatch.setattr("gc.collect", lambda: 0)  # a second where torch and numba are loaded
    monkeypatch.setattr("panrecon.workflow.script.shutil.rmtree", remove_record_last)
    settings = [load_settings(overrides=[f"scan.frame_stride={every}"]) for every in (1, 2)]
    digests = []
    for of_run in settings:
        scan(scene, of_run)
        digests.append(digest(scene.run / "scan"))
    names = sorted(path.relative_to(scene.run) for path in scene.run.rglob("*"))
    changes = 0
    finished = False
    while not finished:
        REMOVE(scene.run)
        scan(scene, settings[0])
        try:
            with killed_after(changes, scene.run):
                scan(scene, settings[1])
            finished = True
        except KilledError:
            pass
        for of_run, expected in zip(settings, digests, strict=True):
            if not stale_stages(scene, of_run, "scan"):
                assert digest(scene.run / "scan") == expected, f"killed at change {changes}"
        scan(scene, settings[1])
        assert digest(scene.run / "scan") == digests[1]
        assert sorted(path.relative_to(scene.run) for path in scene.run.rglob("*")) == names
        changes += 1
    assert changes > 20
