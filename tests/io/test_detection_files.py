"""Laws of detections as COCO results."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose, assert_array_equal
from pycocotools import mask

from panrecon.errors import InputError
from panrecon.io.detections import (
    DetectionFile,
    frames_written,
    join_frames,
    pixels_covered,
    read_detections,
    write_detections,
    write_frame,
)
from panrecon.structures import CategoryTable, Detections


def random_detections(seed: int, count: int) -> Detections:
    """Most certain first, scores of four decimals."""
    rng = np.random.default_rng(seed)
    score = (-np.sort(-rng.choice(10_000, count, replace=False)) / 10_000).astype(np.float32)
    return Detections(rng.integers(0, 5, count).astype(np.int32), score, rng.random((count, 7, 9)) < 0.4)


def rle(height: int, width: int) -> dict[str, Any]:
    encoded = mask.encode(np.asfortranarray(np.eye(height, width, dtype=np.uint8)))
    return {"size": encoded["size"], "counts": encoded["counts"].decode()}


def record(**changes: Any) -> dict[str, Any]:
    segmentation = rle(7, 9)
    return {
        "image_id": "0",
        "category": "chair",
        "score": 0.5,
        "bbox": [0, 0, 1, 1],
        "segmentation": segmentation,
    } | changes


def write(path: Path, content: Any) -> Path:
    path.write_text(json.dumps(content))
    return path


@settings(deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_detections_come_back(tmp_path_factory: pytest.TempPathFactory, table: CategoryTable, seed: int) -> None:
    path = tmp_path_factory.mktemp("io") / "detections.json"
    frames = {"3": random_detections(seed, 3), "000120": random_detections(seed + 1, 1)}
    write_detections(path, frames.items(), table)
    found = read_detections(path, table)
    assert set(found) == set(frames)
    for name, expected in frames.items():
        assert_array_equal(found[name].category, expected.category)
        assert_array_equal(found[name].mask, expected.mask)
        assert_allclose(found[name].score, expected.score, atol=1e-6)


def test_boxes_enclose_the_masks(tmp_path: Path, table: CategoryTable) -> None:
    box = np.zeros((1, 7, 9), bool)
    box[0, 2:5, 3:8] = True
    found = Detections(np.array([2], np.int32), np.array([0.5], np.float32), box)
    write_detections(tmp_path / "d.json", [("0", found)], table)
    assert json.loads((tmp_path / "d.json").read_text())[0]["bbox"] == [3, 2, 5, 3]


def test_a_frame_in_which_nothing_was_found_has_no_record(tmp_path: Path, table: CategoryTable) -> None:
    frames = [("0", random_detections(0, 0)), ("1", random_detections(0, 2))]
    write_detections(tmp_path / "d.json", frames, table)
    assert list(read_detections(tmp_path / "d.json", table)) == ["1"]


def test_detections_are_read_most_certain_first_by_name_or_synonym(tmp_path: Path, table: CategoryTable) -> None:
    records = [record(score=0.2, category="Chair"), record(score=0.8, category="seat"), record(image_id=7)]
    found = read_detections(write(tmp_path / "d.json", records), table)
    assert_allclose(found["0"].score, [0.8, 0.2])
    assert_array_equal(found["0"].category, [2, 2])
    assert set(found) == {"0", "7"}  # a number names its frame too


def test_words_of_no_class_are_skipped_and_counted(tmp_path: Path, table: CategoryTable) -> None:
    records = [record(category=word) for word in ("sofa", "chair", "lamp", "sofa")]
    found = read_detections(write(tmp_path / "d.json", records), table)
    assert dict(found.skipped) == {"sofa": 2, "lamp": 1}
    assert len(found["0"]) == 1


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ([], "no detection"),
        ({}, "no detection"),
        ({"annotations": [record()]}, "no detection"),
        ([record(category="sofa"), record(category="lamp")], "lamp, sofa"),
        ([record(), {"image_id": "0", "score": 0.5}], "Record 1 .*lacks category, segmentation"),
        ([3], "Record 0 .*lacks"),
        ([record(segmentation=[[1, 2, 3, 4, 5, 6]])], "Record 0 .*polygons"),
        ([record(segmentation={"size": [7, 9]})], "Record 0 .*no RLE"),
    ],
)
def test_bad_detections_are_an_error_that_says_what(
    tmp_path: Path, table: CategoryTable, content: Any, complaint: str
) -> None:
    with pytest.raises(InputError, match=complaint):
        read_detections(write(tmp_path / "d.json", content), table)


@pytest.mark.parametrize(
    "changes",
    [
        *({"score": score} for score in ("high", None, float("nan"), 1.5, -0.1)),
        *({"category": category} for category in (3, ["chair"])),
    ],
)
def test_a_field_of_the_wrong_kind_is_an_error_that_says_where(
    tmp_path: Path, table: CategoryTable, changes: dict[str, Any]
) -> None:
    with pytest.raises(InputError, match="Record 1"):
        read_detections(write(tmp_path / "d.json", [record(), record(**changes)]), table)


@pytest.mark.parametrize(
    "segmentation",
    [
        {"size": [7, 9], "counts": "o11"},
        {"size": [7], "counts": "o0"},
        {"size": [7, 9], "counts": [62]},
        {"size": [7, 9], "counts": ""},
        {"size": [7, 9], "counts": "\0\0"},
        {"size": [7, 9], "counts": "é"},
        {"size": [7, 9], "counts": None},
        {"size": [7, 9], "counts": "o" * 40 + "0"},
        {"size": [7.5, 9], "counts": "o1"},
        {"size": [60_000, 60_000], "counts": "o1"},
        {"size": [-7, -9], "counts": "o1"},
    ],
)
def test_a_damaged_run_length_code_is_an_error_that_says_where(
    table: CategoryTable, segmentation: dict[str, Any]
) -> None:
    with pytest.raises(InputError, match="A mask of frame 0"):
        DetectionFile({"0": [record(segmentation=segmentation)]}, table, {})["0"]


@given(arrays(np.uint8, st.tuples(st.integers(1, 90), st.integers(1, 90)), elements=st.integers(0, 1)))
def test_a_code_covers_as_many_pixels_as_its_mask_has(image: np.ndarray) -> None:
    counts = mask.encode(np.asfortranarray(image))["counts"].decode("ascii")
    assert pixels_covered(counts) == image.size
    assert pixels_covered(counts + "1") > image.size


def test_masks_of_two_sizes_in_one_frame_are_an_error_of_the_input(table: CategoryTable) -> None:
    other = record(segmentation=rle(3, 3))
    with pytest.raises(InputError, match="frame 0 are of sizes"):
        DetectionFile({"0": [record(), other]}, table, {})["0"]


def test_equal_scores_come_in_the_same_order_whatever_that_of_the_file(tmp_path: Path, table: CategoryTable) -> None:
    masks = np.zeros((4, 6, 8), bool)
    for number in range(4):
        masks[number, number] = True
    found = Detections(np.array([2, 0, 2, 0], np.int32), np.full(4, 0.5, np.float32), masks)
    read = []
    for number, order in enumerate(([0, 1, 2, 3], [3, 1, 2, 0], [2, 3, 0, 1])):
        path = tmp_path / f"{number}.json"
        shuffled = Detections(found.category[order], found.score[order], found.mask[order])
        write_detections(path, [("0", shuffled)], table)
        read.append(read_detections(path, table)["0"])
    for one in read[1:]:
        assert_array_equal(one.category, read[0].category)
        assert_array_equal(one.mask, read[0].mask)


def test_frames_written_one_by_one_join_to_the_file_that_is_written_at_once(
    tmp_path: Path, table: CategoryTable
) -> None:
    mask = np.zeros((2, 4, 5), bool)
    mask[0, :2], mask[1, 1:, 2:] = True, True
    two = Detections(np.array([2, 0], np.int32), np.array([0.9, 0.5], np.float32), mask)
    none = Detections(np.empty(0, np.int32), np.empty(0, np.float32), np.empty((0, 4, 5), bool))
    frames = {"7": two, "8": none, "10": two}
    write_detections(tmp_path / "at_once.json", frames.items(), table)
    for written, (name, found) in enumerate(frames.items()):
        assert frames_written(tmp_path / "frames", list(frames)) == [number < written for number in range(3)]
        write_frame(tmp_path / "frames", name, found, table)
    assert join_frames(tmp_path / "joined.json", tmp_path / "frames", list(frames)) == 4
    assert (tmp_path / "joined.json").read_bytes() == (tmp_path / "at_once.json").read_bytes()
