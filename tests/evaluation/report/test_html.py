"""The page of an evaluation: it says all that the record says, by itself, and always alike."""

import base64
import copy
import io
import json
import random
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from html import escape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image

import panrecon.evaluation.report.html
from panrecon.evaluation.protocols import PROTOCOLS
from panrecon.evaluation.report.html import SENTENCE_OF_PROTOCOL, UNDEFINED, Rgb, figure, report_page

SCHEMA = json.loads(Path(panrecon.evaluation.report.html.__file__).with_name("quality.schema.json").read_text())
THRESHOLD_OF_PROTOCOL = {"strict": 0.5, "panopticrecon@0.3": 0.3, "lidar": 0.5}
MEANS = [f"{name}{group}" for group in ("", "_things", "_stuff") for name in ("pq", "sq", "rq")]
EVIL = "<script>alert('&')</script>"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def class_table() -> list[dict[str, Any]]:
    names = {"wall": False, "chair": True, EVIL: True, "clutter": True}
    return [
        {"id": number, "name": name, "thing": thing, "evaluated": name != "clutter"}
        for number, (name, thing) in enumerate(names.items(), start=1)
    ]


def protocol(random: random.Random, threshold: float) -> dict[str, Any]:
    means: dict[str, float | None] = {key: random.random() for key in MEANS}
    quality = {"pq": random.random(), "sq": random.random(), "rq": random.random(), "iou_sum": 1.4}
    counts = {"true_positives": 2, "false_positives": 1, "false_negatives": 0}
    return {
        "threshold": threshold,
        "mean": means | {"rq_stuff": None},
        "interval": {key: sorted([random.random(), random.random()]) for key in MEANS} | {"rq_stuff": None},
        "matched_iou": random.random(),
        "pq_dagger": None,
        "script": None,
        "classes": {"wall": quality | counts, EVIL: quality | counts | {"pq": random.random()}},
    }


def total(random: random.Random) -> dict[str, Any]:
    found = labels(random)
    for scores in found["protocols"].values():
        scores["scene_mean"] = {key: random.random() for key in MEANS}
    return found


def labels(random: random.Random) -> dict[str, Any]:
    iou = {"wall": {"iou": 0.5, "accuracy": 0.6}, "chair": {"iou": random.random(), "accuracy": None}}
    absent = {"clutter": {"iou": None, "accuracy": None}}
    semantic = {"miou": random.random(), "macc": random.random(), "frame_miou": None, "frame_macc": None}
    protocols = {name: protocol(random, threshold) for name, threshold in THRESHOLD_OF_PROTOCOL.items()}
    return {"protocols": protocols, "semantic": semantic | {"classes": iou | absent}}


def scene_objects() -> list[dict[str, Any]]:
    keys = ("instance", "category", "area", "confidence", "frames", "outcome", "iou", "truth")
    rows = [
        (3, "chair", 812, 0.61, 12, "matched", 0.71, 5),
        (7, EVIL, 1404.5, 0.97, None, "false", None, None),
        (8, "chair", 90, None, 2, "excused", None, None),
        (None, "chair", 333, None, None, "missed", None, 6),
    ]
    return [dict(zip(keys, row, strict=True)) for row in rows]


def bare_scene(random: random.Random) -> dict[str, Any]:
    """A scene without anything that may be absent."""
    undefined: dict[str, Any] = dict.fromkeys(
        ("boundary", "geometry", "views", "calibration", "unknown", "uncovered", "frames", "true_frames")
    )
    empty = {
        "coverage": dict.fromkeys(("mean", "weighted", "precision", "recall")),
        "average_precision": {"ap": None, "ap50": None, "ap25": None, "classes": {}},
        "objects": [],
        "stages": [],
    }
    files = {
        "prediction": {"path": f"runs/{EVIL}.ply", "sha256": "0a" * 32},
        "ground_truth": {"path": "raw/room.ply", "sha256": "0b" * 32},
        "sources": [{"path": "classes.csv", "sha256": "0c" * 32}],
    }
    truth = {"total": 4000, "annotated": 3500, "evaluated": 3000, "void": 1000}
    return files | undefined | empty | labels(random) | {"truth": truth, "void": random.random()}


def full_scene(random: random.Random) -> dict[str, Any]:
    bins = [{"count": 0, "confidence": None, "right": None}, {"count": 4, "confidence": 0.8, "right": 0.75}]
    f_score = {"precision": 0.811, "recall": None, "f_score": 0.822}
    ap = {"ap": 0.25, "ap50": 1, "ap25": 1}
    distances = {"accuracy": 0.0123, "completeness": 0.0234, "chamfer": 0.01785, "normal_consistency": 0.913}
    return bare_scene(random) | {
        "unknown": {"predicted": 9, "false": 2, "ignored": 1, "left_out": 7, "found": 5},
        "uncovered": random.random(),
        "average_precision": {"ap": 0.31, "ap50": 0.52, "ap25": 0.63, "classes": {"chair": ap}},
        "steps": {"graph": labels(random), "field": labels(random)},
        "boundary": {"distance": 0.05, "classes": {}} | {key: random.random() for key in MEANS},
        "geometry": distances | {"thresholds": {"0.02": f_score}},
        "views": {"psnr": 23.456, "ssim": 0.8765, "depth_l1": 0.034, "frames": 20},
        "calibration": {"ece": 0.051, "bins": bins},
        "objects": scene_objects(),
        "stages": [
            {"stage": "mesh", "seconds": 12.34, "peak_memory": 671_000_000},
            {"stage": "field", "seconds": 111.0, "peak_memory": 1_630_000_000},
        ],
    }


@pytest.fixture
def record() -> dict[str, Any]:
    """Two scenes, one of which has all there can be; scores are drawn at random, so that they differ."""
    source = random.Random(0)
    return {
        "version": 2,
        "package": "0.1.0",
        "kind": "points",
        "unit": "vertices",
        "protocols": list(THRESHOLD_OF_PROTOCOL),
        "settings": {
            "radius": 0.05,
            "weight": "count",
            "min_points": 50,
            "scale": 1.0,
            "crop_top": 0,
            "visible_only": False,
            "seed": 0,
            "resamples": 1000,
            "level": 0.95,
        },
        "classes": class_table(),
        "scenes": {"room <b>1</b>": full_scene(source), "room2": bare_scene(source)},
        "total": total(source),
    }


@pytest.fixture
def pictures() -> dict[str, dict[str, Rgb]]:
    flat = np.full((30, 40, 3), (200, 30, 40), np.uint8)
    return {"room <b>1</b>": {"scan": photograph(), "errors": flat}}


def photograph() -> Rgb:
    return np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)


class Tags(HTMLParser):
    """The attributes of every tag of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, {name: value or "" for name, value in attrs}))

    def values(self, attribute: str) -> list[str]:
        return [attributes[attribute] for _, attributes in self.found if attribute in attributes]

    @property
    def protocols_shown(self) -> set[str]:
        parts = (part for _, part in self.found if "data-protocol" in part)
        return {part["data-protocol"] for part in parts if "hidden" not in part}


def label_sets(record: dict[str, Any]) -> list[dict[str, Any]]:
    return [*record["scenes"].values(), *([record["total"]] if record["total"] else [])]


def percents(record: dict[str, Any]) -> Iterator[str]:
    """All panoptic means and intervals of the record, as they are to be read."""
    steps = [step for scene in record["scenes"].values() for step in scene.get("steps", {}).values()]
    for scores in label_sets(record):
        for found in scores["protocols"].values():
            yield from (f"{100 * value:.1f}" for value in found["mean"].values() if value is not None)
            yield from (f"[{100 * ends[0]:.1f}, {100 * ends[1]:.1f}]" for ends in found["interval"].values() if ends)
    yield from (f"{100 * found['mean']['pq']:.1f}" for step in steps for found in step["protocols"].values())
    yield from (f"{100 * scores['semantic']['miou']:.1f}" for scores in label_sets(record))
    yield from (f"{100 * scene['void']:.1f}" for scene in record["scenes"].values())


def test_the_record_is_as_the_schema_says(record: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert [error.message for error in jsonschema.Draft202012Validator(SCHEMA).iter_errors(record)] == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["version"], 1),
        (["protocols"], []),
        (["surprise"], 0),
        (["settings", "level"], 95),
        (["classes", 0, "surprise"], 0),
        (["scenes", "room2", "void"], 1.5),
        (["scenes", "room2", "prediction", "sha256"], "0a"),
        (["scenes", "room2", "protocols", "strict", "mean", "pq"], 85.3),
        (["scenes", "room2", "protocols", "strict", "interval", "pq"], [0.1]),
        (["scenes", "room2", "protocols", "strict", "interval", "pq"], [0.1, 0.2, 0.3]),
        (["scenes", "room2", "protocols", "strict", "classes", "wall", "surprise"], 1),
        (["scenes", "room <b>1</b>", "objects", 0, "outcome"], "lost"),
        (["scenes", "room <b>1</b>", "objects", 0, "instance"], None),
        (["scenes", "room <b>1</b>", "objects", 3, "instance"], 4),
        (["total", "surprise"], 0),
    ],
)
def test_the_schema_refuses_what_is_wrong(record: dict[str, Any], path: list[str | int], value: Any) -> None:
    place: Any = record
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(record, SCHEMA)


def test_every_score_is_on_the_page(record: dict[str, Any]) -> None:
    text = re.sub(r"<[^>]*>", "\n", report_page("Rooms", record, {}))
    missing = [number for number in percents(record) if number not in text]
    assert not missing
    measured = ("1.23 cm", "2.34 cm", "23.46 dB", "0.876", "82.2", "12.3 s", "1 min 51 s", "671 MB", "1.63 GB", "1,404")
    assert [number for number in measured if number not in text] == []


def test_every_class_with_a_score_has_a_row_by_every_protocol(record: dict[str, Any]) -> None:
    rows = Counter(Tags(report_page("Rooms", record, {})).values("data-class"))
    scored = ("wall", "chair", EVIL)
    assert rows == dict.fromkeys(scored, len(label_sets(record)) * len(THRESHOLD_OF_PROTOCOL))


def test_every_class_of_the_table_is_named(record: dict[str, Any]) -> None:
    page = report_page("Rooms", record, {})
    assert all(escape(row["name"], quote=False).replace("'", "&#39;") in page for row in record["classes"])


def test_every_object_has_a_row(record: dict[str, Any]) -> None:
    tags = Tags(report_page("Rooms", record, {}))
    rows = [attributes["class"] for _, attributes in tags.found if "data-object" in attributes]
    assert rows == [found["outcome"] for scene in record["scenes"].values() for found in scene["objects"]]


def test_every_scene_is_linked_from_the_overview(record: dict[str, Any]) -> None:
    tags = Tags(report_page("Rooms", record, {}))
    assert set(tags.values("data-scene")) == set(record["scenes"])
    assert set(tags.values("href")) <= {f"#{name}" for name in tags.values("id")}


def test_one_scene_by_one_protocol_needs_no_overview_and_no_switch(record: dict[str, Any]) -> None:
    alone = record | {"scenes": {"room2": record["scenes"]["room2"]}, "total": None, "protocols": ["strict"]}
    tags = Tags(report_page("Room", alone, {}))
    assert not tags.values("data-scene")
    assert "select" not in {tag for tag, _ in tags.found}


def test_only_the_headline_protocol_shows_at_first(record: dict[str, Any]) -> None:
    assert Tags(report_page("Rooms", record, {})).protocols_shown == {"strict"}


def test_what_is_undefined_is_a_dash(record: dict[str, Any]) -> None:
    for scores in label_sets(record):
        for found in scores["protocols"].values():
            found["mean"] = found["interval"] = dict.fromkeys(MEANS)
        scores["semantic"] |= {"miou": None, "macc": None}
    record["scenes"]["room2"]["truth"] = dict.fromkeys(("total", "annotated", "evaluated", "void"), 0)
    record["scenes"]["room2"]["void"] = None
    jsonschema.validate(record, SCHEMA)
    page = report_page("Rooms", record, {})
    assert UNDEFINED in page
    assert not re.search(r"\b(None|nan|inf)\b", page)


def test_frames_are_said_to_be_frames(record: dict[str, Any]) -> None:
    for scene in record["scenes"].values():
        scene["frames"], scene["true_frames"] = 17, 18
        scene["semantic"] |= {"frame_miou": 0.4567, "frame_macc": 0.5678}
    record |= {"kind": "frames", "unit": "pixels"}
    record["settings"] |= {"radius": None}
    jsonschema.validate(record, SCHEMA)
    page = report_page("Rooms", record, {})
    assert all(text in page for text in ("4,000 pixels in 17 of 18 frames", "45.7", "56.8"))


def test_areas_are_square_metres_where_points_count_by_area(record: dict[str, Any]) -> None:
    record["settings"]["weight"] = "area"
    record["scenes"]["room <b>1</b>"]["objects"][0]["area"] = 0.4321
    page = report_page("Rooms", record, {})
    assert all(f">{text}</t" in page for text in ("0.432", "m²"))


def test_names_from_files_are_never_markup(record: dict[str, Any]) -> None:
    page = report_page("<h1>Rooms", record, {})
    assert page.count("<script") == 1
    assert "room <b>" not in page
    assert "<h1><h1>" not in page


def test_the_page_asks_the_network_for_nothing(record: dict[str, Any], pictures: dict[str, dict[str, Rgb]]) -> None:
    page = report_page("Rooms", record, pictures)
    tags = Tags(page)
    assert all(source.startswith("data:image/") for source in tags.values("src"))
    assert not {"link", "iframe", "object", "embed", "base"} & {tag for tag, _ in tags.found}
    assert not any(text in page.lower() for text in ("://", "@import", "url(", 'src="//', 'href="//'))


def test_the_same_record_gives_the_same_bytes(record: dict[str, Any], pictures: dict[str, dict[str, Rgb]]) -> None:
    before = copy.deepcopy(record)
    assert report_page("Rooms", record, pictures) == report_page("Rooms", before, pictures)
    assert record == before


def test_pictures_are_shown_in_order_and_errors_explained(
    record: dict[str, Any], pictures: dict[str, dict[str, Rgb]]
) -> None:
    tags = Tags(report_page("Rooms", record, pictures))
    shown = [(found["alt"], found["width"], found["height"]) for tag, found in tags.found if found.get("alt")]
    assert shown == [("scan", "80", "60"), ("errors", "40", "30")]
    assert "legend" in tags.values("class")
    del pictures["room <b>1</b>"]["errors"]
    assert "legend" not in Tags(report_page("Rooms", record, pictures)).values("class")


def test_a_flat_picture_stays_exact_and_a_photograph_light() -> None:
    flat = np.zeros((50, 70, 3), np.uint8)
    flat[10:20, 30:] = (225, 70, 60)
    kind, data = figure("truth", flat).uri.split(";base64,")
    assert kind == "data:image/png"
    assert_array_equal(np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))), flat)
    assert figure("scan", photograph()).uri.startswith("data:image/jpeg")


def test_every_protocol_is_explained() -> None:
    assert set(SENTENCE_OF_PROTOCOL) == set(PROTOCOLS)


def chromium(page: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Opens a page without a display, with no host to be found."""
    assert CHROMIUM is not None
    command = [CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--host-resolver-rules=MAP * ~NOTFOUND"]
    logging = ["--enable-logging=stderr", "--v=0", f"--user-data-dir={page.parent / 'profile'}"]
    return subprocess.run(
        [*command, *logging, *options, page.as_uri()], check=True, capture_output=True, text=True, timeout=120
    )


def after(page: str, script: str, folder: Path) -> Tags:
    """The page as a browser has it once a script of the test's own has run too."""
    path = folder / "report.html"
    path.write_text(page.replace("</body>", f"<script>{script}</script></body>"), encoding="utf-8")
    seen = chromium(path, "--dump-dom")
    assert not re.search("Uncaught|Refused|violates", seen.stderr)
    return Tags(seen.stdout)


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
@pytest.mark.parametrize(
    ("clicks", "order", "direction"),
    [
        (["confidence"], "1023", "descending"),  # what is undefined comes last
        (["confidence", "vertices", "vertices"], "2301", "ascending"),
        (["outcome"], "2103", "ascending"),
    ],
)
def test_a_click_sorts_a_table(
    record: dict[str, Any], clicks: list[str], order: str, direction: str, tmp_path: Path
) -> None:
    click = "[...document.querySelectorAll('.objects th')].find(cell => cell.textContent === '{}').click();"
    tags = after(report_page("Rooms", record, {}), "".join(click.format(column) for column in clicks), tmp_path)
    assert "".join(tags.values("data-object")) == order
    assert tags.values("aria-sort") == [direction]


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_another_protocol_takes_the_place_of_the_headline(record: dict[str, Any], tmp_path: Path) -> None:
    choose = "const choice = document.querySelector('select'); choice.value = 'lidar';"
    script = choose + "choice.dispatchEvent(new Event('change'));"
    tags = after(report_page("Rooms", record, {}), script, tmp_path)
    assert tags.values("data-ready") == ["yes"]
    assert tags.protocols_shown == {"lidar"}


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_a_click_enlarges_a_picture(
    record: dict[str, Any], pictures: dict[str, dict[str, Rgb]], tmp_path: Path
) -> None:
    click = "document.querySelectorAll('.gallery button')[1].click();"
    tags = after(report_page("Rooms", record, pictures), click, tmp_path)
    place = next(place for place, (tag, found) in enumerate(tags.found) if tag == "dialog" and "open" in found)
    assert tags.found[place + 1][1]["alt"] == "errors"


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_a_browser_paints_it_without_complaint(
    record: dict[str, Any], pictures: dict[str, dict[str, Rgb]], tmp_path: Path
) -> None:
    page = tmp_path / "report.html"
    page.write_text(report_page("Rooms", record, pictures), encoding="utf-8")
    seen = chromium(page, "--window-size=1280,2400", f"--screenshot={tmp_path / 'page.png'}")
    assert not re.search("Uncaught|Refused|violates", seen.stderr)
    with Image.open(tmp_path / "page.png") as shot:
        assert shot.size == (1280, 2400)
        assert len(np.unique(np.asarray(shot.convert("L")))) > 50, "ink, bars and pictures"
