"""Everything a user can get wrong ends in one sentence, exit code 2, and nothing on disk."""

import json
import runpy
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from panrecon.cli import app
from panrecon.io.features import read_features
from panrecon.io.files import read_json, write_json
from panrecon.io.images import write_depth, write_image
from panrecon.workflow.scenes import PIPELINES
from tests.command_line import panrecon

Break = Callable[[Path], object]
FRAMES = 6  # of the room; every case reads them


@pytest.fixture(scope="module")
def small_room(raw_scenes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built-in room, cut to its first frames."""
    room = tmp_path_factory.mktemp("small") / "room"
    shutil.copytree(raw_scenes / "room", room, ignore=shutil.ignore_patterns("*-filt", "*.segs.json", "*_clean_2.ply"))
    for folder in ("color", "depth", "pose", "features"):
        for path in (room / folder).glob("*"):
            if path.stem.isdigit() and int(path.stem) >= FRAMES:
                path.unlink()
    records = read_json(room / "detections.json")
    write_json(room / "detections.json", [record for record in records if int(record["image_id"]) < FRAMES])
    return room


@pytest.fixture
def room(small_room: Path, tmp_path: Path) -> Path:
    """A copy to be damaged."""
    return Path(shutil.copytree(small_room, tmp_path / "raw" / "room"))


@pytest.fixture(scope="module")
def scanned(small_room: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of the room after `scan`."""
    run = tmp_path_factory.mktemp("scanned") / "room"
    assert stage_exit_code("scan", small_room, run) == 0
    return run


def stage_exit_code(stage: str, raw: Path, run: Path, overrides: Sequence[str] = ()) -> int:
    """The stage's own script, in this process."""
    options = ["--dataset", "scannet", "--raw", str(raw), "--run", str(run)]
    sets = [word for override in overrides for word in ("--set", override)]
    before = sys.argv
    sys.argv = [str(PIPELINES / f"{stage}.py"), *options, *sets]
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
    except SystemExit as end:
        return int(end.code or 0)
    finally:
        sys.argv = before
    return 0


def exit_code(*arguments: str) -> int:
    """`panrecon <arguments>`, in this process."""
    with pytest.raises(SystemExit) as end:
        app(list(arguments))
    return int(end.value.code or 0)


def assert_one_sentence(printed: str, complaint: str) -> None:
    errors = [line for line in printed.splitlines() if line.strip()]
    assert len(errors) == 1, printed
    assert errors[0].startswith("error: ")
    assert errors[0].endswith(".")
    assert complaint in errors[0]
    assert "Traceback" not in printed


def assert_no_output(run: Path, stage: str) -> None:
    assert not (run / stage).exists()
    assert not list(run.rglob("*.partial*")) if run.is_dir() else True


def set_pose(value: str) -> Break:
    return lambda room: change_text(room / "pose" / "2.txt", lambda text: " ".join([value, *text.split()[1:]]))


def change_text(path: Path, change: Callable[[str], str]) -> None:
    words = change(path.read_text()).split()
    path.write_text("\n".join(" ".join(words[row : row + 4]) for row in range(0, len(words), 4)))


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 3])


def empty(folder: Path) -> None:
    for path in folder.glob("*"):
        path.unlink()


def change_records(room: Path, **changes: Any) -> None:
    records = read_json(room / "detections.json")
    write_json(room / "detections.json", [record | changes for record in records])


def zero_intrinsics(room: Path) -> None:
    (room / "intrinsic" / "intrinsic_depth.txt").write_text("0 0 0 0\n" * 4)


def color_of(room: Path) -> Path:
    return room / "color" / "2.jpg"


BAD_SCANS: dict[str, tuple[Break, str]] = {
    "no pose": (lambda room: (room / "pose" / "2.txt").unlink(), "Frame 2 has no pose file"),
    "infinite pose": (set_pose("inf"), "2.txt holds inf or nan"),
    "pose that is nan": (set_pose("nan"), "2.txt holds inf or nan"),
    "pose of words": (set_pose("word"), "2.txt cannot be read"),
    "short pose": (lambda room: (room / "pose" / "2.txt").write_text("1 0 0 0\n"), "not 4 x 4"),
    "no depth": (lambda room: (room / "depth" / "2.png").unlink(), "Frame 2 has no depth image"),
    "depth of another size": (lambda room: write_depth(room / "depth" / "2.png", np.ones((9, 7))), "7 x 9 pixels"),
    "depth of 8 bit": (lambda room: write_image(room / "depth" / "2.png", np.ones((9, 7, 3), np.uint8)), "16-bit"),
    "damaged depth": (lambda room: (room / "depth" / "2.png").write_bytes(b"no"), "cannot be decoded"),
    "empty depth": (lambda room: (room / "depth" / "2.png").write_bytes(b""), "cannot be decoded"),
    "damaged colour": (lambda room: color_of(room).write_bytes(b"damaged"), "cannot be decoded"),
    "colour of another size": (lambda room: write_image(color_of(room), np.ones((9, 7, 3), np.uint8)), "7 x 9 pixels"),
    "no frame": (lambda room: empty(room / "color"), "There is no frame"),
    "pose that is no rotation": (set_pose("7"), "2.txt is no rotation and shift"),
    "focal length of 0": (lambda room: zero_intrinsics(room), "focal lengths 0.0"),
    "no intrinsics": (lambda room: empty(room / "intrinsic"), "intrinsic_depth.txt"),
    "class table without columns": (lambda room: (room / "classes.csv").write_text("1,wall\n"), "no column"),
}


@pytest.mark.parametrize("case", BAD_SCANS)
def test_a_bad_scan(room: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], case: str) -> None:
    damage, complaint = BAD_SCANS[case]
    damage(room)
    assert stage_exit_code("scan", room, tmp_path / "run") == 2
    assert_one_sentence(capfd.readouterr().err, complaint)
    assert_no_output(tmp_path / "run", "scan")


@pytest.mark.parametrize("name", ["depth/2.png", "color/2.jpg"])
def test_a_truncated_image(room: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], name: str) -> None:
    truncate(room / name)
    assert stage_exit_code("scan", room, tmp_path / "run") == 2
    printed = capfd.readouterr().err.splitlines()
    sentences = [line for line in printed if line.startswith("error")]  # the decoder of PNG grumbles too
    assert_one_sentence("\n".join(sentences), Path(name).name)
    assert_no_output(tmp_path / "run", "scan")


BAD_DETECTIONS: dict[str, tuple[Break, str]] = {
    "no file": (lambda room: (room / "detections.json").unlink(), "detections.json; put COCO results"),
    "no detection": (lambda room: write_json(room / "detections.json", []), "holds no detection"),
    "only unknown words": (lambda room: change_records(room, category="unicorn"), "unicorn"),
    "no JSON": (lambda room: truncate(room / "detections.json"), "is not JSON"),
    "polygons": (lambda room: change_records(room, segmentation=[[1, 2, 3, 4, 5, 6]]), "polygons"),
    "frames that the scan lacks": (lambda room: change_records(room, image_id="000001"), "image_id"),
    "a score of words": (lambda room: change_records(room, score="high"), "score 'high'"),
}


@pytest.mark.parametrize("case", BAD_DETECTIONS)
def test_bad_detections(
    room: Path, scanned: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], case: str
) -> None:
    damage, complaint = BAD_DETECTIONS[case]
    damage(room)
    run = Path(shutil.copytree(scanned, tmp_path / "run"))
    assert stage_exit_code("masks", room, run) == 2
    assert_one_sentence(capfd.readouterr().err, complaint)
    assert_no_output(run, "masks")


def save_features(path: Path, values: np.ndarray) -> None:
    np.save(path, values)


BAD_FEATURES: dict[str, tuple[Break, str]] = {
    "one frame missing": (lambda room: (room / "features" / "2.npy").unlink(), "Frame 2 has no features"),
    "truncated": (lambda room: truncate(room / "features" / "2.npy"), "2.npy cannot be read"),
    "not finite": (lambda room: save_features(room / "features" / "2.npy", np.full((2, 3, 64), np.inf)), "inf or nan"),
    "flat": (lambda room: save_features(room / "features" / "2.npy", np.ones(64)), "shape (64,)"),
    "of another width": (lambda room: save_features(room / "features" / "2.npy", np.ones((2, 3, 5))), "5 dimensions"),
}


@pytest.mark.parametrize("case", BAD_FEATURES)
def test_bad_features(room: Path, scanned: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], case: str) -> None:
    damage, complaint = BAD_FEATURES[case]
    damage(room)
    run = Path(shutil.copytree(scanned, tmp_path / "run"))
    assert stage_exit_code("features", room, run) == 2
    assert_one_sentence(capfd.readouterr().err, complaint)
    assert_no_output(run, "features")


def test_features_asked_for_and_not_there(
    room: Path, scanned: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(room / "features")
    run = Path(shutil.copytree(scanned, tmp_path / "run"))
    assert stage_exit_code("features", room, run, ["features.backend=precomputed"]) == 2
    assert_one_sentence(capfd.readouterr().err, "Frame 0 has no features")
    assert_no_output(run, "features")


def test_a_scan_without_features_takes_colour_and_says_so(
    room: Path, scanned: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(room / "features")
    run = Path(shutil.copytree(scanned, tmp_path / "run"))
    assert stage_exit_code("features", room, run) == 0
    assert "colour statistics" in capfd.readouterr().err
    assert read_json(run / "features" / "features.json")["source"] == "color"


BAD_COMMANDS: dict[str, tuple[list[str], str]] = {
    "unknown setting": (["scannet/room", "--set", "mesh.voxelsize=0.02"], "'mesh.voxelsize'"),
    "unknown section": (["scannet/room", "--set", "mehs.voxel_size=0.02"], "'mehs'"),
    "malformed setting": (["scannet/room", "--set", "voxel_size"], "not section.key=value"),
    "setting that is no YAML": (["scannet/room", "--set", "mesh.voxel_size=["], "mesh.voxel_size"),
    "value of another kind": (["scannet/room", "--set", "mesh.voxel_size=fine"], "mesh.voxel_size = 'fine'"),
    "missing settings file": (["scannet/room", "--settings", "none.yaml"], "none.yaml does not exist"),
    "unknown data set": (["replica/room"], "no data set 'replica'"),
    "missing scene": (["scannet/hall"], "no scene folder"),
    "malformed scene": (["room"], "<dataset>/<scene>"),
    "unknown stage": (["scannet/room", "--until", "mash"], "no stage 'mash'"),
}


@pytest.mark.parametrize("case", BAD_COMMANDS)
def test_a_bad_command(small_room: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], case: str) -> None:
    arguments, complaint = BAD_COMMANDS[case]
    folders = ["--data", str(small_room.parent), "--runs", str(tmp_path / "runs")]
    assert exit_code("run", *arguments, *folders) == 2
    assert_one_sentence(capfd.readouterr().err, complaint)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("blocked", ["runs", "runs/default", "runs/default/scannet", "runs/default/scannet/room"])
def test_a_file_where_the_run_belongs(
    small_room: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], blocked: str
) -> None:
    (tmp_path / blocked).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / blocked).write_text("in the way")
    folders = ["--data", str(small_room.parent), "--runs", str(tmp_path / "runs")]
    assert exit_code("run", "scannet/room", *folders) == 2
    assert_one_sentence(capfd.readouterr().err, str(tmp_path / blocked))
    assert (tmp_path / blocked).read_text() == "in the way"


def test_a_class_table_that_is_not_there(room: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    missing = tmp_path / "none.csv"
    assert stage_exit_code("scan", room, tmp_path / "run", [f"scan.classes={missing}"]) == 2
    assert_one_sentence(capfd.readouterr().err, str(missing))
    assert_no_output(tmp_path / "run", "scan")


def damage_pose(room: Path) -> None:
    (room / "pose" / "2.txt").unlink()


def damage_detections(room: Path) -> None:
    write_json(room / "detections.json", [])


@pytest.mark.parametrize(
    ("damage", "stage", "complaint"),
    [(damage_pose, "scan", "has no pose file"), (damage_detections, "masks", "holds no detection")],
)
def test_the_sentence_comes_through_a_whole_run(
    room: Path, tmp_path: Path, damage: Break, stage: str, complaint: str
) -> None:
    damage(room)
    folders = ["--data", str(room.parent), "--runs", str(tmp_path / "runs")]
    done = panrecon("run", "scannet/room", "--until", stage, *folders, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    errors = [line for line in done.stderr.splitlines() if "error" in line.lower()]
    assert len(errors) == 1, done.stderr
    assert_one_sentence(errors[0], complaint)
    assert "Traceback" not in done.stderr
    assert_no_output(tmp_path / "runs" / "default" / "scannet" / "room", stage)


def test_the_undamaged_room_is_no_bad_input(small_room: Path, scanned: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(scanned, tmp_path / "run"))
    assert [stage_exit_code(stage, small_room, run) for stage in ("masks", "features")] == [0, 0]
    assert read_features(run / "features", "2").values.ndim == 3
    assert len(json.loads((run / "masks" / "detections.json").read_text())) > 3
