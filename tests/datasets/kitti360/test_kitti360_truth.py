"""Laws of the reader of KITTI-360's truth, on folders written in its layout."""

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from panrecon.datasets.kitti360.format import SEMANTICS_2D, SEMANTICS_3D, Drive
from panrecon.datasets.kitti360.ground_truth import (
    drive_points,
    find_drive,
    is_window,
    label_frames,
    window_points,
)
from panrecon.errors import InputError
from panrecon.io.images import write_ids
from panrecon.structures import VOID, Category, CategoryTable

NAME = "2013_05_28_drive_0007_sync"
ROAD, BUILDING, CAR = range(3)
SEMANTIC = np.array([[7, 11, 34, 26], [0, 26, 26, 44]], np.int32)  # 34: garage, 44: of no class here
INSTANCE = np.array([[7000, 11_003, 34_003, 26_001], [0, 26_000, 26_999, 44_000]], np.int32)
CATEGORY = np.array([[ROAD, BUILDING, BUILDING, CAR], [VOID, CAR, CAR, VOID]])
NUMBER = np.array([[VOID, 11_002, 34_002, 26_000], [VOID, VOID, 26_998, VOID]])
WINDOW = [("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("red", "u1"), ("green", "u1"), ("blue", "u1")]
WINDOW += [("semantic", "<i4"), ("instance", "<i4"), ("visible", "u1"), ("confidence", "<f4")]
PLY_TYPES = {"<f4": "float", "u1": "uchar", "<i4": "int"}


@pytest.fixture
def classes() -> CategoryTable:
    """Road has no raw ids, so that its id counts; building has the garage's too."""
    return CategoryTable(
        (
            Category(7, "road", thing=False),
            Category(11, "building", thing=True, raw_ids=(11, 34)),
            Category(3, "car", thing=True, raw_ids=(26,)),
        )
    )


def write_window(path: Path, shift: float = 0.0, without: str = "") -> None:
    """The eight pixels as points in a row; the last three were seen by no camera."""
    fields = [field for field in WINDOW if field[0] != without]
    points = np.zeros(8, fields)
    points["x"], points["red"] = np.arange(8) + shift, 200
    for name, values in {"semantic": SEMANTIC, "instance": INSTANCE, "visible": np.arange(8) < 5}.items():
        if name != without:
            points[name] = values.ravel()
    lines = [f"property {PLY_TYPES[kind]} {name}" for name, kind in fields]
    header = "\n".join(["ply", "format binary_little_endian 1.0", "element vertex 8", *lines, "end_header\n"])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(header.encode() + points.tobytes())


def write_drive(root: Path, name: str = NAME) -> None:
    images = root / SEMANTICS_2D / "train" / name / "image_00"
    for frame in ("0000000012", "0000000005"):
        write_ids(images / "semantic" / f"{frame}.png", SEMANTIC)
        write_ids(images / "instance" / f"{frame}.png", INSTANCE)
    for number, window in enumerate(("0000000002_0000000100", "0000000090_0000000200")):
        write_window(root / SEMANTICS_3D / "train" / name / "static" / f"{window}.ply", shift=100.0 * number)


@pytest.fixture
def drive(tmp_path: Path) -> Drive:
    write_drive(tmp_path)
    return Drive(tmp_path, NAME)


def test_a_pixel_has_the_class_of_its_semantic_image_and_a_number_of_its_own(
    drive: Drive, classes: CategoryTable
) -> None:
    frames = label_frames(drive, classes)
    assert list(frames.files) == ["0000000005", "0000000012"]
    labels = frames.read("12")
    assert_array_equal(labels.category, CATEGORY)
    assert_array_equal(labels.instance, NUMBER)


def test_points_that_no_camera_saw_count_unless_they_are_left_out(classes: CategoryTable, tmp_path: Path) -> None:
    write_window(tmp_path / "window.ply")
    assert_array_equal(window_points(tmp_path / "window.ply", classes).labels.category, CATEGORY.ravel())
    window = window_points(tmp_path / "window.ply", classes, visible_only=True)
    assert_array_equal(window.labels.category, np.where(np.arange(8) < 5, CATEGORY.ravel(), VOID))
    assert_array_equal(window.labels.instance, np.where(np.arange(8) < 5, NUMBER.ravel(), VOID))
    assert_array_equal(window.mesh.vertices[:, 0], np.arange(8))
    assert (window.mesh.colors == (200, 0, 0)).all()
    write_window(tmp_path / "all.ply", without="visible")
    unsaid = window_points(tmp_path / "all.ply", classes, visible_only=True)
    assert_array_equal(unsaid.labels.category, CATEGORY.ravel())


def test_the_points_of_a_drive_are_those_of_its_windows_in_order(drive: Drive, classes: CategoryTable) -> None:
    found = drive_points(drive, classes)
    assert_array_equal(found.mesh.vertices[:, 0], np.concatenate([np.arange(8), 100 + np.arange(8)]))
    one = window_points(drive.semantics(SEMANTICS_3D) / "static" / "0000000090_0000000200.ply", classes)
    assert_array_equal(found.labels.category, np.tile(one.labels.category, 2))
    assert_array_equal(found.labels.instance, np.tile(one.labels.instance, 2))
    assert found.mesh.faces.shape == (0, 3)


def test_pixels_and_points_agree(drive: Drive, classes: CategoryTable) -> None:
    pixels, found = label_frames(drive, classes).read("5"), drive_points(drive, classes)
    seen = found.labels.category != VOID
    of_points = set(zip(found.labels.category[seen].tolist(), found.labels.instance[seen].tolist(), strict=True))
    assert of_points <= set(zip(pixels.category.ravel().tolist(), pixels.instance.ravel().tolist(), strict=True))


@pytest.mark.parametrize(
    "place",
    [
        ".",
        f"data_2d_semantics/train/{NAME}",
        f"data_2d_semantics/train/{NAME}/image_00",
        f"data_3d_semantics/train/{NAME}",
        f"data_3d_semantics/train/{NAME}/static",
        f"data_3d_semantics/train/{NAME}/static/0000000002_0000000100.ply",
    ],
)
@pytest.mark.parametrize("semantics", [SEMANTICS_2D, SEMANTICS_3D])
def test_any_folder_of_a_drive_means_it(drive: Drive, place: str, semantics: str) -> None:
    found = find_drive(drive.root / place, semantics)
    assert found is not None
    assert found.semantics(semantics) == drive.semantics(semantics)


def test_several_drives_are_an_error_that_lists_them(drive: Drive) -> None:
    write_drive(drive.root, "2013_05_28_drive_0003_sync")
    with pytest.raises(InputError, match=rf"2 drives: 2013_05_28_drive_0003_sync, {NAME}; .*train/2013"):
        find_drive(drive.root, SEMANTICS_3D)
    assert find_drive(drive.semantics(SEMANTICS_3D), SEMANTICS_3D) == drive


def test_other_folders_are_no_drive(tmp_path: Path) -> None:
    assert find_drive(tmp_path, SEMANTICS_2D) is None
    assert find_drive(Path("/"), SEMANTICS_2D) is None


def test_windows_are_told_from_other_point_clouds(tmp_path: Path) -> None:
    write_window(tmp_path / "window.ply")
    write_window(tmp_path / "other.ply", without="visible")
    assert is_window(tmp_path / "window.ply")
    assert not is_window(tmp_path / "other.ply")


def test_a_drive_without_windows_or_a_window_without_labels_is_an_error(drive: Drive, classes: CategoryTable) -> None:
    with pytest.raises(InputError, match=r"no window .*static"):
        drive_points(Drive(drive.root, "2013_05_28_drive_0003_sync"), classes)
    path = drive.semantics(SEMANTICS_3D) / "static" / "0000000002_0000000100.ply"
    write_window(path, without="semantic")  # as the test windows are published
    with pytest.raises(InputError, match=r"0000000100\.ply .* lacks 'category'"):
        drive_points(drive, classes)
