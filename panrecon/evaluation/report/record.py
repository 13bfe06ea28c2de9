"""Scores as the record that machines read: `quality.json`, whose schema lies beside this file."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from panrecon.evaluation.metrics.bootstrap import instance_interval, scene_interval
from panrecon.evaluation.metrics.coverage import coverage, remapped_coverage
from panrecon.evaluation.metrics.instance_ap import average_precision
from panrecon.evaluation.metrics.panoptic_quality import Matching, PanopticStatistics, panoptic_quality, sum_statistics
from panrecon.evaluation.metrics.semantic import SemanticQuality, confusion, frame_quality, semantic_quality
from panrecon.evaluation.overlap import Overlap, merge_overlaps
from panrecon.evaluation.protocols import Protocol
from panrecon.evaluation.report.common_table import common_table, overlap_in, statistics_in
from panrecon.evaluation.scene_matching import MatchedScene
from panrecon.structures import VOID, CategoryTable

FORMAT_VERSION: Final = 2
SCHEMA: Final = Path(__file__).with_name("quality.schema.json")
COVERED: Final = 0.5  # IoU from which on a true object counts as recalled, a predicted one as right
DAGGERED: Final = ("strict", "lidar")  # protocols that PQ dagger is defined for
GROUPS: Final = {"": None, "_things": True, "_stuff": False}
MEANS: Final = tuple(f"{name}{group}" for group in GROUPS for name in ("pq", "sq", "rq"))


@dataclass(frozen=True)
class ObjectConfidence:
    """What a method says of one of its objects: confidence in [0, 1] and the number of supporting frames."""

    confidence: float
    frames: int


@dataclass(frozen=True)
class BootstrapSettings:
    """How intervals are drawn: the number of bootstrap resamples, the level they cover, and the seed."""

    resamples: int = 1000
    level: float = 0.95
    seed: int = 0

    def of_instances(self, matchings: Sequence[Matching], table: CategoryTable) -> dict[str, tuple[float, float]]:
        return instance_interval(matchings, table, self.resamples, self.level, self.seed)

    def of_scenes(
        self, statistics: Sequence[PanopticStatistics], table: CategoryTable
    ) -> dict[str, tuple[float, float]]:
        return scene_interval(statistics, table, self.resamples, self.level, self.seed)


def schema() -> Any:
    """The JSON schema of the record."""
    return json.loads(SCHEMA.read_text())


def class_means(statistics: PanopticStatistics, table: CategoryTable) -> dict[str, float]:
    """The `MEANS` a paper would print, each in [0, 1]; nan where undefined."""
    quality = panoptic_quality(statistics)
    chosen = {group: None if thing is None else table.is_thing == thing for group, thing in GROUPS.items()}
    return {f"{name}{group}": value for group in GROUPS for name, value in quality.mean(chosen[group]).items()}


def scores_record(
    matched: MatchedScene,
    points: Overlap,
    table: CategoryTable,
    confidences: Mapping[int, ObjectConfidence],
    bootstrap: BootstrapSettings,
) -> dict[str, Any]:
    """Everything that follows from the labels of one scene.

    `points` is the scene's overlap with every point counting 1, as AP wants it.
    """
    confidence = {instance: found.confidence for instance, found in confidences.items()}
    precision = average_precision(points, table, confidence)
    return {
        "protocols": protocols_record(matched, table, bootstrap),
        "semantic": semantic_record(matched, table),
        "coverage": asdict(coverage(matched.overlap, table, COVERED)),
        "average_precision": {
            **precision.mean(),
            "classes": {
                category.name: {name: float(getattr(precision, name)[row]) for name in ("ap", "ap50", "ap25")}
                for row, category in enumerate(table)
                if category.thing and category.evaluated
            },
        },
    }


def protocols_record(matched: MatchedScene, table: CategoryTable, bootstrap: BootstrapSettings) -> dict[str, Any]:
    """Every protocol's means, their intervals over instances, and its classes."""
    found = {}
    for protocol, matchings in matched.matchings.items():
        interval = bootstrap.of_instances(matchings, table)
        found[str(protocol)] = {
            **_protocol(protocol, matched.statistics(protocol), interval, matchings, matched.overlap, table),
            "script": script_record(protocol, matched, table) if protocol.is_released_script else None,
        }
    return found


def script_record(protocol: Protocol, matched: MatchedScene, table: CategoryTable) -> dict[str, Any]:
    """What the released scripts of PanopticRecon and PVLFF print beside: classes that no frame has count as 0."""
    frames = frame_quality(matched.scans, table, absent=0.0) if matched.is_frames else None
    return {
        "coverage": asdict(remapped_coverage(matched.overlap, table, protocol.threshold)),
        "frame_miou": frames.miou if frames else None,
        "frame_macc": frames.macc if frames else None,
    }


def total_record(
    scenes: Sequence[MatchedScene], tables: Sequence[CategoryTable], bootstrap: BootstrapSettings
) -> dict[str, Any]:
    """Several scenes as one: their statistics added by the names of classes, intervals over scenes."""
    table = common_table(tables)
    pairs = list(zip(scenes, tables, strict=True))
    scans = tuple(overlap_in(scan, own, table) for matched, own in pairs for scan in matched.scans)
    stacked = merge_overlaps([overlap_in(matched.overlap, own, table) for matched, own in pairs])
    found = {}
    for protocol in scenes[0].matchings:
        per_scene = [statistics_in(matched.statistics(protocol), own, table) for matched, own in pairs]
        matchings = [matching for matched in scenes for matching in matched.matchings[protocol]]
        interval = bootstrap.of_scenes(per_scene, table)
        found[str(protocol)] = {
            **_protocol(protocol, sum_statistics(per_scene), interval, matchings, stacked, table),
            "script": None,
            "scene_mean": _mean_of_scenes(per_scene, table),
        }
    everything = MatchedScene(scans, stacked, {}, any(matched.is_frames for matched in scenes))
    return {"protocols": found, "semantic": semantic_record(everything, table)}


def _mean_of_scenes(per_scene: Sequence[PanopticStatistics], table: CategoryTable) -> dict[str, float]:
    """The mean over scenes of every mean; where a scene does not define one, over the others."""
    rows = [class_means(statistics, table) for statistics in per_scene]
    defined = {name: [row[name] for row in rows if not np.isnan(row[name])] for name in MEANS}
    return {name: float(np.mean(values)) if values else float("nan") for name, values in defined.items()}


def semantic_record(matched: MatchedScene, table: CategoryTable) -> dict[str, Any]:
    """Class quality over all points and, of frames, frame by frame."""
    whole = semantic_quality(confusion(matched.overlap, table))
    frames = frame_quality(matched.scans, table) if matched.is_frames else None
    return {
        "miou": whole.miou,
        "macc": whole.macc,
        "frame_miou": frames.miou if frames else None,
        "frame_macc": frames.macc if frames else None,
        "classes": {
            category.name: {"iou": float(whole.iou[row]), "accuracy": float(whole.accuracy[row])}
            for row, category in enumerate(table)
            if not np.isnan(whole.iou[row])
        },
    }


def objects_record(
    matching: Matching, table: CategoryTable, confidences: Mapping[int, ObjectConfidence]
) -> list[dict[str, Any]]:
    """A line for every predicted thing and for every true one that is missed; ids as in label files, 0 = none."""
    intersections, matched = matching.intersections, matching.matched
    true_instance = intersections.true.instance
    predicted_area, true_area = intersections.predicted_area, intersections.true_area
    best = {int(matched.predicted_index[pair]): int(pair) for pair in np.argsort(matched.iou, kind="stable")}
    lines = []
    for number in np.flatnonzero(table.is_thing[intersections.predicted.category]):
        pair, instance = best.get(int(number)), int(intersections.predicted.instance[number])
        found = confidences.get(instance)
        outcome = "matched" if pair is not None else "false" if matching.is_false[number] else "excused"
        lines.append(
            {
                "instance": instance - VOID,
                "category": table[intersections.predicted.category[number]].name,
                "area": float(predicted_area[number]),
                "confidence": found.confidence if found else None,
                "frames": found.frames if found else None,
                "outcome": outcome,
                "iou": float(matched.iou[pair]) if pair is not None else None,
                "truth": int(intersections.true.instance[matched.true_index[pair]]) - VOID
                if pair is not None
                else None,
            }
        )
    for number in np.flatnonzero(matching.is_missed & table.is_thing[intersections.true.category]):
        lines.append(
            {
                "instance": None,
                "category": table[intersections.true.category[number]].name,
                "area": float(true_area[number]),
                "confidence": None,
                "frames": None,
                "outcome": "missed",
                "iou": None,
                "truth": int(true_instance[number]) - VOID,
            }
        )
    return lines


def nan_to_null(content: Any) -> Any:
    """The same content with nan, infinity and intervals that hold nan (tuples) as null, for JSON has none of them."""
    if isinstance(content, Mapping):
        return {key: nan_to_null(value) for key, value in content.items()}
    if isinstance(content, tuple):
        return None if np.isnan(content).any() else list(content)
    if isinstance(content, list):
        return [nan_to_null(value) for value in content]
    return None if isinstance(content, float) and not np.isfinite(content) else content


def _protocol(
    protocol: Protocol,
    statistics: PanopticStatistics,
    interval: Mapping[str, tuple[float, float]],
    matchings: Sequence[Matching],
    stacked: Overlap,
    table: CategoryTable,
) -> dict[str, Any]:
    quality = panoptic_quality(statistics)
    iou = np.concatenate([matching.matched.iou for matching in matchings])
    semantic = semantic_quality(confusion(stacked, table))
    return {
        "threshold": protocol.threshold,
        "mean": class_means(statistics, table),
        "interval": {name: interval[name] for name in MEANS},
        "matched_iou": float(iou.mean()) if len(iou) else None,
        "pq_dagger": pq_dagger(quality.pq, semantic, table) if protocol.name in DAGGERED else None,
        "classes": classes_record(statistics, table),
    }


def classes_record(statistics: PanopticStatistics, table: CategoryTable) -> dict[str, Any]:
    """Qualities and counts of every counted class."""
    quality = panoptic_quality(statistics)
    return {
        category.name: {
            "pq": float(quality.pq[row]),
            "sq": float(quality.sq[row]),
            "rq": float(quality.rq[row]),
            "iou_sum": float(statistics.iou_sum[row]),
            "true_positives": int(statistics.true_positives[row]),
            "false_positives": int(statistics.false_positives[row]),
            "false_negatives": int(statistics.false_negatives[row]),
        }
        for row, category in enumerate(table)
        if statistics.is_counted[row]
    }


def pq_dagger(pq: np.ndarray, semantic: SemanticQuality, table: CategoryTable) -> float:
    """Mean over the counted classes of PQ for things and semantic IoU for stuff (Porzi et al., CVPR 2019)."""
    counted = ~np.isnan(pq)
    values = np.where(table.is_thing, pq, np.nan_to_num(semantic.iou))
    return float(values[counted].mean()) if counted.any() else float("nan")
