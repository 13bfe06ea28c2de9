"""`panrecon evaluate`: any panoptic PLY or label images against any truth, by every paper's rule."""

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from panrecon.errors import InputError
from panrecon.stage import console, exit_on_input_error, track

if TYPE_CHECKING:
    from panrecon.datasets.ground_truth import Coverage
    from panrecon.evaluation.images import Crop
    from panrecon.evaluation.record import Evidence
    from panrecon.evaluation.scene import Judged, Terms
    from panrecon.io.labels import LabelFrames
    from panrecon.structures import Labels

Predictions = Annotated[
    list[Path],
    typer.Option(
        "--prediction",
        "-p",
        help="labelled PLY, or folder of semantic/ and instance/ images; repeat it for more scenes",
    ),
]
GroundTruths = Annotated[
    list[Path],
    typer.Option(
        "--ground-truth",
        "-g",
        help="ScanNet scan folder, KITTI-360, labelled PLY or folder of label images; one for each prediction",
    ),
]
Classes = Annotated[
    list[str],
    typer.Option("--classes", "-c", help="class table: a CSV, or one of data/categories by name; one, or one a scene"),
]
Protocols = Annotated[
    list[str], typer.Option("--protocol", help="name or name@threshold; repeat it for more, the first is the headline")
]
Names = Annotated[list[str], typer.Option("--name", help="of each scene; default: its ground truth's")]
Json = Annotated[Path | None, typer.Option("--json", help="write the record here")]
Html = Annotated[Path | None, typer.Option("--html", help="write the report with its pictures here")]
Markdown = Annotated[Path | None, typer.Option("--markdown", help="write the tables here")]
Radius = Annotated[
    float | None,
    typer.Option(help="a true vertex takes the nearest predicted label within this, m; default 0.05, KITTI-360 0.2"),
]
ByArea = Annotated[bool, typer.Option("--by-area", help="a true vertex counts its area instead of 1")]
MinPoints = Annotated[int, typer.Option(min=1, help="lidar: smaller segments are neither false nor missed")]
MapFile = Annotated[
    Path | None, typer.Option("--label-map", help="scannetv2-labels.combined.tsv, if not with the scan")
]
Objects = Annotated[list[Path], typer.Option(help="objects.json with confidences; default: the one beside the PLY")]
VisibleOnly = Annotated[bool, typer.Option("--visible-only", help="KITTI-360 in 3D: leave out what no camera saw")]
Scale = Annotated[float, typer.Option(min=0.01, max=1.0, help="images of both sides are resized by this")]
CropTop = Annotated[int, typer.Option(min=0, help="rows then cut off above (KITTI-360 in PanopticRecon: 0.5 and 126)")]
Resamples = Annotated[int, typer.Option(min=1, help="bootstrap resamples behind the intervals")]
Seed = Annotated[int, typer.Option(min=0, help="of the intervals and of the points sampled on surfaces")]

INDOORS, OUTDOORS = 0.05, 0.2  # m: how far a true vertex may be from the predicted one that labels it


@dataclass(frozen=True)
class Files:
    """What belongs to one scene on disk; `label_map` and `objects` may be missing."""

    name: str
    prediction: Path
    ground_truth: Path
    classes: str
    label_map: Path | None
    objects: Path | None
    visible_only: bool

    @property
    def is_mesh(self) -> bool:
        return self.prediction.suffix.lower() == ".ply"


def evaluate(
    prediction: Predictions,
    ground_truth: GroundTruths,
    classes: Classes = ["scannet20"],  # noqa: B006
    protocol: Protocols = ["strict"],  # noqa: B006  typer needs a list
    name: Names = [],  # noqa: B006
    json_file: Json = None,
    html_file: Html = None,
    markdown_file: Markdown = None,
    radius: Radius = None,
    by_area: ByArea = False,
    min_points: MinPoints = 50,
    label_map: MapFile = None,
    objects: Objects = [],  # noqa: B006
    visible_only: VisibleOnly = False,
    scale: Scale = 1.0,
    crop_top: CropTop = 0,
    resamples: Resamples = 1000,
    seed: Seed = 0,
) -> None:
    """Scores labels against a truth: panoptic quality by any paper's protocol, and all that belongs to it.

    Reads the files of any program, needs no run, and writes only what --json, --html and --markdown name.
    Exit code 2: the input is wrong, in one sentence.
    """
    from panrecon.datasets.ground_truth import is_outdoors
    from panrecon.evaluation.images import Crop
    from panrecon.evaluation.protocols import protocol as named
    from panrecon.evaluation.record import Resampling
    from panrecon.evaluation.report import quality_tables
    from panrecon.evaluation.scene import Terms, whole_record
    from panrecon.io.categories import find_table, read_categories

    with exit_on_input_error():
        scenes = _scenes(prediction, ground_truth, classes, name, objects, label_map, visible_only)
        if radius is not None and not 0 < radius < math.inf:
            raise InputError(f"The radius is {radius} m; it must be positive (0.05 suits rooms, 0.2 streets).")
        protocols = tuple(dict.fromkeys(named(text, min_points) for text in protocol))
        crop, judged = Crop(scale, crop_top), {}
        for files in scenes:
            table = read_categories(find_table(files.classes))
            reach = radius or (OUTDOORS if is_outdoors(files.ground_truth) else INDOORS)
            terms = Terms(table, protocols, reach, by_area, Resampling(resamples, seed=seed))
            judged[files.name] = _judge(files, terms, crop)
        record = whole_record(judged, terms, is_mesh=scenes[0].is_mesh)
        tables = quality_tables(record)
        print(tables)
        _write(record, tables, judged, {"json": json_file, "html": html_file, "markdown": markdown_file})


def _scenes(
    predictions: Sequence[Path],
    ground_truths: Sequence[Path],
    classes: Sequence[str],
    names: Sequence[str],
    objects: Sequence[Path],
    label_map: Path | None,
    visible_only: bool,
) -> list[Files]:
    """The files of every scene, each under a name of its own."""
    given_once = {"names": names, "objects files": objects, "class tables": [] if len(classes) == 1 else classes}
    for what, given in {"ground truths": ground_truths, **given_once}.items():
        if len(given) != len(predictions) and (given or what == "ground truths"):
            raise InputError(f"There are {len(predictions)} predictions and {len(given)} {what}; give one for each.")
    for path in predictions:
        if not (path.is_dir() or (path.is_file() and path.suffix.lower() == ".ply")):
            raise InputError(f"The prediction {path} is no labelled PLY and no folder of label images.")
    if len({path.is_dir() for path in predictions}) > 1:
        raise InputError("Some predictions are PLYs and some are folders of images; score meshes and images apart.")
    called = list(names) or [path.absolute().stem for path in ground_truths]
    if len(set(called)) < len(called):
        raise InputError(f"Two scenes are called {max(called, key=called.count)!r}; give each its own --name.")
    evidence: Sequence[Path | None] = objects or [None] * len(predictions)
    tables = list(classes) * len(predictions) if len(classes) == 1 else classes
    rows = zip(called, predictions, ground_truths, tables, evidence, strict=True)
    return [Files(called, p, g, table, label_map, told, visible_only) for called, p, g, table, told in rows]


def _judge(files: Files, terms: "Terms", crop: "Crop") -> "Judged":
    """The scene, scored; says how much of its truth is labelled."""
    return _judge_mesh(files, terms) if files.is_mesh else _judge_images(files, terms, crop)


def _judge_mesh(files: Files, terms: "Terms") -> "Judged":
    import numpy as np

    from panrecon.datasets.ground_truth import coverage_of, points
    from panrecon.evaluation.scene import judge_points
    from panrecon.io.mesh import panoptic_digest, read_panoptic_mesh

    truth = points(files.ground_truth, terms.table, files.label_map, files.visible_only)
    labelled = coverage_of(truth.labels.category, terms.table, "vertices")
    _announce(files, labelled, f"{labelled}")
    prediction = read_panoptic_mesh(files.prediction, terms.table)
    up = np.array([0.0, 0.0, 1.0])  # foreign scans do not say; ScanNet and KITTI-360 agree
    judged = judge_points(prediction, truth, terms, _evidence(files), up)
    return _signed(judged, files, labelled, (panoptic_digest(prediction), panoptic_digest(truth)))


def _judge_images(files: Files, terms: "Terms", crop: "Crop") -> "Judged":
    from panrecon.datasets.ground_truth import coverage_of, frames
    from panrecon.evaluation.images import resized
    from panrecon.evaluation.scene import judge_frames
    from panrecon.io.labels import both_sides, read_label_frames

    predicted = read_label_frames(files.prediction, terms.table)
    true = frames(files.ground_truth, terms.table, files.label_map)
    coverages: list[Coverage] = []

    def pairs() -> "Iterator[tuple[Labels, Labels]]":
        for prediction, truth in track(both_sides(predicted, true), files.name, len(predicted.files)):
            height, width = truth.category.shape
            cropped = crop(truth)
            coverages.append(coverage_of(cropped.category, terms.table, "pixels"))
            yield crop(resized(prediction, height, width)), cropped

    judged = judge_frames(pairs(), len(predicted.files), terms, _evidence(files))
    labelled = sum(coverages[1:], start=coverages[0])
    _announce(files, labelled, f"{labelled}; {len(predicted.files)} of its {len(true.files)} frames are predicted")
    return _signed(judged, files, labelled, (_images_digest(predicted), _images_digest(true)))


def _announce(files: Files, labelled: "Coverage", text: str) -> None:
    say(f"{files.name}: {text}")
    if not labelled.evaluated:
        raise InputError(
            f"No {labelled.noun} of {files.ground_truth} are of an evaluated class; "
            "compare its ids with those of the class table."
        )


def _evidence(files: Files) -> "dict[int, Evidence]":
    """The objects' confidences: from the file named, else from one beside the PLY if it tells any."""
    from panrecon.io.graph import read_evidence

    if files.objects is not None:
        return read_evidence(files.objects)
    beside = files.prediction.parent / "objects.json"
    try:
        return read_evidence(beside) if beside.is_file() else {}
    except InputError:
        say(f"{files.name}: {beside} tells no confidences and is left out")
        return {}


def _signed(judged: "Judged", files: Files, labelled: "Coverage", digests: tuple[str, str]) -> "Judged":
    """The judgement with the names and digests of what was judged."""
    origin = {
        "prediction": {"path": str(files.prediction), "sha256": digests[0]},
        "ground_truth": {"path": str(files.ground_truth), "sha256": digests[1]},
        "truth": labelled.counts,
    }
    return replace(judged, record={**origin, **judged.record, "views": None, "stages": []})


def _images_digest(frames: "LabelFrames") -> str:
    """Of the names and bytes of all label images."""
    result = hashlib.sha256()
    for frame, paths in frames.files.items():
        result.update(frame.encode() + b"".join(hashlib.sha256(path.read_bytes()).digest() for path in paths))
    return result.hexdigest()


def _write(
    record: Mapping[str, Any], tables: str, judged: "Mapping[str, Judged]", files: Mapping[str, Path | None]
) -> None:
    from panrecon.evaluation.page import report_page
    from panrecon.io.files import write_json, write_text

    if files["json"]:
        write_json(files["json"], record)
    if files["markdown"]:
        write_text(files["markdown"], tables)
    if files["html"]:
        pictures = {name: found.pictures for name, found in judged.items()}
        title = f"Panoptic quality of {', '.join(judged)}"
        write_text(files["html"], report_page(title, record, pictures))
    for file in filter(None, files.values()):
        say(f"wrote {file}")


def say(text: str) -> None:
    """A line of news, apart from the tables on the standard output."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)
