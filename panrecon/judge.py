"""Both sides of a scene read from files of any program, and judged."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from panrecon.datasets.ground_truth import Coverage, coverage_of, frames, points
from panrecon.errors import InputError
from panrecon.evaluation.images import resized
from panrecon.evaluation.record import Evidence
from panrecon.evaluation.scene import Judged, Terms, judge_frames, judge_points
from panrecon.io.graph import read_evidence
from panrecon.io.labels import LabelFrames, both_sides, read_label_frames
from panrecon.io.mesh import panoptic_digest, read_panoptic_mesh
from panrecon.stage import console, track
from panrecon.structures import Labels

STRETCH = 0.05  # by which the shapes of images may differ: ScanNet's colour and depth images differ by 0.4 %
UP = np.array([0.0, 0.0, 1.0])  # foreign scans do not say; ScanNet and KITTI-360 agree


@dataclass(frozen=True)
class Files:
    """What belongs to one scene on disk; `label_map` and `objects` may be missing."""

    name: str
    prediction: Path
    ground_truth: Path
    classes: str
    label_map: Path | None
    objects: Path | None

    @property
    def is_mesh(self) -> bool:
        return self.prediction.suffix.lower() == ".ply"


def judge(files: Files, terms: Terms) -> Judged:
    """The scene, scored; says how much of its truth is labelled.

    Raises:
        InputError: a file is missing or broken, or nothing in the truth is of an evaluated class.
    """
    return _judge_mesh(files, terms) if files.is_mesh else _judge_images(files, terms)


def _judge_mesh(files: Files, terms: Terms) -> Judged:
    truth = points(files.ground_truth, terms.table, files.label_map, terms.visible_only)
    if terms.by_area and not len(truth.mesh.faces):
        raise InputError(f"{files.ground_truth} is a cloud, its points have no area; leave --by-area out.")
    labelled = coverage_of(truth.labels.category, terms.table, "vertices")
    _announce(files, labelled, f"{labelled}")
    prediction = read_panoptic_mesh(files.prediction, terms.table)
    judged = judge_points(prediction, truth, terms, _evidence(files), UP)
    return _signed(judged, files, labelled, (panoptic_digest(prediction), panoptic_digest(truth)))


def _judge_images(files: Files, terms: Terms) -> Judged:
    predicted = read_label_frames(files.prediction, terms.table)
    true = frames(files.ground_truth, terms.table, files.label_map)
    coverages: list[Coverage] = []

    def pairs() -> Iterator[tuple[Labels, Labels]]:
        for prediction, truth in track(both_sides(predicted, true), files.name, len(predicted.files)):
            height, width = truth.category.shape
            cropped = terms.crop(truth)
            if not cropped.category.size:
                raise InputError(f"Cutting {terms.crop.top} rows off leaves nothing of {true.source}; cut fewer.")
            _check_shape(files, prediction, truth)
            coverages.append(coverage_of(cropped.category, terms.table, "pixels"))
            yield terms.crop(resized(prediction, height, width)), cropped

    judged = judge_frames(pairs(), len(predicted.files), terms, _evidence(files))
    labelled = sum(coverages[1:], start=coverages[0])
    _announce(files, labelled, f"{labelled}; {len(predicted.files)} of its {len(true.files)} frames are predicted")
    signed = _signed(judged, files, labelled, (_images_digest(predicted), _images_digest(true)))
    return replace(signed, record={**signed.record, "true_frames": len(true.files)})


def _check_shape(files: Files, prediction: Labels, truth: Labels) -> None:
    """Images of another size are resized, but never stretched."""
    (height, width), (true_height, true_width) = prediction.category.shape, truth.category.shape
    if abs(width * true_height / (height * true_width) - 1) > STRETCH:
        raise InputError(
            f"The images of {files.prediction} are {width} x {height}, those of {files.ground_truth} {true_width} x "
            f"{true_height}; export them in one shape."
        )


def _announce(files: Files, labelled: Coverage, text: str) -> None:
    say(f"{files.name}: {text}")
    if not labelled.evaluated:
        raise InputError(
            f"No {labelled.noun} of {files.ground_truth} are of an evaluated class; "
            "compare its ids with those of the class table."
        )


def _evidence(files: Files) -> dict[int, Evidence]:
    """The objects' confidences: from the file named, else from one beside the PLY if it tells any."""
    if files.objects is not None:
        return read_evidence(files.objects)
    beside = files.prediction.parent / "objects.json"
    try:
        return read_evidence(beside) if beside.is_file() else {}
    except InputError as error:
        say(f"{files.name}: no confidences are taken: {error}")
        return {}


def _signed(judged: Judged, files: Files, labelled: Coverage, digests: tuple[str, str]) -> Judged:
    """The judgement with the names and digests of what was judged."""
    origin = {
        "prediction": {"path": str(files.prediction), "sha256": digests[0]},
        "ground_truth": {"path": str(files.ground_truth), "sha256": digests[1]},
        "truth": labelled.counts,
    }
    return replace(judged, record={**origin, **judged.record, "views": None, "stages": []})


def _images_digest(frames: LabelFrames) -> str:
    """Of the names and bytes of all label images."""
    result = hashlib.sha256()
    for frame, paths in frames.files.items():
        result.update(frame.encode() + b"".join(hashlib.sha256(path.read_bytes()).digest() for path in paths))
    return result.hexdigest()


def say(text: str) -> None:
    """A line of news, apart from the tables on the standard output."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)
