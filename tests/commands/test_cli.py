"""The whole pipeline on the small room, as a user runs it."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from PIL import Image

from panrecon import __version__
from panrecon.evaluation.report.record import schema
from panrecon.io.files import read_json
from panrecon.io.images import read_color, read_depth, read_ids
from panrecon.workflow.stages import STAGES
from tests.command_line import panrecon

pytestmark = pytest.mark.slow

SMALL = (  # settings with which all stages take seconds
    "mesh.voxel_size=0.04",
    "semantics.iterations=50",
    "field.geometry_iterations=30",
    "field.frozen_iterations=60",
    "field.joint_iterations=10",
)
QUICK = [word for setting in SMALL for word in ("--set", setting)]


@pytest.fixture(scope="module")
def finished(raw_scenes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The working folder of one finished run of all stages."""
    folder = tmp_path_factory.mktemp("work")
    done = panrecon("run", "scannet/room", "--data", str(raw_scenes), *QUICK, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def scene(folder: Path) -> Path:
    return folder / "data" / "runs" / "default" / "scannet" / "room"


def test_every_stage_leaves_its_artifact_and_a_picture(finished: Path) -> None:
    for stage in STAGES:
        record = read_json(scene(finished) / stage / "settings.json")
        assert record["stage"] == stage
        assert {"settings", "version", "package", "inputs", "digest", "seconds", "peak_memory_mb"} <= record.keys()
        assert list((scene(finished) / stage).glob("*.png")) + list((scene(finished) / stage).glob("*.jpg"))
    assert not list(scene(finished).glob(".*.partial"))


def test_panoptic_quality_reaches_the_bound(finished: Path) -> None:
    found = read_json(scene(finished) / "quality" / "quality.json")["scenes"]["room"]
    assert found["protocols"]["strict"]["mean"]["pq"] > 0.4
    assert found["steps"]["field"]["protocols"]["strict"] == found["protocols"]["strict"]
    assert found["uncovered"] < 0.1


def test_views_are_compared_where_the_field_was_not_trained(finished: Path) -> None:
    held_out = read_json(scene(finished) / "field" / "field.json")["held_out"]
    assert len(held_out) == 4
    rendered = {path.stem for path in (scene(finished) / "panoptic" / "rendered" / "color").iterdir()}
    assert rendered == set(held_out)
    views = read_json(scene(finished) / "quality" / "quality.json")["scenes"]["room"]["views"]
    assert views["frames"] == 4
    assert views["psnr"] > 12  # dB; the mean colour of these rooms gives 10
    assert "held-out frames" in (scene(finished) / "quality" / "quality.md").read_text()


def test_an_estimate_tells_the_disk_that_the_run_takes_and_leaves_none(finished: Path, raw_scenes: Path) -> None:
    before = sorted(raw_scenes.rglob("*")), sorted(finished.rglob("*"))
    told = panrecon("estimate", "scannet/room", "--data", str(raw_scenes), *QUICK, cwd=finished)
    assert told.returncode == 0, told.stdout + told.stderr
    assert before == (sorted(raw_scenes.rglob("*")), sorted(finished.rglob("*")))
    linked = ("scan",)  # the images are no second copy
    files = [file for stage in STAGES if stage not in linked for file in (scene(finished) / stage).rglob("*.*")]
    taken = sum(file.stat().st_size for file in files) / 1e9
    assert taken / 1.5 < float(told.stdout.split()[-4]) < taken * 1.5
    assert all(stage in told.stderr for stage in STAGES)


def test_an_estimate_of_no_scene_is_one_sentence(raw_scenes: Path, tmp_path: Path) -> None:
    told = panrecon("estimate", "scannet/nowhere", "--data", str(raw_scenes), cwd=tmp_path)
    assert told.returncode == 2
    assert told.stderr.count("\n") == 1
    assert "nowhere" in told.stderr


def test_the_record_keeps_its_schema_and_the_report_shows_every_stage(finished: Path) -> None:
    record = read_json(scene(finished) / "quality" / "quality.json")
    jsonschema.validate(record, schema(), cls=jsonschema.Draft202012Validator)
    report = (scene(finished) / "quality" / "report.html").read_text()
    for stage in STAGES:
        if stage != "quality":
            assert f">{stage}<" in report


def test_a_second_run_does_nothing_and_says_so(finished: Path, raw_scenes: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in scene(finished).rglob("settings.json")}
    again = panrecon("run", "scannet/room", "--data", str(raw_scenes), *QUICK, cwd=finished)
    assert again.returncode == 0
    assert "Nothing to do" in again.stderr
    assert before == {path: path.stat().st_mtime_ns for path in scene(finished).rglob("settings.json")}


def test_a_changed_setting_repeats_what_depends_on_it_only(finished: Path, raw_scenes: Path) -> None:
    plan = panrecon(
        "run", "scannet/room", "--data", str(raw_scenes), *QUICK, "--set", "semantics.seed=1", "--dry-run", cwd=finished
    )
    jobs = {line.split()[0] for line in plan.stdout.splitlines() if line.split() and line.split()[0] in STAGES}
    assert jobs == {"semantics", "field", "panoptic", "quality"}


def stage_again(stage: str, raw_scenes: Path, copy: Path, *more: str) -> list[str]:
    return [stage, "--dataset", "scannet", "--raw", str(raw_scenes / "room"), "--run", str(copy), *QUICK, *more]


@pytest.mark.parametrize("stage", ["scan", "mesh", "masks", "features", "graph", "semantics", "panoptic", "quality"])
def test_the_same_input_gives_the_same_bytes(finished: Path, raw_scenes: Path, tmp_path: Path, stage: str) -> None:
    copy = tmp_path / "room"
    shutil.copytree(scene(finished), copy)
    first = read_json(copy / stage / "settings.json")["digest"]
    done = panrecon(*stage_again(stage, raw_scenes, copy), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert read_json(copy / stage / "settings.json")["digest"] == first


def test_a_killed_field_resumes_and_ends_with_the_same_bytes(finished: Path, raw_scenes: Path, tmp_path: Path) -> None:
    copy = tmp_path / "room"
    shutil.copytree(scene(finished), copy)
    never_stopped = read_json(copy / "field" / "settings.json")["digest"]
    command = stage_again("field", raw_scenes, copy, "--set", "field.checkpoint_every=20")
    killed = subprocess.Popen([sys.executable, "-m", "panrecon.cli", *command], cwd=tmp_path)
    checkpoint = copy / ".field.partial" / "checkpoint.safetensors"
    while not checkpoint.is_file():
        assert killed.poll() is None
    killed.kill()
    killed.wait()
    resumed = panrecon(*command, cwd=tmp_path)
    assert "resumes at step" in resumed.stderr
    tensors = [folder / "field.safetensors" for folder in (copy / "field", scene(finished) / "field")]
    assert tensors[0].read_bytes() == tensors[1].read_bytes()
    assert never_stopped != read_json(copy / "field" / "settings.json")["digest"]  # its field.json has other settings


def test_folders_with_spaces(raw_scenes: Path, tmp_path: Path) -> None:
    (tmp_path / "my scans").symlink_to(raw_scenes)
    options = ["--data", str(tmp_path / "my scans"), "--runs", str(tmp_path / "my runs"), "--until", "scan"]
    done = panrecon("run", "scannet/room", *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "my runs" / "default" / "scannet" / "room" / "scan" / "scan.json").is_file()


def test_an_object_is_explained_in_words_and_crops(finished: Path, tmp_path: Path) -> None:
    first = read_json(scene(finished) / "graph" / "objects.json")[0]
    picture = tmp_path / "why.png"
    done = panrecon("explain", str(scene(finished)), "--object", "1", "--out", str(picture), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    named = read_json(scene(finished) / "semantics" / "objects.json")[0]["category"]
    assert f"object 1: {named}, confidence {first['confidence']:.2f}" in done.stdout
    detecting, contradicting = (sorted(first[key], key=int) for key in ("frames", "contradicting_frames"))
    assert f"frames that detect it: {', '.join(detecting)}\n" in done.stdout
    assert f"something else: {', '.join(contradicting) or 'none'}\n" in done.stdout
    crops = min(len(first["masks"]), 8) + min(len(first["contradicting_frames"]), 8)
    with Image.open(picture) as image:
        assert image.size == (240 * min(4, crops), 240 * -(-crops // 4))
        assert np.asarray(image).std() > 10  # there is something to see


def test_an_object_that_semantics_renamed_is_told_by_both_names(finished: Path, tmp_path: Path) -> None:
    run = shutil.copytree(scene(finished), tmp_path / "room")
    objects = read_json(run / "semantics" / "objects.json")
    own = read_json(run / "graph" / "objects.json")[0]["category"]
    objects[0]["category"] = next(one["category"] for one in objects if one["category"] != own)
    (run / "semantics" / "objects.json").write_text(json.dumps(objects))
    done = panrecon("explain", str(run), "--object", "1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"object 1: {objects[0]['category']}, confidence" in done.stdout
    assert f"{own} by its masks alone; relabelled" in done.stdout


def test_an_object_that_is_not_among_the_final_ones_is_told_so(finished: Path, tmp_path: Path) -> None:
    run = shutil.copytree(scene(finished), tmp_path / "room")
    done = panrecon("explain", str(run), "--object", "1", cwd=tmp_path)
    assert "  rejected: " not in done.stdout
    objects = read_json(run / "panoptic" / "objects.json")
    assert objects[0]["id"] == 1
    (run / "panoptic" / "objects.json").write_text(json.dumps(objects[1:]))
    done = panrecon("explain", str(run), "--object", "1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "  rejected: " in done.stdout


@pytest.mark.parametrize(
    ("run", "number", "words"), [("absent", "1", "no finished graph"), ("", "999", "objects are 1")]
)
def test_what_cannot_be_explained_is_said_in_one_sentence(
    finished: Path, tmp_path: Path, run: str, number: str, words: str
) -> None:
    done = panrecon("explain", str(scene(finished) / run), "--object", number, cwd=tmp_path)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_finished_scene_is_rendered_from_any_pose(finished: Path, tmp_path: Path) -> None:
    frame = read_json(scene(finished) / "scan" / "scan.json")["frames"][0]
    (tmp_path / "poses").mkdir()
    np.savetxt(tmp_path / "poses" / "here.txt", np.array(frame["world_from_camera"]))
    options = ["--poses", str(tmp_path / "poses"), "--orbit", "3", "--out", str(tmp_path / "out")]
    done = panrecon("render", str(scene(finished)), *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    out, own = tmp_path / "out", scene(finished) / "scan"
    measured = read_depth(own / frame["depth"], 1000.0)
    color, depth = read_color(out / "color" / "here.png"), read_depth(out / "depth" / "here.png", 1000.0)
    both = (measured > 0) & (depth > 0)
    assert both.mean() > 0.6  # the field was hardly trained
    assert np.median(np.abs(depth - measured)[both]) < 0.06  # as is the surface of 40 steps; another pose is metres off
    assert np.abs(color.astype(float) - read_color(own / frame["color"]))[both].mean() < 40
    normal = read_color(out / "normal" / "here.png")[both] / 127.5 - 1
    assert np.abs(np.linalg.norm(normal, axis=1) - 1).max() < 0.02
    assert read_ids(out / "semantic" / "here.png").max() > 0
    with Image.open(out / "orbit.gif") as image:
        assert (getattr(image, "n_frames", 1), image.size) == (3, (960, 360))
    assert (out / "orbit.mp4").stat().st_size > 1000


@pytest.mark.parametrize(
    ("poses", "words"),
    [
        ("none", "none does not exist"),
        (".", "holds no pose"),
        ("words.json", "is no list of poses"),
        ("skewed", "is no rotation and shift"),
        ("climbing.json", "cannot be a file's name"),
    ],
)
def test_poses_that_are_none_are_said_in_one_sentence(finished: Path, tmp_path: Path, poses: str, words: str) -> None:
    (tmp_path / "words.json").write_text('{"frames": [{"name": "a"}]}')
    climbing = {"frames": [{"name": "../a", "world_from_camera": np.eye(4).tolist()}]}
    (tmp_path / "climbing.json").write_text(json.dumps(climbing))
    (tmp_path / "skewed").mkdir()
    np.savetxt(tmp_path / "skewed" / "a.txt", np.diag([1, 1, 2, 1]))
    out = tmp_path / "out"
    options = ["--poses", str(tmp_path / poses), "--out", str(out)]
    done = panrecon("render", str(scene(finished)), *options, cwd=tmp_path)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert not out.exists()


def test_version_is_that_of_the_package(tmp_path: Path) -> None:
    done = panrecon("--version", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, f"panrecon {__version__}\n")


def test_the_help_of_a_stage_says_what_it_does(tmp_path: Path) -> None:
    done = panrecon("mesh", "--help", cwd=tmp_path)
    assert "Usage: panrecon mesh [OPTIONS]" in done.stdout
    assert "Fuse the scan's depth into one coloured mesh." in done.stdout
