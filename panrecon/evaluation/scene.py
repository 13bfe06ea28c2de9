"""A whole scene judged: its record, its pictures, and the sums that a total over scenes needs."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from panrecon import __version__
from panrecon.errors import InputError
from panrecon.evaluation.images import Crop
from panrecon.evaluation.metrics.boundary import near_boundary
from panrecon.evaluation.metrics.calibration import expected_calibration_error, object_outcomes
from panrecon.evaluation.metrics.geometric import surface_quality
from panrecon.evaluation.metrics.panoptic_quality import Matching
from panrecon.evaluation.overlap import Overlap, overlap, overlap_and_rows
from panrecon.evaluation.protocols import Protocol, protocol
from panrecon.evaluation.report.common_table import common_table
from panrecon.evaluation.report.record import (
    FORMAT_VERSION,
    Evidence,
    Resampling,
    classes_record,
    finite,
    means,
    objects_record,
    scores_record,
    total_record,
)
from panrecon.evaluation.score import Score, on_truth, score, share_left_void, share_uncovered
from panrecon.geometry.mesh import vertex_areas
from panrecon.structures import VOID, CategoryTable, Labels, PanopticMesh
from panrecon.visualization import error_colors, evenly_spaced, isometric_view, label_colors

BOUNDARY_DISTANCE: Final = 0.05  # m
PICTURED_FRAMES: Final = 4
STRICT: Final = protocol("strict")

Rgb = UInt8[np.ndarray, "h w 3"]


@dataclass(frozen=True)
class Terms:
    """How predictions are held against truths; the first protocol is the headline.

    Of meshes, a true vertex takes the nearest predicted label within `radius` (m) and counts 1, or its area. What
    `crop` leaves of images, and whether points that no camera saw are left out, whoever reads the files sees to.
    """

    table: CategoryTable
    protocols: tuple[Protocol, ...] = (STRICT,)
    radius: float = 0.05
    by_area: bool = False
    crop: Crop = field(default_factory=Crop)
    visible_only: bool = False
    resampling: Resampling = field(default_factory=Resampling)

    def __post_init__(self) -> None:
        if self.by_area and any(protocol.is_per_scan for protocol in self.protocols):
            raise InputError("The protocol lidar counts points (its min_points), not areas; leave one of the two out.")

    def weight_of(self, truth: PanopticMesh) -> Float[np.ndarray, " V"] | None:
        """What every true vertex counts; None: 1."""
        return vertex_areas(truth.mesh.vertices, truth.mesh.faces) if self.by_area else None


@dataclass(frozen=True)
class Judged:
    """A scene's share of `quality.json` and its pictures by caption."""

    score: Score
    table: CategoryTable
    record: Mapping[str, Any]
    pictures: Mapping[str, Rgb]


def judge_points(
    prediction: PanopticMesh,
    truth: PanopticMesh,
    terms: Terms,
    evidence: Mapping[int, Evidence],
    up: Float[np.ndarray, "3"],
) -> Judged:
    """A labelled mesh (or cloud) on the vertices of the true one; `up` is the world's, for the pictures."""
    weight = terms.weight_of(truth)
    found = on_truth(prediction, truth, terms.radius, weight)
    scored = score([found.overlap], terms.table, terms.protocols)
    headline = scored.matchings[terms.protocols[0]][0]
    record = {
        **_record(scored, overlap(found.labels, truth.labels), terms, evidence),
        "uncovered": share_uncovered(found, truth.labels, terms.table, weight),
        "frames": None,
        "true_frames": None,
        "boundary": boundary_record(found.labels, truth, terms.table),
        "geometry": geometry_record(prediction, truth, terms.resampling.seed),
    }
    shown = _as_their_truth(found.labels, headline, found.row)
    view = isometric_view(truth.mesh, up)
    errors = error_colors(headline.is_right[found.row], _evaluated(truth.labels, terms.table), found.labels)
    colors = {
        "scan": truth.mesh.colors,
        "truth": label_colors(truth.labels, terms.table),
        "prediction": label_colors(shown, terms.table),
        "errors": errors,
    }
    return Judged(scored, terms.table, record, {caption: view.paint(painted) for caption, painted in colors.items()})


def judge_frames(
    frames: Iterable[tuple[Labels, Labels]], count: int, terms: Terms, evidence: Mapping[int, Evidence]
) -> Judged:
    """Predicted and true label images of one scene, frame by frame; only a few are kept, for the pictures."""
    scans: list[Overlap] = []
    kept: dict[int, tuple[Labels, Labels]] = {}
    wanted = set(evenly_spaced(count, PICTURED_FRAMES))
    for number, (prediction, truth) in enumerate(frames):
        scans.append(overlap(prediction, truth))
        if number in wanted:
            kept[number] = (prediction, truth)
    scored = score(scans, terms.table, terms.protocols, is_frames=True)
    record = {
        **_record(scored, scored.overlap, terms, evidence),
        "uncovered": None,
        "frames": count,
        "boundary": None,
        "geometry": None,
    }
    headline = scored.matchings[terms.protocols[0]]
    pictures: dict[str, Rgb] = {}
    for number, pair in kept.items():
        stacked, matching = (scans[number], headline[number]) if len(headline) > 1 else (scored.overlap, headline[0])
        pictures |= _frame_pictures(f"frame {number + 1} of {count}", *pair, stacked, matching, terms.table)
    return Judged(scored, terms.table, record, pictures)


def whole_record(judged: Mapping[str, Judged], terms: Terms, is_mesh: bool) -> dict[str, Any]:
    """`quality.json` of one or more scenes; of more than one with their total."""
    scores, tables = [found.score for found in judged.values()], [found.table for found in judged.values()]
    return finite(
        {
            "version": FORMAT_VERSION,
            "package": __version__,
            "kind": "points" if is_mesh else "frames",
            "unit": "vertices" if is_mesh else "pixels",
            "protocols": [str(protocol) for protocol in terms.protocols],
            "settings": {
                "radius": terms.radius if is_mesh else None,
                "weight": "area" if terms.by_area else "count",
                "min_points": terms.protocols[0].min_points,
                "scale": terms.crop.scale,
                "crop_top": terms.crop.top,
                "visible_only": terms.visible_only,
                **asdict(terms.resampling),
            },
            "classes": [
                {name: getattr(category, name) for name in ("id", "name", "thing", "evaluated")}
                for category in common_table(tables)
            ],
            "scenes": {name: found.record for name, found in judged.items()},
            "total": total_record(scores, tables, terms.resampling) if len(scores) > 1 else None,
        }
    )


def boundary_record(prediction: Labels, truth: PanopticMesh, table: CategoryTable) -> dict[str, Any] | None:
    """Strict quality of the true vertices near instance boundaries; None where there is no boundary."""
    near = near_boundary(truth.mesh.vertices, truth.labels, table, BOUNDARY_DISTANCE)
    if not near.any():
        return None
    here, there = (Labels(labels.category[near], labels.instance[near]) for labels in (prediction, truth.labels))
    statistics = STRICT.match(overlap(here, there), table).statistics
    return {
        "distance": BOUNDARY_DISTANCE,
        **means(statistics, table),
        "classes": classes_record(statistics, table),
    }


def geometry_record(prediction: PanopticMesh, truth: PanopticMesh, seed: int) -> dict[str, Any]:
    """How the predicted surface lies on the true one."""
    found = surface_quality(prediction.mesh, truth.mesh, seed=seed)
    return {
        "accuracy": found.accuracy,
        "completeness": found.completeness,
        "chamfer": found.chamfer,
        "normal_consistency": found.normal_consistency,
        "thresholds": {
            f"{distance:g}": {name: getattr(found, name)[distance] for name in ("precision", "recall", "f_score")}
            for distance in found.f_score
        },
    }


def _record(scored: Score, points: Overlap, terms: Terms, evidence: Mapping[int, Evidence]) -> dict[str, Any]:
    """What meshes and frames have in common."""
    headline = terms.protocols[0]
    whole = scored.matchings[headline][0] if not headline.is_per_scan or len(scored.scans) == 1 else None
    return {
        **scores_record(scored, points, terms.table, evidence, terms.resampling),
        "void": share_left_void(scored.overlap, terms.table),
        "calibration": calibration_record(whole, evidence) if whole and evidence else None,
        "objects": objects_record(whole, terms.table, evidence) if whole else [],
    }


def calibration_record(matching: Matching, evidence: Mapping[int, Evidence]) -> dict[str, Any]:
    """Whether objects are right as often as their confidence says."""
    confidence = {instance: found.confidence for instance, found in evidence.items()}
    found = expected_calibration_error(*object_outcomes(matching, confidence))
    bins = zip(found.counts, found.confidence, found.right, strict=True)
    return {
        "ece": found.ece,
        "bins": [{"count": int(n), "confidence": float(mean), "right": float(share)} for n, mean, share in bins],
    }


def _frame_pictures(
    name: str, prediction: Labels, truth: Labels, stacked: Overlap, matching: Matching, table: CategoryTable
) -> dict[str, Rgb]:
    """Truth, prediction and errors of one frame, by a matching of the whole scene."""
    frame, row_of_pixel = overlap_and_rows(prediction, truth)
    row = stacked.rows_of(frame)[row_of_pixel].reshape(truth.category.shape)
    return {
        f"{name}: truth": label_colors(truth, table),
        f"{name}: prediction": label_colors(_as_their_truth(prediction, matching, row), table),
        f"{name}: errors": error_colors(matching.is_right[row], _evaluated(truth, table), prediction),
    }


def _as_their_truth(prediction: Labels, matching: Matching, row: Int[np.ndarray, "*points"]) -> Labels:
    """The predicted labels with the instance of the true segment wherever one is matched, so that colours agree."""
    crossing, matched = matching.crossing, matching.matched
    unused = int(crossing.true.instance.max(initial=VOID)) + 1
    instance = unused + np.arange(len(crossing.predicted) + 1)
    instance[matched.prediction] = crossing.true.instance[matched.truth]
    return Labels(prediction.category, instance[crossing.predicted.of_row[row]])


def _evaluated(truth: Labels, table: CategoryTable) -> Bool[np.ndarray, "*points"]:
    return np.asarray(np.append(table.is_evaluated, False)[truth.category])
