"""Laws of the stage `masks` with Grounded-SAM, on tiny weights in the released format."""

import json
import runpy
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from panrecon.config import load_settings
from panrecon.io.files import read_json
from panrecon.io.scan import read_scan
from panrecon.masks import grounded_sam
from panrecon.networks.checkpoints import CHECKPOINTS
from panrecon.workflow.scenes import PIPELINES
from panrecon.workflow.sources import source_files
from tests.masks import tiny

Run = Callable[..., int]
OVERRIDES = (
    "scan.frame_stride=6",
    "masks.backend=grounded_sam",
    "masks.batch_size=2",
    "masks.box_threshold=0.05",
    "masks.text_threshold=0.02",
    "masks.device=cpu",
)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    tiny.save(tiny.grounding_dino(), folder / "grounding-dino-tiny")
    tiny.save(tiny.sam(), folder / "sam-vit-huge")
    return folder


@pytest.fixture
def run(raw_scenes: Path, tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Carries out a stage script in `tmp_path`/<name> and gives its exit code."""
    monkeypatch.setenv("PANRECON_WEIGHTS", str(weights))
    monkeypatch.setattr(grounded_sam, "SHORT_SIDE", 120)  # the images' own, for speed
    for name in ("grounding-dino-tiny", "sam-vit-huge"):
        unpinned = tuple(replace(file, size=None, sha256=None) for file in CHECKPOINTS[name].files)
        monkeypatch.setitem(CHECKPOINTS, name, replace(CHECKPOINTS[name], files=unpinned))

    def carry_out(stage: str, name: str = "run", overrides: tuple[str, ...] = OVERRIDES) -> int:
        folders = ["--raw", str(raw_scenes / "room"), "--run", str(tmp_path / name / "room")]
        sets = [word for override in overrides for word in ("--set", override)]
        monkeypatch.setattr(sys, "argv", [str(PIPELINES / f"{stage}.py"), "--dataset", "scannet", *folders, *sets])
        with pytest.raises(SystemExit) as end:
            runpy.run_path(sys.argv[0], run_name="__main__")
        return int(end.value.code or 0)

    assert carry_out("scan") == 0
    return carry_out


def test_detections_of_all_frames_are_written_and_their_models_told(
    run: Run, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run("masks") == 0
    assert (
        "with grounding-dino-tiny (licence: Apache-2.0), sam-vit-huge (licence: Apache-2.0)" in capfd.readouterr().err
    )
    folder = tmp_path / "run" / "room" / "masks"
    assert {path.name for path in folder.iterdir()} == {"detections.json", "masks.jpg", "settings.json"}
    records = read_json(folder / "detections.json")
    assert records == json.loads((folder / "detections.json").read_text())
    names = [frame.name for frame in read_scan(tmp_path / "run" / "room" / "scan").frames]
    order = [names.index(record["image_id"]) for record in records]
    assert len(names) == 7 and order == sorted(order) and len(set(order)) > 3
    assert all(record["segmentation"]["size"] == [120, 160] for record in records)
    models = read_json(folder / "settings.json")["models"]
    assert [(model["name"], model["license"]) for model in models] == [
        ("grounding-dino-tiny", "Apache-2.0"),
        ("sam-vit-huge", "Apache-2.0"),
    ]


def test_a_killed_run_goes_on_at_its_frame_and_gives_the_same_bytes(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run("masks") == 0
    undisturbed = (tmp_path / "run" / "room" / "masks" / "detections.json").read_bytes()

    class Killed(BaseException):
        pass

    masks, made = grounded_sam.GroundedSam._masks, []

    def until_the_fourth(self: object, *arguments: object) -> object:
        made.append(arguments)
        if len(made) == 4:
            raise Killed
        return masks(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(grounded_sam.GroundedSam, "_masks", until_the_fourth)
    monkeypatch.setattr(sys, "excepthook", lambda *_: None)
    assert run("scan", "killed") == 0
    with pytest.raises(Killed):
        run("masks", "killed")
    partial = tmp_path / "killed" / "room" / ".masks.partial" / "frames"
    assert len(list(partial.iterdir())) == 3
    capfd.readouterr()
    assert run("masks", "killed") == 0
    assert "goes on at frame 4 of 7" in capfd.readouterr().err
    assert len(made) == 4 + 4
    resumed = tmp_path / "killed" / "room" / "masks" / "detections.json"
    assert resumed.read_bytes() == undisturbed


def test_where_memory_runs_out_finished_frames_are_kept(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    embed, seen = grounded_sam.GroundedSam._embed, []

    def full_from_the_third(self: object, images: object) -> object:
        seen.append(images)
        if len(seen) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return embed(self, images)  # type: ignore[arg-type]

    with monkeypatch.context() as busy:
        busy.setattr(grounded_sam.GroundedSam, "_embed", full_from_the_third)
        assert run("masks") == 2
    assert "Not even one image fits into memory" in capfd.readouterr().err
    assert len(list((tmp_path / "run" / "room" / ".masks.partial" / "frames").iterdir())) == 2
    assert run("masks") == 0
    assert "goes on at frame 3 of 7" in capfd.readouterr().err


def test_a_word_that_cannot_be_asked_for_is_refused_before_weights_are_read(
    run: Run, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "classes.csv").write_text("id,name,thing\n1,mr. chair,1\n")
    assert run("scan", overrides=(*OVERRIDES, f"scan.classes={tmp_path / 'classes.csv'}")) == 0
    assert run("masks", overrides=(*OVERRIDES, "masks.implementation=original")) == 2
    assert "'mr. chair' holds a full stop" in " ".join(capfd.readouterr().err.split())


def test_missing_weights_are_one_sentence_that_says_what_goes_where(
    run: Run, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run("masks", overrides=(*OVERRIDES, "masks.implementation=original", "masks.segmenter=vit_b")) == 2
    said = " ".join(capfd.readouterr().err.split())
    assert "groundingdino_swint_ogc.pth" in said and "github.com/IDEA-Research/GroundingDINO" in said
    assert "make weights" in said
    assert not (tmp_path / "run" / "room" / "masks").exists()


def test_weights_of_ones_own_are_taken_and_told_as_such(run: Run, tmp_path: Path, weights: Path) -> None:
    """A stand-in never goes by the name of a public checkpoint."""
    own = weights / "sam-vit-huge"
    assert run("masks", overrides=(*OVERRIDES, f"masks.segmenter_weights={own}")) == 0
    detector, segmenter = read_json(tmp_path / "run" / "room" / "masks" / "settings.json")["models"]
    assert detector["name"] == "grounding-dino-tiny"
    assert segmenter["name"] == str(own) and segmenter["license"] == "not known"
    assert set(segmenter["files"]) == {"config.json", "model.safetensors"}


def test_weights_of_ones_own_that_are_missing_are_one_sentence(
    run: Run, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run("masks", overrides=(*OVERRIDES, f"masks.segmenter_weights={tmp_path / 'none.pth'}")) == 2
    assert "none.pth do not exist" in " ".join(capfd.readouterr().err.split())


def test_other_weights_make_the_stage_stale(run: Run, weights: Path, raw_scenes: Path) -> None:
    settings = load_settings((), OVERRIDES)
    assert source_files("masks", "scannet", raw_scenes / "room", settings) == [
        weights / name / file
        for name in ("grounding-dino-tiny", "sam-vit-huge")
        for file in ("config.json", "model.safetensors")
    ]
