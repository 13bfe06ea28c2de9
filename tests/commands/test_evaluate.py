"""`panrecon evaluate` as a user runs it: files of other programs in; tables, record and page out, or one sentence."""

import base64
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import jsonschema
import numpy as np
import pytest
from jaxtyping import Int
from numpy.testing import assert_allclose

from panrecon.cli import app
from panrecon.evaluation.protocols import PROTOCOLS
from panrecon.evaluation.report.record import schema
from tests.command_line import panrecon

pytestmark = pytest.mark.usefixtures("coarse_evaluation")

HEIGHT, WIDTH = 24, 32
SPACING = 0.1  # m between neighbouring points of the floor
CLASSES = """id,name,thing,evaluated,synonyms,raw_ids
1,wall,0,1,,1
2,floor,0,1,ground|rug,3
5,chair,1,1,seat,2|20
9,table,1,1,,4
11,clutter,1,0,,40
"""
RAW_ID = {0: 0, 1: 1, 2: 3, 5: 20, 9: 4, 11: 40}
WORD = {1: "wall", 2: "rug", 5: "Seat", 9: "table", 11: "clutter"}
CHAIR_ID = 5
DRIVE = "2013_05_28_drive_0007_sync"
COUNTS = ("true_positives", "false_positives", "false_negatives")
PLY_NAMES = {"f4": "float", "f8": "double", "u1": "uchar", "u2": "ushort", "i4": "int", "u4": "uint"}

Ids = Int[np.ndarray, "h w"]
Arguments = list[str]


@dataclass
class Sides:
    """Ids of both sides on one grid of points, which is an image too; 0 = none."""

    category: Ids = field(default_factory=lambda: _truth()[0])
    instance: Ids = field(default_factory=lambda: _truth()[1])
    predicted_category: Ids = field(default_factory=lambda: _prediction()[0])
    predicted_instance: Ids = field(default_factory=lambda: _prediction()[1])

    @property
    def truth(self) -> dict[str, Ids]:
        return {"category": self.category, "instance": self.instance}

    @property
    def prediction(self) -> dict[str, Ids]:
        return {"category": self.predicted_category, "instance": self.predicted_instance}


def _truth() -> tuple[Ids, Ids]:
    """A wall along a floor; two chairs and a table of 32 points each, clutter, and a corner nobody annotated."""
    category, instance = np.full((HEIGHT, WIDTH), 2), np.zeros((HEIGHT, WIDTH), int)
    category[:6] = 1
    for rows, columns, what, number in (
        (slice(8, 12), slice(2, 10), 5, 3),
        (slice(8, 12), slice(14, 22), 5, 4),
        (slice(14, 18), slice(2, 10), 9, 7),
        (slice(14, 18), slice(14, 22), 11, 8),
    ):
        category[rows, columns], instance[rows, columns] = what, number
    category[20:, 24:] = 0
    return category, instance


def _prediction() -> tuple[Ids, Ids]:
    """The first chair whole, three quarters of the second, no table, a chair on the bare floor, clutter on the void."""
    category, instance = _truth()
    category[8:12, 20:22], instance[8:12, 20:22] = 2, 0
    category[14:18, 2:10], instance[14:18, 2:10] = 0, 0
    category[14:18, 24:28], instance[14:18, 24:28] = 5, 900
    category[20:, 24:], instance[20:, 24:] = 5, 901
    instance[(instance == 3) & (category == 5)] = 70
    instance[(instance == 4) & (category == 5)] = 12
    return category, instance


# What `strict` must say of the two, by hand: IoU, TP, FP, FN of every class.
CHAIRS_IOU = 1 + 24 / 32
STRICT = {"wall": (1, 0, 0), "floor": (1, 0, 0), "chair": (2, 1, 0), "table": (0, 0, 1)}


def grid_points() -> np.ndarray:
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    return np.stack([columns * SPACING, rows * SPACING, 0.3 * np.sin(columns / 5)], axis=-1).reshape(-1, 3)


def grid_faces() -> np.ndarray:
    corner = np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH)[:-1, :-1].ravel()
    halves = (
        np.stack([corner, corner + 1, corner + WIDTH], 1),
        np.stack([corner + 1, corner + WIDTH + 1, corner + WIDTH], 1),
    )
    return np.concatenate(halves)


def write_ply(
    path: Path,
    properties: dict[str, np.ndarray],
    points: np.ndarray | None = None,
    faces: np.ndarray | None = None,
    kind: str = "binary_little_endian",
    types: dict[str, str] | None = None,
) -> Path:
    """A PLY by hand: ASCII or binary of either byte order, of the types a program may choose."""
    points = grid_points() if points is None else points
    columns = {"x": points[:, 0], "y": points[:, 1], "z": points[:, 2]} | {n: v.ravel() for n, v in properties.items()}
    type_of = {name: "f4" if name in "xyz" else "i4" for name in columns} | (types or {})
    order = ">" if kind == "binary_big_endian" else "<"
    vertices = np.zeros(len(points), [(name, order + type_of[name]) for name in columns])
    for name, values in columns.items():
        vertices[name] = values
    lines = ["ply", f"format {kind} 1.0", "comment by hand", f"element vertex {len(points)}"]
    lines += [f"property {PLY_NAMES[type_of[name]]} {name}" for name in columns]
    if faces is not None:
        lines += [f"element face {len(faces)}", "property list uchar int vertex_indices"]
    header = "\n".join([*lines, "end_header", ""]).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind == "ascii":
        rows = [" ".join(str(value) for value in row) for row in vertices.tolist()]
        rows += [f"3 {a} {b} {c}" for a, b, c in ([] if faces is None else faces.tolist())]
        path.write_bytes(header + "\n".join([*rows, ""]).encode())
        return path
    listed = np.zeros(0 if faces is None else len(faces), [("n", "u1"), ("corners", f"{order}i4", 3)])
    if faces is not None:
        listed["n"], listed["corners"] = 3, faces
    path.write_bytes(header + vertices.tobytes() + listed.tobytes())
    return path


def write_png(path: Path, image: np.ndarray, kind: type = np.uint16) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image.astype(kind))
    return path


def write_images(
    folder: Path, frames: dict[str, dict[str, Ids]], semantic: str = "semantic", kind: type = np.uint16
) -> Path:
    """Label images as any program exports them."""
    for frame, ids in frames.items():
        write_png(folder / semantic / f"{frame}.png", ids["category"], kind)
        write_png(folder / "instance" / f"{frame}.png", ids["instance"])
    return folder


def write_scan(folder: Path, sides: Sides) -> Path:
    """A ScanNet scan: mesh, objects of segments, and the frames 0 and 20."""
    number = np.unique(np.stack([sides.category.ravel(), sides.instance.ravel()], 1), axis=0, return_inverse=True)
    found, segment = number[0], number[1].reshape(-1)
    groups = [
        {"id": n, "objectId": int(i) - 1 if i else 100 + n, "segments": [n], "label": WORD[int(c)]}
        for n, (c, i) in enumerate(found.tolist())
        if c
    ]
    write_ply(folder / f"{folder.name}_vh_clean_2.ply", {}, faces=grid_faces())
    (folder / f"{folder.name}.aggregation.json").write_text(json.dumps({"segGroups": groups}))
    (folder / f"{folder.name}_vh_clean_2.0.010000.segs.json").write_text(json.dumps({"segIndices": segment.tolist()}))
    for frame in ("0", "20"):
        write_png(folder / "label-filt" / f"{frame}.png", np.vectorize(RAW_ID.__getitem__)(sides.category))
        write_png(folder / "instance-filt" / f"{frame}.png", sides.instance)
    return folder


def write_kitti(root: Path, sides: Sides, drive: str = DRIVE) -> Path:
    """KITTI-360 of the same ids, in 2D and 3D; the right half of the points was seen by no camera."""
    ids = {"semantic": sides.category, "instance": sides.category * 1000 + sides.instance}
    for frame in ("0000000005", "0000000012"):
        for name, values in ids.items():
            image = root / "data_2d_semantics" / "train" / drive / "image_00" / name / f"{frame}.png"
            write_png(image, values, np.uint8 if name == "semantic" else np.uint16)
    visible = np.tile(np.arange(WIDTH) < WIDTH // 2, (HEIGHT, 1))
    window = root / "data_3d_semantics" / "train" / drive / "static" / "0000000002_0000000100.ply"
    write_ply(window, ids | {"visible": visible}, types={"visible": "u1"})
    return root


@pytest.fixture
def sides() -> Sides:
    return Sides()


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with a class table, `prediction.ply` and `truth.ply` of one scene."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "classes.csv").write_text(CLASSES)
    sides = Sides()
    write_ply(tmp_path / "prediction.ply", sides.prediction, faces=grid_faces())
    write_ply(tmp_path / "truth.ply", sides.truth, faces=grid_faces())
    return tmp_path


def evaluate(*arguments: str) -> int:
    """`panrecon evaluate <arguments>` in this process; few resamples, for they take the time."""
    quick = [] if "--resamples" in arguments else ["--resamples", "20"]
    classes = [] if "-c" in arguments else ["-c", "classes.csv"]
    with pytest.raises(SystemExit) as end:
        app(["evaluate", *classes, *quick, *arguments])
    return int(end.value.code or 0)


def record_of(*arguments: str) -> dict[str, Any]:
    """The record that a run writes, valid by the schema."""
    assert evaluate("--json", "record.json", *arguments) == 0
    record: dict[str, Any] = json.loads(Path("record.json").read_text())
    jsonschema.Draft202012Validator(schema()).validate(record)
    return record


def only(record: dict[str, Any]) -> dict[str, Any]:
    (scene,) = record["scenes"].values()
    return dict(scene)


def images_of(page: Path) -> list[np.ndarray]:
    """The images within a report."""
    encoded = re.findall(r'data:image/\w+;base64,([^"]{30,})', page.read_text())
    assert encoded
    images = [cv2.imdecode(np.frombuffer(base64.b64decode(text), np.uint8), cv2.IMREAD_COLOR) for text in encoded]
    return [np.asarray(image, dtype=int) for image in images]


def counts(scores: dict[str, Any], protocol: str = "strict") -> dict[str, tuple[int, ...]]:
    return {n: tuple(c[key] for key in COUNTS) for n, c in scores["protocols"][protocol]["classes"].items()}


def iou_sums(scores: dict[str, Any], protocol: str = "strict") -> dict[str, float]:
    return {n: c["iou_sum"] for n, c in scores["protocols"][protocol]["classes"].items()}


def expected_iou(sides: Sides) -> dict[str, float]:
    """Of `strict`, class by class, counted in the plainest way."""
    annotated = np.isin(sides.category, (1, 2, 5, 9))

    def iou(true: np.ndarray, predicted: np.ndarray) -> float:
        return float((true & predicted).sum() / ((true | predicted) & (annotated | true)).sum())

    stuff = {name: iou(sides.category == c, sides.predicted_category == c) for name, c in (("wall", 1), ("floor", 2))}
    chairs = [iou(sides.instance == a, sides.predicted_instance == b) for a, b in ((3, 70), (4, 12))]
    return {**stuff, "chair": sum(chairs), "table": 0.0}


def assert_the_known_answer(scene: dict[str, Any], sides: Sides, frames: int = 1) -> None:
    assert counts(scene) == STRICT
    assert_allclose(list(iou_sums(scene).values()), list(expected_iou(sides).values()), atol=1e-12)
    assert_allclose(scene["protocols"]["strict"]["classes"]["chair"]["iou_sum"], CHAIRS_IOU, atol=1e-12)
    evaluated = np.isin(sides.category, (1, 2, 5, 9))
    assert_allclose(scene["void"], (evaluated & (sides.predicted_category == 0)).sum() / evaluated.sum())
    assert scene["truth"]["total"] == frames * HEIGHT * WIDTH
    assert scene["truth"]["evaluated"] == frames * evaluated.sum()


# --- truths and predictions of every kind -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["ascii", "binary_little_endian", "binary_big_endian"])
@pytest.mark.parametrize("name", ["category", "semantic", "label"])
def test_a_ply_of_any_program(here: Path, sides: Sides, kind: str, name: str) -> None:
    properties = {name: sides.predicted_category, "instance": sides.predicted_instance}
    write_ply(here / "theirs.ply", properties, kind=kind, types={name: "u1", "instance": "u2", "x": "f8"})
    scene = only(record_of("-p", "theirs.ply", "-g", "truth.ply"))
    assert_the_known_answer(scene, sides)
    assert scene["uncovered"] == 0


def test_floats_that_are_whole_are_ids(here: Path, sides: Sides) -> None:
    types = {"category": "f4", "instance": "f8"}
    write_ply(here / "theirs.ply", sides.prediction, types=types)
    assert_the_known_answer(only(record_of("-p", "theirs.ply", "-g", "truth.ply")), sides)


def test_ids_may_fill_32_bits(here: Path, sides: Sides) -> None:
    sides.predicted_instance[sides.predicted_instance == 70] = 2**32 - 1
    sides.predicted_instance[sides.predicted_instance == 12] = 2**31
    write_ply(here / "theirs.ply", sides.prediction, types={"instance": "u4"})
    scene = only(record_of("-p", "theirs.ply", "-g", "truth.ply", "--html", "page.html"))
    assert counts(scene) == STRICT
    assert {line["instance"] for line in scene["objects"] if line["outcome"] == "matched"} == {2**32 - 1, 2**31}


@pytest.mark.parametrize("kind", ["points", "images"])
def test_ids_that_the_table_does_not_list_are_classes_of_their_own_to_released_scripts(here: Path, kind: str) -> None:
    """Both sides alike: most points of the chair 7 are chair, though more are none of the table's classes."""
    ids = {"category": np.array([[CHAIR_ID] * 4 + [0] * 3 + [9_999] * 3]), "instance": np.full((1, 10), 7)}
    points = np.column_stack([np.arange(10), np.zeros((10, 2))])
    for side in ("theirs", "ours"):
        if kind == "points":
            write_ply(here / f"{side}.ply", ids, points)
        else:
            write_images(here / side, {"0": ids})
    end = ".ply" if kind == "points" else ""
    arguments = ["-p", f"theirs{end}", "-g", f"ours{end}", "-c", "classes.csv", "--html", "page.html"]
    protocols = [argument for name in PROTOCOLS if name != "lidar" for argument in ("--protocol", name)]
    scene = only(record_of(*arguments, *protocols))
    assert all(counts(scene, name)["chair"] == (1, 0, 0) for name in PROTOCOLS if name != "lidar")
    assert scene["truth"] == {"total": 10, "annotated": 4, "evaluated": 4, "void": 6}
    assert scene["void"] == 0


@pytest.mark.parametrize("kind", ["ascii", "binary_little_endian"])
def test_a_scan_on_a_map_scores_as_near_the_origin(here: Path, sides: Sides, kind: str) -> None:
    """In metres of UTM single precision would move points by half a metre."""
    points = grid_points() + np.array([691_607.3, 5_335_801.7, 512.0])
    doubles = dict.fromkeys("xyz", "f8")
    write_ply(here / "theirs.ply", sides.prediction, points, grid_faces(), kind, doubles)
    write_ply(here / "ours.ply", sides.truth, points, grid_faces(), kind, doubles)
    scene = only(record_of("-p", "theirs.ply", "-g", "ours.ply", "--html", "page.html"))
    assert_the_known_answer(scene, sides)
    near = only(record_of("-p", "prediction.ply", "-g", "truth.ply", "--html", "near.html"))
    assert_allclose(scene["geometry"]["chamfer"], near["geometry"]["chamfer"], atol=1e-4)
    for image, near_image in zip(images_of(here / "page.html"), images_of(here / "near.html"), strict=True):
        assert (np.abs(image - near_image).max(axis=-1) > 30).mean() < 0.005


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_scene_without_vertices_in_a_batch_is_all_missed(
    here: Path, sides: Sides, protocol: str, capfd: pytest.CaptureFixture[str]
) -> None:
    write_ply(here / "empty.ply", {n: ids[:0] for n, ids in sides.prediction.items()}, np.zeros((0, 3)))
    scenes = ["-p", "empty.ply", "-g", "truth.ply", "-p", "prediction.ply", "-g", "truth.ply"]
    record = record_of(*scenes, "--name", "none", "--name", "whole", "--protocol", protocol, "--html", "page.html")
    assert "none: empty.ply has no vertices; all of its truth counts as missed" in capfd.readouterr().err
    alone = only(record_of("-p", "prediction.ply", "-g", "truth.ply", "--protocol", protocol))
    none, whole = record["scenes"]["none"], record["scenes"]["whole"]
    assert whole["protocols"] == alone["protocols"]
    assert none["void"] == none["uncovered"] == 1
    assert not any(matched or false for matched, false, _ in counts(none, protocol).values())
    missed = sum(count[2] for count in counts(none, protocol).values())
    assert missed > 0 or protocol == "panoptic_lifting"  # which ignores what is void


def test_ids_that_text_cannot_hold_are_no_score(here: Path, sides: Sides, capfd: pytest.CaptureFixture[str]) -> None:
    write_ply(here / "theirs.ply", sides.prediction, kind="ascii")
    text = (here / "theirs.ply").read_text().replace(" 900\n", " 3000000900\n")
    (here / "theirs.ply").write_text(text)
    assert evaluate("-p", "theirs.ply", "-g", "truth.ply") == 2
    assert "3000000900" in capfd.readouterr().err


def test_a_scan_of_scannet(here: Path, sides: Sides) -> None:
    write_scan(here / "scene0001_00", sides)
    record = record_of("-p", "prediction.ply", "-g", "scene0001_00")
    assert list(record["scenes"]) == ["scene0001_00"]
    assert record["kind"] == "points"
    assert_the_known_answer(only(record), sides)


def test_the_frames_of_a_scan_of_scannet(here: Path, sides: Sides) -> None:
    write_scan(here / "scene0001_00", sides)
    write_images(here / "images", {"000000": sides.prediction, "000020": sides.prediction})
    record = record_of("-p", "images", "-g", "scene0001_00")
    assert record["kind"] == "frames"
    assert only(record)["frames"] == 2
    assert_the_known_answer(only(record), sides, frames=2)


def test_a_scan_with_scannets_label_map_beside_the_command(here: Path, sides: Sides) -> None:
    write_scan(here / "scene0001_00", sides)
    words = "\n".join(f"{raw}\t{WORD[c].lower()}\t{WORD[c].lower()}\tother" for c, raw in RAW_ID.items() if c)
    (here / "maps").mkdir()
    (here / "maps" / "map.tsv").write_text(f"id\traw_category\tcategory\tnyu40class\n{words}\n")
    record = record_of("-p", "prediction.ply", "-g", "scene0001_00", "--label-map", "maps/map.tsv")
    assert_the_known_answer(only(record), sides)


@pytest.mark.parametrize("named", ["kitti", f"kitti/data_3d_semantics/train/{DRIVE}", "window"])
def test_points_of_kitti360(here: Path, sides: Sides, named: str) -> None:
    root = write_kitti(here / "kitti", sides)
    if named == "window":
        (path,) = root.rglob("*.ply")
        named = str(path)
    (here / "classes.csv").write_text(CLASSES.replace("2|20", "").replace(",3\n", ",\n").replace(",4\n", ",\n"))
    assert_the_known_answer(only(record_of("-p", "prediction.ply", "-g", named)), sides)


def test_points_of_kitti360_that_a_camera_saw(here: Path, sides: Sides) -> None:
    write_kitti(here / "kitti", sides)
    (here / "classes.csv").write_text(CLASSES.replace("2|20", "").replace(",3\n", ",\n").replace(",4\n", ",\n"))
    scene = only(record_of("-p", "prediction.ply", "-g", "kitti", "--visible-only"))
    assert scene["truth"]["evaluated"] == np.isin(sides.category[:, : WIDTH // 2], (1, 2, 5, 9)).sum()


@pytest.mark.parametrize("named", ["kitti", f"kitti/data_2d_semantics/train/{DRIVE}"])
def test_images_of_kitti360(here: Path, sides: Sides, named: str) -> None:
    write_kitti(here / "kitti", sides)
    write_images(here / "images", {"5": sides.prediction, "12": sides.prediction}, semantic="label", kind=np.uint8)
    (here / "classes.csv").write_text(CLASSES.replace("2|20", "").replace(",3\n", ",\n").replace(",4\n", ",\n"))
    assert_the_known_answer(only(record_of("-p", "images", "-g", named)), sides, frames=2)


@pytest.mark.parametrize(
    ("kind", "count", "says"), [(np.uint8, 256, True), (np.uint8, 100, False), (np.uint16, 256, False)]
)
def test_ids_that_8_bits_may_have_cut_are_told(
    here: Path, capfd: pytest.CaptureFixture[str], kind: type, count: int, says: bool
) -> None:
    instance = np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH) % count
    for side in ("theirs", "ours"):
        write_png(here / side / "semantic" / "0.png", np.full((HEIGHT, WIDTH), 5))
        write_png(here / side / "instance" / "0.png", instance, kind)
    assert evaluate("-p", "theirs", "-g", "ours") == 0
    assert ("16 bits" in capfd.readouterr().err) == says


@pytest.mark.parametrize(("theirs", "ours"), [("000120", "120"), ("120", "000120"), ("frame_a", "frame_a")])
def test_images_against_images(here: Path, sides: Sides, theirs: str, ours: str) -> None:
    write_images(here / "theirs", {theirs: sides.prediction}, semantic="label")
    write_images(here / "ours", {ours: sides.truth}, kind=np.uint8)
    assert_the_known_answer(only(record_of("-p", "theirs", "-g", "ours")), sides)


def test_images_and_points_of_the_same_labels_score_the_same(here: Path, sides: Sides) -> None:
    write_images(here / "theirs", {"1": sides.prediction})
    write_images(here / "ours", {"1": sides.truth})
    names = [word for name in PROTOCOLS for word in ("--protocol", name)]
    of_images = only(record_of("-p", "theirs", "-g", "ours", *names))
    of_points = only(record_of("-p", "prediction.ply", "-g", "truth.ply", *names))
    for scene in (of_images, of_points):
        scene["semantic"] |= {"frame_miou": None, "frame_macc": None}  # points have no frames
        for scores in scene["protocols"].values():
            scores["script"] = scores["script"] and scores["script"]["coverage"]
    for name in ("protocols", "semantic", "coverage", "average_precision", "void", "objects"):
        assert of_images[name] == of_points[name], name


@pytest.mark.parametrize("factor", [2, 3])
def test_predicted_images_of_another_size(here: Path, sides: Sides, factor: int) -> None:
    larger = {name: np.kron(ids, np.ones((factor, factor), int)) for name, ids in sides.prediction.items()}
    write_images(here / "theirs", {"1": larger})
    write_images(here / "ours", {"1": sides.truth})
    assert_the_known_answer(only(record_of("-p", "theirs", "-g", "ours")), sides)


def test_scale_and_crop_are_done_to_both_sides(here: Path, sides: Sides) -> None:
    twice = [
        {name: np.kron(ids, np.ones((2, 2), int)) for name, ids in side.items()}
        for side in (sides.prediction, sides.truth)
    ]
    write_images(here / "theirs", {"1": twice[0]})
    write_images(here / "ours", {"1": twice[1]})
    cropped = only(record_of("-p", "theirs", "-g", "ours", "--scale", "0.5", "--crop-top", "6"))
    assert cropped["truth"]["total"] == (HEIGHT - 6) * WIDTH
    assert counts(cropped) == {name: values for name, values in STRICT.items() if name != "wall"}
    write_images(here / "theirs_by_hand", {"1": {name: ids[6:] for name, ids in sides.prediction.items()}})
    write_images(here / "ours_by_hand", {"1": {name: ids[6:] for name, ids in sides.truth.items()}})
    by_hand = only(record_of("-p", "theirs_by_hand", "-g", "ours_by_hand"))
    assert cropped["protocols"] == by_hand["protocols"]


@pytest.mark.parametrize("options", [["--scale", "0.5"], ["--crop-top", "3"], ["--visible-only"]])
def test_the_record_tells_what_was_left_out(here: Path, sides: Sides, options: list[str]) -> None:
    """Two records whose settings agree were made of the same points."""
    if options == ["--visible-only"]:
        write_kitti(here / "kitti", sides)
        arguments = ["-p", "prediction.ply", "-g", "kitti"]
    else:
        write_images(here / "theirs", {"1": sides.prediction})
        write_images(here / "ours", {"1": sides.truth})
        arguments = ["-p", "theirs", "-g", "ours"]
    whole, part = record_of(*arguments), record_of(*arguments, *options)
    assert only(whole)["truth"] != only(part)["truth"]
    assert whole["settings"] != part["settings"]


# --- options ----------------------------------------------------------------------------------------------------------


def test_the_radius_decides_what_is_covered(here: Path, sides: Sides) -> None:
    shifted = grid_points() + np.array([0, 0, 0.04])
    write_ply(here / "theirs.ply", sides.prediction, points=shifted)
    near, far = (only(record_of("-p", "theirs.ply", "-g", "truth.ply", "--radius", r)) for r in ("0.05", "0.03"))
    assert_the_known_answer(near, sides)
    assert far["uncovered"] == far["void"] == 1
    assert far["protocols"]["strict"]["mean"]["pq"] == 0


def test_by_area_a_point_counts_its_triangles(here: Path, sides: Sides) -> None:
    points = grid_points()
    points[:, 2] = 0
    points[:, 0] = np.tile(np.cumsum(np.linspace(0.02, 0.2, WIDTH)), HEIGHT)  # columns of unlike width
    for name, ids in (("prediction", sides.prediction), ("truth", sides.truth)):
        write_ply(here / f"{name}.ply", ids, points=points, faces=grid_faces())
    record = record_of("-p", "prediction.ply", "-g", "truth.ply", "--by-area")
    triangles = points[grid_faces()]
    third = np.linalg.norm(np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]), axis=1) / 6
    area = np.bincount(grid_faces().ravel(), np.repeat(third, 3))
    chair = (sides.instance == 4).ravel()
    both = chair & (sides.predicted_instance == 12).ravel()
    assert record["settings"]["weight"] == "area"
    assert_allclose(iou_sums(only(record))["chair"], 1 + area[both].sum() / area[chair].sum(), rtol=1e-5)
    matched = next(line for line in only(record)["objects"] if line["instance"] == 12)
    assert_allclose(matched["area"], area[both].sum(), rtol=1e-5)


def test_protocols_may_be_many_and_the_first_is_the_headline(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = ["strict@0.8", *PROTOCOLS, "strict@0.5", "strict@0.25"]
    arguments = [word for name in names for word in ("--protocol", name)]
    record = record_of("-p", "prediction.ply", "-g", "truth.ply", *arguments)
    assert record["protocols"] == ["strict@0.8", *PROTOCOLS, "strict@0.25"]
    scene = only(record)
    assert counts(scene, "strict@0.8")["chair"] == (1, 2, 1)
    assert counts(scene, "strict@0.25") == counts(scene, "strict") == STRICT
    assert [line["outcome"] for line in scene["objects"]].count("matched") == 1
    assert "protocol `strict@0.8`" in capsys.readouterr().out


def test_lidar_ignores_small_segments(here: Path) -> None:
    arguments = ["-p", "prediction.ply", "-g", "truth.ply", "--protocol", "lidar", "--min-points"]
    small, large = (only(record_of(*arguments, number)) for number in ("16", "17"))
    assert counts(small, "lidar")["chair"] == (2, 1, 0)  # the chair on the floor has 16 points
    assert counts(large, "lidar")["chair"] == (2, 0, 0)


def test_confidences_beside_the_ply_are_calibrated(here: Path) -> None:
    objects = [{"id": 70, "confidence": 0.9, "frames": ["1", "2"]}, {"id": 12, "confidence": 0.55}]
    (here / "objects.json").write_text(json.dumps(objects))
    scene = only(record_of("-p", "prediction.ply", "-g", "truth.ply"))
    told = {line["instance"]: (line["confidence"], line["frames"]) for line in scene["objects"]}
    assert told[70] == (0.9, 2)
    assert told[12] == (0.55, 0)
    assert told[900] == (None, None)
    # both are right; the chair on the floor states no confidence
    assert_allclose(scene["calibration"]["ece"], (0.1 + 0.45) / 2, atol=1e-12)


def test_named_confidences_go_before_those_beside(here: Path) -> None:
    (here / "objects.json").write_text(json.dumps([{"id": 70, "confidence": 0.1}]))
    (here / "mine.json").write_text(json.dumps([{"id": 70, "confidence": 0.8}]))
    scene = only(record_of("-p", "prediction.ply", "-g", "truth.ply", "--objects", "mine.json"))
    assert next(line for line in scene["objects"] if line["instance"] == 70)["confidence"] == 0.8


def test_an_object_whose_confidence_beside_cannot_be_read_is_scored_without(
    here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (here / "objects.json").write_text('[{"id": 3, "name": "of another program"}]')
    assert only(record_of("-p", "prediction.ply", "-g", "truth.ply"))["calibration"] is None
    assert "objects.json" in capfd.readouterr().err


# --- several scenes ---------------------------------------------------------------------------------------------------


@pytest.fixture
def two_scenes(here: Path, sides: Sides) -> Arguments:
    """One imperfect scene and one in which all is right."""
    write_ply(here / "hall.ply", sides.truth)
    return ["-p", "prediction.ply", "-g", "truth.ply", "-p", "truth.ply", "-g", "hall.ply"]


def test_several_scenes_add_up(two_scenes: Arguments, capfd: pytest.CaptureFixture[str]) -> None:
    record = record_of(*two_scenes, "--markdown", "tables.md", "--html", "page.html")
    assert list(record["scenes"]) == ["truth", "hall"]
    first, second = record["scenes"].values()
    for name, total in record["total"]["protocols"]["strict"]["classes"].items():
        parts = [scene["protocols"]["strict"]["classes"][name] for scene in (first, second)]
        for key in ("iou_sum", *COUNTS):
            assert_allclose(total[key], sum(part[key] for part in parts), atol=1e-12)
    tables = Path("tables.md").read_text()
    rows = [
        line for line in tables.splitlines() if re.match(r"\| (truth|hall|mean of scenes|statistics added) \|", line)
    ]
    assert len(rows) == 4
    total_pq = record["total"]["protocols"]["strict"]["mean"]["pq"]
    assert f"| {100 * total_pq:.1f} |" in rows[-1]
    assert capfd.readouterr().out.strip() == tables.strip()


def test_points_have_no_frames_in_the_total_either(two_scenes: Arguments) -> None:
    assert record_of(*two_scenes)["total"]["semantic"]["frame_miou"] is None


def test_scenes_may_be_given_names(two_scenes: Arguments) -> None:
    record = record_of(*two_scenes, "--name", "office A", "--name", "<b>")
    assert list(record["scenes"]) == ["office A", "<b>"]


def test_the_order_of_scenes_does_not_change_the_total(two_scenes: Arguments) -> None:
    forth = record_of(*two_scenes)["total"]
    back = record_of(*two_scenes[4:], *two_scenes[:4])["total"]
    for name, scores in forth["protocols"]["strict"]["classes"].items():
        assert_allclose(list(scores.values()), list(back["protocols"]["strict"]["classes"][name].values()), atol=1e-12)


# --- what is written --------------------------------------------------------------------------------------------------


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_the_same_input_gives_the_same_bytes(here: Path, sides: Sides) -> None:
    write_images(here / "theirs", {"1": sides.prediction, "2": sides.truth})
    write_images(here / "ours", {"1": sides.truth, "2": sides.truth})
    for arguments in (["-p", "prediction.ply", "-g", "truth.ply"], ["-p", "theirs", "-g", "ours"]):
        written = []
        for folder in ("first", "second"):
            outputs = [
                word for kind in ("json", "html", "markdown") for word in (f"--{kind}", f"{folder}/report.{kind}")
            ]
            assert evaluate(*arguments, *outputs) == 0
            written.append(files(here / folder))
        assert len(written[0]) == 3
        assert written[0] == written[1]


def test_nothing_is_written_unless_asked(here: Path) -> None:
    before = files(here)
    assert evaluate("-p", "prediction.ply", "-g", "truth.ply") == 0
    assert files(here) == before


def test_the_page_asks_the_network_for_nothing(here: Path) -> None:
    assert evaluate("-p", "prediction.ply", "-g", "truth.ply", "--html", "deep/er/page.html") == 0
    page = Path("deep/er/page.html").read_text()
    assert page.lower().startswith("<!doctype html>")
    assert "truth" in page
    assert not re.findall(r"(?:src|href)=\"(?!data:|#)[^\"]*", page)


def test_as_a_user_runs_it(here: Path, sides: Sides) -> None:
    write_scan(here / "scene0001_00", sides)
    arguments = ["-p", "prediction.ply", "-g", "scene0001_00", "-c", "classes.csv", "--json", "out/quality.json"]
    done = panrecon("evaluate", *arguments, "--html", "out/report.html", "--markdown", "out/quality.md", cwd=here)
    assert done.returncode == 0, done.stderr
    record = json.loads((here / "out" / "quality.json").read_text())
    jsonschema.Draft202012Validator(schema()).validate(record)
    assert_the_known_answer(record["scenes"]["scene0001_00"], sides)
    assert (
        done.stdout == (here / "out" / "quality.md").read_text() + "\n"
        or done.stdout == (here / "out" / "quality.md").read_text()
    )
    assert "Warning" not in done.stderr
    assert sorted(path.name for path in (here / "out").iterdir()) == ["quality.json", "quality.md", "report.html"]


# Exits with the command's code, or with the names of the modules that it should not have imported.
RUN_AND_LIST_IMPORTS = """
import sys
sys.modules.update({name: None for name in sys.argv.pop(1).split()})  # cannot be imported
sys.argv[0] = "panrecon"
from panrecon.cli import app
try:
    app()
except SystemExit as end:
    imported = [name for name in ("torch", "transformers", "tokenizers", "snakemake") if sys.modules.get(name)]
    sys.exit(f"imported {imported}" if imported else end.code)
"""


@pytest.mark.parametrize(
    "absent", ["", "torch transformers tokenizers snakemake skimage open3d"], ids=["full installation", "light one"]
)
def test_two_files_are_compared_without_networks_and_workflow(here: Path, absent: str) -> None:
    outputs = ["--html", "report.html"]
    arguments = ["evaluate", "-p", "prediction.ply", "-g", "truth.ply", "-c", "classes.csv", *outputs]
    command = [sys.executable, "-c", RUN_AND_LIST_IMPORTS, absent, *arguments]
    done = subprocess.run(command, cwd=here, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "chair" in done.stdout
    assert (here / outputs[1]).is_file()


def test_a_user_who_is_wrong_gets_a_sentence(here: Path) -> None:
    arguments = ["-p", "prediction.ply", "-g", "nowhere", "-c", "classes.csv", "--json", "out.json"]
    done = panrecon("evaluate", *arguments, cwd=here)
    assert done.returncode == 2
    assert_one_sentence(done.stderr, "nowhere", "does not exist")
    assert not (here / "out.json").exists()


def test_the_tables_of_the_project_are_known_by_name(here: Path) -> None:
    arguments = ["-p", "truth.ply", "-g", "truth.ply", "-c", "scannet20"]  # ids 1, 2, 5, 9 are NYU40's
    done = panrecon("evaluate", *arguments, cwd=here)
    assert done.returncode == 0, done.stderr
    assert "wall" in done.stdout


# --- what is wrong ----------------------------------------------------------------------------------------------------


def assert_one_sentence(printed: str, *parts: str) -> None:
    lines = [
        line for line in printed.splitlines() if line.strip() and not re.match(r"\S+: [\d,]+ (pixels|vertices)", line)
    ]
    errors = [line for line in lines if line.startswith("error: ")]
    assert "Traceback" not in printed, printed
    assert len(errors) == 1, printed
    assert errors[0].endswith("."), printed
    for part in parts:
        assert part in errors[0], f"{part!r} is not in {errors[0]!r}"


def cut(path: Path, share: float = 0.6) -> None:
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


PLYS = ["-p", "prediction.ply", "-g", "truth.ply"]
IMAGES = ["-p", "theirs", "-g", "ours"]


@pytest.fixture
def wrong(here: Path, sides: Sides) -> Path:
    """The working folder with label images and a scan too, to be damaged."""
    write_images(here / "theirs", {"000003": sides.prediction, "000004": sides.prediction})
    write_images(here / "ours", {"3": sides.truth, "4": sides.truth})
    write_scan(here / "scene0001_00", sides)
    write_kitti(here / "kitti", sides)
    return here


def keep(folder: Path) -> None:
    """Damages nothing."""


def nan_vertices(name: str) -> Callable[[Path], object]:
    def damage(folder: Path) -> None:
        points = grid_points()
        points[[5, 9], 1] = np.nan
        write_ply(folder / name, Sides().truth, points=points)

    return damage


def objects(text: str) -> Callable[[Path], object]:
    return lambda folder: (folder / "objects.json").write_text(text)


def table(text: str) -> Callable[[Path], object]:
    return lambda folder: (folder / "classes.csv").write_text(text)


def ply(name: str, **options: Any) -> Callable[[Path], object]:
    def damage(folder: Path) -> None:
        sides = Sides()
        properties = options.pop("properties", sides.prediction)
        write_ply(folder / name, properties, **options)

    return damage


def ascii_cut(folder: Path) -> None:
    """At the end of a line, where nothing but the count of vertices tells."""
    lines = write_ply(folder / "prediction.ply", Sides().prediction, kind="ascii").read_text().splitlines()
    (folder / "prediction.ply").write_text("\n".join([*lines[:400], ""]))


def two_drives(folder: Path) -> None:
    write_kitti(folder / "kitti", Sides(), drive="2013_05_28_drive_0009_sync")


def only_void(folder: Path) -> None:
    write_ply(folder / "truth.ply", {"category": np.full((HEIGHT, WIDTH), 11), "instance": Sides().instance})


def only_void_images(folder: Path) -> None:
    for frame in "34":
        write_images(folder / "ours", {frame: {"category": np.full((HEIGHT, WIDTH), 77), "instance": Sides().instance}})


@dataclass(frozen=True)
class Case:
    """What is damaged, what is then called, and the parts of the sentence: what it names and the way out."""

    damage: Callable[[Path], object]
    arguments: Sequence[str]
    parts: Sequence[str]


BAD: dict[str, Case] = {
    "no prediction": Case(keep, ["-p", "none.ply", "-g", "truth.ply"], ["none.ply", "PLY", "folder"]),
    "no truth": Case(keep, ["-p", "prediction.ply", "-g", "none.ply"], ["none.ply does not exist"]),
    "a truth that holds nothing known": Case(
        lambda f: (f / "empty").mkdir(), ["-p", "prediction.ply", "-g", "empty"], ["empty", "ScanNet", "KITTI-360"]
    ),
    "images that are no truth": Case(
        lambda f: (f / "empty").mkdir(), ["-p", "theirs", "-g", "empty"], ["empty", "semantic/", "instance/"]
    ),
    "a prediction that holds nothing known": Case(
        lambda f: (f / "empty").mkdir(), ["-p", "empty", "-g", "ours"], ["empty", "export"]
    ),
    "a PLY without labels": Case(
        ply("prediction.ply", properties={}), PLYS, ["prediction.ply", "x, y, z", "'category' and 'instance'"]
    ),
    "a PLY without instances": Case(
        ply("prediction.ply", properties={"label": Sides().category}), PLYS, ["prediction.ply", "lacks 'instance'"]
    ),
    "labels that are no integers": Case(
        ply(
            "prediction.ply",
            properties={"category": Sides().category + 0.5, "instance": Sides().instance},
            types={"category": "f4"},
        ),
        PLYS,
        ["prediction.ply", "category", "write ids as integers"],
    ),
    "a cut PLY": Case(lambda f: cut(f / "prediction.ply", 0.3), PLYS, ["prediction.ply", "write it anew"]),
    "a PLY whose faces are cut": Case(
        lambda f: cut(f / "prediction.ply", 0.8), PLYS, ["prediction.ply", "write it anew"]
    ),
    "a PLY cut in its header": Case(
        lambda f: cut(f / "prediction.ply", 0.003), PLYS, ["prediction.ply", "write it anew"]
    ),
    "an ASCII PLY that is cut": Case(ascii_cut, PLYS, ["prediction.ply", "write it anew"]),
    "an empty file": Case(lambda f: (f / "prediction.ply").write_bytes(b""), PLYS, ["prediction.ply", "write it anew"]),
    "a PLY of text": Case(lambda f: (f / "truth.ply").write_text("hello\n"), PLYS, ["truth.ply", "write it anew"]),
    "a PLY of no vertices": Case(
        ply(
            "prediction.ply",
            points=np.empty((0, 3)),
            properties={"category": np.empty(0, int), "instance": np.empty(0, int)},
        ),
        PLYS,
        ["prediction.ply has no vertices"],
    ),
    "faces of vertices that are not there": Case(
        ply("truth.ply", faces=grid_faces() + HEIGHT * WIDTH // 2), PLYS, ["truth.ply", "write it anew"]
    ),
    "vertices that are nan": Case(
        nan_vertices("prediction.ply"), PLYS, ["2 of 768 vertices of prediction.ply", "remove"]
    ),
    "true vertices that are nan": Case(nan_vertices("truth.ply"), PLYS, ["2 of 768 vertices of truth.ply", "remove"]),
    "no class table": Case(keep, [*PLYS, "-c", "none.csv"], ["none.csv does not exist", "name a CSV file"]),
    "no class table of this name": Case(keep, [*PLYS, "-c", "scannet21"], ["scannet21", "scannet200", "kitti360"]),
    "a class table without columns": Case(table("1,wall,0\n"), PLYS, ["classes.csv", "no column id, name, thing"]),
    "a class table of words": Case(
        table(CLASSES.replace("9,table,1", "9,table,yes")), PLYS, ["classes.csv", "Line 5", "yes"]
    ),
    "a class table with a column nobody knows": Case(
        table(CLASSES.replace("raw_ids", "rawids")), PLYS, ["classes.csv", "rawids"]
    ),
    "a class table with an id twice": Case(table(CLASSES.replace("9,", "5,")), PLYS, ["classes.csv", "id 5 twice"]),
    "a class table that is no text": Case(
        lambda f: (f / "classes.csv").write_bytes(b"id,name,thing\n1,\xff\xfe,0\n"), PLYS, ["classes.csv", "UTF-8"]
    ),
    "a class table without classes": Case(table("id,name,thing\n"), PLYS, ["classes.csv", "lists no class"]),
    "an unknown protocol": Case(keep, [*PLYS, "--protocol", "coco"], ["'coco'", "strict", "panopticrecon"]),
    "a threshold of 1": Case(keep, [*PLYS, "--protocol", "strict@1"], ["'strict@1'", "less than 1"]),
    "a threshold below 0": Case(keep, [*PLYS, "--protocol", "strict@-0.1"], ["'strict@-0.1'", "at least 0"]),
    "a threshold of words": Case(keep, [*PLYS, "--protocol", "strict@high"], ["'strict@high'", "at least"]),
    "a threshold too low for the rule": Case(keep, [*PLYS, "--protocol", "lidar@0.3"], ["'lidar@0.3'", "0.5"]),
    "a radius of 0": Case(keep, [*PLYS, "--radius", "0"], ["radius", "positive", "0.05"]),
    "a radius below 0": Case(keep, [*PLYS, "--radius", "-0.1"], ["radius", "-0.1", "positive"]),
    "a radius that is nan": Case(keep, [*PLYS, "--radius", "nan"], ["radius", "nan", "positive"]),
    "more predictions than truths": Case(
        keep, [*PLYS, "-p", "truth.ply"], ["1 ground truths for 2 predictions", "one for each"]
    ),
    "more truths than predictions": Case(
        keep, [*PLYS, "-g", "truth.ply"], ["2 ground truths for 1 predictions", "one for each"]
    ),
    "more names than scenes": Case(keep, [*PLYS, "--name", "a", "--name", "b"], ["2 names", "one for each"]),
    "PLYs and folders at once": Case(keep, [*PLYS, *IMAGES], ["PLY", "folders", "apart"]),
    "two scenes of one name": Case(keep, [*PLYS, *PLYS], ["'truth'", "--name"]),
    "a coloured label image": Case(
        lambda f: write_png(f / "theirs" / "semantic" / "000003.png", np.zeros((HEIGHT, WIDTH, 3)), np.uint8),
        IMAGES,
        ["000003.png", "(24, 32, 3)", "one channel"],
    ),
    "a cut label image": Case(
        lambda f: cut(f / "theirs" / "instance" / "000004.png"), IMAGES, ["000004.png", "damaged", "replace"]
    ),
    "a label image that is none": Case(
        lambda f: (f / "ours" / "semantic" / "3.png").write_bytes(b"no"), IMAGES, ["3.png", "damaged", "replace"]
    ),
    "an image without partner": Case(
        lambda f: (f / "theirs" / "instance" / "000003.png").unlink(), IMAGES, ["000003.png", "no partner", "export"]
    ),
    "two images of unlike size": Case(
        lambda f: write_png(f / "ours" / "instance" / "3.png", np.zeros((7, 9))), IMAGES, ["3.png", "9 x 7", "one size"]
    ),
    "a frame named twice": Case(
        lambda f: write_images(f / "theirs", {"3": Sides().prediction}), IMAGES, ["3.png", "same frame", "remove"]
    ),
    "a frame that the truth lacks": Case(
        lambda f: write_images(f / "theirs", {"000007": Sides().prediction}), IMAGES, ["ours", "000007", "3, 4"]
    ),
    "a truth without an evaluated class": Case(only_void, PLYS, ["truth.ply", "evaluated class", "compare"]),
    "true images without an evaluated class": Case(only_void_images, IMAGES, ["ours", "evaluated class", "compare"]),
    "a crop that leaves no row": Case(keep, [*IMAGES, "--crop-top", "24"], ["24", "row"]),
    "a crop of more than all rows": Case(keep, [*IMAGES, "--crop-top", "500"], ["500", "row"]),
    "objects that are no JSON": Case(objects("[{"), [*PLYS, "--objects", "objects.json"], ["objects.json", "not JSON"]),
    "objects that are no list": Case(
        objects('{"a": 1}'), [*PLYS, "--objects", "objects.json"], ["objects.json", "'id'"]
    ),
    "objects without confidence": Case(
        objects('[{"id": 1}]'), [*PLYS, "--objects", "objects.json"], ["objects.json", "'confidence'"]
    ),
    "objects whose frames are a number": Case(
        objects('[{"id": 1, "confidence": 0.5, "frames": 3}]'),
        [*PLYS, "--objects", "objects.json"],
        ["objects.json", "frames"],
    ),
    "a confidence above 1": Case(
        objects('[{"id": 70, "confidence": 93}]'),
        [*PLYS, "--objects", "objects.json"],
        ["Object 70", "objects.json", "0 and 1"],
    ),
    "a confidence below 0": Case(
        objects('[{"id": 70, "confidence": -0.1}]'),
        [*PLYS, "--objects", "objects.json"],
        ["Object 70", "objects.json", "0 and 1"],
    ),
    "a confidence that is nan": Case(
        objects('[{"id": 70, "confidence": NaN}]'),
        [*PLYS, "--objects", "objects.json"],
        ["Object 70", "objects.json", "0 and 1"],
    ),
    "an id that is infinite": Case(
        objects('[{"id": Infinity, "confidence": 0.5}]'), [*PLYS, "--objects", "objects.json"], ["objects.json"]
    ),
    "no objects": Case(keep, [*PLYS, "--objects", "none.json"], ["none.json does not exist"]),
    "a label map that is none": Case(
        lambda f: (f / "map.tsv").write_text("no,tabs\n1,2\n"),
        ["-p", "prediction.ply", "-g", "scene0001_00", "--label-map", "map.tsv"],
        ["map.tsv", "scannetv2-labels.combined.tsv"],
    ),
    "no label map": Case(
        keep,
        ["-p", "prediction.ply", "-g", "scene0001_00", "--label-map", "none.tsv"],
        ["none.tsv does not exist", "scannetv2-labels.combined.tsv"],
    ),
    "two drives in 3D": Case(
        two_drives, ["-p", "prediction.ply", "-g", "kitti"], ["kitti", "2 drives", "name the folder"]
    ),
    "two drives in 2D": Case(two_drives, ["-p", "theirs", "-g", "kitti"], ["kitti", "2 drives", "name the folder"]),
    "an annotation of another mesh": Case(
        lambda f: write_ply(f / "scene0001_00" / "scene0001_00_vh_clean_2.ply", {}, points=grid_points()[:100]),
        ["-p", "prediction.ply", "-g", "scene0001_00"],
        ["segs.json", "768", "100", "same release"],
    ),
    "areas of a cloud": Case(ply("truth.ply"), [*PLYS, "--by-area"], ["truth.ply", "--by-area"]),
    "areas of images": Case(keep, [*IMAGES, "--by-area"], ["--by-area"]),
    "a crop of a mesh": Case(keep, [*PLYS, "--crop-top", "5"], ["--crop-top"]),
}


@pytest.mark.parametrize("case", BAD)
def test_wrong_input_ends_in_one_sentence_and_writes_nothing(
    wrong: Path, capfd: pytest.CaptureFixture[str], case: str
) -> None:
    BAD[case].damage(wrong)
    before = files(wrong)
    outputs = ["--json", "out/quality.json", "--html", "out/report.html", "--markdown", "out/quality.md"]
    assert evaluate(*BAD[case].arguments, *outputs) == 2
    assert_one_sentence(capfd.readouterr().err, *BAD[case].parts)
    assert files(wrong) == before
    assert not (wrong / "out").exists()


OUTPUTS = ("json", "html", "markdown")


@pytest.fixture
def blocked(here: Path) -> Iterator[Callable[[str], Path]]:
    """Paths that cannot be written, by the reason."""
    (here / "file").write_text("in the way")
    (here / "folder").mkdir()
    paths = {
        "a file in its way": here / "file" / "report",
        "a folder of that name": here / "folder",
        "a name too long": here / ("x" * 300),
        "no writable folder": Path("/proc/nothing/report"),  # not even root can
    }
    yield paths.__getitem__


@pytest.mark.parametrize(
    "reason", ["a file in its way", "a folder of that name", "a name too long", "no writable folder"]
)
@pytest.mark.parametrize("output", OUTPUTS)
def test_an_output_that_cannot_be_written_leaves_none_of_them(
    here: Path, blocked: Callable[[str], Path], capfd: pytest.CaptureFixture[str], reason: str, output: str
) -> None:
    before = files(here)
    paths = {kind: str(blocked(reason) if kind == output else here / f"report.{kind}") for kind in OUTPUTS}
    assert evaluate(*PLYS, *(word for kind, path in paths.items() for word in (f"--{kind}", path))) == 2
    assert_one_sentence(capfd.readouterr().err)
    assert files(here) == before


def test_two_outputs_do_not_share_a_file(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    before = files(here)
    assert evaluate(*PLYS, "--json", "report", "--markdown", "./report") == 2
    assert_one_sentence(capfd.readouterr().err, "report")
    assert files(here) == before


def test_an_input_is_never_overwritten(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    before = files(here)
    assert evaluate(*PLYS, "--json", "truth.ply") == 2
    assert_one_sentence(capfd.readouterr().err, "truth.ply")
    assert files(here) == before


def test_wrong_confidences_beside_the_ply_are_reported(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (here / "objects.json").write_text(json.dumps([{"id": 70, "confidence": 93}]))
    evaluate(*PLYS)
    assert "confidence 93" in capfd.readouterr().err


@pytest.mark.parametrize("option", [["--scale", "0"], ["--scale", "1.5"], ["--scale", "nan"], ["--crop-top", "-1"]])
def test_numbers_out_of_range(here: Path, capfd: pytest.CaptureFixture[str], option: list[str]) -> None:
    assert evaluate(*PLYS, *option) == 2
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_truth_of_few_points(here: Path, count: int) -> None:
    points = grid_points()[:count]
    ids = {"category": np.full(count, 5), "instance": np.full(count, 1)}
    write_ply(here / "few.ply", ids, points=points)
    scene = only(record_of("-p", "few.ply", "-g", "few.ply", "--html", "page.html"))
    assert scene["protocols"]["strict"]["mean"]["pq"] == 1


def test_points_that_all_lie_in_one_place(here: Path) -> None:
    ids = {"category": np.full(9, 5), "instance": np.full(9, 1)}
    write_ply(here / "flat.ply", ids, points=np.ones((9, 3)), faces=np.arange(9).reshape(3, 3))
    scene = only(record_of("-p", "flat.ply", "-g", "flat.ply", "--html", "page.html"))
    assert scene["protocols"]["strict"]["mean"]["pq"] == 1


def test_a_prediction_of_nothing_scores_zero(here: Path, sides: Sides) -> None:
    nothing = {"category": np.zeros((HEIGHT, WIDTH), int), "instance": np.zeros((HEIGHT, WIDTH), int)}
    write_ply(here / "prediction.ply", nothing)
    scene = only(
        record_of(*PLYS, *(word for name in PROTOCOLS for word in ("--protocol", name)), "--html", "page.html")
    )
    assert scene["void"] == 1
    assert scene["protocols"]["strict"]["mean"]["pq"] == 0
    assert {line["outcome"] for line in scene["objects"]} == {"missed"}


def test_a_relative_and_an_absolute_path_name_one_scene(
    here: Path, sides: Sides, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_scan(here / "scene0001_00", sides)
    shutil.copy(here / "classes.csv", here / "scene0001_00" / "classes.csv")
    monkeypatch.chdir(here / "scene0001_00")
    assert list(record_of("-p", "../prediction.ply", "-g", ".")["scenes"]) == ["scene0001_00"]
