"""Laws of detections made elsewhere."""

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from panrecon.errors import InputError
from panrecon.masks.base import Segmenter
from panrecon.masks.precomputed import PrecomputedSegmenter
from panrecon.structures import Camera, CategoryTable, Detections, Frame, Scan

CAMERA = Camera(20, 16, 18.0, 18.0, 9.5, 7.5)
LARGE = Camera(40, 32, 36.0, 36.0, 19.5, 15.5)  # the same rays, twice the pixels


def scan(source: Camera = CAMERA) -> Scan:
    frames = tuple(Frame(name, Path(name), Path(name), np.eye(4)) for name in ("0", "7"))
    return Scan("scene", CAMERA, source, 1000.0, frames)


def found(*masks: np.ndarray) -> Detections:
    count = len(masks)
    return Detections(np.arange(count, dtype=np.int32), np.linspace(0.9, 0.5, count, dtype=np.float32), np.stack(masks))


def rectangle(camera: Camera, rows: slice, columns: slice) -> np.ndarray:
    mask = np.zeros((camera.height, camera.width), dtype=bool)
    mask[rows, columns] = True
    return mask


def test_it_is_a_segmenter() -> None:
    assert isinstance(PrecomputedSegmenter({}, 1), Segmenter)


def test_detections_come_in_the_order_of_frames_and_missing_ones_are_empty(table: CategoryTable) -> None:
    mask = rectangle(CAMERA, slice(2, 9), slice(3, 12))
    first, second = PrecomputedSegmenter({"7": found(mask), "99": found(mask)}, 1).segment(scan(), table)
    assert len(first) == 0 and first.mask.shape == (0, CAMERA.height, CAMERA.width)
    assert_array_equal(second.mask, [mask])


def test_masks_smaller_than_the_least_area_go(table: CategoryTable) -> None:
    tiny, just = rectangle(CAMERA, slice(0, 1), slice(0, 9)), rectangle(CAMERA, slice(5, 7), slice(0, 5))
    detections = found(tiny, just, np.zeros_like(tiny))
    kept = next(iter(PrecomputedSegmenter({"0": detections}, 10).segment(scan(), table)))
    assert_array_equal(kept.category, [1])
    assert_array_equal(kept.score, detections.score[1:2])
    without_limit = next(iter(PrecomputedSegmenter({"0": detections}, 0).segment(scan(), table)))
    assert_array_equal(without_limit.category, [0, 1])  # an empty mask is never a detection


def test_masks_on_the_raw_images_are_brought_onto_the_camera(table: CategoryTable) -> None:
    on_raw = rectangle(LARGE, slice(8, 20), slice(10, 30))
    on_camera = rectangle(CAMERA, slice(4, 10), slice(5, 15))
    segmented = next(iter(PrecomputedSegmenter({"0": found(on_raw)}, 1).segment(scan(LARGE), table)))
    assert segmented.mask.shape[1:] == (CAMERA.height, CAMERA.width)
    assert (segmented.mask[0] ^ on_camera).sum() <= 16  # a row and a column of rounding


def test_masks_already_on_the_camera_stay_as_they_are(table: CategoryTable) -> None:
    mask = rectangle(CAMERA, slice(4, 10), slice(5, 15))
    segmented = next(iter(PrecomputedSegmenter({"0": found(mask)}, 1).segment(scan(LARGE), table)))
    assert_array_equal(segmented.mask, [mask])


def test_masks_of_another_size_are_an_error_that_names_frame_and_sizes(table: CategoryTable) -> None:
    wrong = {"7": found(np.ones((3, 5), bool))}
    with pytest.raises(InputError, match=r"frame 7 are \(3, 5\).*\(16, 20\)"):
        list(PrecomputedSegmenter(wrong, 1).segment(scan(), table))
