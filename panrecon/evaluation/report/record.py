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
from panrecon.evaluation.protocols import PROTOCOLS, Protocol
from panrecon.evaluation.report.common_table import common_table, overlap_in, statistics_in
from panrecon.evaluation.scene_matching import MatchedScene
from panrecon.structures import VOID, CategoryTable

FORMAT_VERSION: Final = 2
SCHEMA: Final = Path(__file__).with_name("quality.schema.json")
COVERAGE_THRESHOLD: Final = 0.5  # IoU above which a true object is recalled and a predicted one correct
PQ_DAGGER_PROTOCOLS: Final = ("strict", "lidar")  # those with one segment per stuff class, as PQ† demands
GROUPS: Final = {"": None, "_things": True, "_stuff": False}
MEANS: Final = tuple(f"{name}{group}" for group in GROUPS for name in ("pq", "sq", "rq"))


@dataclass(frozen=True)
class ObjectConfidence:
    """The confidence of a predicted object, in [0, 1], and the number of frames whose masks support it."""

    confidence: float
    frames: int


@dataclass(frozen=True)
class BootstrapSettings:
    """How confidence intervals are computed: number of bootstrap resamples, coverage in (0, 1), and seed."""

    resamples: int = 1000
    level: float = 0.95
    seed: int = 0

    def instance_interval(self, matchings: Sequence[Matching], table: CategoryTable) -> dict[str, tuple[float, float]]:
        """The interval of every mean over resampled instances."""
        return instance_interval(matchings, table, self.resamples, self.level, self.seed)

    def scene_interval(
        self, statistics: Sequence[PanopticStatistics], table: CategoryTable
    ) -> dict[str, tuple[float, float]]:
        """The interval of every mean over resampled scenes."""
        return scene_interval(statistics, table, self.resamples, self.level, self.seed)


def schema() -> Any:
    """The JSON schema of the record."""
    return json.loads(SCHEMA.read_text())


def class_means(statistics: PanopticStatistics, table: CategoryTable) -> dict[str, float]:
    """The means over classes that papers print, by the names in `MEANS`, each in [0, 1]; nan where undefined."""
    quality = panoptic_quality(statistics)
    in_group = {group: None if thing is None else table.is_thing == thing for group, thing in GROUPS.items()}
    return {f"{name}{group}": value for group in GROUPS for name, value in quality.mean(in_group[group]).items()}


def scores_record(
    matched: MatchedScene,
    points: Overlap,
    table: CategoryTable,
    confidences: Mapping[int, ObjectConfidence],
    bootstrap: BootstrapSettings,
) -> dict[str, Any]:
    """All scores of one scene that follow from its labels.

    `points` is the scene's overlap with every point counting 1, as average precision needs it.
    """
    confidence_of_instance = {instance: stated.confidence for instance, stated in confidences.items()}
    precision = average_precision(points, table, confidence_of_instance)
    return {
        "protocols": protocols_record(matched, table, bootstrap),
        "semantic": semantic_record(matched, table),
        "coverage": asdict(coverage(matched.overlap, table, COVERAGE_THRESHOLD)),
        "average_precision": {
            **precision.mean(),
            "classes": {
                category.name: {name: float(getattr(precision, name)[index]) for name in ("ap", "ap50", "ap25")}
                for index, category in enumerate(table)
                if category.thing and category.evaluated
            },
        },
    }


def protocols_record(matched: MatchedScene, table: CategoryTable, bootstrap: BootstrapSettings) -> dict[str, Any]:
    """Means, their intervals over instances, and scores of classes, by protocol."""
    record = {}
    for protocol, matchings in matched.matchings.items():
        interval = bootstrap.instance_interval(matchings, table)
        record[str(protocol)] = {
            **_protocol(protocol, matched.statistics(protocol), interval, matchings, matched.overlap, table),
            "script": script_record(protocol, matched, table) if protocol.is_released_script else None,
        }
    return record


def script_record(protocol: Protocol, matched: MatchedScene, table: CategoryTable) -> dict[str, Any]:
    """Coverage and frame-wise quality as the released scripts of PanopticRecon and PVLFF print them beside PQ.

    Whatever the threshold of PQ, coverage keeps the published one. By PanopticRecon's an evaluated class that no frame
    has counts as 0 in the means; by PVLFF's the points without an id cover true objects as well.
    """
    absent = 0.0 if protocol.name == "panopticrecon" else np.nan
    frames = frame_quality(matched.scans, table, absent) if matched.is_frames else None
    threshold = PROTOCOLS[protocol.name].default_threshold
    covered = remapped_coverage(matched.overlap, table, threshold, with_none=protocol.name == "pvlff")
    return {
        "coverage": asdict(covered),
        "frame_miou": frames.miou if frames else None,
        "frame_macc": frames.macc if frames else None,
    }


def total_record(
    scenes: Sequence[MatchedScene], tables: Sequence[CategoryTable], bootstrap: BootstrapSettings
) -> dict[str, Any]:
    """The scores of several scenes together: statistics added by the names of classes, intervals over scenes."""
    table = common_table(tables)
    pairs = list(zip(scenes, tables, strict=True))
    scans = tuple(overlap_in(scan, own, table) for matched, own in pairs for scan in matched.scans)
    stacked = merge_overlaps([overlap_in(matched.overlap, own, table) for matched, own in pairs])
    record = {}
    for protocol in scenes[0].matchings:
        per_scene = [statistics_in(matched.statistics(protocol), own, table) for matched, own in pairs]
        matchings = [matching for matched in scenes for matching in matched.matchings[protocol]]
        interval = bootstrap.scene_interval(per_scene, table)
        record[str(protocol)] = {
            **_protocol(protocol, sum_statistics(per_scene), interval, matchings, stacked, table),
            "script": None,
            "scene_mean": _mean_of_scenes(per_scene, table),
        }
    together = MatchedScene(scans, stacked, {}, any(matched.is_frames for matched in scenes))
    return {"protocols": record, "semantic": semantic_record(together, table)}


def _mean_of_scenes(per_scene: Sequence[PanopticStatistics], table: CategoryTable) -> dict[str, float]:
    """The mean over scenes of every mean; where a scene does not define one, over the others."""
    means = [class_means(statistics, table) for statistics in per_scene]
    defined = {name: [scene[name] for scene in means if not np.isnan(scene[name])] for name in MEANS}
    return {name: float(np.mean(values)) if values else float("nan") for name, values in defined.items()}


def semantic_record(matched: MatchedScene, table: CategoryTable) -> dict[str, Any]:
    """Semantic quality over all points and, of frames, averaged frame by frame."""
    quality = semantic_quality(confusion(matched.overlap, table))
    frames = frame_quality(matched.scans, table) if matched.is_frames else None
    return {
        "miou": quality.miou,
        "macc": quality.macc,
        "frame_miou": frames.miou if frames else None,
        "frame_macc": frames.macc if frames else None,
        "classes": {
            category.name: {"iou": float(quality.iou[index]), "accuracy": float(quality.accuracy[index])}
            for index, category in enumerate(table)
            if not np.isnan(quality.iou[index])
        },
    }


def objects_record(
    matching: Matching, table: CategoryTable, confidences: Mapping[int, ObjectConfidence]
) -> list[dict[str, Any]]:
    """A row for every predicted thing and every missed true one; instances as in label files, 0 = none."""
    intersections = matching.intersections
    matched = matching.matched
    predicted = intersections.predicted
    true = intersections.true
    predicted_area = intersections.predicted_area
    true_area = intersections.true_area
    best_pair = {int(matched.predicted_index[pair]): int(pair) for pair in np.argsort(matched.iou, kind="stable")}
    rows: list[dict[str, Any]] = []
    for segment in np.flatnonzero(table.is_thing[predicted.category]).tolist():
        pair = best_pair.get(segment)
        stated = confidences.get(int(predicted.instance[segment]))
        rows.append(
            {
                "instance": int(predicted.instance[segment]) - VOID,
                "category": table[predicted.category[segment]].name,
                "area": float(predicted_area[segment]),
                "confidence": stated.confidence if stated else None,
                "frames": stated.frames if stated else None,
                "outcome": "matched" if pair is not None else "false" if matching.is_false[segment] else "excused",
                "iou": None if pair is None else float(matched.iou[pair]),
                "truth": None if pair is None else int(true.instance[matched.true_index[pair]]) - VOID,
            }
        )
    for segment in np.flatnonzero(matching.is_missed & table.is_thing[true.category]).tolist():
        rows.append(
            {
                "instance": None,
                "category": table[true.category[segment]].name,
                "area": float(true_area[segment]),
                "confidence": None,
                "frames": None,
                "outcome": "missed",
                "iou": None,
                "truth": int(true.instance[segment]) - VOID,
            }
        )
    return rows


def nan_to_null(content: Any) -> Any:
    """The same content with None for nan, infinity and intervals (tuples) that hold nan, which JSON cannot hold."""
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
        "pq_dagger": pq_dagger(quality.pq, semantic, table) if protocol.name in PQ_DAGGER_PROTOCOLS else None,
        "classes": classes_record(statistics, table),
    }


def classes_record(statistics: PanopticStatistics, table: CategoryTable) -> dict[str, Any]:
    """Panoptic quality and counts of every counted class, by its name."""
    quality = panoptic_quality(statistics)
    return {
        category.name: {
            "pq": float(quality.pq[index]),
            "sq": float(quality.sq[index]),
            "rq": float(quality.rq[index]),
            "iou_sum": float(statistics.iou_sum[index]),
            "true_positives": int(statistics.true_positives[index]),
            "false_positives": int(statistics.false_positives[index]),
            "false_negatives": int(statistics.false_negatives[index]),
        }
        for index, category in enumerate(table)
        if statistics.is_counted[index]
    }


def pq_dagger(pq: np.ndarray, semantic: SemanticQuality, table: CategoryTable) -> float:
    """PQ†: the mean over counted classes of PQ for things and semantic IoU for stuff (Porzi et al., CVPR 2019).

    nan where no class is counted.
    """
    is_counted = ~np.isnan(pq)
    values = np.where(table.is_thing, pq, np.nan_to_num(semantic.iou))
    return float(values[is_counted].mean()) if is_counted.any() else float("nan")
