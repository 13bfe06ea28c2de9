"""Laws of what is stale, what is needed, and where a scene lies."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from threading import Event

import pytest

from panrecon.config import Settings, load_settings
from panrecon.errors import InputError
from panrecon.io.categories import TABLES, read_categories
from panrecon.io.files import read_json, write_json, write_text
from panrecon.workflow.plan import Plan, run_plan
from panrecon.workflow.scenes import Scene, find_scene
from panrecon.workflow.snakemake import run_by_snakemake
from panrecon.workflow.sources import class_table
from panrecon.workflow.stages import RECORD, STAGES, needed, stage_table
from panrecon.workflow.staleness import provenance, stale_stages
from tests import CHECKOUT


@pytest.fixture
def finished(tmp_path: Path) -> Scene:
    """A scene with some raw files, and every stage's artifact as it would be written."""
    raw = tmp_path / "raw" / "room"
    for name in ("classes.csv", "color/0.jpg", "detections.json", "ground_truth/labelled.ply", "features/0.npy"):
        write_text(raw / name, "content")
    scene = Scene("scannet", "room", raw, tmp_path / "runs" / "room")
    for name, stage in STAGES.items():
        for file in stage.files:
            write_text(scene.run / name / file, "content")
        write_json(scene.run / name / RECORD, {**provenance(name, scene, Settings()), "digest": name})
    return scene


def stale(scene: Scene, settings: Settings | None = None, until: str = "quality") -> set[str]:
    return set(stale_stages(scene, settings or Settings(), until))


def readers(stage: str) -> set[str]:
    """The stage and all that read it, at first or second hand."""
    return {name for name in STAGES if stage in needed(name)}


def test_stages_look_for_weights_where_the_user_stands(
    finished: Scene, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Processes of Snakemake work in the run's folder."""
    environments = []

    def record(*_: object, env: dict[str, str], **__: object) -> subprocess.CompletedProcess[bytes]:
        environments.append(env)
        return subprocess.CompletedProcess([], 0)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PANRECON_WEIGHTS", "cache")
    monkeypatch.setattr(subprocess, "run", record)
    stale = {finished: ["masks"]}
    assert run_by_snakemake(stale, tmp_path / "runs", "masks", {"scannet/room": Settings()}, 1, []) == 0
    assert [env["PANRECON_WEIGHTS"] for env in environments] == [str(tmp_path / "cache")]


def test_a_stage_that_is_killed_is_named(
    finished: Scene, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """For Snakemake's log is empty."""

    def kill_stage(*_: object, **__: object) -> subprocess.CompletedProcess[bytes]:
        (finished.run / "masks" / RECORD).unlink()
        return subprocess.CompletedProcess([], 1)

    monkeypatch.setattr(subprocess, "run", kill_stage)
    stale = {finished: ["scan", "masks", "graph"]}
    assert run_by_snakemake(stale, tmp_path / "runs", "graph", {"scannet/room": Settings()}, 1, []) == 1
    printed = " ".join(capsys.readouterr().err.split())
    assert printed.startswith("Not finished: masks of scannet/room. A stage ended without a word")
    assert "log" not in printed


def test_a_dry_run_names_what_is_stale_and_does_nothing(finished: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    (finished.run / "semantics" / RECORD).unlink()
    before = sorted(finished.run.rglob("*"))
    plan = Plan([finished], finished.run.parent, "quality", {finished.label: Settings()}, 1, dry_run=True)
    assert run_plan(plan) == 0
    assert {line.split()[0] for line in capsys.readouterr().out.splitlines()} == readers("semantics")
    assert sorted(finished.run.rglob("*")) == before


@pytest.mark.parametrize("until", STAGES)
def test_what_is_needed_is_closed_and_in_order(until: str) -> None:
    found = needed(until)
    assert found[-1] == until
    assert found == [stage for stage in STAGES if stage in found]
    assert all(set(STAGES[stage].reads) <= set(found) for stage in found)


def test_nothing_is_stale_that_nobody_touched(finished: Scene) -> None:
    assert stale(finished) == set()


@pytest.mark.parametrize(
    ("file", "stage"),
    [
        ("classes.csv", "scan"),
        ("color/0.jpg", "scan"),
        ("detections.json", "masks"),
        ("features/0.npy", "features"),
        ("ground_truth/labelled.ply", "quality"),
    ],
)
def test_another_file_is_noticed_even_if_it_is_older(finished: Scene, file: str, stage: str) -> None:
    os.utime(finished.raw / file, (1_000_000, 1_000_000))
    assert stale(finished) == readers(stage)


def test_another_setting_is_noticed_where_it_is_needed(finished: Scene) -> None:
    settings = load_settings(overrides=["graph.overlap=0.7"])
    assert stale(finished, settings) == readers("graph")
    assert stale(finished, settings, until="mesh") == set()


@pytest.mark.parametrize("stage", STAGES)
def test_an_artifact_that_is_not_whole_or_not_what_was_read_is_noticed(finished: Scene, stage: str) -> None:
    record = finished.run / stage / RECORD
    before = read_json(record)
    write_json(record, {**before, "digest": "another"})
    assert stale(finished) == readers(stage) - {stage}
    write_json(record, {**before, "package": "0.0.1"})
    assert stale(finished) == set()
    (finished.run / stage / STAGES[stage].files[0]).unlink()
    assert stale(finished) == readers(stage)


def test_the_makefile_and_the_docs_have_the_stages_of_the_graph() -> None:
    printed = subprocess.run(
        [sys.executable, CHECKOUT / "panrecon" / "workflow" / "stages.py"], capture_output=True, check=True
    )
    assert printed.stdout.decode().split() == list(STAGES)
    assert stage_table() in (CHECKOUT / "docs" / "stages.md").read_text()


def test_a_linked_scene_keeps_its_name(tmp_path: Path) -> None:
    (tmp_path / "store" / "export_17").mkdir(parents=True)
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "room").symlink_to(tmp_path / "store" / "export_17")
    assert find_scene("scannet/room", tmp_path / "raw", tmp_path / "runs").raw.name == "room"


@pytest.mark.parametrize("label", ["room", "scannet/", "scannet/a/b", "kitti/room"])
def test_a_malformed_scene_is_an_error(label: str, tmp_path: Path) -> None:
    with pytest.raises(InputError):
        find_scene(label, tmp_path, tmp_path / "runs")


@pytest.mark.parametrize(("data", "runs"), [("sc\udcffns", "runs"), ("raw", "r\udcffns")])
def test_a_folder_whose_name_is_no_utf_8_is_an_error(data: str, runs: str, tmp_path: Path) -> None:
    (tmp_path / data / "room").mkdir(parents=True)
    with pytest.raises(InputError, match=r"\\udcff.*rename"):
        find_scene("scannet/room", tmp_path / data, tmp_path / runs)


@pytest.mark.parametrize(("missing", "expected"), [("mesh", ["compile"]), ("panoptic", [])])
def test_kernels_are_compiled_while_stages_before_the_field_run(
    finished: Scene, monkeypatch: pytest.MonkeyPatch, missing: str, expected: list[str]
) -> None:
    events = []
    compiled = Event()

    def compile_kernels() -> None:
        events.append("compile")
        compiled.set()
        raise RuntimeError  # which the field will meet itself

    def carry_out(name: str, *_: object) -> None:
        if expected:
            assert compiled.wait(60)
        events.append(name)

    monkeypatch.setattr("panrecon.field.cpu.compiled.ensure_compiled", compile_kernels)
    monkeypatch.setattr("panrecon.workflow.plan.carry_out", carry_out)
    (finished.run / missing / RECORD).unlink()
    plan = Plan([finished], finished.run.parent, "panoptic", {finished.label: Settings()}, 1, dry_run=False)
    assert run_plan(plan) == 0
    assert events == expected + [name for name in needed("panoptic") if name in readers(missing)]


def test_a_class_table_is_a_file_or_the_name_of_one_that_comes_with_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def chosen(classes: str) -> Path:
        return class_table("scannet", tmp_path, load_settings(overrides=[f"scan.classes={classes}"]))

    monkeypatch.chdir(tmp_path)
    (tmp_path / "indoor").mkdir()  # a folder is no table
    assert read_categories(chosen("indoor")) == read_categories(TABLES / "indoor.csv")
    write_text(tmp_path / "mine.csv", "id,name,thing\n1,wall,0\n")
    assert chosen("mine.csv") == tmp_path / "mine.csv"
    with pytest.raises(InputError, match=r"no class table indoors; name a CSV file, or one of .*indoor"):
        chosen("indoors")
    (tmp_path / "indoor").rmdir()
    write_text(tmp_path / "indoor", "id,name,thing\n1,wall,0\n")
    assert chosen("indoor") == tmp_path / "indoor"


def test_runs_that_cannot_be_written_are_one_sentence(finished: Scene, tmp_path: Path) -> None:
    scene = replace(finished, run=Path("/proc/nowhere/scannet/room"))
    plan = Plan([scene], scene.run.parents[1], "mesh", {scene.label: Settings()}, 1, dry_run=False)
    with pytest.raises(InputError, match="/proc/nowhere"):
        run_plan(plan)
