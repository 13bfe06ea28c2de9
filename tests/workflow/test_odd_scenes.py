"""Scenes that no one scans on purpose: every stage ends with its artifact, or with one sentence."""

import json
import re
import runpy
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from pycocotools import mask as rle

from panrecon.cli import app
from panrecon.io.files import read_json, write_json, write_text
from panrecon.io.images import read_depth, write_depth
from panrecon.workflow.scenes import PIPELINES
from panrecon.workflow.stages import STAGES
from tests.command_line import panrecon

FRAMES = 8
SMALL = (  # settings with which all stages take a second or two
    "mesh.voxel_size=0.08",
    "semantics.iterations=10",
    "field.geometry_iterations=5",
    "field.frozen_iterations=5",
    "field.joint_iterations=5",
    "field.log2_table_size=12",
)
FRAME_FOLDERS = ("color", "depth", "pose", "features", "label-filt", "instance-filt")

Change = Callable[[Path], None]


@pytest.fixture(scope="module")
def plain_room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few tiny frames of the built-in room; never to be changed."""
    raw = tmp_path_factory.mktemp("raw")
    done = panrecon("simulate", "room", "room", "--frames", str(FRAMES), "--width", "64", cwd=raw)
    assert done.returncode == 0, done.stderr
    return raw / "room"


def keep_frames(count: int) -> Change:
    def change(room: Path) -> None:
        for folder in FRAME_FOLDERS:
            for path in (room / folder).iterdir():
                if path.stem.isdigit() and int(path.stem) >= count:
                    path.unlink()
        change_detections(room, lambda records: [record for record in records if int(record["image_id"]) < count])

    return change


def change_detections(room: Path, change: Callable[[list[Any]], list[Any]]) -> None:
    write_json(room / "detections.json", change(read_json(room / "detections.json")))


def without_depth(room: Path) -> None:
    for path in (room / "depth").iterdir():
        write_depth(path, np.zeros_like(read_depth(path, 1000.0)))


def without_detections(room: Path) -> None:
    change_detections(room, lambda _: [])


def with_empty_masks(room: Path) -> None:
    def emptied(record: dict[str, Any]) -> dict[str, Any]:
        height, width = record["segmentation"]["size"]
        code = rle.encode(np.zeros((height, width), np.uint8, order="F"))
        return {**record, "segmentation": {"size": [height, width], "counts": code["counts"].decode()}}

    change_detections(room, lambda records: [emptied(record) for record in records])


def keep_classes(is_kept: Callable[[list[str]], bool]) -> Change:
    def change(room: Path) -> None:
        header, *lines = (room / "classes.csv").read_text().splitlines()
        kept = [line for line in lines if is_kept(line.split(","))]
        write_text(room / "classes.csv", "\n".join([header, *kept, ""]))
        names = {name for line in kept for name in (line.split(",")[1], *line.split(",")[4].split("|"))}
        change_detections(room, lambda records: [record for record in records if record["category"] in names])

    return change


def with_a_thousand_classes(room: Path) -> None:
    text = (room / "classes.csv").read_text()
    more = [f"{number},thing {number},1,1,," for number in range(1000, 2000)]
    write_text(room / "classes.csv", text + "\n".join([*more, ""]))


def with_500_masks_a_frame(room: Path) -> None:
    def many(records: list[Any]) -> list[Any]:
        of_frame = {frame: [r for r in records if r["image_id"] == frame] for frame in {r["image_id"] for r in records}}
        return [{**own[i % len(own)], "score": 0.5} for own in of_frame.values() for i in range(500)]

    change_detections(room, many)


def with_things_seen_once(room: Path) -> None:
    def once(records: list[Any]) -> list[Any]:
        return [record for i, record in enumerate(records) if int(record["image_id"]) == i % FRAMES]

    change_detections(room, once)


def with_one_pose(room: Path) -> None:
    pose = (room / "pose" / "0.txt").read_text()
    for path in (room / "pose").iterdir():
        write_text(path, pose)


def with_images_of_8_by_6(room: Path) -> None:
    for folder in ("color", "depth", "label-filt", "instance-filt"):
        for path in (room / folder).iterdir():
            image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
            assert image is not None and cv2.imwrite(str(path), image[::8, ::8])
    for name in ("intrinsic_color.txt", "intrinsic_depth.txt"):
        matrix = np.loadtxt(room / "intrinsic" / name)
        matrix[:2, :3] /= 8
        np.savetxt(room / "intrinsic" / name, matrix)
    sizes = (room / "room.txt").read_text().replace("= 64", "= 8").replace("= 48", "= 6")
    write_text(room / "room.txt", sizes)

    def shrunk(record: dict[str, Any]) -> dict[str, Any]:
        mask = np.asfortranarray(rle.decode(record["segmentation"])[::8, ::8])
        code = {"size": [6, 8], "counts": rle.encode(mask)["counts"].decode()}
        return {**record, "bbox": [side / 8 for side in record["bbox"]], "segmentation": code}

    change_detections(room, lambda records: [shrunk(record) for record in records])


ODD: dict[str, Change] = {
    "one frame": keep_frames(1),
    "no depth": without_depth,
    "no detections": without_detections,
    "empty masks": with_empty_masks,
    "one class": keep_classes(lambda words: words[1] == "wall"),
    "no things": keep_classes(lambda words: words[2] == "0"),
    "things alone": keep_classes(lambda words: words[2] == "1"),
    "500 masks a frame": with_500_masks_a_frame,
    "1,000 classes": with_a_thousand_classes,
    "things seen once": with_things_seen_once,
    "one pose": with_one_pose,
    "images of 8 x 6": with_images_of_8_by_6,
}
QUICK = ("one frame", "no depth", "no detections")  # the others wait for the slow tests


def stage_exit_code(stage: str, raw: Path, run: Path) -> int:
    """The stage's own script, in this process."""
    sets = [word for setting in SMALL for word in ("--set", setting)]
    script = str(PIPELINES / f"{stage}.py")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [script, "--dataset", "scannet", "--raw", str(raw), "--run", str(run), *sets])
        try:
            runpy.run_path(script, run_name="__main__")
        except SystemExit as end:
            return int(end.code or 0)
    return 0


def assert_ends_well(raw: Path, run: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Every stage leaves its artifact; or one of them says in a sentence why not, and what to do."""
    for stage in STAGES:
        capfd.readouterr()
        code = stage_exit_code(stage, raw, run)
        printed = capfd.readouterr().err
        assert code in (0, 2), f"{stage}: {printed}"
        if code == 2:
            last = printed.strip().splitlines()[-1]
            assert re.fullmatch(r"error: .*[;,].*\.", last) and "Traceback" not in printed, f"{stage}: {printed}"
            assert not (run / stage).exists()
            return
        assert all((run / stage / file).is_file() for file in STAGES[stage].files)
    assert json.loads((run / "quality" / "quality.json").read_text())["scenes"]


@pytest.mark.usefixtures("coarse_evaluation")
@pytest.mark.parametrize("name", [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in ODD])
def test_an_odd_scene_ends_with_a_mesh_or_a_sentence(
    plain_room: Path, tmp_path: Path, name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    raw = Path(shutil.copytree(plain_room, tmp_path / "raw" / "room"))
    ODD[name](raw)
    assert_ends_well(raw, tmp_path / "run" / "room", capfd)


@pytest.mark.parametrize("name", list(ODD))
def test_the_doctor_has_a_word_on_an_odd_scene(
    plain_room: Path, tmp_path: Path, name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    raw = Path(shutil.copytree(plain_room, tmp_path / "raw" / "room"))
    ODD[name](raw)
    with pytest.raises(SystemExit) as end:
        app(["doctor", str(raw)])
    printed = capfd.readouterr()
    assert end.value.code in (0, 2), printed.err
    assert printed.out.strip() or re.search(r"^error: .*\.$", printed.err.strip(), re.M)
