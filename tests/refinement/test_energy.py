"""Laws of the energy: the mean field over candidates is the dense one."""

import numpy as np
from jaxtyping import Float, Int
from numpy.testing import assert_allclose, assert_array_equal

from panrecon.refinement.energy import likeliest, smoothed


def dense_mean_field(
    score: Float[np.ndarray, "n L"], edges: Int[np.ndarray, "E 2"], weight: Float[np.ndarray, " E"], rounds: int
) -> Float[np.ndarray, "n L"]:
    """All segments at all vertices, edge by edge."""
    total = score.copy()
    for _ in range(rounds):
        probability = np.exp(total - total.max(axis=1, keepdims=True))
        probability /= probability.sum(axis=1, keepdims=True)
        total = score.copy()
        for (a, b), w in zip(edges, weight, strict=True):
            total[a] += w * probability[b]
            total[b] += w * probability[a]
    return total


def grid(side: int) -> Int[np.ndarray, "E 2"]:
    index = np.arange(side * side).reshape(side, side)
    across = np.stack([index[:, :-1].ravel(), index[:, 1:].ravel()], axis=1)
    down = np.stack([index[:-1].ravel(), index[1:].ravel()], axis=1)
    return np.concatenate([across, down])


def test_candidates_of_all_segments_give_the_dense_mean_field() -> None:
    rng = np.random.default_rng(0)
    score = rng.normal(size=(36, 4))
    edges = grid(6)
    weight = rng.uniform(5, 6, len(edges))  # so heavy that every vertex is undecided
    result = smoothed(likeliest(score, 4), edges, weight, rounds=3)
    expected = dense_mean_field(score, edges, weight, 3)
    assert_allclose(np.take_along_axis(expected, result.segment, 1), result.score, atol=1e-9)
    assert_array_equal(result.best, expected.argmax(axis=1))


def test_neighbours_outvote_a_doubtful_vertex_and_no_sure_one() -> None:
    edges = grid(3)
    score = np.tile([2.0, 0.0], (9, 1))
    for lead, stays in ((1.0, False), (9.0, True)):
        score[4] = [0.0, lead]
        result = smoothed(likeliest(score, 2), edges, np.full(len(edges), 1.0), rounds=5)
        assert (result.best[4] == 1) == stays
        assert not result.best[np.arange(9) != 4].any()


def test_without_weight_nothing_changes() -> None:
    score = np.random.default_rng(1).normal(size=(25, 6))
    candidates = likeliest(score, 3)
    result = smoothed(candidates, grid(5), np.zeros(len(grid(5))), rounds=4)
    assert_array_equal(result.segment, candidates.segment)
    assert_allclose(result.score, candidates.score)


def test_the_likeliest_are_the_greatest_scores_in_order() -> None:
    score = np.random.default_rng(2).normal(size=(40, 9))
    candidates = likeliest(score, 4)
    assert_array_equal(candidates.segment, np.argsort(-score, axis=1)[:, :4])
    assert likeliest(score[:, :2], 4).segment.shape == (40, 2)
