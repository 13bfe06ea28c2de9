"""The options of `panrecon evaluate`, and what follows from them: files of scenes, settings, outputs."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from panrecon.commands.evaluate_scene import SceneFiles
from panrecon.datasets.ground_truth import default_class_table, is_outdoors
from panrecon.errors import InputError
from panrecon.evaluation.images import Crop
from panrecon.evaluation.protocols import parse_protocol
from panrecon.evaluation.report.common_table import with_common_names
from panrecon.evaluation.report.record import BootstrapSettings
from panrecon.evaluation.scene import EvaluationSettings
from panrecon.io.categories import find_table, read_categories

INDOOR_RADIUS: Final = 0.05  # m, within which a true vertex takes predicted labels
OUTDOOR_RADIUS: Final = 0.2  # m; the surfaces of streets are measured less finely


@dataclass(frozen=True)
class EvaluateOptions:
    """What the command line states; the lists have one entry a scene, or none where the option is left out."""

    predictions: Sequence[Path]
    ground_truths: Sequence[Path]
    classes: Sequence[str]
    protocols: Sequence[str]
    names: Sequence[str]
    objects: Sequence[Path]
    label_map: Path | None
    radius: float | None
    by_area: bool
    min_points: int
    visible_only: bool
    crop: Crop
    bootstrap: BootstrapSettings


def scene_files(options: EvaluateOptions) -> list[SceneFiles]:
    """The files of every scene, each under a name of its own.

    Raises:
        InputError: the options name unequal numbers of files, a prediction of unknown kind, or a name twice.
    """
    count = len(options.predictions)
    per_scene = {
        "ground truths": options.ground_truths,
        "names": options.names,
        "objects files": options.objects,
        "class tables": [] if len(options.classes) == 1 else options.classes,
    }
    for what, values in per_scene.items():
        if len(values) != count and (values or what == "ground truths"):
            raise InputError(f"{len(values)} {what} for {count} predictions were given; give one for each.")
    _check_predictions(options.predictions)
    names = list(options.names) or [path.absolute().stem for path in options.ground_truths]
    if len(set(names)) < len(names):
        raise InputError(f"Two scenes are called {max(names, key=names.count)!r}; give each its own --name.")
    tables = [find_table(name) for name in options.classes] or [
        default_class_table(path) for path in options.ground_truths
    ]
    tables = tables * count if len(tables) == 1 else tables
    objects: Sequence[Path | None] = options.objects or [None] * count
    return [
        SceneFiles(names[i], options.predictions[i], options.ground_truths[i], tables[i], options.label_map, objects[i])
        for i in range(count)
    ]


def evaluation_settings(options: EvaluateOptions, scenes: Sequence[SceneFiles]) -> list[EvaluationSettings]:
    """The settings of every scene, which differ in their class tables alone.

    Raises:
        InputError: a number is out of range, an option does not suit the predictions, or a file is broken.
    """
    _check_numbers(options, is_mesh=scenes[0].is_mesh)
    protocols = tuple(dict.fromkeys(parse_protocol(text, options.min_points) for text in options.protocols))
    tables = with_common_names([read_categories(files.classes) for files in scenes])
    radius = options.radius or _usual_radius(scenes)
    return [
        EvaluationSettings(
            table=table,
            protocols=protocols,
            radius=radius,
            by_area=options.by_area,
            crop=options.crop,
            visible_only=options.visible_only,
            bootstrap=options.bootstrap,
        )
        for table in tables
    ]


def check_outputs(outputs: Mapping[str, Path | None], scenes: Sequence[SceneFiles]) -> None:
    """Checks, before anything is computed, that outputs are distinct files and none of the inputs.

    Raises:
        InputError: they are not.
    """
    paths = [path for path in outputs.values() if path is not None]
    resolved = [path.absolute().resolve() for path in paths]
    inputs = [path.absolute().resolve() for scene in scenes for path in (scene.prediction, scene.ground_truth)]
    for path, target in zip(paths, resolved, strict=True):
        if target in inputs:
            raise InputError(f"{path} is an input; name another file to write to.")
        if resolved.count(target) > 1:
            raise InputError(f"Two outputs are to be written to {path}; name a file for each.")
        try:
            if target.is_dir():
                raise InputError(f"{path} is a folder; name a file to write to.")
        except OSError as error:  # a name that no file can have
            raise InputError(f"{path} cannot be written: {error.strerror}; name another file.") from error


def _check_predictions(predictions: Sequence[Path]) -> None:
    for path in predictions:
        if not (path.is_dir() or (path.is_file() and path.suffix.lower() == ".ply")):
            raise InputError(f"The prediction {path} is no labelled PLY and no folder of label images.")
    if len({path.is_dir() for path in predictions}) > 1:
        raise InputError("Some predictions are PLYs and some are folders of images; score meshes and images apart.")


def _check_numbers(options: EvaluateOptions, is_mesh: bool) -> None:
    if options.radius is not None and not 0 < options.radius < math.inf:
        raise InputError(f"The radius is {options.radius} m; it must be positive (0.05 suits rooms, 0.2 streets).")
    if not options.crop.scale > 0:
        raise InputError(f"The scale is {options.crop.scale}; it must be greater than 0 and at most 1.")
    if is_mesh and (options.crop.scale != 1 or options.crop.top):
        raise InputError("--scale and --crop-top are for images, the prediction is a mesh; leave them out.")
    if options.by_area and not is_mesh:
        raise InputError("--by-area is for meshes, the prediction is a folder of images; leave it out.")


def _usual_radius(scenes: Sequence[SceneFiles]) -> float:
    """The radius that suits all truths, m."""
    radii = {OUTDOOR_RADIUS if s.is_mesh and is_outdoors(s.ground_truth) else INDOOR_RADIUS for s in scenes}
    if len(radii) > 1:
        raise InputError("Some truths are rooms and some are KITTI-360's streets; give one --radius for all.")
    return radii.pop()
