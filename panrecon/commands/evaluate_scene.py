"""One scene read from files of any program, evaluated, and signed with the digests of these files."""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import Float, Int

from panrecon.datasets.ground_truth import LabelledShare, annotated_frames, annotated_points, labelled_share
from panrecon.datasets.label_images import LabelFrames, label_pairs, may_have_wrapped, read_label_frames, sampled_ids
from panrecon.datasets.scannet.label_map import find_label_map
from panrecon.errors import InputError
from panrecon.evaluation.report.record import ObjectConfidence
from panrecon.evaluation.scene import EvaluationSettings, SceneResult, evaluate_frames, evaluate_mesh
from panrecon.io.graph import read_object_confidences
from panrecon.io.ids import categories_of_ids, instances_of_ids
from panrecon.io.mesh import EmptyMeshError, label_properties, panoptic_digest, read_vertices
from panrecon.structures import CategoryTable, Labels, PanopticMesh, TriangleMesh, listed
from panrecon.terminal import console, track

MAX_ASPECT_DIFFERENCE: Final = 0.05  # relative: ScanNet's colour and depth images differ by 0.4 %
FAR: Final = 1e4  # m: scans farther from the origin (on a map) are scored near it, for surfaces have single precision
UP: Final = np.array([0.0, 0.0, 1.0])  # foreign scans do not state it; ScanNet and KITTI-360 agree


@dataclass(frozen=True)
class SceneFiles:
    """The files of one scene; `label_map` and `objects` may be missing."""

    name: str
    prediction: Path
    ground_truth: Path
    classes: Path
    label_map: Path | None
    objects: Path | None

    @property
    def is_mesh(self) -> bool:
        """Whether vertices are compared, not images."""
        return self.prediction.suffix.lower() == ".ply"


def evaluate_scene(
    files: SceneFiles, settings: EvaluationSettings, draws_images: bool, may_be_empty: bool = False
) -> SceneResult:
    """The scores of a scene, and its images if they shall be drawn; logs how much of its truth is labelled.

    With `may_be_empty` a predicted mesh without vertices misses all of the truth, which is logged; else it is refused.

    Raises:
        InputError: a file is missing or broken, or nothing in the truth is of an evaluated class.
    """
    if files.is_mesh:
        return _evaluate_mesh(files, settings, UP if draws_images else None, may_be_empty)
    return _evaluate_images(files, settings)


def log(text: str) -> None:
    """Prints a line on the standard error, apart from the tables on the standard output."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def _evaluate_mesh(
    files: SceneFiles, settings: EvaluationSettings, up: Float[np.ndarray, "3"] | None, may_be_empty: bool
) -> SceneResult:
    truth = annotated_points(
        files.ground_truth, settings.table, files.label_map, settings.visible_only, remembers_unlisted=True
    )
    if settings.by_area and not len(truth.mesh.faces):
        raise InputError(f"{files.ground_truth} is a cloud, its points have no area; leave --by-area out.")
    labelled = labelled_share(listed(truth.labels.category), settings.table, "vertices")
    _check_truth(files, labelled, f"{labelled}")
    prediction = _predicted_mesh(files, settings.table, may_be_empty)
    digests = (panoptic_digest(prediction), panoptic_digest(truth))
    origin = np.floor(truth.mesh.vertices.min(axis=0))
    if np.abs(origin).max() > FAR:
        prediction, truth = (replace(side, mesh=_moved(side.mesh, -origin)) for side in (prediction, truth))
    result = evaluate_mesh(prediction, truth, settings, _object_confidences(files), up)
    return _with_provenance(result, files, labelled, digests)


def _moved(mesh: TriangleMesh, offset: Float[np.ndarray, "3"]) -> TriangleMesh:
    return replace(mesh, vertices=(mesh.vertices + offset).astype(np.float32))


def _predicted_mesh(files: SceneFiles, table: CategoryTable, may_be_empty: bool) -> PanopticMesh:
    try:
        mesh, properties = read_vertices(files.prediction)
    except EmptyMeshError:
        if not may_be_empty:
            raise
        log(f"{files.name}: {files.prediction} has no vertices; all of its truth counts as missed")
        return _nothing()
    category, instance = label_properties(files.prediction, properties)
    _log_unknown_ids(files, np.unique(category), table)
    labels = Labels(categories_of_ids(category, table, remembers_unlisted=True), instances_of_ids(instance))
    return PanopticMesh(mesh, labels)


def _nothing() -> PanopticMesh:
    """A prediction without vertices."""
    mesh = TriangleMesh(np.zeros((0, 3), np.float32), np.zeros((0, 3), np.int32), np.zeros((0, 3), np.uint8))
    return PanopticMesh(mesh, Labels(np.zeros(0, np.int32), np.zeros(0, np.int64)))


def _evaluate_images(files: SceneFiles, settings: EvaluationSettings) -> SceneResult:
    predicted = read_label_frames(files.prediction, settings.table, remembers_unlisted=True)
    true = annotated_frames(files.ground_truth, settings.table, files.label_map, remembers_unlisted=True)
    _log_unknown_ids(files, sampled_ids(predicted), settings.table)
    for side in (predicted, true):
        if may_have_wrapped(side):
            log(
                f"{files.name}: warning: the instance images of {side.source} have nearly all ids that 8 bits hold; "
                "ids above 255 may have wrapped, export 16 bits if there were any"
            )
    count = len(predicted.files)
    pairs = (
        _cropped(files, prediction, truth, settings)
        for prediction, truth in track(label_pairs(predicted, true), files.name, count)
    )
    result = evaluate_frames(pairs, count, settings, _object_confidences(files))
    overlap = result.matched.overlap
    labelled = labelled_share(overlap.true_category, settings.table, "pixels", overlap.area)
    _check_truth(files, labelled, f"{labelled}; {count} of its {len(true.files)} frames are predicted")
    result = replace(result, record={**result.record, "true_frames": len(true.files)})
    return _with_provenance(result, files, labelled, (_images_digest(predicted), _images_digest(true)))


def _cropped(
    files: SceneFiles, prediction: Labels, truth: Labels, settings: EvaluationSettings
) -> tuple[Labels, Labels]:
    """Both images as they are scored: resized to one size, which must not stretch them, and cropped."""
    height, width = prediction.category.shape
    true_height, true_width = truth.category.shape
    if abs(width * true_height / (height * true_width) - 1) > MAX_ASPECT_DIFFERENCE:
        raise InputError(
            f"The images of {files.prediction} are {width} x {height}, those of {files.ground_truth} {true_width} x "
            f"{true_height}; export them in one shape."
        )
    if settings.crop.resized_shape(truth)[0] <= settings.crop.top:
        raise InputError(f"Cutting {settings.crop.top} rows off leaves nothing of {files.ground_truth}; cut fewer.")
    shape = settings.crop.resized_shape(truth)
    return settings.crop(prediction, shape), settings.crop(truth, shape)


def _log_unknown_ids(files: SceneFiles, ids: Int[np.ndarray, " n"], table: CategoryTable) -> None:
    """Logs which category ids of a prediction are not in the class table: their points are void."""
    unknown = sorted(set(ids[ids > 0].tolist()) - set(table.ids.tolist()))
    if unknown:
        listed = ", ".join(map(str, unknown[:8])) + (" ..." if len(unknown) > 8 else "")
        log(f"{files.name}: the prediction's category ids {listed} are not in the class table and count as void")


def _check_truth(files: SceneFiles, labelled: LabelledShare, text: str) -> None:
    """Logs how much of the truth is labelled; something must be evaluated."""
    log(f"{files.name}: {text}")
    if not labelled.evaluated:
        raise InputError(
            f"No {labelled.noun} of {files.ground_truth} are of an evaluated class; "
            "compare its ids with those of the class table."
        )


def _object_confidences(files: SceneFiles) -> dict[int, ObjectConfidence]:
    """By instance: from the file that was named, else from one next to the PLY if that can be read."""
    if files.objects is not None:
        return read_object_confidences(files.objects)
    path = files.prediction.parent / "objects.json"
    try:
        return read_object_confidences(path) if path.is_file() else {}
    except InputError as error:
        log(f"{files.name}: no confidences are taken: {error}")
        return {}


def _with_provenance(
    result: SceneResult, files: SceneFiles, labelled: LabelledShare, digests: tuple[str, str]
) -> SceneResult:
    """The result with paths and digests of prediction and truth, and of what else decides the score."""
    provenance = {
        "prediction": {"path": str(files.prediction), "sha256": digests[0]},
        "ground_truth": {"path": str(files.ground_truth), "sha256": digests[1]},
        "truth": labelled.counts,
        "sources": [{"path": str(path), "sha256": _file_digest(path)} for path in _sources(files)],
    }
    return replace(result, record={**provenance, **result.record, "views": None, "stages": []})


def _sources(files: SceneFiles) -> list[Path]:
    """Class table, label map and confidences, as far as they are files."""
    objects = files.objects or files.prediction.parent / "objects.json"
    label_map = files.label_map or find_label_map(files.ground_truth)
    return [path for path in (files.classes, label_map, objects) if path is not None and path.is_file()]


def _file_digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _images_digest(frames: LabelFrames) -> str:
    """SHA-256 of the names and bytes of all label images."""
    digest = hashlib.sha256()
    for frame, paths in frames.files.items():
        digest.update(frame.encode() + "".join(map(_file_digest, paths)).encode())
    return digest.hexdigest()
