"""Both sides of a scene read from files of any program, and result."""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Int

from panrecon.datasets.ground_truth import LabelledShare, annotated_frames, annotated_points, labelled_share
from panrecon.datasets.label_images import LabelFrames, both_sides, first_ids, read_label_frames
from panrecon.datasets.scannet.label_map import find_label_map
from panrecon.errors import InputError
from panrecon.evaluation.report.record import ObjectConfidence
from panrecon.evaluation.scene import EvaluationSettings, SceneResult, evaluate_frames, evaluate_mesh
from panrecon.io.graph import read_object_confidences
from panrecon.io.ids import categories_of_ids, instances_of_ids
from panrecon.io.mesh import label_properties, panoptic_digest, read_vertices
from panrecon.structures import CategoryTable, Labels, PanopticMesh
from panrecon.terminal import console, track

STRETCH = 0.05  # by which the shapes of images may differ: ScanNet's colour and depth images differ by 0.4 %
UP = np.array([0.0, 0.0, 1.0])  # foreign scans do not say; ScanNet and KITTI-360 agree


@dataclass(frozen=True)
class Files:
    """What belongs to one scene on disk; `label_map` and `objects` may be missing."""

    name: str
    prediction: Path
    ground_truth: Path
    classes: Path
    label_map: Path | None
    objects: Path | None

    @property
    def is_mesh(self) -> bool:
        return self.prediction.suffix.lower() == ".ply"


def evaluate_scene(files: Files, settings: EvaluationSettings) -> SceneResult:
    """The scene, scored; says how much of its truth is labelled.

    Raises:
        InputError: a file is missing or broken, or nothing in the truth is of an evaluated class.
    """
    return _evaluate_mesh(files, settings) if files.is_mesh else _evaluate_images(files, settings)


def _evaluate_mesh(files: Files, settings: EvaluationSettings) -> SceneResult:
    truth = annotated_points(files.ground_truth, settings.table, files.label_map, settings.visible_only)
    if settings.by_area and not len(truth.mesh.faces):
        raise InputError(f"{files.ground_truth} is a cloud, its points have no area; leave --by-area out.")
    labelled = labelled_share(truth.labels.category, settings.table, "vertices")
    _announce(files, labelled, f"{labelled}")
    prediction = _predicted_mesh(files, settings.table)
    result = evaluate_mesh(prediction, truth, settings, _evidence(files), UP)
    return _signed(result, files, labelled, (panoptic_digest(prediction), panoptic_digest(truth)))


def _predicted_mesh(files: Files, table: CategoryTable) -> PanopticMesh:
    mesh, properties = read_vertices(files.prediction)
    category, instance = label_properties(files.prediction, properties)
    _say_unknown(files, np.unique(category), table)
    return PanopticMesh(mesh, Labels(categories_of_ids(category, table), instances_of_ids(instance)))


def _evaluate_images(files: Files, settings: EvaluationSettings) -> SceneResult:
    predicted = read_label_frames(files.prediction, settings.table)
    true = annotated_frames(files.ground_truth, settings.table, files.label_map)
    _say_unknown(files, first_ids(predicted), settings.table)
    count = len(predicted.files)
    pairs = (
        _cropped(files, prediction, truth, settings)
        for prediction, truth in track(both_sides(predicted, true), files.name, count)
    )
    result = evaluate_frames(pairs, count, settings, _evidence(files))
    overlap = result.matched.overlap
    labelled = labelled_share(overlap.true_category, settings.table, "pixels", overlap.area)
    _announce(files, labelled, f"{labelled}; {count} of its {len(true.files)} frames are predicted")
    signed = _signed(result, files, labelled, (_images_digest(predicted), _images_digest(true)))
    return replace(signed, record={**signed.record, "true_frames": len(true.files)})


def _cropped(files: Files, prediction: Labels, truth: Labels, settings: EvaluationSettings) -> tuple[Labels, Labels]:
    """Both sides as they are scored. Images of another size are resized, but never stretched."""
    (height, width), (true_height, true_width) = prediction.category.shape, truth.category.shape
    if abs(width * true_height / (height * true_width) - 1) > STRETCH:
        raise InputError(
            f"The images of {files.prediction} are {width} x {height}, those of {files.ground_truth} {true_width} x "
            f"{true_height}; export them in one shape."
        )
    if settings.crop.size_of(truth)[0] <= settings.crop.top:
        raise InputError(f"Cutting {settings.crop.top} rows off leaves nothing of {files.ground_truth}; cut fewer.")
    return settings.crop(prediction, settings.crop.size_of(truth)), settings.crop(truth, settings.crop.size_of(truth))


def _say_unknown(files: Files, ids: Int[np.ndarray, " n"], table: CategoryTable) -> None:
    """Which of the ids that a prediction uses mean nothing by the class table: their points are void."""
    unknown = sorted(set(ids[ids > 0].tolist()) - set(table.ids.tolist()))
    if unknown:
        listed = ", ".join(map(str, unknown[:8])) + (" ..." if len(unknown) > 8 else "")
        say(f"{files.name}: the prediction's category ids {listed} are not in the class table and count as void")


def _announce(files: Files, labelled: LabelledShare, text: str) -> None:
    say(f"{files.name}: {text}")
    if not labelled.evaluated:
        raise InputError(
            f"No {labelled.noun} of {files.ground_truth} are of an evaluated class; "
            "compare its ids with those of the class table."
        )


def _evidence(files: Files) -> dict[int, ObjectConfidence]:
    """The objects' confidences: from the file named, else from one beside the PLY if it tells any."""
    if files.objects is not None:
        return read_object_confidences(files.objects)
    beside = files.prediction.parent / "objects.json"
    try:
        return read_object_confidences(beside) if beside.is_file() else {}
    except InputError as error:
        say(f"{files.name}: no confidences are taken: {error}")
        return {}


def _signed(result: SceneResult, files: Files, labelled: LabelledShare, digests: tuple[str, str]) -> SceneResult:
    """The judgement with the names and digests of what was result."""
    origin = {
        "prediction": {"path": str(files.prediction), "sha256": digests[0]},
        "ground_truth": {"path": str(files.ground_truth), "sha256": digests[1]},
        "truth": labelled.counts,
        "sources": [{"path": str(path), "sha256": _file_digest(path)} for path in _sources(files)],
    }
    return replace(result, record={**origin, **result.record, "views": None, "stages": []})


def _sources(files: Files) -> list[Path]:
    """What else decides the score: class table, label map, confidences."""
    beside = files.objects or files.prediction.parent / "objects.json"
    label_map = files.label_map or find_label_map(files.ground_truth)
    return [path for path in (files.classes, label_map, beside) if path is not None and path.is_file()]


def _file_digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _images_digest(frames: LabelFrames) -> str:
    """Of the names and bytes of all label images."""
    result = hashlib.sha256()
    for frame, paths in frames.files.items():
        result.update(frame.encode() + "".join(map(_file_digest, paths)).encode())
    return result.hexdigest()


def say(text: str) -> None:
    """A line of news, apart from the tables on the standard output."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)
