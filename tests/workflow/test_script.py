"""Laws of the folders that stages leave."""

import errno
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from panrecon.errors import InputError
from panrecon.io.files import atomic_write, read_json, write_json, write_text
from panrecon.terminal import ERROR_FILE, locked
from panrecon.workflow.script import FINGERPRINT, Stage, digest, run_stage
from panrecon.workflow.stages import STAGES

Work = Callable[[Stage], None]
Run = Callable[..., int]


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    """A run in which `scan` is done."""
    scan = tmp_path / "run" / "room" / "scan"
    write_text(scan / "scan.json", "{}")
    write_json(scan / "settings.json", {"digest": digest(scan)})
    return tmp_path / "run" / "room"


@pytest.fixture
def run(scene: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Carries out `work` as the stage `mesh` and gives the exit code."""

    def carry_out(work: Work, overrides: Sequence[str] = (), stage: str = "mesh") -> int:
        options = ["--dataset", "scannet", "--raw", str(scene), "--run", str(scene)]
        sets = [word for override in overrides for word in ("--set", override)]
        monkeypatch.setattr(sys, "argv", [f"{stage}.py", *options, *sets])
        with pytest.raises(SystemExit) as end:
            run_stage(work)
        return int(end.value.code or 0)

    return carry_out


def succeed(stage: Stage) -> None:
    write_text(stage.output / "mesh.ply", "surface")
    write_text(stage.output / "mesh.png", "picture")


def crash_halfway(stage: Stage) -> None:
    write_text(stage.output / "checkpoint", "half")
    raise ZeroDivisionError


def find_bad_input(stage: Stage) -> None:
    write_text(stage.output / "checkpoint", "half")
    raise InputError("The thing is wrong; mend it.")


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.suffix != ".lock"}


def test_every_stage_reads_stages_before_it_only() -> None:
    order = list(STAGES)
    assert all(order.index(read) < order.index(name) for name, stage in STAGES.items() for read in stage.reads)


def test_output_takes_its_place_with_a_record(scene: Path, run: Run) -> None:
    assert run(succeed, ["mesh.voxel_size=0.05"]) == 0
    assert names(scene) == {"scan", "mesh"}
    assert names(scene / "mesh") == {"mesh.ply", "mesh.png", "settings.json"}
    record = read_json(scene / "mesh" / "settings.json")
    assert record["settings"]["voxel_size"] == 0.05
    assert record["inputs"] == {"scan": digest(scene / "scan")}
    assert record["digest"] == digest(scene / "mesh")
    assert (record["stage"], record["scene"], record["device"]) == ("mesh", "room", "cpu")


def test_wrong_input_leaves_nothing_but_its_sentence(
    scene: Path, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(ERROR_FILE, str(tmp_path / "sentence"))
    assert run(find_bad_input) == 2
    assert names(scene) == {"scan"}
    assert capsys.readouterr().err == "error: The thing is wrong; mend it.\n"
    assert (tmp_path / "sentence").read_text() == "The thing is wrong; mend it."


def test_wrong_input_and_a_crash_keep_the_earlier_artifact(scene: Path, run: Run) -> None:
    run(succeed)
    before = digest(scene / "mesh")
    for work in (find_bad_input, crash_halfway):
        run_anyhow(run, work)
        assert digest(scene / "mesh") == before


def run_anyhow(run: Run, work: Work, overrides: Sequence[str] = ()) -> None:
    """Our own faults come through as they are."""
    try:
        run(work, overrides)
    except ZeroDivisionError:
        return


def test_what_a_crash_left_is_there_for_the_same_stage_and_gone_for_another(scene: Path, run: Run) -> None:
    seen = []

    def look(stage: Stage) -> None:
        seen.append((stage.output / "checkpoint").exists())
        raise ZeroDivisionError

    run_anyhow(run, crash_halfway)
    assert not (scene / "mesh").exists()
    assert names(scene / ".mesh.partial") == {"checkpoint", FINGERPRINT}
    run_anyhow(run, look)
    run_anyhow(run, look, ["field.seed=3"])  # another stage's setting
    run_anyhow(run, look, ["mesh.voxel_size=0.05"])
    run_anyhow(run, crash_halfway)
    write_text(scene / "scan" / "scan.json", '{"another": 1}')
    write_json(scene / "scan" / "settings.json", {"digest": digest(scene / "scan")})
    run_anyhow(run, look)
    assert seen == [True, True, False, False]


def test_a_full_disk_leaves_what_was_done(scene: Path, run: Run) -> None:
    def fill_the_disk(stage: Stage) -> None:
        write_text(stage.output / "checkpoint", "half")
        with atomic_write(stage.output / "more"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    assert run(fill_the_disk) == 2
    assert names(scene / ".mesh.partial") == {"checkpoint", FINGERPRINT}


def test_success_ends_with_nothing_of_the_crash_before(scene: Path, run: Run) -> None:
    run_anyhow(run, crash_halfway, ["mesh.voxel_size=0.05"])
    assert run(succeed) == 0
    assert names(scene) == {"scan", "mesh"}
    assert "checkpoint" not in names(scene / "mesh")


def test_a_new_artifact_replaces_the_old_one_whole(scene: Path, run: Run) -> None:
    run(succeed)

    def otherwise(stage: Stage) -> None:
        write_text(stage.output / "other.ply", "surface")

    run(otherwise)
    assert names(scene / "mesh") == {"other.ply", "settings.json"}


def test_a_missing_earlier_stage_is_an_error_that_names_it(
    scene: Path, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(succeed, stage="graph") == 2
    assert "mesh is not there" in capsys.readouterr().err
    assert [path.name for path in scene.iterdir()] == ["scan"]


def test_a_stage_reads_only_what_it_states(run: Run) -> None:
    with pytest.raises(AssertionError, match="not stated to read graph"):
        run(lambda stage: print(stage.folder("graph")))


def test_the_digest_follows_names_and_bytes_but_not_pictures(tmp_path: Path) -> None:
    def written(**files: str) -> str:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        for name, text in files.items():
            write_text(folder / name.replace("__", "/"), text)
        return digest(folder)

    base = written(**{"a.ply": "1", "b.npz": "2"})
    assert written(**{"b.npz": "2", "a.ply": "1"}) == base
    assert written(**{"a.ply": "1", "b.npz": "2", "c.png": "3", "d.jpg": "4", "settings.json": "5"}) == base
    assert written(**{"a.ply": "1", "b.npz": "2", "labels__c.png": "3"}) != base  # label images are data
    others = {
        written(**{"a.ply": "2", "b.npz": "1"}),
        written(**{"a.ply": "1", "c.npz": "2"}),
        written(**{"a.ply": "12", "b.npz": ""}),
        written(**{"a.ply": "1"}),
        base,
    }
    assert len(others) == 5


def test_a_stage_at_work_keeps_others_out(run: Run, scene: Path) -> None:
    with locked(scene, "mesh"):
        assert run(succeed) == 2
    assert not (scene / "mesh").exists()
    assert run(succeed) == 0


def test_a_file_in_the_way_of_a_stage_is_one_sentence_before_any_work(
    run: Run, scene: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (scene / "mesh").write_text("mine")
    assert run(crash_halfway) == 2
    assert "mesh is a file where the folder of the stage mesh belongs" in capsys.readouterr().err
    assert (scene / "mesh").read_text() == "mine"
    assert names(scene) == {"scan", "mesh"}


def test_a_file_in_the_way_of_a_run_is_one_sentence(tmp_path: Path) -> None:
    write_text(tmp_path / "run", "a file")
    sentence = "run cannot be written to: file exists; choose"
    with pytest.raises(InputError, match=sentence), locked(tmp_path / "run", "mesh"):
        pass


def test_an_input_that_changes_while_it_is_read_leaves_no_artifact(
    scene: Path, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    """Else what was made of the old file would pass for made of the new one for ever."""

    def replace_scan(stage: Stage) -> None:
        succeed(stage)
        write_text(scene / "scan" / "scan.json", '{"new": 1}')
        write_json(scene / "scan" / "settings.json", {"digest": digest(scene / "scan")})

    def grow_raw_file(stage: Stage) -> None:
        write_text(stage.output / "scan.json", "{}")
        write_text(scene / "color" / "0.png", "longer than before")

    assert run(replace_scan) == 2
    assert "changed while the stage mesh read it" in capsys.readouterr().err
    assert names(scene) == {"scan"}
    write_text(scene / "color" / "0.png", "short")
    assert run(grow_raw_file, stage="scan") == 2
    assert "0.png changed while the stage scan read it" in capsys.readouterr().err.replace("\n", "")
    assert run(succeed) == 0


def test_a_damaged_artifact_is_not_read(scene: Path, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(succeed) == 0
    write_text(scene / "scan" / "scan.json", "[]")
    assert run(succeed) == 2
    assert "scan is damaged" in capsys.readouterr().err.replace("\n", "")


def test_what_a_crash_cut_off_is_begun_anew(scene: Path, run: Run) -> None:
    write_text(scene / ".mesh.partial" / FINGERPRINT, "")
    write_text(scene / ".mesh.partial" / "checkpoint", "half")
    seen = []

    def look(stage: Stage) -> None:
        seen.append((stage.output / "checkpoint").exists())
        succeed(stage)

    assert run(look) == 0 and seen == [False]


@pytest.mark.parametrize(
    ("error", "word"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "a.png"), "no space left"),
        (OSError(errno.ENAMETOOLONG, "File name too long", "b" * 300), "shorten the name"),
        (PermissionError(errno.EACCES, "Permission denied", "c.lock"), "permission denied"),
        (MemoryError("Unable to allocate 9 GiB"), "not enough memory: Unable to allocate 9 GiB"),
    ],
)
def test_what_the_machine_lacks_is_one_sentence(
    error: Exception, word: str, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    def lack(_: Stage) -> None:
        raise error

    assert run(lack) == 2
    told = " ".join(capsys.readouterr().err.split())
    assert word in told and "Traceback" not in told and told.endswith(".")


def test_other_errors_of_files_are_ours(run: Run) -> None:
    def miss(_: Stage) -> None:
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", "d")

    with pytest.raises(FileNotFoundError):
        run(miss)
