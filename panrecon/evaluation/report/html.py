"""An evaluation as one HTML page: opens from disk, asks the network for nothing, same bytes for the same record."""

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
from panrecon.visualization import error_colors

Number = int | float
Picture = UInt8[np.ndarray, "_ _ 3"]  # RGB, each of its own size
ERRORS: Final = "errors"  # a picture whose caption ends so is painted by `error_colors`; it gets their legend
JPEG_QUALITY: Final = 88
UNDEFINED: Final = "\N{EN DASH}"
MEANINGS: Final = {
    "strict": "Segments of one class match one to one above IoU {threshold:g}; what the prediction leaves void is "
    "missed (Kirillov et al., CVPR 2019).",
    "panopticrecon": "After a remapping of both sides' ids every pair of one class above IoU {threshold:g} is a match, "
    "not one to one; evaluated classes that do not occur count as 0 "
    "(PanopticRecon, Yu et al., IROS 2024, released script).",
    "pvlff": "After a remapping of both sides' ids every pair of one class above IoU {threshold:g} is a match, not one "
    "to one; mean over classes that occur (PVLFF, Chen et al., RA-L 2024).",
    "panoptic_lifting": "Matches above IoU {threshold:g}; what the prediction leaves void is excused, and classes "
    "below 0.5 % of either side are dropped (Panoptic Lifting, Siddiqui et al., CVPR 2023, its function, void apart).",
    "panogs": "Greedy matches above IoU {threshold:g}; ids on stuff count, and predictions on void truth are not "
    "excused (PanoGS, Zhai et al., CVPR 2025, its script with statistics per class).",
    "lidar": "Matches above IoU {threshold:g} scan by scan; segments of fewer than {min_points} points are neither "
    "false nor missed (SemanticKITTI, Behley et al., ICRA 2021).",
}


@dataclass(frozen=True)
class Figure:
    """A picture as the page holds it; `uri` is the whole file."""

    caption: str
    uri: str
    width: int
    height: int

    @property
    def shows_errors(self) -> bool:
        return self.caption.endswith(ERRORS)


def report_page(title: str, record: Mapping[str, Any], pictures: Mapping[str, Mapping[str, Picture]]) -> str:
    """The text of `report.html` for a record that quality.schema.json describes.

    `pictures` holds RGB pictures by scene and caption, shown in this order; scenes may have none.
    """
    figures = {
        scene: [figure(caption, picture) for caption, picture in pictures.get(scene, {}).items()]
        for scene in record["scenes"]
    }
    anchors = {scene: f"scene-{number}" for number, scene in enumerate(record["scenes"], start=1)}
    template = _environment().get_template("page.html.jinja")
    page = template.render(title=title, record=record, figures=figures, anchors=anchors, legend=error_legend())
    return page.strip() + "\n"


def figure(caption: str, picture: Picture) -> Figure:
    """The picture as PNG or JPEG, whichever is smaller: flat pictures stay exact, photographs stay light."""
    image = Image.fromarray(picture)
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
    """CSS colour and meaning of everything that `error_colors` paints."""
    said = Labels(np.array([0, 0, VOID, 0]), np.full(4, VOID))
    colors = error_colors(np.array([True, False, False, False]), np.array([True, True, True, False]), said)
    texts = ("class and object right", "wrong", "left void", "not scored")
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
    """One sentence on the rule that a protocol's name stands for."""
    return MEANINGS[protocol.partition("@")[0]].format(threshold=threshold, min_points=min_points)


def class_rows(classes: Sequence[Mapping[str, Any]], scores: Mapping[str, Any], protocol: str) -> list[dict[str, Any]]:
    """The classes that have any score, each with all its scores by this protocol."""
    quality = scores["protocols"][protocol]["classes"]
    semantic = scores["semantic"]["classes"]
    average_precision = scores.get("average_precision", {"classes": {}})["classes"]
    tables = (quality, semantic, average_precision)
    found = [{key: value for table in tables for key, value in table.get(row["name"], {}).items()} for row in classes]
    return [
        {**row, **values}
        for row, values in zip(classes, found, strict=True)
        if any(value is not None for value in values.values())
    ]


def unscored(classes: Sequence[Mapping[str, Any]], rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Names of the classes that have no row."""
    shown = {row["name"] for row in rows}
    return [row["name"] for row in classes if row["name"] not in shown]


def percent(ratio: Number | None) -> str:
    return UNDEFINED if ratio is None else f"{100 * ratio:.1f}"


def interval(ends: Sequence[Number] | None) -> str:
    """Both ends in per cent, in brackets; nothing where there is no interval."""
    return "" if ends is None else f"[{', '.join(percent(end) for end in ends)}]"


def decimal(value: Number | None, digits: int) -> str:
    return UNDEFINED if value is None else f"{value:.{digits}f}"


def distance(metres: Number | None) -> str:
    """In centimetres below a metre."""
    if metres is None:
        return UNDEFINED
    return f"{100 * metres:.3g} cm" if metres < 1 else f"{metres:.3g} m"


def duration(seconds: Number) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def memory(size: int) -> str:
    """Bytes in decimal mega- or gigabytes."""
    return f"{size / 1e9:.2f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"


def grouped(count: Number | None) -> str:
    """A whole number, its thousands set apart."""
    return UNDEFINED if count is None else f"{count:,.0f}"
