"""Laws of bird's-eye images of labelled scans."""

from dataclasses import replace

import numpy as np
import pytest
from jaxtyping import Float
from numpy.testing import assert_array_equal

from panrecon.evaluation.lidar import PointOutcome, point_outcomes
from panrecon.io.categories import find_table, read_categories
from panrecon.lidar.birdseye import (
    GROUND_COLOR,
    OUTCOME_STYLE,
    RING_COLOR,
    SIZE,
    VOID_COLOR,
    birds_eye_view,
    class_colors,
    comparison_image,
    label_image,
    point_colors,
)
from panrecon.structures import VOID, Labels
from panrecon.visualization import ResizedImage

from .conftest import NOVEL, TABLE, first_points, toy_scan

CAR, ROAD = 0, 1
IS_BASE = np.array([category.name not in NOVEL for category in TABLE])


def at(*places: tuple[float, float]) -> Float[np.ndarray, "n 4"]:
    return np.array([(x, y, 0.0, 0.5) for x, y in places], np.float32).reshape(-1, 4)


def labels(category: list[int], instance: list[int]) -> Labels:
    return Labels(np.array(category, np.int64), np.array(instance, np.int64))


def holds(image: ResizedImage, color: tuple[int, ...]) -> bool:
    return bool((image == np.array(color, np.uint8)).all(axis=2).any())


def where(image: ResizedImage, color: np.ndarray) -> Float[np.ndarray, "2"]:
    """Column and row of the middle of a colour, from the middle of the scan."""
    row, column = np.nonzero((image == color).all(axis=2))
    return np.array([column.mean() - SIZE / 2, row.mean() - (len(image) - SIZE) / 2 - SIZE / 2])


def test_x_is_right_y_is_up_and_circles_are_ten_metres_apart() -> None:
    view = birds_eye_view(at((10, 0), (0, 10), (-20, 0), (0, -30)))
    assert view.circles == 3
    radii = np.array(view.radii)[[0, 0, 1, 2], None]
    directions = np.array([(1, 0), (0, -1), (-1, 0), (0, 1)])  # rows of a image go down
    np.testing.assert_allclose(view.pixel, SIZE / 2 + radii * directions, atol=1e-3)
    assert max(view.radii) < SIZE / 2


@pytest.mark.parametrize(("far", "circles"), [(0.0, 1), (9.0, 1), (10.5, 2), (44.0, 5), (300.0, 5)])
def test_the_view_reaches_to_the_farthest_points_but_not_beyond_the_network(far: float, circles: int) -> None:
    assert birds_eye_view(at(*[(far, 0.0)] * 20)).circles == circles
    assert birds_eye_view(at()).circles == 1


@pytest.mark.parametrize("name", ["nuscenes", "semantic_kitti", "kitti360", "street"])
def test_classes_differ_in_colour_and_none_is_the_ground_or_no_label(name: str) -> None:
    table = read_categories(find_table(name))
    colors = class_colors(table)
    assert len(np.unique([*colors.tolist(), GROUND_COLOR, RING_COLOR], axis=0)) == len(table) + 3
    assert tuple(colors[VOID]) == VOID_COLOR
    mean = colors[:-1].mean(axis=1)
    assert mean[table.is_thing].mean() > mean[~table.is_thing].mean() + 20


def test_objects_have_shades_of_their_class_and_stuff_has_none() -> None:
    colors = point_colors(labels([CAR, CAR, CAR, ROAD, ROAD, VOID], [4, 4, 5, 4, 5, VOID]), TABLE)
    assert_array_equal(colors[0], colors[1])
    assert_array_equal(colors[3], colors[4])
    assert len(np.unique(colors, axis=0)) == 4
    lightness = colors[[0, 2]] / np.linalg.norm(colors[[0, 2]], axis=1, keepdims=True)
    np.testing.assert_allclose(lightness[0], lightness[1], atol=0.01)


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 1, 0], [1, 2, 0]])
def test_a_thing_lies_on_stuff_and_stuff_on_what_has_no_label(order: list[int]) -> None:
    points, rows = at((8, 4), (8, 4), (-6, -6)), np.array([CAR, ROAD, VOID])
    image = label_image(points[order], Labels(rows[order], np.where(rows[order] == CAR, 0, VOID)), TABLE, IS_BASE)
    scan = image[: SIZE + 28]  # above the legend
    car = where(scan, class_colors(TABLE)[CAR])
    assert car[0] > 0 > car[1] - 14
    assert not holds(scan, tuple(class_colors(TABLE)[ROAD]))
    assert holds(scan, VOID_COLOR)


def test_an_object_is_framed_and_stuff_is_not() -> None:
    points = at((8, 4), (8, 4.5), (9, 4))

    def drawn(row: int, instance: int) -> ResizedImage:
        return label_image(points, labels([row] * 3, [instance] * 3), TABLE, IS_BASE)[: SIZE + 28]

    assert_array_equal(drawn(ROAD, 3), drawn(ROAD, VOID))
    row, column = np.nonzero((drawn(CAR, 3) != drawn(CAR, VOID)).any(axis=2))
    framed = np.array([column, row - 28]).T
    pixel = birds_eye_view(points).pixel
    assert len(framed) > 60
    assert (framed.min(axis=0) < pixel.min(axis=0)).all() and (framed.max(axis=0) > pixel.max(axis=0)).all()
    assert np.abs(framed - pixel.mean(axis=0)).max() < 40


def test_errors_show_as_their_colours_and_nothing_else_does() -> None:
    scan = toy_scan()
    car = (scan.labels.category == CAR) & (scan.labels.instance == 0)
    without = replace(scan.labels, category=np.where(car, ROAD, scan.labels.category))
    shown = {}
    for name, prediction in (("same", scan.labels), ("missed", without)):
        outcome = point_outcomes(prediction, scan.labels, TABLE, 15)
        image = comparison_image(scan.points, scan.labels, prediction, outcome, TABLE, IS_BASE)
        errors = image[28 : SIZE + 28, 2 * image.shape[1] // 3 :]
        shown[name] = {kind for kind in PointOutcome if holds(errors, OUTCOME_STYLE[kind][0])}
    assert shown == {"same": {PointOutcome.CORRECT}, "missed": {PointOutcome.CORRECT, PointOutcome.MISSED}}
    hues = {kind: OUTCOME_STYLE[kind][0] for kind in PointOutcome}
    assert (
        max(hues[PointOutcome.CORRECT])
        < 100
        < VOID_COLOR[0]
        < min(hues[PointOutcome.FALSE][0], hues[PointOutcome.MISSED][0])
    )
    assert hues[PointOutcome.FALSE][1] < 100 < hues[PointOutcome.MISSED][1] < 200  # red and orange


def test_only_objects_that_are_wrong_all_over_are_framed_among_the_errors() -> None:
    points, car = at((8, 4), (8, 6), (10, 4)), labels([CAR] * 3, [0] * 3)
    unlabelled = labels([VOID] * 3, [VOID] * 3)
    lost, found = (
        comparison_image(points, car, unlabelled, np.array([first, 3, 3]), TABLE, IS_BASE)[28 : SIZE + 28]
        for first in (PointOutcome.MISSED, PointOutcome.CORRECT)
    )
    assert np.count_nonzero((lost != found).any(axis=2)) > 60


def test_numbers_of_predicted_objects_change_no_error() -> None:
    scan = toy_scan()
    thirds = []
    for shift in (0, 50):
        prediction = replace(
            scan.labels, instance=np.where(scan.labels.instance == VOID, VOID, shift + scan.labels.instance)
        )
        outcome = point_outcomes(prediction, scan.labels, TABLE, 15)
        image = comparison_image(scan.points, scan.labels, prediction, outcome, TABLE, IS_BASE)
        thirds.append(np.split(image, 3, axis=1))
    assert_array_equal(thirds[0][0], thirds[1][0])
    assert_array_equal(thirds[0][2], thirds[1][2])


def test_the_legend_names_the_classes_that_occur() -> None:
    points = at((5, 5), (6, 6))
    few, more = (label_image(points, labels(rows, [VOID, VOID]), TABLE, IS_BASE) for rows in ([1, 1], [1, 4]))
    colors = class_colors(TABLE)
    assert not holds(few[SIZE + 28 :], tuple(colors[4]))
    assert holds(few[SIZE + 28 :], tuple(colors[1]))
    assert holds(more[SIZE + 28 :], tuple(colors[4]))


@pytest.mark.parametrize("count", [0, 1])
def test_empty_scans_have_an_image(count: int) -> None:
    scan = first_points(toy_scan(), count)
    outcome = point_outcomes(scan.labels, scan.labels, TABLE, 15)
    image = comparison_image(scan.points, scan.labels, scan.labels, outcome, TABLE, IS_BASE)
    assert image.shape[1] > 3 * SIZE
    assert label_image(scan.points, scan.labels, TABLE, IS_BASE).shape[1] == SIZE
