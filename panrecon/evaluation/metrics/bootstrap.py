"""How far a mean over classes could lie elsewhere, had we met other objects or scenes (bootstrap: Efron, 1979)."""

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

    Every matched pair, false and missed segment of all matchings is an outcome; those of each class are drawn with
    equal chance, as often as the class has them, so that the classes stay those of the mean. Nan where it is undefined.
    """
    outcomes = _pooled(matchings)
    counted = np.any([matching.counted for matching in matchings], axis=0)
    of_class = np.bincount(outcomes.category, minlength=len(table))
    first = (np.cumsum(of_class) - of_class)[outcomes.category]

    def drawn(rng: np.random.Generator) -> PanopticStatistics:
        chosen = first + rng.integers(of_class[outcomes.category]) if len(outcomes) else first
        category, kind = outcomes.category[chosen], outcomes.kind[chosen]
        iou_sum = np.bincount(category, outcomes.iou[chosen], minlength=len(table)).astype(np.float64)
        matched, false, missed = np.bincount(kind * len(table) + category, minlength=3 * len(table)).reshape(3, -1)
        return PanopticStatistics(iou_sum, matched, false, missed, counted)

    return _interval(
        drawn, sum_statistics([matching.statistics for matching in matchings]), table, resamples, level, seed
    )


def scene_interval(
    statistics: Sequence[PanopticStatistics],
    table: CategoryTable,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> dict[str, tuple[float, float]]:
    """The same intervals over resampled scenes, whose statistics are added before any quality is computed."""
    iou_sum = np.stack([one.iou_sum for one in statistics])
    matched = np.stack([one.true_positives for one in statistics])
    false = np.stack([one.false_positives for one in statistics])
    missed = np.stack([one.false_negatives for one in statistics])
    counted = np.stack([one.counted for one in statistics])

    def drawn(rng: np.random.Generator) -> PanopticStatistics:
        chosen = rng.integers(len(statistics), size=len(statistics))
        return PanopticStatistics(
            iou_sum[chosen].sum(axis=0),
            matched[chosen].sum(axis=0),
            false[chosen].sum(axis=0),
            missed[chosen].sum(axis=0),
            np.asarray(counted[chosen].any(axis=0)),
        )

    return _interval(drawn, sum_statistics(statistics), table, resamples, level, seed)


def _pooled(matchings: Sequence[Matching]) -> _Outcomes:
    """All outcomes in an order that does not depend on names or on the order of matchings."""
    parts = [part for matching in matchings for part in _outcomes(matching)]
    category = np.concatenate([part.category for part in parts])
    kind = np.concatenate([part.kind for part in parts])
    iou = np.concatenate([part.iou for part in parts])
    order = np.lexsort((iou, kind, category))
    return _Outcomes(category[order], kind[order], iou[order])


def _outcomes(matching: Matching) -> Iterator[_Outcomes]:
    predicted, true, pairs = matching.crossing.predicted.category, matching.crossing.true.category, matching.matched
    for kind, category in ((FALSE, predicted[matching.is_false]), (MISSED, true[matching.is_missed])):
        yield _Outcomes(category, np.full(len(category), kind), np.zeros(len(category)))
    yield _Outcomes(true[pairs.truth], np.full(len(pairs), MATCHED), pairs.iou)


def _interval(
    drawn: Callable[[np.random.Generator], PanopticStatistics],
    observed: PanopticStatistics,
    table: CategoryTable,
    resamples: int,
    level: float,
    seed: int,
) -> dict[str, tuple[float, float]]:
    """Percentiles of the means over `resamples` draws, widened to what was observed if that lies outside."""
    rng = np.random.default_rng(seed)
    draws = [_means(drawn(rng), table) for _ in range(resamples)]
    return {
        name: _percentiles(np.array([means[name] for means in draws]), value, level)
        for name, value in _means(observed, table).items()
    }


def _means(statistics: PanopticStatistics, table: CategoryTable) -> dict[str, float]:
    quality = panoptic_quality(statistics)
    groups: dict[str, Bool[np.ndarray, " C"] | None] = {"": None, "_things": table.is_thing, "_stuff": ~table.is_thing}
    return {f"{name}{suffix}": v for suffix, chosen in groups.items() for name, v in quality.mean(chosen).items()}


def _percentiles(values: Float[np.ndarray, " R"], observed: float, level: float) -> tuple[float, float]:
    known = values[~np.isnan(values)]
    if not len(known) or np.isnan(observed):
        return float("nan"), float("nan")
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return min(float(low), observed), max(float(high), observed)
