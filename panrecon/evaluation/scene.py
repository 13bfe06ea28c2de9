"""One scene evaluated: its part of `quality.json`, its images, and the statistics that a total over scenes adds."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from panrecon import __version__
from panrecon.config import QualitySettings
from panrecon.errors import InputError
from panrecon.evaluation.images import Crop
from panrecon.evaluation.metrics.boundary import near_boundary
from panrecon.evaluation.metrics.calibration import expected_calibration_error, object_outcomes
from panrecon.evaluation.metrics.geometric import surface_quality
from panrecon.evaluation.metrics.panoptic_quality import Matching
from panrecon.evaluation.metrics.unknown import unknown_quality
from panrecon.evaluation.metrics.void_rates import missing_geometry_rate, void_rate
from panrecon.evaluation.overlap import Overlap, overlap, overlap_and_rows
from panrecon.evaluation.protocols import Protocol, parse_protocol
from panrecon.evaluation.report.common_table import common_table
from panrecon.evaluation.report.record import (
    FORMAT_VERSION,
    BootstrapSettings,
    ObjectConfidence,
    class_means,
    classes_record,
    nan_to_null,
    objects_record,
    protocols_record,
    scores_record,
    semantic_record,
    total_record,
)
from panrecon.evaluation.scene_matching import MatchedScene, match_scene
from panrecon.evaluation.transfer import transfer_labels
from panrecon.geometry.mesh import vertex_areas
from panrecon.structures import VOID, CategoryTable, Labels, PanopticMesh, listed
from panrecon.visualization import error_colors, evenly_spaced, isometric_view, label_colors

BOUNDARY_DISTANCE: Final = 0.05  # m
REPORTED_FRAMES: Final = 4  # of which the report shows images
STRICT: Final = parse_protocol("strict")

Rgb = UInt8[np.ndarray, "h w 3"]


@dataclass(frozen=True)
class EvaluationSettings:
    """How a prediction is compared with its truth; the first protocol is the headline.

    Of meshes, a true vertex takes the nearest predicted label within `radius` (m) and counts 1, or its area (m^2) with
    `by_area`. `crop` and `visible_only` (points that no camera saw are void) belong to whoever reads the files; here
    they are only recorded.

    Raises:
        InputError: vertices shall count their area, but a protocol counts points.
    """

    table: CategoryTable
    protocols: tuple[Protocol, ...] = (STRICT,)
    radius: float = 0.05
    by_area: bool = False
    crop: Crop = field(default_factory=Crop)
    visible_only: bool = False
    bootstrap: BootstrapSettings = field(default_factory=BootstrapSettings)

    def __post_init__(self) -> None:
        if self.by_area and any(protocol.is_per_scan for protocol in self.protocols):
            raise InputError("The protocol lidar counts points (its min_points), not areas; leave one of the two out.")

    @classmethod
    def of(cls, table: CategoryTable, settings: QualitySettings) -> "EvaluationSettings":
        """As the settings of the stage `quality` say."""
        protocols = tuple(parse_protocol(name) for name in settings.protocols)
        bootstrap = BootstrapSettings(seed=settings.seed)
        return cls(table, protocols, settings.radius, settings.by_area, bootstrap=bootstrap)

    def weight_of(self, truth: PanopticMesh) -> Float[np.ndarray, " V"] | None:
        """The area of every true vertex, m^2; None where each counts 1."""
        return vertex_areas(truth.mesh.vertices, truth.mesh.faces) if self.by_area else None


@dataclass(frozen=True)
class CompleteTruth:
    """The true labels of the same points with a table of more classes: those that were left out of the prompts, too."""

    labels: Labels
    table: CategoryTable


@dataclass(frozen=True)
class SceneResult:
    """A scene's part of `quality.json`, its images by caption, and the matchings that a total over scenes adds."""

    matched: MatchedScene
    table: CategoryTable
    record: Mapping[str, Any]
    images: Mapping[str, Rgb]


def evaluate_mesh(
    prediction: PanopticMesh,
    truth: PanopticMesh,
    settings: EvaluationSettings,
    confidences: Mapping[int, ObjectConfidence],
    up: Float[np.ndarray, "3"] | None,
    complete: CompleteTruth | None = None,
) -> SceneResult:
    """The scores of a labelled mesh (or point cloud), its labels transferred to the vertices of the true one.

    `confidences` by predicted instance, for average precision and calibration; an object without one has 1. `up` is the
    upward direction of the world, from where the images show the mesh; without it none are drawn. Objects without a
    name are compared with those of the `complete` truth, by default of the same. Categories below `VOID` are ids that
    the class table does not list (`panrecon.io.ids`): void by most protocols, classes of their own by released scripts.
    """
    weight = settings.weight_of(truth)
    transferred = transfer_labels(prediction, truth, settings.radius, weight)
    matched = match_scene([transferred.overlap], settings.table, settings.protocols)
    transferred = replace(transferred, labels=_listed(transferred.labels))
    truth = replace(truth, labels=_listed(truth.labels))
    record = {
        **_record(matched, overlap(transferred.labels, truth.labels), settings, confidences),
        "unknown": unknown_record(transferred.labels, truth.labels, settings.table, complete),
        "uncovered": missing_geometry_rate(transferred, truth.labels, settings.table, weight),
        "frames": None,
        "true_frames": None,
        "boundary": boundary_record(transferred.labels, truth, settings.table),
        "geometry": geometry_record(prediction, truth, settings.bootstrap.seed),
    }
    if up is None:
        return SceneResult(matched, settings.table, record, {})
    matching = matched.matchings[settings.protocols[0]][0]
    colors = {
        "scan": truth.mesh.colors,
        **_label_images(transferred.labels, truth.labels, matching, transferred.row_of_vertex, settings.table),
    }
    view = isometric_view(truth.mesh, up)
    images = {caption: view.paint(color_of_vertex) for caption, color_of_vertex in colors.items()}
    return SceneResult(matched, settings.table, record, images)


def evaluate_frames(
    frames: Iterable[tuple[Labels, Labels]],
    count: int,
    settings: EvaluationSettings,
    confidences: Mapping[int, ObjectConfidence],
) -> SceneResult:
    """The scores of `count` predicted and true label images of one scene, one pair in memory at a time.

    An object keeps its instance over all frames, for protocols stack them. `confidences` and categories below `VOID` as
    in `evaluate_mesh`.
    """
    scans: list[Overlap] = []
    reported: dict[int, tuple[Labels, Labels]] = {}
    reported_indices = set(evenly_spaced(count, REPORTED_FRAMES))
    for frame_index, (prediction, truth) in enumerate(frames):
        scans.append(overlap(prediction, truth))
        if frame_index in reported_indices:
            reported[frame_index] = (prediction, truth)
    matched = match_scene(scans, settings.table, settings.protocols, is_frames=True)
    record = {
        **_record(matched, matched.overlap, settings, confidences),
        "unknown": None,
        "uncovered": None,
        "frames": count,
        "boundary": None,
        "geometry": None,
    }
    matchings = matched.matchings[settings.protocols[0]]
    is_per_scan = len(matchings) > 1
    images: dict[str, Rgb] = {}
    for frame_index, (prediction, truth) in reported.items():
        frame_overlap, row_of_pixel = overlap_and_rows(prediction, truth)
        stacked = scans[frame_index] if is_per_scan else matched.overlap
        matching = matchings[frame_index if is_per_scan else 0]
        row_of_pixel = stacked.rows_of(frame_overlap)[row_of_pixel].reshape(truth.category.shape)
        colors = _label_images(_listed(prediction), _listed(truth), matching, row_of_pixel, settings.table)
        images |= {f"frame {frame_index + 1} of {count}: {caption}": image for caption, image in colors.items()}
    return SceneResult(matched, settings.table, record, images)


def quality_record(results: Mapping[str, SceneResult], settings: EvaluationSettings, is_mesh: bool) -> dict[str, Any]:
    """The content of `quality.json` for one or more scenes; for more than one with their total."""
    matched_scenes = [result.matched for result in results.values()]
    tables = [result.table for result in results.values()]
    return nan_to_null(
        {
            "version": FORMAT_VERSION,
            "package": __version__,
            "kind": "points" if is_mesh else "frames",
            "unit": "vertices" if is_mesh else "pixels",
            "protocols": [str(protocol) for protocol in settings.protocols],
            "settings": {
                "radius": settings.radius if is_mesh else None,
                "weight": "area" if settings.by_area else "count",
                "min_points": settings.protocols[0].min_points,
                "scale": settings.crop.scale,
                "crop_top": settings.crop.top,
                "visible_only": settings.visible_only,
                **asdict(settings.bootstrap),
            },
            "classes": [
                {name: getattr(category, name) for name in ("id", "name", "thing", "evaluated")}
                for category in common_table(tables)
            ],
            "scenes": {name: result.record for name, result in results.items()},
            "total": total_record(matched_scenes, tables, settings.bootstrap) if len(results) > 1 else None,
        }
    )


def step_record(prediction: PanopticMesh, truth: PanopticMesh, settings: EvaluationSettings) -> dict[str, Any]:
    """The headline protocol and class quality of the labels of one step on the way to the final ones."""
    overlap_of_step = transfer_labels(prediction, truth, settings.radius, settings.weight_of(truth)).overlap
    matched = match_scene([overlap_of_step], settings.table, settings.protocols[:1])
    protocols = protocols_record(matched, settings.table, settings.bootstrap)
    return {"protocols": protocols, "semantic": semantic_record(matched, settings.table)}


def boundary_record(prediction: Labels, truth: PanopticMesh, table: CategoryTable) -> dict[str, Any] | None:
    """Quality by `strict` of the true vertices within `BOUNDARY_DISTANCE` of another segment; None without any."""
    is_near = near_boundary(truth.mesh.vertices, truth.labels, table, BOUNDARY_DISTANCE)
    if not is_near.any():
        return None
    near_prediction = Labels(prediction.category[is_near], prediction.instance[is_near])
    near_truth = Labels(truth.labels.category[is_near], truth.labels.instance[is_near])
    statistics = STRICT.match(overlap(near_prediction, near_truth), table).statistics
    return {
        "distance": BOUNDARY_DISTANCE,
        **class_means(statistics, table),
        "classes": classes_record(statistics, table),
    }


def unknown_record(
    prediction: Labels, truth: Labels, table: CategoryTable, complete: CompleteTruth | None
) -> dict[str, int] | None:
    """Counts of the objects without a name and of those of classes left out; None where the table has no `unknown`."""
    if table.unknown == VOID:
        return None
    every = complete or CompleteTruth(truth, table)
    return asdict(unknown_quality(overlap(prediction, every.labels), table, every.table))


def geometry_record(prediction: PanopticMesh, truth: PanopticMesh, seed: int) -> dict[str, Any]:
    """Distances between the predicted and the true surface, whatever their labels; `seed` of the points sampled."""
    surface = surface_quality(prediction.mesh, truth.mesh, seed=seed)
    return {
        "accuracy": surface.accuracy,
        "completeness": surface.completeness,
        "chamfer": surface.chamfer,
        "normal_consistency": surface.normal_consistency,
        "thresholds": {
            f"{distance:g}": {name: getattr(surface, name)[distance] for name in ("precision", "recall", "f_score")}
            for distance in surface.f_score
        },
    }


def calibration_record(matching: Matching, confidences: Mapping[int, ObjectConfidence]) -> dict[str, Any]:
    """The expected calibration error of the predicted objects, and the bins that it is computed from."""
    confidence_of_instance = {instance: stated.confidence for instance, stated in confidences.items()}
    calibration = expected_calibration_error(*object_outcomes(matching, confidence_of_instance))
    bins = zip(calibration.counts, calibration.confidence, calibration.accuracy, strict=True)
    return {
        "ece": calibration.ece,
        "bins": [{"count": int(n), "confidence": float(mean), "right": float(share)} for n, mean, share in bins],
    }


def _record(
    matched: MatchedScene,
    points: Overlap,
    settings: EvaluationSettings,
    confidences: Mapping[int, ObjectConfidence],
) -> dict[str, Any]:
    """What meshes and frames have in common."""
    headline = settings.protocols[0]
    is_one_matching = not headline.is_per_scan or len(matched.scans) == 1
    matching = matched.matchings[headline][0] if is_one_matching else None
    return {
        **scores_record(matched, points, settings.table, confidences, settings.bootstrap),
        "void": void_rate(matched.overlap, settings.table),
        "calibration": calibration_record(matching, confidences) if matching and confidences else None,
        "objects": objects_record(matching, settings.table, confidences) if matching else [],
    }


def _listed(labels: Labels) -> Labels:
    return replace(labels, category=listed(labels.category))


def _label_images(
    prediction: Labels,
    truth: Labels,
    matching: Matching,
    row_of_point: Int[np.ndarray, "*points"],
    table: CategoryTable,
) -> dict[str, UInt8[np.ndarray, "*points 3"]]:
    """Colours of truth, prediction and errors by caption; `row_of_point` is in the overlap that was matched."""
    is_evaluated: Bool[np.ndarray, "*points"] = np.append(table.is_evaluated, False)[truth.category]
    return {
        "truth": label_colors(truth, table),
        "prediction": label_colors(_with_true_instances(prediction, matching, row_of_point), table),
        "errors": error_colors(matching.is_correct[row_of_point], is_evaluated, prediction),
    }


def _with_true_instances(prediction: Labels, matching: Matching, row_of_point: Int[np.ndarray, "*points"]) -> Labels:
    """The predicted labels with the instance of the true segment that each is matched to, so that colours agree."""
    intersections = matching.intersections
    matched = matching.matched
    unused = int(intersections.true.instance.max(initial=VOID)) + 1
    instance = unused + np.arange(len(intersections.predicted) + 1)
    instance[matched.predicted_index] = intersections.true.instance[matched.true_index]
    return Labels(prediction.category, instance[intersections.predicted.of_row[row_of_point]])
