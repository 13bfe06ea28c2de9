"""Laws of finding the truth at a path, and of its coverage."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from panrecon.datasets.ground_truth import (
    LabelledShare,
    annotated_frames,
    annotated_points,
    default_class_table,
    labelled_share,
)
from panrecon.datasets.scannet.format import AnnotatedMesh, write_scene
from panrecon.errors import InputError
from panrecon.io.images import write_ids
from panrecon.io.mesh import write_panoptic_mesh
from panrecon.structures import VOID, Camera, CategoryTable, Labels, PanopticMesh, TriangleMesh

CATEGORY = np.array([0, 2, VOID, 4, 1], np.int32)
INSTANCE = np.array([VOID, 0, VOID, 1, VOID], np.int32)
DRIVE = "train/2013_05_28_drive_0001_sync"


@pytest.fixture
def labelled() -> PanopticMesh:
    vertices = np.arange(15, dtype=np.float32).reshape(5, 3)
    mesh = TriangleMesh(vertices, np.array([[0, 1, 2], [2, 3, 4]], np.int32), np.full((5, 3), 9, np.uint8))
    return PanopticMesh(mesh, Labels(CATEGORY, INSTANCE))


def write_images(folder: Path, semantic: str, instance: str = "instance") -> None:
    for name, ids in {semantic: [[1, 5, 0]], instance: [[0, 3, 0]]}.items():
        write_ids(folder / name / "7.png", np.array(ids, np.int32))


def write_window(path: Path) -> None:
    names = ("x", "y", "z", "semantic", "instance", "visible")
    lines = "".join(f"property {'float' if name in 'xyz' else 'int'} {name}\n" for name in names)
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = "0 0 0 1 1000 1\n1 0 0 5 5003 1\n2 0 0 5 5003 0\n"
    path.write_text(f"ply\nformat ascii 1.0\nelement vertex 3\n{lines}end_header\n{rows}")


@pytest.mark.parametrize("name", ["truth.ply", "scene/ground_truth/labelled.ply", "scene/labelled.ply"])
def test_a_labelled_ply_is_read_by_its_own_or_its_folders_name(
    tmp_path: Path, labelled: PanopticMesh, table: CategoryTable, name: str
) -> None:
    write_panoptic_mesh(tmp_path / name, labelled, table)
    path = tmp_path / name.split("/")[0]
    assert_array_equal(annotated_points(path, table).labels.category, CATEGORY)


def test_a_scan_is_read_as_scannets_even_from_inside(
    tmp_path: Path, labelled: PanopticMesh, table: CategoryTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = tmp_path / "scene0"
    camera = Camera(3, 1, 2.0, 2.0, 1.0, 0.0)
    write_scene(scene, camera, AnnotatedMesh(labelled.mesh, labelled.labels, np.arange(5)), table)
    for name, ids in {"label-filt": [[3, 2, 0]], "instance-filt": [[1, 2, 0]]}.items():
        write_ids(scene / name / "7.png", np.array(ids, np.int32))
    assert_array_equal(annotated_points(scene, table).labels.category, CATEGORY)
    assert_array_equal(annotated_frames(scene, table).read("7").category, [[1, 2, VOID]])
    monkeypatch.chdir(scene)
    assert_array_equal(annotated_points(Path(), table).labels.category, CATEGORY)


def test_a_scan_whose_annotation_lacks_a_file_says_which(
    tmp_path: Path, labelled: PanopticMesh, table: CategoryTable
) -> None:
    scene = tmp_path / "scene0"
    camera = Camera(3, 1, 2.0, 2.0, 1.0, 0.0)
    write_scene(scene, camera, AnnotatedMesh(labelled.mesh, labelled.labels, np.arange(5)), table)
    (scene / "scene0.aggregation.json").unlink()
    with pytest.raises(InputError, match=r"scene0\.aggregation\.json does not exist"):
        annotated_points(scene, table)


@pytest.mark.parametrize("semantic", ["semantic", "label"])
@pytest.mark.parametrize("place", [".", "ground_truth"])
def test_a_folder_of_label_images_is_read(tmp_path: Path, table: CategoryTable, semantic: str, place: str) -> None:
    write_images(tmp_path / place, semantic)
    labels = annotated_frames(tmp_path, table).read("7")
    assert_array_equal(labels.category, [[0, 2, VOID]])
    assert_array_equal(labels.instance, [[VOID, 2, VOID]])


def test_kitti360_is_told_by_its_layout(tmp_path: Path, table: CategoryTable) -> None:
    images = tmp_path / "data_2d_semantics" / DRIVE / "image_00"
    write_ids(images / "semantic" / "7.png", np.array([[1, 2, 0]], np.int32))
    write_ids(images / "instance" / "7.png", np.array([[1000, 2003, 0]], np.int32))
    window = tmp_path / "data_3d_semantics" / DRIVE / "static" / "7_9.ply"
    write_window(window)
    for path in (tmp_path, images, images.parent, window.parent):
        labels = annotated_frames(path, table).read("7")
        assert_array_equal(labels.category, [[0, 2, VOID]])  # by raw ids: 2 is a chair's
        assert_array_equal(labels.instance, [[VOID, 2002, VOID]])
    copied = Path(shutil.copy(window, tmp_path / "copied.ply"))
    for path in (tmp_path, images, window.parent, window, copied):
        found = annotated_points(path, table).labels
        assert_array_equal(found.instance, [VOID, 5002, 5002])
        assert_array_equal(annotated_points(path, table, visible_only=True).labels.instance, [VOID, 5002, VOID])


def test_what_is_no_truth_is_an_error_that_lists_what_is(tmp_path: Path, table: CategoryTable) -> None:
    for read in (annotated_points, annotated_frames):
        with pytest.raises(InputError, match=r"nowhere does not exist"):
            read(tmp_path / "nowhere", table)
        with pytest.raises(InputError, match=r"ScanNet scan folder.*KITTI-360.*static PLYs\.$"):
            read(tmp_path, table)
    (tmp_path / "truth.txt").write_text("no truth")
    with pytest.raises(InputError, match=r"truth\.txt holds no labelled points.*a labelled PLY"):
        annotated_points(tmp_path / "truth.txt", table)
    with pytest.raises(InputError, match=r"truth\.txt holds no label images.*semantic/"):
        annotated_frames(tmp_path / "truth.txt", table)


def test_a_truth_that_is_not_there_is_missed_before_its_class_table(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere does not exist"):
        default_class_table(tmp_path / "nowhere")
    (tmp_path / "truth.ply").touch()
    with pytest.raises(InputError, match=r"No class table lies with .*truth\.ply; name one with --classes"):
        default_class_table(tmp_path / "truth.ply")


def test_coverage_counts_and_adds(table: CategoryTable) -> None:
    one = labelled_share(CATEGORY, table, "vertices")
    assert (one.total, one.annotated, one.evaluated, one.void) == (5, 4, 3, 2)
    assert labelled_share(np.tile(CATEGORY, (2, 1)), table, "vertices") == one + one
    assert str(one) == "5 vertices: 80.0 % annotated, 60.0 % evaluated, 40.0 % void"
    large = LabelledShare(266_723, 243_252, 234_717, "vertices")
    assert str(large) == "266,723 vertices: 91.2 % annotated, 88.0 % evaluated, 12.0 % void"
    assert str(LabelledShare(0, 0, 0)) == "0 points: 0.0 % annotated, 0.0 % evaluated, 0.0 % void"
