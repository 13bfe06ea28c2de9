"""Bootstrap intervals: a slow plain twin, and what must hold of any interval."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from panrecon.evaluation.metrics.bootstrap import instance_interval, scene_interval
from panrecon.evaluation.metrics.panoptic_quality import Matching, PanopticStatistics, panoptic_quality, sum_statistics
from panrecon.evaluation.overlap import overlap
from panrecon.evaluation.protocols import parse_protocol
from panrecon.structures import VOID, Labels
from tests.evaluation.plain import CHAIR, CLASSES, EVALUATED, FLOOR, TABLE, THINGS, WALL, label_pairs, labels

Intervals = dict[str, tuple[float, float]]
NAMES = {f"{name}{suffix}" for name in ("pq", "sq", "rq") for suffix in ("", "_things", "_stuff")}
PAIRS = st.lists(label_pairs(), min_size=1, max_size=3)


def matchings(pairs: list[tuple[Labels, Labels]], rule: str = "strict") -> list[Matching]:
    return [parse_protocol(rule).match(overlap(*pair), CLASSES) for pair in pairs]


def scene(objects: int, seed: int) -> tuple[Labels, Labels]:
    """As many true chairs and tables of 20 points, most of them predicted more or less."""
    rng = np.random.default_rng(seed)
    truth = labels(*((20, CHAIR if i % 2 else TABLE, i) for i in range(objects)), (20, WALL, VOID), (20, FLOOR, VOID))
    lost = rng.random(len(truth.category)) < np.repeat(rng.uniform(0, 0.7, objects + 2), 20)
    return Labels(np.where(lost, VOID, truth.category), truth.instance), truth


def width(interval: tuple[float, float]) -> float:
    return interval[1] - interval[0]


def plain_means(outcomes: list[tuple[int, str, float]], always: set[int]) -> dict[str, float]:
    values: dict[str, list[float]] = {name: [] for name in NAMES}
    for category in sorted({c for c, _, _ in outcomes} | always):
        ious = [iou for c, kind, iou in outcomes if c == category and kind == "match"]
        others = sum(c == category and kind != "match" for c, kind, _ in outcomes)
        sq = sum(ious) / len(ious) if ious else 0.0
        rq = len(ious) / (len(ious) + others / 2) if ious or others else 0.0
        for suffix in ("", "_things" if category in THINGS else "_stuff"):
            for name, value in (("pq", sq * rq), ("sq", sq), ("rq", rq)):
                values[f"{name}{suffix}"].append(value)
    return {name: float(np.mean(defined)) if defined else np.nan for name, defined in values.items()}


def plain_interval(pooled: list[Matching], always: set[int], resamples: int, level: float, seed: int) -> Intervals:
    outcomes = []
    for matching in pooled:
        predicted = matching.intersections.predicted.category
        true = matching.intersections.true.category
        for truth, iou in zip(matching.matched.true_index.tolist(), matching.matched.iou.tolist(), strict=True):
            outcomes.append((int(true[truth]), "match", iou))
        outcomes += [(c, "no match 1", 0.0) for c in predicted[matching.is_false].tolist()]
        outcomes += [(c, "no match 2", 0.0) for c in true[matching.is_missed].tolist()]
    outcomes.sort()
    classes = [[outcome for outcome in outcomes if outcome[0] == c] for c in sorted({c for c, _, _ in outcomes})]
    rng = np.random.default_rng(seed)
    absent = always - {c for c, _, _ in outcomes}
    draws = []
    for _ in range(resamples):
        # one random index for each outcome, below the number of outcomes of its class
        limits = [len(members) for members in classes for _ in members]
        indices = rng.integers(limits).tolist() if outcomes else []
        drawn = []
        for members in classes:
            drawn += [members[indices.pop(0)] for _ in members]
        draws.append(plain_means(drawn, absent))
    observed = plain_means(outcomes, absent)
    result = {}
    for name in NAMES:
        defined = [draw[name] for draw in draws if not np.isnan(draw[name])]
        ends = np.percentile(defined, [50 * (1 - level), 50 * (1 + level)]) if defined else (np.nan, np.nan)
        result[name] = (min(float(ends[0]), observed[name]), max(float(ends[1]), observed[name]))
    return result


@settings(max_examples=60, deadline=None)
@given(PAIRS, st.sampled_from(["strict", "strict@0.2", "panopticrecon"]), st.sampled_from([0.5, 0.95]))
def test_equals_the_plain_definition(pairs: list[tuple[Labels, Labels]], rule: str, level: float) -> None:
    pooled = matchings(pairs, rule)
    actual = instance_interval(pooled, CLASSES, 20, level, seed=3)
    expected = plain_interval(pooled, EVALUATED if rule == "panopticrecon" else set(), 20, level, seed=3)
    assert set(actual) == NAMES
    for name in NAMES:
        assert_allclose(actual[name], expected[name], atol=1e-12)


@settings(max_examples=60, deadline=None)
@given(PAIRS)
def test_scenes_equal_the_plain_definition(pairs: list[tuple[Labels, Labels]]) -> None:
    scenes = [matching.statistics for matching in matchings(pairs)]
    rng = np.random.default_rng(5)
    draws = []
    for _ in range(20):
        first, *others = (scenes[i] for i in rng.integers(len(scenes), size=len(scenes)))
        draws.append(panoptic_quality(sum(others, first)).mean(CLASSES.is_thing)["sq"])
    defined = [value for value in draws if not np.isnan(value)]
    first, *others = scenes
    observed = panoptic_quality(sum(others, first)).mean(CLASSES.is_thing)["sq"]
    ends = np.percentile(defined, [5, 95]) if defined else [np.nan, np.nan]
    expected = [min(ends[0], observed), max(ends[1], observed)]
    assert_allclose(scene_interval(scenes, CLASSES, 20, 0.9, seed=5)["sq_things"], expected, atol=1e-12)


@settings(max_examples=50, deadline=None)
@given(label_pairs())
def test_a_perfect_prediction_is_certain(pair: tuple[Labels, Labels]) -> None:
    perfect = matchings([(pair[1], pair[1])])
    for actual in (
        instance_interval(perfect, CLASSES, 20),
        scene_interval([matching.statistics for matching in perfect], CLASSES, 20),
    ):
        for interval in actual.values():
            assert np.isnan(interval).all() or interval == (1, 1)


@settings(max_examples=50, deadline=None)
@given(PAIRS, st.integers(0, 2**32 - 1))
def test_neither_names_of_instances_nor_order_of_matchings_matter(
    pairs: list[tuple[Labels, Labels]], seed: int
) -> None:
    renamed = [
        tuple(Labels(s.category, np.where(s.instance == VOID, VOID, 2**31 - s.instance)) for s in pair)
        for pair in pairs
    ]
    first_interval = instance_interval(matchings(pairs), CLASSES, 20, seed=seed)
    other = instance_interval(matchings([(a, b) for a, b in renamed[::-1]]), CLASSES, 20, seed=seed)
    for name in NAMES:
        assert_allclose(other[name], first_interval[name], rtol=0, atol=0)


@settings(max_examples=50, deadline=None)
@given(PAIRS, st.sampled_from(["strict", "panopticrecon"]))
def test_an_interval_holds_what_was_observed(pairs: list[tuple[Labels, Labels]], rule: str) -> None:
    pooled = matchings(pairs, rule)
    observed = plain_quality(pooled)
    for name, (low, high) in instance_interval(pooled, CLASSES, 5).items():
        assert np.isnan(observed[name]) == np.isnan(low)
        assert np.isnan(low) or low <= observed[name] <= high


def plain_quality(pooled: list[Matching]) -> dict[str, float]:
    quality = panoptic_quality(sum_statistics([matching.statistics for matching in pooled]))
    groups = {"": None, "_things": CLASSES.is_thing, "_stuff": ~CLASSES.is_thing}
    return {f"{name}{group}": v for group, in_group in groups.items() for name, v in quality.mean(in_group).items()}


def test_nearly_always_holds_the_mean() -> None:
    held = []
    for seed in range(40):
        matching = matchings([scene(objects=30, seed=seed)])[0]
        mean = panoptic_quality(matching.statistics).mean()["pq"]
        low, high = instance_interval([matching], CLASSES, 200, seed=seed)["pq"]
        held.append(low <= mean <= high)
    assert np.mean(held) >= 0.95


def test_more_instances_or_scenes_are_more_certain() -> None:
    few, many = (matchings([scene(objects=10, seed=seed) for seed in range(count)]) for count in (3, 60))
    assert width(instance_interval(many, CLASSES)["pq"]) < 0.5 * width(instance_interval(few, CLASSES)["pq"])
    scenes = [[matching.statistics for matching in scene_matchings] for scene_matchings in (few, many)]
    assert width(scene_interval(scenes[1], CLASSES)["pq"]) < 0.5 * width(scene_interval(scenes[0], CLASSES)["pq"])


def test_a_wider_level_is_a_wider_interval() -> None:
    pooled = matchings([scene(objects=20, seed=0)])
    widths = [width(instance_interval(pooled, CLASSES, level=level)["pq"]) for level in (0.5, 0.8, 0.95)]
    assert widths == sorted(widths) and widths[0] < widths[2]


def test_one_seed_gives_one_interval() -> None:
    pooled = matchings([scene(objects=20, seed=0)])
    actual = [instance_interval(pooled, CLASSES, 50, seed=seed)["pq"] for seed in (1, 1, 2)]
    assert actual[0] == actual[1] != actual[2]


def test_nothing_counted_is_nan() -> None:
    void = labels((10, VOID, VOID))
    actual = instance_interval(matchings([(void, void)]), CLASSES, 5)
    assert np.isnan([*actual.values()]).all()
    zero = np.zeros(len(CLASSES), dtype=np.int64)
    empty = PanopticStatistics(zero.astype(float), zero, zero, zero, zero > 0)
    assert np.isnan([*scene_interval([empty], CLASSES, 5).values()]).all()
