"""Laws of the reader of ScanNet's export layout, on scenes written in it."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from jaxtyping import Float
from numpy.testing import assert_allclose, assert_array_equal

from panrecon.config import ScanSettings
from panrecon.datasets.base import Dataset, dataset
from panrecon.datasets.scannet import ScanNet
from panrecon.errors import InputError
from panrecon.io.files import read_json, write_json, write_text
from panrecon.io.images import write_image
from panrecon.io.mesh import write_panoptic_mesh
from panrecon.io.scan import read_scan, read_view, write_scan
from panrecon.io.scannet import AnnotatedMesh, read_truth, write_frame, write_scene
from panrecon.structures import VOID, Camera, CategoryTable, Labels, PanopticMesh, TriangleMesh, View

CAMERA = Camera(12, 8, 11.0, 10.0, 5.5, 3.5)
WALL, FLOOR, CHAIR, TABLE, CLUTTER = range(5)
NAMES = ("101", "3", "5")


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


def same_objects(one: Labels, other: Labels) -> bool:
    """Equal but for the numbers of objects."""
    pairs = set(zip(one.instance.tolist(), other.instance.tolist(), strict=True))
    forward, backward = dict(pairs), {b: a for a, b in pairs}
    return len(forward) == len(backward) == len(pairs) and forward.get(VOID, VOID) == VOID


def test_it_is_a_data_set() -> None:
    assert isinstance(dataset("scannet"), ScanNet)
    assert isinstance(dataset("scannet"), Dataset)
    with pytest.raises(ValueError, match="'scanet'"):
        dataset("scanet")


def test_frames_come_in_the_order_of_their_numbers(folder: Path) -> None:
    scan = ScanNet().scan(folder, ScanSettings())
    assert [frame.name for frame in scan.frames] == ["3", "5", "101"]
    assert scan.scene == "scene0"
    assert scan.camera == scan.source_camera == CAMERA
    for frame in scan.frames:
        assert_allclose(frame.world_from_camera, pose(frame.name))
    assert [frame.name for frame in ScanNet().scan(folder, ScanSettings(frame_stride=2)).frames] == ["3", "101"]


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
    assert same_objects(found.labels, expected.labels)


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
    assert (unknown.instance[expected.category == CHAIR] == VOID).all()


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
