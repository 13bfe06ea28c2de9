"""`panrecon evaluate`: any panoptic PLY or label images against any truth, by every paper's protocol."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from panrecon.terminal import exit_on_input_error

if TYPE_CHECKING:
    from panrecon.commands.evaluate_options import EvaluateOptions

PROTOCOL_NAMES = "strict, panopticrecon, pvlff, panoptic_lifting, panogs, lidar"
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
    typer.Option(
        "--protocol",
        help=f"{PROTOCOL_NAMES}; or name@threshold; repeat it for more, the first is the headline",
    ),
]
Names = Annotated[list[str], typer.Option("--name", help="what a scene is called; default: as its ground truth")]
Json = Annotated[Path | None, typer.Option("--json", help="write the record here")]
Html = Annotated[Path | None, typer.Option("--html", help="write the report with its images here")]
Markdown = Annotated[Path | None, typer.Option("--markdown", help="write the tables here")]
Radius = Annotated[
    float | None,
    typer.Option(help="a true vertex takes the nearest predicted label within this, m; default 0.05, KITTI-360 0.2"),
]
ByArea = Annotated[bool, typer.Option("--by-area", help="a true vertex counts its area instead of 1")]
MinPoints = Annotated[int, typer.Option(min=1, help="lidar: smaller segments are ignored")]
MapFile = Annotated[Path | None, typer.Option("--label-map", help="ScanNet's label map (.tsv), if not with the scan")]
Objects = Annotated[list[Path], typer.Option(help="objects.json with confidences; default: the one beside the PLY")]
VisibleOnly = Annotated[bool, typer.Option("--visible-only", help="KITTI-360 in 3D: leave out what no camera saw")]
Scale = Annotated[float, typer.Option(min=0.01, max=1.0, help="images of both sides are resized by this")]
CropTop = Annotated[int, typer.Option(min=0, help="rows then cut off above (KITTI-360 in PanopticRecon: 0.5 and 126)")]
Resamples = Annotated[int, typer.Option(min=1, help="bootstrap resamples behind the intervals")]
Seed = Annotated[int, typer.Option(min=0, help="of the intervals and of the points sampled on surfaces")]


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
    """Scores labels against a truth: panoptic quality by any paper's protocol, and the metrics printed beside it.

    Reads the files of any program, needs no run, and writes only what --json, --html and --markdown name, such as

    panrecon evaluate -p panoptic.ply -g scans/scene0087_02 -c scene0087_02 --html report.html

    Exit code 2: the input is wrong, in one sentence.
    """
    from panrecon.commands.evaluate_options import EvaluateOptions
    from panrecon.evaluation.images import Crop
    from panrecon.evaluation.report.record import BootstrapSettings

    options = EvaluateOptions(
        predictions=prediction,
        ground_truths=ground_truth,
        classes=classes,
        protocols=protocol,
        names=name,
        objects=objects,
        label_map=label_map,
        radius=radius,
        by_area=by_area,
        min_points=min_points,
        visible_only=visible_only,
        crop=Crop(scale, crop_top),
        bootstrap=BootstrapSettings(resamples, seed=seed),
    )
    with exit_on_input_error():
        print(evaluate_files(options, {"json": json_file, "html": html_file, "markdown": markdown_file}))


def evaluate_files(options: "EvaluateOptions", outputs: Mapping[str, Path | None]) -> str:
    """The tables of all scenes; writes the outputs that are named, by `json`, `html` or `markdown`: all or none.

    Raises:
        InputError: options, inputs or outputs are wrong.
    """
    from panrecon.commands.evaluate_options import check_outputs, evaluation_settings, scene_files
    from panrecon.commands.evaluate_scene import evaluate_scene, log
    from panrecon.evaluation.report.html import report_page
    from panrecon.evaluation.report.markdown import quality_tables
    from panrecon.evaluation.scene import quality_record
    from panrecon.io.files import json_text, write_texts

    scenes = scene_files(options)
    check_outputs(outputs, scenes)
    settings = evaluation_settings(options, scenes)
    draws_images = outputs["html"] is not None
    results = {
        files.name: evaluate_scene(files, scene_settings, draws_images, may_be_empty=len(scenes) > 1)
        for files, scene_settings in zip(scenes, settings, strict=True)
    }
    record = quality_record(results, settings[0], is_mesh=scenes[0].is_mesh)
    tables = quality_tables(record)
    texts = {outputs["json"]: json_text(record), outputs["markdown"]: tables}
    if draws_images:
        images = {name: result.images for name, result in results.items()}
        texts[outputs["html"]] = report_page(f"Panoptic quality of {', '.join(results)}", record, images)
    text_of_file = {path: text for path, text in texts.items() if path is not None}
    write_texts(text_of_file)
    for path in text_of_file:
        log(f"wrote {path}")
    return tables
