"""Bird's-eye images of labelled LiDAR scans: classes, objects, and where a prediction is wrong."""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from PIL import Image, ImageDraw, ImageFont

from panrecon.evaluation.lidar import PointOutcome
from panrecon.lidar.voxels import MAX_RANGE
from panrecon.structures import VOID, CategoryTable, Labels
from panrecon.visualization import BACKGROUND, ResizedImage, RgbImage, legend, palette

SIZE: Final = 720  # px, width and height of one view
RING_SPACING: Final = 10.0  # m between two circles around the sensor
PERCENTILE: Final = 99.0  # of the points' distances lies within the outermost circle
MARGIN: Final = 1.04  # from the outermost circle to the edge of the image
FONT_SIZE: Final = 14  # px
LEGEND_COLUMNS: Final = 3
GROUND_COLOR: Final = (24, 24, 24)
VOID_COLOR: Final = (120, 120, 120)
RING_COLOR: Final = (75, 75, 75)
STUFF_SATURATION: Final = 0.7  # share of its class's colour in that of stuff; the rest is the ground's
OBJECT_SHADES: Final = (1.0, 0.7, 0.85, 0.55)  # of the objects of a class, in turn
BOX_MARGIN: Final = 4.0  # px between an object's points and its box
PANEL_GAP: Final = 8  # px at either side of a panel
OUTCOME_STYLE: Final = {
    PointOutcome.UNSCORED: (VOID_COLOR, "not scored"),
    PointOutcome.CORRECT: ((62, 92, 70), "correct"),
    PointOutcome.FALSE: ((255, 50, 50), "false class or object"),
    PointOutcome.MISSED: ((255, 170, 0), "missed"),
}

Color = UInt8[np.ndarray, "3"]
Colors = UInt8[np.ndarray, "n 3"]
Entries = list[tuple[Color, str]]


@dataclass(frozen=True)
class BirdsEyeView:
    """A square around the sensor, x to the right and y up: its number of circles, and (column, row) of every point."""

    circles: int
    pixel: Float[np.ndarray, "n 2"]

    @property
    def radii(self) -> list[float]:
        """Radii of the circles, px."""
        return [index / self.circles * SIZE / 2 / MARGIN for index in range(1, self.circles + 1)]


def label_image(
    points: Float[np.ndarray, "n 4"], labels: Labels, table: CategoryTable, is_base: Bool[np.ndarray, " C"]
) -> ResizedImage:
    """A scan from above in the colours of its classes, every object in a box and a shade of its own, with a legend.

    Points are x, y, z (m) in the sensor's frame, and intensity. The sensor is in the middle, circles are 10 m apart;
    the legend marks novel classes.
    """
    return _label_panel("prediction", birds_eye_view(points), labels, table, is_base)


def comparison_image(
    points: Float[np.ndarray, "n 4"],
    truth: Labels,
    prediction: Labels,
    outcome: Int[np.ndarray, " n"],
    table: CategoryTable,
    is_base: Bool[np.ndarray, " C"],
) -> ResizedImage:
    """Truth, prediction and errors side by side; errors by the `PointOutcome` of every point, correct ones dark.

    Points are x, y, z (m) in the sensor's frame, and intensity.
    """
    view = birds_eye_view(points)
    panels = [
        _label_panel("truth", view, truth, table, is_base),
        _label_panel("prediction", view, prediction, table, is_base),
        _error_panel(view, truth, prediction, outcome, table),
    ]
    image = np.full((max(map(len, panels)), len(panels), SIZE + 2 * PANEL_GAP, 3), BACKGROUND, np.uint8)
    for index, panel in enumerate(panels):
        image[: len(panel), index, PANEL_GAP:-PANEL_GAP] = panel
    return image.reshape(len(image), -1, 3)


def birds_eye_view(points: Float[np.ndarray, "n 4"]) -> BirdsEyeView:
    """The view of 99 % of the points, in whole circles of 10 m, at most to the network's range."""
    farthest = np.percentile(np.hypot(points[:, 0], points[:, 1]), PERCENTILE) if len(points) else 0.0
    circles = int(np.clip(np.ceil(farthest / RING_SPACING), 1, MAX_RANGE / RING_SPACING))
    pixels_per_metre = SIZE / 2 / MARGIN / (circles * RING_SPACING)
    return BirdsEyeView(circles, SIZE / 2 + points[:, :2].astype(np.float64) * (pixels_per_metre, -pixels_per_metre))


def class_colors(table: CategoryTable) -> Colors:
    """A colour for every class, bright for things and muted for stuff; the last, at index `VOID`, is grey."""
    colors = palette(len(table), seed=3)
    stuff = colors[:-1][~table.is_thing]
    colors[:-1][~table.is_thing] = STUFF_SATURATION * stuff + (1 - STUFF_SATURATION) * np.array(GROUND_COLOR)
    colors[VOID] = VOID_COLOR
    return colors


def point_colors(labels: Labels, table: CategoryTable) -> Colors:
    """The colour of every point's class, in a shade of it for points of objects."""
    colors = class_colors(table)[labels.category]
    is_object = _is_object(labels, table)
    _, object_index = np.unique(labels.instance[is_object], return_inverse=True)
    shade = np.array(OBJECT_SHADES)[object_index.reshape(-1) % len(OBJECT_SHADES)]
    colors[is_object] = colors[is_object] * shade[:, None]
    return colors


def _label_panel(
    title: str, view: BirdsEyeView, labels: Labels, table: CategoryTable, is_base: Bool[np.ndarray, " C"]
) -> ResizedImage:
    order = (labels.category != VOID) + np.append(table.is_thing, False)[labels.category].astype(np.int64)
    image = _drawn_points(view, point_colors(labels, table), order)
    colors = class_colors(table)
    for category, points in _objects(labels, table):
        _draw_box(image, view.pixel[points], colors[category])
    return _with_title_and_legend(title, view, image, _class_entries(labels, table, is_base))


def _error_panel(
    view: BirdsEyeView, truth: Labels, prediction: Labels, outcome: Int[np.ndarray, " n"], table: CategoryTable
) -> ResizedImage:
    """Points by their outcome; objects without any correct point have a box."""
    colors = np.array([OUTCOME_STYLE[kind][0] for kind in PointOutcome], np.uint8)
    image = _drawn_points(view, colors[outcome], outcome)
    for labels, wrong in ((truth, PointOutcome.MISSED), (prediction, PointOutcome.FALSE)):
        for _, points in _objects(labels, table):
            if wrong in outcome[points] and PointOutcome.CORRECT not in outcome[points]:
                _draw_box(image, view.pixel[points], colors[wrong])
    percent = 100 * np.bincount(outcome, minlength=len(PointOutcome)) / max(len(outcome), 1)
    entries = [(colors[kind], f"{OUTCOME_STYLE[kind][1]}: {percent[kind]:.1f} %") for kind in PointOutcome]
    return _with_title_and_legend("errors", view, image, entries)


def _is_object(labels: Labels, table: CategoryTable) -> Bool[np.ndarray, " n"]:
    return np.append(table.is_thing, False)[labels.category] & (labels.instance != VOID)


def _objects(labels: Labels, table: CategoryTable) -> list[tuple[int, Int[np.ndarray, " k"]]]:
    """Class and points of every object."""
    point = np.flatnonzero(_is_object(labels, table))
    pairs = np.stack([labels.category[point], labels.instance[point]], axis=1)
    objects, object_of_point = np.unique(pairs, axis=0, return_inverse=True)
    object_of_point = object_of_point.reshape(-1)
    return [(int(category), point[object_of_point == index]) for index, (category, _) in enumerate(objects)]


def _drawn_points(view: BirdsEyeView, colors: Colors, order: Int[np.ndarray, " n"]) -> RgbImage:
    """Circles, and every point as a square of 3 pixels; points of a higher order on top."""
    image = np.full((SIZE, SIZE, 3), GROUND_COLOR, np.uint8)
    for radius in view.radii:
        cv2.circle(image, (SIZE // 2, SIZE // 2), round(radius), RING_COLOR, 1, cv2.LINE_AA)
    column, row = np.rint(view.pixel).astype(np.int64).T
    inside = np.flatnonzero((np.minimum(column, row) >= 1) & (np.maximum(column, row) < SIZE - 1))
    inside = inside[np.argsort(order[inside], kind="stable")]
    for down, right in np.ndindex(3, 3):
        image[row[inside] + down - 1, column[inside] + right - 1] = colors[inside]
    return image


def _draw_box(image: RgbImage, pixel: Float[np.ndarray, "k 2"], color: Color) -> None:
    """Draws the smallest oriented rectangle around pixels, with a margin."""
    center, size, angle = cv2.minAreaRect(pixel.astype(np.float32))
    corners = cv2.boxPoints((center, (size[0] + 2 * BOX_MARGIN, size[1] + 2 * BOX_MARGIN), angle))
    cv2.polylines(image, [np.rint(corners).astype(np.int32)], True, color.tolist(), 1, cv2.LINE_AA)


def _class_entries(labels: Labels, table: CategoryTable, is_base: Bool[np.ndarray, " C"]) -> Entries:
    """Legend of the classes that occur, and how many objects a thing class has."""
    count = np.bincount([category for category, _ in _objects(labels, table)], minlength=len(table))
    colors = class_colors(table)
    entries = list[tuple[Color, str]]()
    for category in np.unique(labels.category[labels.category != VOID]):
        novel = "" if is_base[category] else " (novel)"
        objects = f" x{count[category]}" if table[category].thing else ""
        entries.append((colors[category], table[category].name + novel + objects))
    return [*entries, (colors[VOID], "no label")] if (labels.category == VOID).any() else entries


def _with_title_and_legend(title: str, view: BirdsEyeView, image: RgbImage, entries: Entries) -> ResizedImage:
    """The view with the sensor and the circles' radii marked, below its title and above its legend."""
    cv2.drawMarker(image, (SIZE // 2, SIZE // 2), (255, 255, 255), cv2.MARKER_CROSS, 12, 2)
    page = Image.new("RGB", (SIZE, SIZE + 2 * FONT_SIZE), GROUND_COLOR)
    page.paste(Image.fromarray(image), (0, 2 * FONT_SIZE))
    draw = ImageDraw.Draw(page)
    small_font = ImageFont.load_default(FONT_SIZE)
    title_font = ImageFont.load_default(FONT_SIZE + 4)
    draw.text((SIZE / 2, FONT_SIZE), title, fill="white", anchor="mm", font=title_font)
    for index, radius in enumerate(view.radii, start=1):
        position = (SIZE / 2, 2 * FONT_SIZE + SIZE / 2 + radius)
        text = f"{index * RING_SPACING:.0f} m"
        draw.text(position, text, fill="white", anchor="mm", font=small_font, stroke_width=3, stroke_fill=GROUND_COLOR)
    return np.concatenate([np.asarray(page), legend(entries, SIZE, LEGEND_COLUMNS, FONT_SIZE)])
