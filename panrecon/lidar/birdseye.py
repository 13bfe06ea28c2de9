"""Pictures of labelled LiDAR scans, seen from above: classes, objects, and where a prediction is wrong."""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from PIL import Image, ImageDraw, ImageFont

from panrecon.evaluation.lidar import PointOutcome
from panrecon.lidar.voxels import REACH
from panrecon.structures import VOID, CategoryTable, Labels
from panrecon.visualization import BACKGROUND, ResizedImage, RgbImage, legend, palette

SIZE: Final = 720  # pixels of a picture each way
RING: Final = 10.0  # m between two circles around the sensor
SHOWN: Final = 99.0  # percent of the points lie within the last circle
MARGIN: Final = 1.04  # from the last circle to the border of the picture
LETTERS: Final = 14  # pixels
COLUMNS: Final = 3  # of a legend
NIGHT: Final = (24, 24, 24)  # the ground, from which objects stand out
GREY: Final = (120, 120, 120)  # what has no label
LINES: Final = (75, 75, 75)
MUTED: Final = 0.7  # of a class's colour is left to stuff
SHADES: Final = (1.0, 0.7, 0.85, 0.55)  # of the objects of a class, in turn
FRAME: Final = 4.0  # pixels between an object's points and its frame
GAP: Final = 8  # pixels at either side of a panel
MEANING: Final = {
    PointOutcome.UNSCORED: (GREY, "not scored"),
    PointOutcome.CORRECT: ((62, 92, 70), "right"),
    PointOutcome.FALSE: ((255, 50, 50), "false class or object"),
    PointOutcome.MISSED: ((255, 170, 0), "missed"),
}

Color = UInt8[np.ndarray, "3"]
Colors = UInt8[np.ndarray, "n 3"]
Entries = list[tuple[Color, str]]


@dataclass(frozen=True)
class View:
    """A square around the sensor, x to the right and y upwards: its circles, and every point's pixel (column, row)."""

    circles: int
    pixel: Float[np.ndarray, "n 2"]

    @property
    def radii(self) -> list[float]:
        """Of the circles, pixels."""
        return [number / self.circles * SIZE / 2 / MARGIN for number in range(1, self.circles + 1)]


def labelled_picture(
    points: Float[np.ndarray, "n 4"], labels: Labels, table: CategoryTable, is_base: Bool[np.ndarray, " C"]
) -> ResizedImage:
    """A scan from above: points in the colours of their classes, every object framed and in a shade of its own.

    Circles are 10 m apart, the sensor in their middle; the legend tells classes that were only named to training.
    """
    return _labelled_panel("prediction", view_of(points), labels, table, is_base)


def judged_picture(
    points: Float[np.ndarray, "n 4"],
    truth: Labels,
    prediction: Labels,
    verdict: Int[np.ndarray, " n"],
    table: CategoryTable,
    is_base: Bool[np.ndarray, " C"],
) -> ResizedImage:
    """Truth and prediction, drawn alike, and a `PointOutcome` on every point, what is right dark; side by side."""
    view = view_of(points)
    panels = [
        _labelled_panel("truth", view, truth, table, is_base),
        _labelled_panel("prediction", view, prediction, table, is_base),
        _error_panel(view, truth, prediction, verdict, table),
    ]
    row = np.full((max(map(len, panels)), len(panels), SIZE + 2 * GAP, 3), BACKGROUND, np.uint8)
    for number, panel in enumerate(panels):
        row[: len(panel), number, GAP:-GAP] = panel
    return row.reshape(len(row), -1, 3)


def view_of(points: Float[np.ndarray, "n 4"]) -> View:
    """The view of nearly all points, at most as far as the network sees."""
    far = np.percentile(np.hypot(points[:, 0], points[:, 1]), SHOWN) if len(points) else 0.0
    circles = int(np.clip(np.ceil(far / RING), 1, REACH / RING))
    pixels_per_metre = SIZE / 2 / MARGIN / (circles * RING)
    return View(circles, SIZE / 2 + points[:, :2].astype(np.float64) * (pixels_per_metre, -pixels_per_metre))


def class_colors(table: CategoryTable) -> Colors:
    """Of every class, things bright and stuff muted; the last row, which `VOID` reads, is grey."""
    colors = palette(len(table), seed=3)
    colors[:-1][~table.is_thing] = MUTED * colors[:-1][~table.is_thing] + (1 - MUTED) * np.array(NIGHT)
    colors[VOID] = GREY
    return colors


def point_colors(labels: Labels, table: CategoryTable) -> Colors:
    """Its class's colour, of an object a shade of it."""
    colors, is_object = class_colors(table)[labels.category], _is_object(labels, table)
    _, number = np.unique(labels.instance[is_object], return_inverse=True)
    shade = np.array(SHADES)[number.reshape(-1) % len(SHADES)]
    colors[is_object] = colors[is_object] * shade[:, None]
    return colors


def _labelled_panel(
    title: str, view: View, labels: Labels, table: CategoryTable, is_base: Bool[np.ndarray, " C"]
) -> ResizedImage:
    height = (labels.category != VOID) + np.append(table.is_thing, False)[labels.category].astype(np.int64)
    picture, colors = _painted(view, point_colors(labels, table), height), class_colors(table)
    for row, mine in _objects(labels, table):
        _frame(picture, view.pixel[mine], colors[row])
    return _with_title_and_legend(title, view, picture, _class_entries(labels, table, is_base))


def _error_panel(
    view: View, truth: Labels, prediction: Labels, verdict: Int[np.ndarray, " n"], table: CategoryTable
) -> ResizedImage:
    """Objects without any right point are framed too."""
    colors = np.array([MEANING[kind][0] for kind in PointOutcome], np.uint8)
    picture = _painted(view, colors[verdict], verdict)
    for labels, wrong in ((truth, PointOutcome.MISSED), (prediction, PointOutcome.FALSE)):
        for _, mine in _objects(labels, table):
            if wrong in verdict[mine] and PointOutcome.CORRECT not in verdict[mine]:
                _frame(picture, view.pixel[mine], colors[wrong])
    share = 100 * np.bincount(verdict, minlength=len(PointOutcome)) / max(len(verdict), 1)
    entries = [(colors[kind], f"{MEANING[kind][1]}: {share[kind]:.1f} %") for kind in PointOutcome]
    return _with_title_and_legend("errors", view, picture, entries)


def _is_object(labels: Labels, table: CategoryTable) -> Bool[np.ndarray, " n"]:
    return np.append(table.is_thing, False)[labels.category] & (labels.instance != VOID)


def _objects(labels: Labels, table: CategoryTable) -> list[tuple[int, Int[np.ndarray, " k"]]]:
    """Class and points of every object."""
    point = np.flatnonzero(_is_object(labels, table))
    pairs = np.stack([labels.category[point], labels.instance[point]], axis=1)
    found, object_of_point = np.unique(pairs, axis=0, return_inverse=True)
    return [(int(row), point[object_of_point.reshape(-1) == number]) for number, (row, _) in enumerate(found)]


def _painted(view: View, colors: Colors, order: Int[np.ndarray, " n"]) -> RgbImage:
    """Circles, and every point as a square of 3 pixels; the last of the order lie on top."""
    picture = np.full((SIZE, SIZE, 3), NIGHT, np.uint8)
    for radius in view.radii:
        cv2.circle(picture, (SIZE // 2, SIZE // 2), round(radius), LINES, 1, cv2.LINE_AA)
    column, row = np.rint(view.pixel).astype(np.int64).T
    seen = np.flatnonzero((np.minimum(column, row) >= 1) & (np.maximum(column, row) < SIZE - 1))
    seen = seen[np.argsort(order[seen], kind="stable")]
    for down, right in np.ndindex(3, 3):
        picture[row[seen] + down - 1, column[seen] + right - 1] = colors[seen]
    return picture


def _frame(picture: RgbImage, pixel: Float[np.ndarray, "k 2"], color: Color) -> None:
    """Draws the smallest rectangle that holds the pixels, and a little more."""
    center, size, angle = cv2.minAreaRect(pixel.astype(np.float32))
    corners = cv2.boxPoints((center, (size[0] + 2 * FRAME, size[1] + 2 * FRAME), angle))
    cv2.polylines(picture, [np.rint(corners).astype(np.int32)], True, color.tolist(), 1, cv2.LINE_AA)


def _class_entries(labels: Labels, table: CategoryTable, is_base: Bool[np.ndarray, " C"]) -> Entries:
    """The classes that occur, and of things how many objects."""
    counts = np.bincount([row for row, _ in _objects(labels, table)], minlength=len(table))
    colors, entries = class_colors(table), list[tuple[Color, str]]()
    for row in np.unique(labels.category[labels.category != VOID]):
        novel, number = "" if is_base[row] else " (novel)", f" x{counts[row]}" if table[row].thing else ""
        entries.append((colors[row], table[row].name + novel + number))
    return [*entries, (colors[VOID], "no label")] if (labels.category == VOID).any() else entries


def _with_title_and_legend(title: str, view: View, picture: RgbImage, entries: Entries) -> ResizedImage:
    """The picture with the sensor and the circles' radii marked, below its title and above its legend."""
    cv2.drawMarker(picture, (SIZE // 2, SIZE // 2), (255, 255, 255), cv2.MARKER_CROSS, 12, 2)
    page = Image.new("RGB", (SIZE, SIZE + 2 * LETTERS), NIGHT)
    page.paste(Image.fromarray(picture), (0, 2 * LETTERS))
    draw, small, large = ImageDraw.Draw(page), *map(ImageFont.load_default, (LETTERS, LETTERS + 4))
    draw.text((SIZE / 2, LETTERS), title, fill="white", anchor="mm", font=large)
    for number, radius in enumerate(view.radii, start=1):
        place, text = (SIZE / 2, 2 * LETTERS + SIZE / 2 + radius), f"{number * RING:.0f} m"
        draw.text(place, text, fill="white", anchor="mm", font=small, stroke_width=3, stroke_fill=NIGHT)
    return np.concatenate([np.asarray(page), legend(entries, SIZE, COLUMNS, LETTERS)])
