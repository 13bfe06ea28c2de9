"""Laws of detections made from labelled LiDAR points."""

import numpy as np
import pytest
from jaxtyping import Float32
from numpy.testing import assert_array_equal

from panrecon.accumulation.depth import visible_points
from panrecon.lidar.detections import MIN_PIXELS, detections_of_scan, merge_detections
from panrecon.structures import VOID, Camera, Category, CategoryTable, Detections, Labels

CAMERA = Camera(240, 120, 552.0, 552.0, 119.5, 40.0)
TABLE = CategoryTable((Category(7, "road", thing=False), Category(26, "car", thing=True)))
ROAD, CAR = range(2)


def rings(depth: float, left: float, right: float) -> Float32[np.ndarray, "n 3"]:
    """A wall across the view, seen by rings of a scan that lie 4 pixels anchor_distances."""
    u, v = np.meshgrid(np.arange(left, right, 1.6), np.arange(1, CAMERA.height, 4.0))
    x, y = (u.ravel() - CAMERA.cx) / CAMERA.fx, (v.ravel() - CAMERA.cy) / CAMERA.fy
    return (np.stack([x, y, np.ones_like(x)], axis=1) * depth).astype(np.float32)


def labelled(*parts: tuple[Float32[np.ndarray, "_ 3"], int, int]) -> tuple[Float32[np.ndarray, "n 3"], Labels]:
    category, instance = (
        np.concatenate([np.full(len(part[0]), part[place], np.int32) for part in parts]) for place in (1, 2)
    )
    return np.concatenate([part[0] for part in parts]), Labels(category, instance)


def test_gaps_between_rings_belong_to_the_surface_in_front() -> None:
    points, labels = labelled((rings(8, 60, 140), CAR, 3), (rings(30, 0, 240), ROAD, VOID))
    found = detections_of_scan(CAMERA, points, labels, TABLE, 0.5)
    assert_array_equal(found.category, [ROAD, CAR])
    assert found.mask[1][:, 62:138].mean() > 0.99
    assert found.mask[1][:, :55].sum() == 0
    assert not (found.mask[0] & found.mask[1]).any()
    assert (found.mask[0] | found.mask[1])[2:-2].mean() > 0.99


def test_every_object_has_its_mask_and_stuff_one_a_class() -> None:
    """Numbers on stuff do not count, objects of one class do; void and things without a number give nothing."""
    parts = (rings(8, 0, 60), CAR, 1), (rings(8, 60, 120), CAR, 2), (rings(8, 120, 150), ROAD, 5)
    rest = (rings(8, 150, 180), ROAD, VOID), (rings(8, 180, 210), VOID, VOID), (rings(8, 210, 240), CAR, VOID)
    found = detections_of_scan(CAMERA, *labelled(*parts, *rest), TABLE, 0.25)
    assert_array_equal(found.category, [ROAD, CAR, CAR])
    assert_array_equal(found.score, [0.25] * 3)
    assert found.mask[0][:, 122:178].mean() > 0.99


def test_a_single_point_is_no_mask() -> None:
    one = np.array([[0, 0, 8]], np.float32)
    assert (visible_points(CAMERA, one) == 0).sum() == 81  # 9 x 9 pixels
    small = Camera(60, 30, 138.0, 138.0, 29.5, 10.0)
    assert 0 < (visible_points(small, one) == 0).sum() < MIN_PIXELS
    assert len(detections_of_scan(small, *labelled((one, CAR, 0)), TABLE, 0.5)) == 0


@pytest.mark.parametrize("points", [np.zeros((0, 3)), np.array([[0, 0, -4.0], [0, 0, 0.5], [4000.0, 0, 4]])], ids=str)
def test_what_a_camera_does_not_see_gives_nothing(points: np.ndarray) -> None:
    labels = Labels(np.full(len(points), CAR, np.int32), np.zeros(len(points), np.int32))
    assert len(detections_of_scan(CAMERA, points.astype(np.float32), labels, TABLE, 0.5)) == 0


def test_detections_of_both_sensors_stand_together_by_score() -> None:
    def one(category: int, score: float) -> Detections:
        return Detections(
            np.array([category], np.int32), np.array([score], np.float32), np.full((1, 2, 2), category > 0)
        )

    both = merge_detections([one(ROAD, 0.3), one(CAR, 0.7)])
    assert_array_equal(both.category, [CAR, ROAD])
    assert_array_equal(both.mask[:, 0, 0], [True, False])
