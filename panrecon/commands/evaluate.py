"""`panrecon evaluate`: any panoptic PLY or label images against any truth, by every paper's rule."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from panrecon.errors import InputError
from panrecon.terminal import exit_on_input_error

if TYPE_CHECKING:
    from panrecon.commands.evaluate_scene import Files
    from panrecon.evaluation.images import Crop
    from panrecon.evaluation.scene import SceneResult

RULES = "strict, panopticrecon, pvlff, panoptic_lifting, panogs, lidar"
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
    typer.Option(
        "--classes",
        "-c",
        help="class table: a CSV, or one of data/categories by name; default: the truth's classes.csv, or data set's",
    ),
]
Protocols = Annotated[
    list[str],
    typer.Option("--protocol", help=f"{RULES}; or name@threshold; repeat it for more, the first is the headline"),
]
Names = Annotated[list[str], typer.Option("--name", help="what a scene is called; default: as its ground truth")]
Json = Annotated[Path | None, typer.Option("--json", help="write the record here")]
Html = Annotated[Path | None, typer.Option("--html", help="write the report with its pictures here")]
Markdown = Annotated[Path | None, typer.Option("--markdown", help="write the tables here")]
Radius = Annotated[
    float | None,
    typer.Option(help="a true vertex takes the nearest predicted label within this, m; default 0.05, KITTI-360 0.2"),
]
ByArea = Annotated[bool, typer.Option("--by-area", help="a true vertex counts its area instead of 1")]
MinPoints = Annotated[int, typer.Option(min=1, help="lidar: smaller segments are neither false nor missed")]
MapFile = Annotated[Path | None, typer.Option("--label-map", help="ScanNet's label map (.tsv), if not with the scan")]
Objects = Annotated[list[Path], typer.Option(help="objects.json with confidences; default: the one beside the PLY")]
VisibleOnly = Annotated[bool, typer.Option("--visible-only", help="KITTI-360 in 3D: leave out what no camera saw")]
Scale = Annotated[float, typer.Option(min=0.01, max=1.0, help="images of both sides are resized by this")]
CropTop = Annotated[int, typer.Option(min=0, help="rows then cut off above (KITTI-360 in PanopticRecon: 0.5 and 126)")]
Resamples = Annotated[int, typer.Option(min=1, help="bootstrap resamples behind the intervals")]
Seed = Annotated[int, typer.Option(min=0, help="of the intervals and of the points sampled on surfaces")]

INDOORS, OUTDOORS = 0.05, 0.2  # m: how far a true vertex may be from the predicted one that labels it


def evaluate(
    prediction: Predictions,
    ground_truth: GroundTruths,
    classes: Classes = [],  # noqa: B006
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

    Reads the files of any program, needs no run, and writes only what --json, --html and --markdown name, such as

    panrecon evaluate -p panoptic.ply -g scans/scene0087_02 -c scene0087_02 --html report.html

    Exit code 2: the input is wrong, in one sentence.
    """
    from panrecon.commands.evaluate_scene import evaluate_scene
    from panrecon.evaluation.images import Crop
    from panrecon.evaluation.protocols import parse_protocol as named
    from panrecon.evaluation.report.common_table import with_common_names
    from panrecon.evaluation.report.markdown import quality_tables
    from panrecon.evaluation.report.record import BootstrapSettings
    from panrecon.evaluation.scene import EvaluationSettings, quality_record
    from panrecon.io.categories import read_categories

    with exit_on_input_error():
        scenes = _scenes(prediction, ground_truth, classes, name, objects, label_map)
        outputs = {"json": json_file, "html": html_file, "markdown": markdown_file}
        _check_outputs(outputs, scenes)
        _check_numbers(radius, scenes[0].is_mesh, by_area, Crop(scale, crop_top))
        protocols = tuple(dict.fromkeys(named(text, min_points) for text in protocol))
        tables = with_common_names([read_categories(files.classes) for files in scenes])
        settings = EvaluationSettings(
            table=tables[0],
            protocols=protocols,
            radius=radius or _usual_radius(scenes),
            by_area=by_area,
            crop=Crop(scale, crop_top),
            visible_only=visible_only,
            bootstrap=BootstrapSettings(resamples, seed=seed),
        )
        results = {
            files.name: evaluate_scene(files, replace(settings, table=table))
            for files, table in zip(scenes, tables, strict=True)
        }
        record = quality_record(results, settings, is_mesh=scenes[0].is_mesh)
        text = quality_tables(record)
        _write(record, text, results, outputs)
        print(text)


def _scenes(
    predictions: Sequence[Path],
    ground_truths: Sequence[Path],
    classes: Sequence[str],
    names: Sequence[str],
    objects: Sequence[Path],
    label_map: Path | None,
) -> "list[Files]":
    """The files of every scene, each under a name of its own."""
    from panrecon.commands.evaluate_scene import Files
    from panrecon.datasets.ground_truth import default_class_table
    from panrecon.io.categories import find_table

    given_once = {"names": names, "objects files": objects, "class tables": [] if len(classes) == 1 else classes}
    for what, given in {"ground truths": ground_truths, **given_once}.items():
        if len(given) != len(predictions) and (given or what == "ground truths"):
            raise InputError(f"{len(given)} {what} for {len(predictions)} predictions were given; give one for each.")
    for path in predictions:
        if not (path.is_dir() or (path.is_file() and path.suffix.lower() == ".ply")):
            raise InputError(f"The prediction {path} is no labelled PLY and no folder of label images.")
    if len({path.is_dir() for path in predictions}) > 1:
        raise InputError("Some predictions are PLYs and some are folders of images; score meshes and images apart.")
    called = list(names) or [path.absolute().stem for path in ground_truths]
    if len(set(called)) < len(called):
        raise InputError(f"Two scenes are called {max(called, key=called.count)!r}; give each its own --name.")
    evidence: Sequence[Path | None] = objects or [None] * len(predictions)
    tables = [find_table(name) for name in classes] or [default_class_table(path) for path in ground_truths]
    tables = tables * len(predictions) if len(tables) == 1 else tables
    rows = zip(called, predictions, ground_truths, tables, evidence, strict=True)
    return [Files(called, p, g, table, label_map, told) for called, p, g, table, told in rows]


def _usual_radius(scenes: "Sequence[Files]") -> float:
    """What suits the truths, if it is one for all."""
    from panrecon.datasets.ground_truth import is_outdoors

    found = {OUTDOORS if files.is_mesh and is_outdoors(files.ground_truth) else INDOORS for files in scenes}
    if len(found) > 1:
        raise InputError("Some truths are rooms and some are KITTI-360's streets; give one --radius for all.")
    return found.pop()


def _check_outputs(outputs: Mapping[str, Path | None], scenes: "Sequence[Files]") -> None:
    """Before anything is computed: every output is a file of its own and none of the inputs."""
    given = [path for path in outputs.values() if path is not None]
    places = [path.absolute().resolve() for path in given]
    inputs = [path.absolute().resolve() for scene in scenes for path in (scene.prediction, scene.ground_truth)]
    for path, place in zip(given, places, strict=True):
        if place in inputs:
            raise InputError(f"{path} is an input; name another file to write to.")
        if places.count(place) > 1:
            raise InputError(f"Two outputs are to be written to {path}; name a file for each.")
        try:
            if place.is_dir():
                raise InputError(f"{path} is a folder; name a file to write to.")
        except OSError as error:  # a name that no file can have
            raise InputError(f"{path} cannot be written: {error.strerror}; name another file.") from error


def _check_numbers(radius: float | None, is_mesh: bool, by_area: bool, crop: "Crop") -> None:
    """What is asked for suits what is scored."""
    if radius is not None and not 0 < radius < math.inf:
        raise InputError(f"The radius is {radius} m; it must be positive (0.05 suits rooms, 0.2 streets).")
    if not crop.scale > 0:
        raise InputError(f"The scale is {crop.scale}; it must be greater than 0 and at most 1.")
    if is_mesh and (crop.scale != 1 or crop.top):
        raise InputError("--scale and --crop-top are for images, the prediction is a mesh; leave them out.")
    if by_area and not is_mesh:
        raise InputError("--by-area is for meshes, the prediction is a folder of images; leave it out.")


def _write(
    record: Mapping[str, Any], tables: str, results: "Mapping[str, SceneResult]", outputs: Mapping[str, Path | None]
) -> None:
    """All outputs or none."""
    from panrecon.commands.evaluate_scene import say
    from panrecon.evaluation.report.html import report_page
    from panrecon.io.files import json_text, write_texts

    texts = {outputs["json"]: json_text(record), outputs["markdown"]: tables}
    if outputs["html"]:
        pictures = {name: found.images for name, found in results.items()}
        texts[outputs["html"]] = report_page(f"Panoptic quality of {', '.join(results)}", record, pictures)
    wanted = {path: text for path, text in texts.items() if path is not None}
    write_texts(wanted)
    for path in wanted:
        say(f"wrote {path}")
