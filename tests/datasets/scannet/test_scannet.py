"""Laws of the reader of ScanNet's export layout, on scenes written in it."""

import itertools
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jaxtyping import Float
from numpy.testing import assert_allclose, assert_array_equal

from panrecon.config import ScanSettings
from panrecon.datasets.base import Dataset, dataset
from panrecon.datasets.label_images import LabelFrames
from panrecon.datasets.scannet.dataset import ScanNet
from panrecon.datasets.scannet.format import AnnotatedMesh, read_truth, write_frame, write_scene
from panrecon.datasets.scannet.label_map import FILE_NAME
from panrecon.errors import InputError
from panrecon.io.files import read_json, write_json, write_text
from panrecon.io.images import read_ids, write_ids, write_image
from panrecon.io.mesh import write_panoptic_mesh
from panrecon.io.scan import read_scan, read_view, write_scan
from panrecon.structures import VOID, Camera, Category, CategoryTable, Labels, PanopticMesh, TriangleMesh, View

CAMERA = Camera(12, 8, 11.0, 10.0, 5.5, 3.5)
WALL, FLOOR, CHAIR, TABLE, CLUTTER = range(5)
NAMES = ("101", "3", "5")
MAP = (  # rows of ScanNet's label map: id, raw_category, category, nyu40class
    ("1", "wall", "wall", "wall"),
    ("2", "chair", "chair", "chair"),
    ("2", "stack of chairs", "chair", "chair"),
    ("23", "armchair", "armchair", "chair"),
    ("4", "table", "table", "table"),
)


def pose(name: str) -> Float[np.ndarray, "4 4"]:
    result = np.eye(4)
    result[:3, 3] = float(name), 0.5, -2.25
    return result


def view(name: str, camera: Camera = CAMERA) -> View:
    rng = np.random.default_rng(int(name))
    color = np.full((camera.height, camera.width, 3), rng.integers(50, 200), np.uint8)
    depth = rng.uniform(1, 3, (camera.height, camera.width)).astype(np.float32)
    return View(name, camera, pose(name), color, depth)


def truth_image() -> Labels:
    """Four quarters: wall, chair 0, chair 1 and void."""
    category, instance = (np.full((8, 12), VOID, np.int32) for _ in range(2))
    category[:4, :6] = WALL
    category[:4, 6:], instance[:4, 6:] = CHAIR, 0
    category[4:, :6], instance[4:, :6] = CHAIR, 1
    return Labels(category, instance)


def annotated() -> AnnotatedMesh:
    """Vertices of a wall, two chairs, a table, and of nothing; a segment of two vertices each."""
    category = np.repeat(np.array([WALL, CHAIR, CHAIR, TABLE, VOID], np.int32), 4)
    instance = np.repeat(np.array([VOID, 0, 1, 2, VOID], np.int32), 4)
    vertices = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
    faces = np.arange(18, dtype=np.int32).reshape(-1, 3)
    mesh = TriangleMesh(vertices, faces, np.full((20, 3), 99, np.uint8))
    return AnnotatedMesh(mesh, Labels(category, instance), np.arange(20) // 2 * 7)  # segment ids have gaps


@pytest.fixture
def folder(tmp_path: Path, table: CategoryTable) -> Path:
    scene = tmp_path / "scene0"
    for name in NAMES:
        write_frame(scene, view(name), truth_image(), table)
    write_scene(scene, CAMERA, annotated(), table)
    return scene


def things(labels: Labels, table: CategoryTable) -> Labels:
    """The labels without the numbers of what is no thing."""
    is_thing = np.append(table.is_thing, False)[labels.category]
    return Labels(labels.category, np.where(is_thing, labels.instance, VOID))


def same_objects(one: Labels, other: Labels) -> bool:
    """Equal but for the numbers of objects."""
    pairs = set(zip(one.instance.tolist(), other.instance.tolist(), strict=True))
    forward, backward = dict(pairs), {b: a for a, b in pairs}
    return len(forward) == len(backward) == len(pairs) and forward.get(VOID, VOID) == VOID


def test_it_is_a_data_set() -> None:
    assert isinstance(dataset("scannet"), ScanNet)
    assert isinstance(dataset("scannet"), Dataset)
    with pytest.raises(InputError, match="'scanet'"):
        dataset("scanet")


def test_frames_come_in_the_order_of_their_numbers(folder: Path) -> None:
    scan = ScanNet().scan(folder, ScanSettings())
    assert [frame.name for frame in scan.frames] == ["3", "5", "101"]
    assert scan.scene == "scene0"
    assert scan.camera == scan.source_camera == CAMERA
    for frame in scan.frames:
        assert_allclose(frame.world_from_camera, pose(frame.name))
    assert [frame.name for frame in ScanNet().scan(folder, ScanSettings(frame_stride=2)).frames] == ["3", "101"]


def test_the_sharpest_of_every_few_frames_is_taken(folder: Path) -> None:
    """One that has no pose or is to be skipped is not, however sharp."""
    rng = np.random.default_rng(0)
    for name in NAMES:
        noise = rng.integers(0, 20 if name == "3" else 200, (CAMERA.height, CAMERA.width, 3)).astype(np.uint8)
        for path in (folder / "color").glob(f"{name}.*"):
            write_image(path, noise)

    def names(**settings: Any) -> list[str]:
        chosen = ScanSettings(sharpest=True, skip_invalid_poses=True, **settings)
        return [frame.name for frame in ScanNet().scan(folder, chosen).frames]

    assert names(frame_stride=2) == ["5", "101"]
    assert names(frame_stride=1) == ["3", "5", "101"]
    assert names(frame_stride=2, skip_frames=("5",)) == ["3", "101"]
    np.savetxt(folder / "pose" / "5.txt", np.full((4, 4), np.inf))
    assert names(frame_stride=3) != ["5"]


def test_images_come_back_as_written(folder: Path) -> None:
    scan = ScanNet().scan(folder, ScanSettings())
    for frame in scan.frames:
        found, expected = read_view(scan, frame), view(frame.name)
        assert_allclose(found.depth, expected.depth, atol=6e-4)
        assert_allclose(found.color.astype(int), expected.color.astype(int), atol=3)


def test_truth_of_frames_comes_back(folder: Path, table: CategoryTable) -> None:
    found = read_truth(folder, "3", table)
    assert_array_equal(found.category, truth_image().category)
    assert same_objects(
        Labels(*map(np.ravel, vars(found).values())), Labels(*map(np.ravel, vars(truth_image()).values()))
    )


def test_the_annotation_comes_back(folder: Path, table: CategoryTable) -> None:
    found, expected = ScanNet().annotation(folder, table), annotated()
    assert_array_equal(found.mesh.vertices, expected.mesh.vertices)
    assert_array_equal(found.labels.category, expected.labels.category)
    assert same_objects(things(found.labels, table), expected.labels)


def test_objects_of_stuff_keep_their_numbers(folder: Path, table: CategoryTable) -> None:
    labels = ScanNet().annotation(folder, table).labels
    of_object = [set(labels.instance[start : start + 4].tolist()) for start in range(0, 20, 4)]
    assert all(len(numbers) == 1 for numbers in of_object)
    assert len(set.union(*of_object[:4])) == 4
    assert min(set.union(*of_object[:4])) >= 0
    assert of_object[4] == {VOID}


def test_words_outside_the_table_are_void_unless_pixels_tell_their_raw_id(folder: Path, table: CategoryTable) -> None:
    path = folder / "scene0.aggregation.json"
    content = read_json(path)
    for group in content["segGroups"]:
        if group["label"] == "chair":
            group["label"] = "swivelling thing"
    write_json(path, content)
    expected = annotated().labels
    assert_array_equal(ScanNet().annotation(folder, table).labels.category, expected.category)
    shutil.rmtree(folder / "label-filt")
    unknown = ScanNet().annotation(folder, table).labels
    assert_array_equal(unknown.category, np.where(expected.category == CHAIR, VOID, expected.category))


def test_synonyms_name_a_class_of_the_annotation(folder: Path, table: CategoryTable) -> None:
    path = folder / "scene0.aggregation.json"
    path.write_text(path.read_text().replace('"chair"', '"Seat"'))
    assert_array_equal(ScanNet().annotation(folder, table).labels.category, annotated().labels.category)


def test_an_annotation_of_ones_own_is_read_where_there_is_no_other(folder: Path, table: CategoryTable) -> None:
    own, of_scannet = folder / "ground_truth" / "labelled.ply", annotated()
    labels = Labels(np.full(20, FLOOR, np.int32), np.full(20, VOID, np.int32))
    write_panoptic_mesh(own, PanopticMesh(of_scannet.mesh, labels), table)
    assert len(ScanNet().annotation_files(folder)) == 3
    (folder / "scene0.aggregation.json").unlink()
    assert ScanNet().annotation_files(folder) == [own]
    assert (ScanNet().annotation(folder, table).labels.category == FLOOR).all()
    own.unlink()
    assert ScanNet().annotation_files(folder) == []


def test_segments_of_another_mesh_are_an_error(folder: Path, table: CategoryTable) -> None:
    path = folder / "scene0_vh_clean_2.0.010000.segs.json"
    write_json(path, read_json(path) | {"segIndices": [0, 1, 2]})
    with pytest.raises(InputError, match=r"3 vertices.*20"):
        ScanNet().annotation(folder, table)


def test_colour_of_another_camera_is_registered_to_depth(folder: Path, tmp_path: Path) -> None:
    color_camera = Camera(60, 40, 50.0, 46.0, 31.0, 18.0)
    x, y = np.meshgrid(np.arange(60), np.arange(40))
    direction = np.stack([(x - 31) / 50, (y - 18) / 46], axis=-1)
    pattern = np.dstack([128 + 150 * direction, np.full((40, 60), 77)]).clip(0, 255).astype(np.uint8)
    shutil.rmtree(folder / "color")
    for name in NAMES:
        write_image(folder / "color" / f"{name}.png", pattern)
    matrix = np.eye(4)
    matrix[:3, :3] = color_camera.matrix
    write_text(folder / "intrinsic" / "intrinsic_color.txt", "\n".join(" ".join(map(str, row)) for row in matrix))
    (folder / "scene0.txt").unlink()
    raw = ScanNet().scan(folder, ScanSettings())
    assert raw.source_camera == color_camera
    write_scan(tmp_path / "scan", raw, raw.frames)
    scan = read_scan(tmp_path / "scan")
    assert scan.camera == CAMERA
    u, v = np.meshgrid(np.arange(12), np.arange(8))
    seen = np.stack([(u - CAMERA.cx) / CAMERA.fx, (v - CAMERA.cy) / CAMERA.fy], axis=-1)
    color = read_view(scan, scan.frames[1]).color
    known = color[..., 2] == 77
    assert known.mean() > 0.8
    assert_allclose(color[known][:, :2], 128 + 150 * seen[known], atol=2.5)


def test_stated_sizes_are_believed_so_that_wrong_images_are_found(folder: Path, tmp_path: Path) -> None:
    (folder / "scene0.txt").write_text("depthWidth = 24\ndepthHeight = 16\nfoo\naxisAlignment = 1 0 0\n")
    scan = ScanNet().scan(folder, ScanSettings())
    assert (scan.camera.width, scan.camera.height) == (24, 16)
    with pytest.raises(InputError, match=r"12 x 8.*24 x 16"):
        write_scan(tmp_path / "scan", scan, scan.frames)


@pytest.mark.parametrize("value", ["inf", "-inf", "nan"])
def test_frames_without_a_finite_pose_are_an_error_or_left_out_if_wanted(folder: Path, value: str) -> None:
    (folder / "pose" / "5.txt").write_text(f"{value} " * 4 + "\n" + "0 0 0 1\n" * 3)
    with pytest.raises(InputError, match=r"5\.txt holds inf or nan.*1 of 3.*skip_invalid_poses"):
        ScanNet().scan(folder, ScanSettings())
    kept = ScanNet().scan(folder, ScanSettings(skip_invalid_poses=True))
    assert [frame.name for frame in kept.frames] == ["3", "101"]
    for name in NAMES:
        (folder / "pose" / f"{name}.txt").write_text(f"{value} " * 4 + "\n" + "0 0 0 1\n" * 3)
    with pytest.raises(InputError, match="No frame"):
        ScanNet().scan(folder, ScanSettings(skip_invalid_poses=True))


def test_the_files_a_scan_depends_on_are_all_of_them(folder: Path) -> None:
    files = ScanNet().files(folder)
    assert len(files) == 3 * len(NAMES) + 4 + 1
    assert all(path.is_file() for path in files)
    assert files == ScanNet().files(folder)


def test_an_object_of_no_pixel_and_an_unknown_word_is_void(folder: Path, table: CategoryTable) -> None:
    content = read_json(folder / "scene0.aggregation.json")
    content["segGroups"][-1] |= {"label": "unheard of", "objectId": 900}
    (folder / "scene0.aggregation.json").write_text(json.dumps(content))
    found = ScanNet().annotation(folder, table).labels
    assert (found.category[annotated().labels.category == TABLE] == VOID).all()
    assert found.category.tolist().count(CHAIR) == 8


def test_a_table_without_raw_ids_reads_words_only(folder: Path, table: CategoryTable) -> None:
    without = CategoryTable(tuple(replace(category, raw_ids=()) for category in table))
    assert_array_equal(ScanNet().annotation(folder, without).labels.category, annotated().labels.category)


def write_map(folder: Path) -> Path:
    header = ("id", "raw_category", "category", "nyu40class")
    (folder / FILE_NAME).write_text("\n".join("\t".join(row) for row in (header, *MAP)) + "\n")
    return folder / FILE_NAME


def rename_chairs(folder: Path, word: str) -> None:
    path = folder / "scene0.aggregation.json"
    path.write_text(path.read_text().replace('"chair"', f'"{word}"'))


def by_words(table: CategoryTable) -> CategoryTable:
    return CategoryTable(tuple(replace(category, raw_ids=()) for category in table))


def labels_of_frames(frames: LabelFrames) -> set[tuple[int, int]]:
    """Every category that has an object, with the object's number."""
    read = [frames.read(name) for name in frames.files]
    pairs = np.concatenate([np.stack([one.category, one.instance]).reshape(2, -1) for one in read], axis=1)
    return {(category, number) for category, number in pairs.T.tolist() if VOID not in (category, number)}


def test_label_images_of_frames_come_back(folder: Path, table: CategoryTable) -> None:
    frames = ScanNet().label_frames(folder, table)
    assert list(frames.files) == ["3", "5", "101"]
    found, expected = frames.read("000003"), truth_image()
    assert_array_equal(found.category, expected.category)
    assert_array_equal(found.instance == VOID, found.category == VOID)
    assert_array_equal(things(found, table).instance == VOID, expected.instance == VOID)
    assert_array_equal(found.instance, read_ids(folder / "instance-filt" / "3.png") - 1)


def test_both_truths_hold_the_same_objects(folder: Path, table: CategoryTable) -> None:
    mesh = ScanNet().annotation(folder, table).labels
    of_mesh = set(zip(mesh.category.tolist(), mesh.instance.tolist(), strict=True))
    assert labels_of_frames(ScanNet().label_frames(folder, table)) <= of_mesh


@pytest.mark.parametrize("above", [".", "..", "../.."])
def test_a_label_map_gives_raw_ids_their_words(tmp_path: Path, folder: Path, table: CategoryTable, above: str) -> None:
    scene = tmp_path / "release" / "scans" / "scene0"
    shutil.copytree(folder, scene)
    write_map(scene / above)
    assert_array_equal(ScanNet().label_frames(scene, by_words(table)).read("3").category, truth_image().category)


def test_a_label_map_may_be_named(tmp_path: Path, folder: Path, table: CategoryTable) -> None:
    (tmp_path / "elsewhere").mkdir()
    label_map = write_map(tmp_path / "elsewhere")
    frames = ScanNet().label_frames(folder, by_words(table), label_map)
    assert_array_equal(frames.read("3").category, truth_image().category)


def test_frames_without_raw_ids_and_without_a_label_map_are_an_error(folder: Path, table: CategoryTable) -> None:
    with pytest.raises(InputError, match=r"No class of the table has an id of .*label-filt; give .* raw_ids"):
        ScanNet().label_frames(folder, by_words(table))
    write_map(folder)
    strange = CategoryTable((Category(1, "unicorn", thing=True),))
    with pytest.raises(InputError, match="No class of the table"):
        ScanNet().label_frames(folder, strange)


def test_words_become_raw_ids_by_the_label_map(folder: Path, table: CategoryTable) -> None:
    rename_chairs(folder, "Stack of chairs")
    shutil.rmtree(folder / "label-filt")
    assert CHAIR not in ScanNet().annotation(folder, table).labels.category
    write_map(folder)
    assert len(ScanNet().annotation_files(folder)) == 4
    assert_array_equal(ScanNet().annotation(folder, table).labels.category, annotated().labels.category)
    assert_array_equal(ScanNet().annotation(folder, by_words(table)).labels.category, annotated().labels.category)


def test_raw_ids_go_before_synonyms_where_a_label_map_knows_the_word(folder: Path, table: CategoryTable) -> None:
    rename_chairs(folder, "armchair")
    listed = CategoryTable(tuple(replace(c, synonyms=("armchair",)) if c.name == "chair" else c for c in table))
    assert CHAIR in ScanNet().annotation(folder, listed).labels.category
    write_map(folder)
    assert CHAIR not in ScanNet().annotation(folder, listed).labels.category
    assert CHAIR in ScanNet().annotation(folder, by_words(listed)).labels.category
    for name in NAMES:
        raw = read_ids(folder / "label-filt" / f"{name}.png")
        write_ids(folder / "label-filt" / f"{name}.png", np.where(raw == 2, 23, raw))
    assert CHAIR not in ScanNet().label_frames(folder, listed).read("3").category
    assert CHAIR in ScanNet().label_frames(folder, by_words(listed)).read("3").category


def test_classes_without_an_aggregation_are_an_error_that_says_so(folder: Path, table: CategoryTable) -> None:
    (folder / "scene0.aggregation.json").unlink()
    shutil.copy(folder / "scene0_vh_clean_2.ply", folder / "scene0_vh_clean_2.labels.ply")
    with pytest.raises(InputError, match=r"labels\.ply has classes but no instances; add scene0\.aggregation\.json"):
        ScanNet().annotation(folder, table)


@pytest.mark.parametrize(
    "indices", [["a"] * 20, [[1]] * 20, [[1], [1, 2]], [-5] * 20, {}, None, 7, [1e30] * 20, [0.5] * 20, [2**40] * 20]
)
def test_segments_that_are_no_numbers_are_one_sentence(folder: Path, table: CategoryTable, indices: object) -> None:
    write_json(folder / "scene0_vh_clean_2.0.010000.segs.json", {"segIndices": indices})
    with pytest.raises(InputError, match=r"segs\.json.*download the file again\.$"):
        ScanNet().annotation(folder, table)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *itertools.product(["label"], [5, None, ["chair"]]),
        *itertools.product(["objectId"], ["x", None, 2**70, -3, 0.5]),
        *itertools.product(["segments"], [[-999], [{}], [1e19], [[1]], 5, None, "ab"]),
    ],
)
def test_objects_of_other_kinds_are_one_sentence(folder: Path, table: CategoryTable, key: str, value: object) -> None:
    path = folder / "scene0.aggregation.json"
    content = read_json(path)
    content["segGroups"][1][key] = value
    write_json(path, content)
    with pytest.raises(InputError, match=r"bject 1\b") as raised:
        ScanNet().annotation(folder, table)
    assert str(path) in str(raised.value) and len(str(raised.value)) < 600


@pytest.mark.parametrize("groups", [{}, 5, None, ["label segments"], [[1]]])
def test_groups_of_other_kinds_are_one_sentence(folder: Path, table: CategoryTable, groups: object) -> None:
    write_json(folder / "scene0.aggregation.json", {"segGroups": groups})
    with pytest.raises(InputError, match="no list of objects"):
        ScanNet().annotation(folder, table)


def test_segments_may_have_any_numbers(folder: Path, table: CategoryTable) -> None:
    """However high they are, they take no memory."""
    before = ScanNet().annotation(folder, table).labels
    path = folder / "scene0_vh_clean_2.0.010000.segs.json"
    far = 2_000_000_000
    write_json(path, {"segIndices": [number + far for number in read_json(path)["segIndices"]]})
    content = read_json(folder / "scene0.aggregation.json")
    for group in content["segGroups"]:
        group["segments"] = [number + far for number in group["segments"]]
    write_json(folder / "scene0.aggregation.json", content)
    after = ScanNet().annotation(folder, table).labels
    assert_array_equal(after.category, before.category)
    assert_array_equal(after.instance, before.instance)


@pytest.mark.parametrize("line", ["colorWidth = ²", "sceneType = Küche", "numDepthFrames = 1.5.2"])
def test_what_a_statement_says_of_other_things_is_no_matter(folder: Path, line: str) -> None:
    (folder / "scene0.txt").write_bytes(f"{line}\n".encode("latin-1"))
    assert ScanNet().scan(folder, ScanSettings()).camera == CAMERA


def test_a_stated_size_of_no_image_is_one_sentence(folder: Path) -> None:
    (folder / "scene0.txt").write_text("colorWidth = " + "9" * 400)
    with pytest.raises(InputError, match=r"scene0\.txt states colorWidth = .*; no scan has") as raised:
        ScanNet().scan(folder, ScanSettings())
    assert len(str(raised.value)) < 500


@pytest.mark.parametrize("focal", ["1e-300", "1e300", "-11", "nan"])
def test_a_focal_length_of_no_camera_is_one_sentence(folder: Path, focal: str) -> None:
    (folder / "intrinsic" / "intrinsic_depth.txt").write_text(f"{focal} 0 5.5 0\n0 10 3.5 0\n0 0 1 0\n0 0 0 1\n")
    with pytest.raises(InputError, match=r"intrinsic_depth\.txt states focal lengths"):
        ScanNet().scan(folder, ScanSettings())


def test_a_name_that_is_no_utf_8_is_one_sentence(folder: Path) -> None:
    (folder / "color" / "3.jpg").rename(folder / "color" / os.fsdecode(b"\xff.jpg"))
    with pytest.raises(InputError, match="is not UTF-8"):
        ScanNet().scan(folder, ScanSettings())


def test_an_object_without_word_or_segments_is_an_error(folder: Path, table: CategoryTable) -> None:
    content = read_json(folder / "scene0.aggregation.json")
    del content["segGroups"][1]["label"]
    write_json(folder / "scene0.aggregation.json", content)
    with pytest.raises(InputError, match=r"Object 1 of .*aggregation\.json has no 'label'"):
        ScanNet().annotation(folder, table)
