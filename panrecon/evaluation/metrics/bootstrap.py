"""Confidence intervals of means over classes by resampling objects or scenes (bootstrap: Efron, 1979)."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from panrecon.evaluation.metrics.panoptic_quality import Matching, PanopticStatistics, panoptic_quality, sum_statistics
from panrecon.structures import CategoryTable

MATCHED, FALSE, MISSED = range(3)


@dataclass(frozen=True)
class _Outcomes:
    """Class and kind (`MATCHED`, `FALSE`, `MISSED`) of every outcome, and its IoU (0 if it is no match)."""

    category: Int[np.ndarray, " N"]
    kind: Int[np.ndarray, " N"]
    iou: Float[np.ndarray, " N"]

    def __len__(self) -> int:
        return len(self.category)


def instance_interval(
    matchings: Sequence[Matching], table: CategoryTable, resamples: int = 1000, level: float = 0.95, seed: int = 0
) -> dict[str, tuple[float, float]]:
    """Percentile intervals of the mean `pq`, `sq`, `rq`, also `_things` and `_stuff`, over resampled instances.

    Lower and upper end of the interval that covers `level`, by the name of the mean; nan where it is undefined. Every
    matched pair, false and missed segment of all matchings is an outcome; those of each class are resampled with
    replacement, as many as the class has, so that the classes stay those of the mean.
    """
    outcomes = _pooled(matchings)
    is_counted = np.any([matching.is_counted for matching in matchings], axis=0)
    count_of_class = np.bincount(outcomes.category, minlength=len(table))
    first = (np.cumsum(count_of_class) - count_of_class)[outcomes.category]

    def draw(rng: np.random.Generator) -> PanopticStatistics:
        sample = first + rng.integers(count_of_class[outcomes.category]) if len(outcomes) else first
        category = outcomes.category[sample]
        kind = outcomes.kind[sample]
        iou_sum = np.bincount(category, outcomes.iou[sample], minlength=len(table)).astype(np.float64)
        matched, false, missed = np.bincount(kind * len(table) + category, minlength=3 * len(table)).reshape(3, -1)
        return PanopticStatistics(iou_sum, matched, false, missed, is_counted)

    observed = sum_statistics([matching.statistics for matching in matchings])
    return _interval(draw, observed, table, resamples, level, seed)


def scene_interval(
    statistics: Sequence[PanopticStatistics],
    table: CategoryTable,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> dict[str, tuple[float, float]]:
    """The same intervals over resampled scenes, whose statistics are added before any quality is computed."""
    iou_sum = np.stack([scene.iou_sum for scene in statistics])
    matched = np.stack([scene.true_positives for scene in statistics])
    false = np.stack([scene.false_positives for scene in statistics])
    missed = np.stack([scene.false_negatives for scene in statistics])
    is_counted = np.stack([scene.is_counted for scene in statistics])

    def draw(rng: np.random.Generator) -> PanopticStatistics:
        sample = rng.integers(len(statistics), size=len(statistics))
        return PanopticStatistics(
            iou_sum[sample].sum(axis=0),
            matched[sample].sum(axis=0),
            false[sample].sum(axis=0),
            missed[sample].sum(axis=0),
            np.asarray(is_counted[sample].any(axis=0)),
        )

    return _interval(draw, sum_statistics(statistics), table, resamples, level, seed)


def _pooled(matchings: Sequence[Matching]) -> _Outcomes:
    """All outcomes in an order that does not depend on names or on the order of matchings."""
    parts = [part for matching in matchings for part in _outcomes(matching)]
    category = np.concatenate([part.category for part in parts])
    kind = np.concatenate([part.kind for part in parts])
    iou = np.concatenate([part.iou for part in parts])
    order = np.lexsort((iou, kind, category))
    return _Outcomes(category[order], kind[order], iou[order])


def _outcomes(matching: Matching) -> Iterator[_Outcomes]:
    predicted = matching.intersections.predicted.category
    true = matching.intersections.true.category
    pairs = matching.matched
    for kind, category in ((FALSE, predicted[matching.is_false]), (MISSED, true[matching.is_missed])):
        yield _Outcomes(category, np.full(len(category), kind), np.zeros(len(category)))
    yield _Outcomes(true[pairs.true_index], np.full(len(pairs), MATCHED), pairs.iou)


def _interval(
    draw: Callable[[np.random.Generator], PanopticStatistics],
    observed: PanopticStatistics,
    table: CategoryTable,
    resamples: int,
    level: float,
    seed: int,
) -> dict[str, tuple[float, float]]:
    """Percentiles of the means over `resamples` draws, widened to what was observed if that lies outside."""
    rng = np.random.default_rng(seed)
    draws = [_means(draw(rng), table) for _ in range(resamples)]
    return {
        name: _percentiles(np.array([means[name] for means in draws]), value, level)
        for name, value in _means(observed, table).items()
    }


def _means(statistics: PanopticStatistics, table: CategoryTable) -> dict[str, float]:
    quality = panoptic_quality(statistics)
    groups: dict[str, Bool[np.ndarray, " C"] | None] = {"": None, "_things": table.is_thing, "_stuff": ~table.is_thing}
    return {f"{name}{suffix}": v for suffix, in_group in groups.items() for name, v in quality.mean(in_group).items()}


def _percentiles(values: Float[np.ndarray, " R"], observed: float, level: float) -> tuple[float, float]:
    defined = values[~np.isnan(values)]
    if not len(defined) or np.isnan(observed):
        return float("nan"), float("nan")
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return min(float(low), observed), max(float(high), observed)
