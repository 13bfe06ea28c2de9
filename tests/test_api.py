"""Laws of what `import panrecon` offers, and its examples."""

import json
import re
import runpy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import jaxtyping
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import panrecon as pr
from panrecon.cli import app
from panrecon.structures import VOID
from tests import CHECKOUT
from tests.command_line import panrecon

EXAMPLES = CHECKOUT / "examples"
QUICK = [
    "field.geometry_iterations=10",
    "field.frozen_iterations=10",
    "field.joint_iterations=5",
    "field.log2_table_size=12",
    "semantics.iterations=20",
    "mesh.voxel_size=0.04",
]


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve small frames of the built-in room."""
    folder = tmp_path_factory.mktemp("raw") / "room"
    app(["simulate", "room", str(folder), "--frames", "12", "--width", "160"], standalone_mode=False)
    return folder


@pytest.fixture(scope="module")
def result(room: Path) -> pr.Reconstruction:
    return pr.reconstruct(pr.read_scan(room, overrides=QUICK))


def test_nothing_heavy_is_loaded_before_it_is_used() -> None:
    code = "import sys, panrecon; print(sorted(set(sys.modules) & {'torch', 'numpy', 'open3d', 'numba', 'pydantic'}))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_every_name_that_is_offered_is_there_and_no_other() -> None:
    assert all(getattr(pr, name).__name__ for name in pr.__all__)
    assert set(pr.__all__) <= set(dir(pr))
    with pytest.raises(AttributeError, match="no attribute 'reconstuct'"):
        pr.reconstuct  # noqa: B018


def test_every_vertex_has_a_label_and_how_certain_it_is(result: pr.Reconstruction) -> None:
    count = len(result.mesh.vertices)
    assert result.category.shape == result.instance.shape == result.confidence.shape == (count,)
    assert set(np.unique(result.instance)) - {VOID} <= result.objects.keys()
    is_thing = np.append(result.table.is_thing, False)[result.category]
    assert not (result.instance[~is_thing] != VOID).any()
    for instance, scene_object in result.objects.items():
        of_object = result.instance == instance
        assert set(result.category[of_object]) <= {scene_object.category}
        assert_allclose(result.confidence[of_object], scene_object.confidence, atol=1e-6)
    assert (result.confidence >= 0).all() and (result.confidence <= 1).all()
    assert not result.confidence[result.category == VOID].any()


def test_python_and_the_command_line_give_the_same_bytes(room: Path, result: pr.Reconstruction, tmp_path: Path) -> None:
    result.save(tmp_path / "saved")
    sets = [word for override in QUICK for word in ("--set", override)]
    options = ["--data", str(room.parent), "--runs", "runs", "--until", "panoptic"]
    done = panrecon("run", "scannet/room", *options, *sets, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    run = tmp_path / "runs" / "default" / "scannet" / "room"
    for name in ("panoptic.ply", "objects.json", "classes.csv"):
        assert (tmp_path / "saved" / name).read_bytes() == (run / "panoptic" / name).read_bytes()


def test_a_result_is_saved_whole_or_not_at_all(
    result: pr.Reconstruction, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise pr.InputError("No room is left.")

    before = {"panoptic.ply": "old", "objects.json": "old", "notes.txt": "mine"}
    (tmp_path / "used").mkdir()
    for name, text in before.items():
        (tmp_path / "used" / name).write_text(text)
    with monkeypatch.context() as disk:
        disk.setattr("panrecon.io.panoptic.write_categories", full)
        for name in ("new", "used"):
            with pytest.raises(pr.InputError, match="No room"):
                result.save(tmp_path / name)
    assert not (tmp_path / "new").exists()
    assert {path.name: path.read_text() for path in (tmp_path / "used").iterdir()} == before
    result.save(tmp_path / "used")
    assert {path.name for path in (tmp_path / "used").iterdir()} == {*before, "classes.csv"}
    assert (tmp_path / "used" / "panoptic.ply").read_bytes() != b"old"
    assert (tmp_path / "used" / "notes.txt").read_text() == "mine"


def test_a_result_takes_no_place_of_a_file_or_of_a_folder(result: pr.Reconstruction, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(pr.InputError, match="file cannot be a folder, a file is in its way"):
        result.save(tmp_path / "file")
    (tmp_path / "used" / "panoptic.ply").mkdir(parents=True)
    with pytest.raises(pr.InputError, match=r"panoptic\.ply cannot be written: is a directory"):
        result.save(tmp_path / "used")
    assert (tmp_path / "file").read_text() == "mine"


def test_arrays_give_what_their_files_do(room: Path, result: pr.Reconstruction) -> None:
    scan = pr.read_scan(room, overrides=QUICK)
    views = [scan.views.read(index) for index in range(len(scan.views.names))]
    masks = [
        [
            (scan.table[category].name, float(score), mask)
            for category, score, mask in zip(found.category, found.score, found.mask, strict=True)
        ]
        for found in (scan.detections[name] for name in scan.views.names)
    ]
    in_memory = pr.RgbdScan.from_arrays(
        np.stack([view.color for view in views]),
        np.stack([view.depth for view in views]),
        scan.views.poses,
        scan.views.camera.matrix,
        scan.table,
        masks,
        [features.values for features in scan.features()],
        scan.settings,
    )
    again = pr.reconstruct(in_memory)
    assert_array_equal(again.mesh.vertices, result.mesh.vertices)
    assert_array_equal(again.category, result.category)
    assert_array_equal(again.instance, result.instance)


def arrays(**changes: Any) -> dict[str, Any]:
    """Two small frames and their masks."""
    mask = np.ones((6, 8), bool)
    return {
        "color": np.zeros((2, 6, 8, 3), np.uint8),
        "depth": np.ones((2, 6, 8), np.float32),
        "world_from_camera": np.tile(np.eye(4), (2, 1, 1)),
        "intrinsics": np.array([[5.0, 0, 3.5], [0, 5.0, 2.5], [0, 0, 1]]),
        "classes": "scannet20",
        "masks": [[("chair", 0.9, mask)], []],
    } | changes


def test_a_scan_of_arrays_has_its_views_and_masks() -> None:
    scan = pr.RgbdScan.from_arrays(**arrays())
    assert scan.views.names == ("000000", "000001")
    assert list(scan.detections) == ["000000"]
    assert scan.table[scan.detections["000000"].category[0]].name == "chair"
    assert len(list(scan.features())) == 2


MASK = np.ones((6, 8), bool)
POSES = np.tile(np.eye(4), (2, 1, 1))
MATRIX = np.array([[5.0, 0, 3.5], [0, 5.0, 2.5], [0, 0, 1]])
MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "fewer frames of depth": ({"depth": np.ones((3, 6, 8), np.float32)}, "color 2, depth 3"),
    "no frame": ({"color": np.zeros((0, 6, 8, 3), np.uint8)}, r"color is of shape \(0, 6, 8, 3\)"),
    "colour of another size": ({"color": np.zeros((2, 5, 8, 3), np.uint8)}, r"Colour is \(5, 8\)"),
    "grey images": ({"color": np.zeros((2, 6, 8), np.uint8)}, r"\(2, 6, 8\), not frames x rows x columns x 3"),
    "colour in [0, 1]": ({"color": np.zeros((2, 6, 8, 3))}, "float64; give RGB from 0 to 255 as uint8"),
    "unequal images": ({"color": [np.zeros((6, 8, 3)), np.zeros((6, 9, 3))]}, "color cannot be taken as one array"),
    "millimetres": ({"depth": np.full((2, 6, 8), 1000, np.uint16)}, r"uint16; give metres .* / 1000\.0"),
    "depth of one frame": ({"depth": np.ones((6, 8))}, r"\(6, 8\), not frames x rows x columns"),
    "depth behind the camera": ({"depth": -np.ones((2, 6, 8))}, "frame 0 holds -1 m"),
    "a pose that scales": ({"world_from_camera": np.tile(np.diag([1.0, 1, 2, 1]), (2, 1, 1))}, "pose of frame 0 is no"),
    "poses of three rows": ({"world_from_camera": POSES[:, :3]}, r"\(2, 3, 4\), float64, not frames x 4 x 4"),
    "lost tracking": ({"world_from_camera": POSES * [[[1]], [[np.nan]]]}, "frame 1 holds inf or nan; leave this frame"),
    "four intrinsics": ({"intrinsics": (5.0, 5.0, 3.5, 2.5)}, r"shape \(4,\).* \[\[fx, 0, cx\]"),
    "transposed intrinsics": ({"intrinsics": MATRIX.T}, r"intrinsics are \[\[5\.0, 0\.0, 0\.0\]"),
    "mirrored intrinsics": ({"intrinsics": MATRIX * [[-1], [1], [1]]}, "fx and fy above 0"),
    "no masks": ({"masks": None}, "masks is a NoneType; give a list"),
    "masks by name": ({"masks": {"000000": []}}, "masks is a dict; give a list"),
    "masks of one frame": ({"masks": [("chair", 0.9, MASK), ("chair", 0.9, MASK)]}, r"masks\[0\]\[0\] is no triple"),
    "a mask without score": ({"masks": [[("chair", MASK)], []]}, r"masks\[0\]\[0\] is no triple"),
    "an unknown word": ({"masks": [[("unicorn", 0.9, MASK)], []]}, "'unicorn' of a mask of frame 000000"),
    "a class index": ({"masks": [[(3, 0.9, MASK)], []]}, "The word 3 of a mask"),
    "a score in percent": ({"masks": [[("chair", 90, MASK)], []]}, "is 90; give a number from 0 to 1"),
    "a score that is none": ({"masks": [[("chair", np.nan, MASK)], []]}, "is nan; give a number"),
    "a soft mask": ({"masks": [[("chair", 0.9, MASK * 0.3)], []]}, "type float64; give a boolean array"),
    "a mask of another size": ({"masks": [[("chair", 0.9, MASK[:3, :4])], []]}, r"are \(3, 4\)"),
    "fewer features": ({"features": [np.ones((2, 2, 4))]}, "masks 2, features 1"),
    "flat features": ({"features": [np.ones((2, 4))] * 2}, r"features\[0\] is of shape \(2, 4\)"),
    "features of two networks": ({"features": [np.ones((2, 2, 4)), np.ones((2, 2, 5))]}, r"features\[1\] has 5 dim"),
    "features that are none": ({"features": np.full((2, 2, 2, 4), np.nan)}, r"features\[0\] holds inf or nan"),
    "an unknown table": ({"classes": "nowhere"}, "no class table nowhere"),
    "words for a table": ({"classes": ["chair"]}, "classes is a list; give a panrecon.CategoryTable"),
    "an id twice": (
        {"classes": pr.CategoryTable((pr.Category(1, "chair", True), pr.Category(1, "wall", False)))},
        "the id 1 twice",
    ),
    "the id of void": ({"classes": pr.CategoryTable((pr.Category(0, "chair", True),))}, "chair the id 0"),
    "settings by name": ({"settings": {"mesh": {}}}, "settings is a dict; give panrecon.Settings"),
}


@pytest.fixture
def as_users_have_it() -> Iterator[None]:
    """Without the checks of types that tests add, which users do not have installed."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.mark.usefixtures("as_users_have_it")
@pytest.mark.parametrize(("changes", "words"), MISTAKES.values(), ids=MISTAKES)
def test_wrong_arrays_are_one_sentence(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(pr.InputError, match=words) as caught:
        pr.RgbdScan.from_arrays(**arrays(**changes))
    assert re.fullmatch(r"[^\n]*[^.]\.", str(caught.value))


@pytest.mark.usefixtures("as_users_have_it")
def test_a_role_there_is_not_is_one_sentence() -> None:
    table = pr.CategoryTable((pr.Category(1, "rug", True, stated_role=cast(pr.Role, "flat")),))
    with pytest.raises(pr.InputError, match=r"rug has the role 'flat'; give one of panrecon.Role .*, or None"):
        pr.RgbdScan.from_arrays(**arrays(classes=table))


def test_what_is_no_depth_counts_as_none() -> None:
    depth = np.array([np.nan, np.inf, 0, 2])[None, None, :].repeat(2, axis=0)
    changes = {"depth": depth, "color": np.zeros((2, 1, 4, 3), np.uint8), "masks": [[], []]}
    scan = pr.RgbdScan.from_arrays(**arrays(**changes))
    assert_array_equal(scan.views.read(1).depth, [[0, 0, 0, 2]])


def test_lists_and_read_only_arrays_are_taken() -> None:
    given = arrays()
    expected = pr.RgbdScan.from_arrays(**given)
    lists = {name: given[name].tolist() for name in ("depth", "world_from_camera", "intrinsics")}
    color = given["color"].copy()
    color.flags.writeable = False
    scan = pr.RgbdScan.from_arrays(**given | lists | {"color": color})
    for index in range(2):
        assert_array_equal(scan.views.read(index).depth, expected.views.read(index).depth)
    assert scan.views.camera == expected.views.camera
    assert_array_equal(scan.detections["000000"].mask, expected.detections["000000"].mask)


@pytest.mark.usefixtures("as_users_have_it")
def test_what_is_no_scan_is_refused() -> None:
    with pytest.raises(pr.InputError, match=r"takes a scan, not a str; make one by panrecon\.read_scan"):
        pr.reconstruct("data/raw/room")  # type: ignore[arg-type]
    with pytest.raises(pr.InputError, match="settings is a list"):
        pr.reconstruct(pr.RgbdScan.from_arrays(**arrays()), ["mesh.voxel_size=0.05"])  # type: ignore[arg-type]
    with pytest.raises(pr.InputError, match="no data set 'replica'"):
        pr.read_scan(".", kind="replica")


def test_depth_in_another_unit_is_named_with_its_range() -> None:
    with pytest.raises(pr.InputError, match=r"of 1000 to 1000 m, give no surface within mesh.depth_max = 6 m"):
        pr.reconstruct(pr.RgbdScan.from_arrays(**arrays(depth=np.full((2, 6, 8), 1000.0))))


def test_a_scan_in_which_nothing_is_detected_is_one_sentence() -> None:
    with pytest.raises(pr.InputError, match="no detection in any frame"):
        pr.reconstruct(pr.RgbdScan.from_arrays(**arrays(masks=[[], []])))


def test_the_script_of_a_folder_runs(room: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(EXAMPLES / "reconstruct_folder.py"))["main"](str(room), str(tmp_path / "out"), *QUICK)
    assert (tmp_path / "out" / "panoptic.ply").is_file()
    assert "confidence" in capsys.readouterr().out


def test_the_script_of_arrays_finds_the_box(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(EXAMPLES / "reconstruct_arrays.py"))["main"](str(tmp_path / "out"), *QUICK[:-1])
    printed = capsys.readouterr().out
    assert "1 object" in printed and "box: " in printed
    mesh = pr.read_panoptic_mesh(
        tmp_path / "out" / "panoptic.ply", pr.read_categories(tmp_path / "out" / "classes.csv")
    )
    is_box = mesh.labels.category == 1
    above, centre = mesh.mesh.vertices[:, 2], np.abs(mesh.mesh.vertices[:, :2]).max(axis=1)
    truly_box = (above > 0.06) & (centre < 0.25)
    assert (is_box == truly_box)[np.abs(above - 0.05) > 0.03].mean() > 0.95


@pytest.mark.parametrize("name", ["quickstart", "masks_of_my_own"])
def test_a_notebook_runs_from_its_first_cell_to_its_last(name: str, room: Path, tmp_path: Path) -> None:
    cells = json.loads((EXAMPLES / f"{name}.ipynb").read_text())["cells"]
    namespace: dict[str, Any] = {"SCENE": str(room), "OVERRIDES": QUICK, "TARGET": str(tmp_path)}
    for cell in cells:
        if cell["cell_type"] == "code" and "parameters" not in cell["metadata"].get("tags", ()):
            exec(compile("".join(cell["source"]), f"{name}.ipynb", "exec", dont_inherit=True), namespace)
    assert namespace["result"].objects
