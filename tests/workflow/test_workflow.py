"""Laws of what is stale, what is needed, and where a scene lies."""

import os
import subprocess
from pathlib import Path

import pytest

from panrecon.config import Settings, load_settings
from panrecon.errors import InputError
from panrecon.io.files import write_json, write_text
from panrecon.workflow.scenes import Scene, find_scene
from panrecon.workflow.snakemake import Plan, run_plan
from panrecon.workflow.stages import READS, VERSIONS, needed
from panrecon.workflow.staleness import decisive, stale_artifacts


@pytest.fixture
def finished(tmp_path: Path) -> Scene:
    """A scene with some raw files, and settings.json of every stage as it would be written."""
    raw = tmp_path / "raw" / "room"
    for name in ("classes.csv", "color/0.jpg", "detections.json", "ground_truth/labelled.ply", "features/0.npy"):
        write_text(raw / name, "content")
    scene = Scene("scannet", "room", raw, tmp_path / "runs" / "room")
    for stage in VERSIONS:
        write_json(scene.run / stage / "settings.json", decisive(stage, "scannet", raw, Settings()))
    return scene


def stale(scene: Scene, settings: Settings | None = None, until: str = "quality") -> set[str]:
    return {path.split("/")[2] for path in stale_artifacts(scene, settings or Settings(), until)}


def test_stages_look_for_weights_where_the_user_stands(
    finished: Scene, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """They work in the run's folder."""
    environments = []

    def record(*_: object, env: dict[str, str], **__: object) -> subprocess.CompletedProcess[bytes]:
        environments.append(env)
        return subprocess.CompletedProcess([], 0)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PANRECON_WEIGHTS", "cache")
    monkeypatch.setattr(subprocess, "run", record)
    plan = Plan([finished], tmp_path / "runs", "masks", {"scannet/room": Settings()}, 1, dry_run=True)
    assert run_plan(plan) == 0
    assert [env["PANRECON_WEIGHTS"] for env in environments] == [str(tmp_path / "cache")]


@pytest.mark.parametrize("until", VERSIONS)
def test_what_is_needed_is_closed_and_in_order(until: str) -> None:
    found = needed(until)
    assert found[-1] == until
    assert found == [stage for stage in VERSIONS if stage in found]
    assert all(set(READS[stage]) <= set(found) for stage in found)


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
    assert stale(finished) == {stage}


def test_another_setting_is_noticed_where_it_is_needed(finished: Scene) -> None:
    settings = load_settings(overrides=["graph.overlap=0.7"])
    assert stale(finished, settings) == {"graph"}
    assert stale(finished, settings, until="mesh") == set()


def test_a_linked_scene_keeps_its_name(tmp_path: Path) -> None:
    (tmp_path / "store" / "export_17").mkdir(parents=True)
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "room").symlink_to(tmp_path / "store" / "export_17")
    assert find_scene("scannet/room", tmp_path / "raw", tmp_path / "runs").raw.name == "room"


@pytest.mark.parametrize("label", ["room", "scannet/", "scannet/a/b", "kitti/room"])
def test_a_malformed_scene_is_an_error(label: str, tmp_path: Path) -> None:
    with pytest.raises(InputError):
        find_scene(label, tmp_path, tmp_path / "runs")
