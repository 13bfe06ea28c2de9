"""An evaluation as one HTML page: opens from disk, loads nothing from the network, same bytes for the same record."""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import numpy as np
from jaxtyping import UInt8
from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image

from panrecon.structures import VOID, Labels
from panrecon.threads import parallel_map
from panrecon.visualization import error_colors

Number = int | float
Rgb = UInt8[np.ndarray, "_ _ 3"]  # each of its own size
ERRORS: Final = "errors"  # an image whose caption ends so is coloured by `error_colors`; it gets their legend
JPEG_QUALITY: Final = 88
UNDEFINED: Final = "\N{EN DASH}"
SENTENCE_OF_PROTOCOL: Final = {
    "strict": "Segments of one class match one to one above IoU {threshold:g}; truth whose prediction is "
    "void is missed (Kirillov et al., CVPR 2019).",
    "panopticrecon": "After a remapping of both sides' ids every pair of one class above IoU {threshold:g} is a match, "
    "not one to one; evaluated classes that do not occur count as 0 "
    "(PanopticRecon, Yu et al., IROS 2024, released script).",
    "pvlff": "After a remapping of both sides' ids every pair of one class above IoU {threshold:g} is a match, not one "
    "to one; mean over classes that occur (PVLFF, Chen et al., RA-L 2024).",
    "panoptic_lifting": "Matches above IoU {threshold:g}; truth whose prediction is void is ignored, and "
    "classes below 0.5 % of either side are dropped (Panoptic Lifting, Siddiqui et al., CVPR 2023, its function, void "
    "apart).",
    "panogs": "Greedy matches above IoU {threshold:g}; ids on stuff count, and predictions on void truth are not "
    "ignored (PanoGS, Zhai et al., CVPR 2025, its script with statistics per class).",
    "lidar": "Matches above IoU {threshold:g} scan by scan; segments of fewer than {min_points} points are neither "
    "false nor missed (SemanticKITTI, Behley et al., ICRA 2021).",
}


@dataclass(frozen=True)
class Figure:
    """An image as the page holds it; `uri` is the whole file as a data URI, width and height are pixels."""

    caption: str
    uri: str
    width: int
    height: int

    @property
    def shows_errors(self) -> bool:
        """Whether its colours are those of `error_colors`."""
        return self.caption.endswith(ERRORS)


def report_page(title: str, record: Mapping[str, Any], images: Mapping[str, Mapping[str, Rgb]]) -> str:
    """The text of `report.html` for a record that quality.schema.json describes.

    `images` by scene and caption are shown in this order; scenes may have none.
    """
    figures = {
        scene: list(parallel_map(lambda captioned: figure(*captioned), images.get(scene, {}).items()))
        for scene in record["scenes"]
    }
    anchors = {scene: f"scene-{index}" for index, scene in enumerate(record["scenes"], start=1)}
    template = _environment().get_template("page.html.jinja")
    page = template.render(title=title, record=record, figures=figures, anchors=anchors, legend=error_legend())
    return page.strip() + "\n"


def figure(caption: str, rgb: Rgb) -> Figure:
    """The image as PNG or JPEG, whichever is smaller: flat colours stay exact, photographs stay small."""
    image = Image.fromarray(rgb)
    kinds: dict[str, dict[str, Any]] = {
        "png": {"optimize": True},
        "jpeg": {"quality": JPEG_QUALITY, "optimize": True, "subsampling": 0},
    }
    files = {kind: _encoded(image, kind, options) for kind, options in kinds.items()}
    kind = min(files, key=lambda name: len(files[name]))
    return Figure(caption, f"data:image/{kind};base64,{base64.b64encode(files[kind]).decode()}", *image.size)


def _encoded(image: Image.Image, kind: str, options: Mapping[str, Any]) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def error_legend() -> list[tuple[str, str]]:
    """CSS colour and meaning of every colour of `error_colors`."""
    prediction = Labels(np.array([0, 0, VOID, 0]), np.full(4, VOID))
    colors = error_colors(np.array([True, False, False, False]), np.array([True, True, True, False]), prediction)
    texts = ("class and object correct", "wrong", "predicted void", "not scored")
    return [("#" + bytes(color).hex(), text) for color, text in zip(colors, texts, strict=True)]


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("panrecon", "evaluation/report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": percent,
        "interval": interval,
        "decimal": decimal,
        "distance": distance,
        "duration": duration,
        "memory": memory,
        "grouped": grouped,
    }
    environment.globals |= {"class_rows": class_rows, "unscored": unscored, "meaning": meaning}
    return environment


def meaning(protocol: str, threshold: Number, min_points: int) -> str:
    """One sentence on the rule that a protocol's name stands for, with its numbers."""
    return SENTENCE_OF_PROTOCOL[protocol.partition("@")[0]].format(threshold=threshold, min_points=min_points)


def class_rows(classes: Sequence[Mapping[str, Any]], scores: Mapping[str, Any], protocol: str) -> list[dict[str, Any]]:
    """The classes that have any score, each with all its scores by this protocol."""
    quality = scores["protocols"][protocol]["classes"]
    semantic = scores["semantic"]["classes"]
    average_precision = scores.get("average_precision", {"classes": {}})["classes"]
    tables = (quality, semantic, average_precision)
    rows = []
    for category in classes:
        values = {key: value for table in tables for key, value in table.get(category["name"], {}).items()}
        if any(value is not None for value in values.values()):
            rows.append({**category, **values})
    return rows


def unscored(classes: Sequence[Mapping[str, Any]], rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Names of the classes that have no row."""
    scored = {row["name"] for row in rows}
    return [category["name"] for category in classes if category["name"] not in scored]


def percent(ratio: Number | None) -> str:
    """A ratio in per cent with one decimal; a dash where undefined."""
    return UNDEFINED if ratio is None else f"{100 * ratio:.1f}"


def interval(ends: Sequence[Number] | None) -> str:
    """Both ends in per cent, in brackets; nothing where there is no interval."""
    return "" if ends is None else f"[{', '.join(percent(end) for end in ends)}]"


def decimal(value: Number | None, digits: int) -> str:
    """A number with so many decimals; a dash where undefined."""
    return UNDEFINED if value is None else f"{value:.{digits}f}"


def distance(metres: Number | None) -> str:
    """A length in centimetres below a metre, else in metres; a dash where undefined."""
    if metres is None:
        return UNDEFINED
    return f"{100 * metres:.3g} cm" if metres < 1 else f"{metres:.3g} m"


def duration(seconds: Number) -> str:
    """A time in seconds, minutes and seconds, or hours and minutes."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, remaining = divmod(round(seconds), 60)
    return f"{minutes} min {remaining} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def memory(size: int) -> str:
    """A number of bytes in decimal mega- or gigabytes."""
    return f"{size / 1e9:.2f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"


def grouped(count: Number | None) -> str:
    """A whole number with separators of thousands; a dash where undefined."""
    return UNDEFINED if count is None else f"{count:,.0f}"
