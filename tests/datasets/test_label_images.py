"""Laws of folders of label images."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from panrecon.datasets.label_images import LabelFrames, in_order, read_label_frames
from panrecon.errors import InputError
from panrecon.io.images import write_ids, write_image
from panrecon.structures import VOID, CategoryTable

SEMANTIC = np.array([[1, 5, 5], [0, 3, 11]], np.int32)  # wall, chair, chair; void, an id of no class, clutter
CATEGORY = np.array([[0, 2, 2], [VOID, VOID, 4]])


def write_frame(folder: Path, frame: str, number: int = 0, semantic: str = "semantic") -> None:
    """Instance ids are 1 at the wall, then 0, and four large ones that rise with `number`."""
    write_ids(folder / semantic / f"{frame}.png", SEMANTIC)
    write_ids(folder / "instance" / f"{frame}.png", np.array([[1, 0, 65_535], [7 + number, 8, 9]], np.int32))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number, frame in enumerate(("3", "101", "20")):
        write_frame(tmp_path, frame, number)
    return tmp_path


def test_frames_come_in_the_order_of_their_numbers(folder: Path, table: CategoryTable) -> None:
    assert list(read_label_frames(folder, table).files) == ["3", "20", "101"]
    assert [path.stem for path in in_order(map(Path, ("b.png", "10.png", "a.png", "009.png", "9.png")))] == [
        "009",
        "9",
        "10",
        "a",
        "b",
    ]


def test_labels_come_back_and_every_instance_of_the_file_is_kept(folder: Path, table: CategoryTable) -> None:
    labels = read_label_frames(folder, table).read("20")
    assert_array_equal(labels.category, CATEGORY)
    assert_array_equal(labels.instance, [[0, VOID, 65_534], [8, 7, 8]])
    assert labels.instance.dtype == np.int64


def test_the_folder_may_be_called_label(tmp_path: Path, table: CategoryTable) -> None:
    write_frame(tmp_path, "3", semantic="label")
    assert_array_equal(read_label_frames(tmp_path, table).read("3").category, CATEGORY)


def test_one_frame_has_one_number_however_it_is_padded(tmp_path: Path, table: CategoryTable) -> None:
    for frame in ("000120", "left", "000121"):
        write_frame(tmp_path, frame, 1)
    frames = read_label_frames(tmp_path, table)
    assert [frames.matching_frame(name) for name in ("120", "000120", "0121", "left", "right", "12")] == [
        "000120",
        "000120",
        "000121",
        "left",
        None,
        None,
    ]
    assert_array_equal(frames.read("120").instance, frames.read("000120").instance)


def test_partners_may_be_padded_differently(tmp_path: Path, table: CategoryTable) -> None:
    write_frame(tmp_path, "007")
    (tmp_path / "instance" / "007.png").rename(tmp_path / "instance" / "7.png")
    assert_array_equal(read_label_frames(tmp_path, table).read("7").category, CATEGORY)


def test_a_frame_that_is_missing_is_an_error_that_names_those_there_are(folder: Path, table: CategoryTable) -> None:
    frames = read_label_frames(folder, table)
    with pytest.raises(InputError, match=r"no label image of frame 4, only of 3, 20, 101;"):
        frames.read("4")
    many = LabelFrames(folder, {str(number): frames.files["3"] for number in range(9)}, frames.decode)
    with pytest.raises(InputError, match=r"only of 0, 1, 2 \.\.\. 8;"):
        many.read("9")


@pytest.mark.parametrize(("lost", "left"), [("instance", "semantic"), ("semantic", "instance")])
def test_an_image_without_its_partner_is_an_error(folder: Path, table: CategoryTable, lost: str, left: str) -> None:
    (folder / lost / "20.png").unlink()
    with pytest.raises(InputError, match=rf"{left}/20\.png has no partner in .*{lost}"):
        read_label_frames(folder, table)


def test_two_images_of_one_frame_are_an_error(folder: Path, table: CategoryTable) -> None:
    write_frame(folder, "0020")
    with pytest.raises(InputError, match=r"semantic/0020\.png and 20\.png are the same frame"):
        read_label_frames(folder, table)


@pytest.mark.parametrize("kind", ["semantic", "instance"])
def test_a_folder_that_is_missing_or_empty_is_an_error(folder: Path, table: CategoryTable, kind: str) -> None:
    shutil.rmtree(folder / kind)
    with pytest.raises(InputError, match=rf"no label image .* in .*{kind}"):
        read_label_frames(folder, table)
    (folder / kind).mkdir()
    with pytest.raises(InputError, match=rf"no label image .* in .*{kind}"):
        read_label_frames(folder, table)


def test_images_of_two_sizes_are_an_error_that_gives_both(folder: Path, table: CategoryTable) -> None:
    write_ids(folder / "instance" / "20.png", np.ones((4, 5), np.int32))
    with pytest.raises(InputError, match=r"semantic/20\.png is 3 x 2 pixels, .*instance/20\.png is 5 x 4"):
        read_label_frames(folder, table).read("20")


def test_an_image_in_colour_is_an_error(folder: Path, table: CategoryTable) -> None:
    write_image(folder / "semantic" / "3.png", np.zeros((2, 3, 3), np.uint8))
    with pytest.raises(InputError, match=r"3\.png has shape .*one channel"):
        read_label_frames(folder, table).read("3")


def test_a_truncated_image_is_an_error(folder: Path, table: CategoryTable) -> None:
    path = folder / "semantic" / "3.png"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError, match=r"3\.png cannot be decoded"):
        read_label_frames(folder, table).read("3")
