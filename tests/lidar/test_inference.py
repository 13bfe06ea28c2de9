"""Laws of the way from masks to labels of points."""

import numpy as np
import pytest
import torch
from torch import Tensor

from panrecon.evaluation.metrics.panoptic_quality import panoptic_quality, sum_statistics
from panrecon.evaluation.metrics.semantic import confusion, semantic_quality
from panrecon.evaluation.overlap import merge_overlaps, overlap
from panrecon.evaluation.protocols import parse_protocol
from panrecon.lidar.classify import Classifier, TextEmbeddings
from panrecon.lidar.inference import panoptic_labels, segment_scan
from panrecon.lidar.network import PanopticNetwork
from panrecon.lidar.pfc import baseline_network, geometric_ensemble, segment_scan_by_ensemble
from panrecon.lidar.settings import EnsembleSettings, InferenceSettings
from panrecon.lidar.train import scan_input
from panrecon.structures import VOID, Category, CategoryTable, Labels

from .conftest import EMBEDDING, TINY, first_points, narrow, toy_scan

IS_THING = np.array([True, False])
SETTINGS = InferenceSettings()


def known_answer() -> tuple[Labels, Labels]:
    """Truth and prediction: grass and sky with 10 of 50 points swapped, a dog taken for a person, two people for three.

    IoU of grass and sky .6667; PQ of people .5833, of dogs 0.
    """
    count = (50, 40, 10, 10, 40, 50, 150, 50, 100)
    true_class, true_number = (VOID, 0, 0, 1, 1, 3, 2, 2, 2), (VOID, VOID, VOID, VOID, VOID, 0, 1, 2, 3)
    found_class, found_number = (VOID, 0, 1, 0, 1, 2, 2, 2, 2), (VOID, VOID, VOID, VOID, VOID, 0, 1, 1, 2)
    columns = [np.repeat(values, count) for values in (true_class, true_number, found_class, found_number)]
    return Labels(columns[0], columns[1]), Labels(columns[2], columns[3])


def masks(*rows: str) -> Tensor:
    """+ is inside, - just so."""
    strength = {"+": 9.0, ".": -9.0, "-": 0.5}
    return torch.tensor([[strength[sign] for sign in row] for row in rows])


def test_the_highest_score_wins_a_voxel_and_remnants_are_dropped() -> None:
    probability = torch.tensor([[0.9, 0.0], [0.6, 0.0]])
    found = panoptic_labels(probability, masks("+++...", "..++++"), IS_THING, SETTINGS)
    assert found.instance.tolist() == [0, 0, 0, VOID, VOID, VOID]
    kept = panoptic_labels(probability, masks("+++...", "..++++"), IS_THING, InferenceSettings(min_share_left=0.7))
    assert kept.instance.tolist() == [0, 0, 0, 1, 1, 1]


def test_queries_of_low_score_are_dropped_and_scores_of_things_doubled() -> None:
    probability = torch.tensor([[0.25, 0.0], [0.0, 0.35], [0.0, 0.45]])
    found = panoptic_labels(probability, masks("++....", "..++..", "....++"), IS_THING, SETTINGS)
    assert found.category.tolist() == [0, 0, VOID, VOID, 1, 1]


def test_segments_of_one_stuff_class_are_one() -> None:
    probability = torch.tensor([[0.0, 0.9], [0.0, 0.8], [0.7, 0.0], [0.7, 0.0]])
    found = panoptic_labels(probability, masks("++....", ".++...", "...+..", "....++"), IS_THING, SETTINGS)
    assert found.category.tolist() == [1, 1, 1, 0, 0, 0]
    assert found.instance.tolist() == [VOID, VOID, VOID, 0, 1, 1]


def test_an_object_with_several_masks_is_that_of_the_highest_score() -> None:
    probability = torch.tensor([[0.7, 0.0], [0.8, 0.0], [0.6, 0.0]])
    found = panoptic_labels(probability, masks("++++..", "+++++.", ".+++++"), IS_THING, SETTINGS)
    assert found.instance.tolist() == [0, 0, 0, 0, 0, VOID]
    keep_duplicates = InferenceSettings(min_share_left=0.1, duplicate_iou=1.0)
    duplicates = panoptic_labels(probability, masks("++++..", "+++++.", ".+++++"), IS_THING, keep_duplicates)
    assert duplicates.instance.max() == 1


def test_a_suppressed_mask_suppresses_no_other() -> None:
    probability = torch.tensor([[0.9, 0.0], [0.8, 0.0], [0.7, 0.0]])
    found = panoptic_labels(
        probability, masks("+++++++....", "..+++++++..", "....+++++++"), IS_THING, InferenceSettings(min_share_left=0.1)
    )
    assert found.instance.tolist() == [0] * 7 + [1] * 4


def test_overlapping_masks_of_one_stuff_class_are_not_duplicates() -> None:
    probability = torch.tensor([[0.0, 0.9], [0.0, 0.8]])
    found = panoptic_labels(probability, masks("++++..", "+++++."), IS_THING, SETTINGS)
    assert found.category.tolist() == [1, 1, 1, 1, 1, VOID]


def test_a_mask_of_low_score_yields_to_one_of_high_score() -> None:
    probability = torch.tensor([[0.9, 0.0], [0.5, 0.0]])
    found = panoptic_labels(probability, masks("+-----", "..+++."), IS_THING, InferenceSettings(min_share_left=0.1))
    assert found.instance.tolist() == [0, 0, 1, 1, 1, 0]


def test_voxels_outside_every_mask_are_void() -> None:
    found = panoptic_labels(torch.tensor([[0.9, 0.0]]), masks("+..-.."), IS_THING, SETTINGS)
    assert found.category.tolist() == [0, VOID, VOID, 0, VOID, VOID]


def test_empty_input_gives_void() -> None:
    assert (panoptic_labels(torch.zeros(2, 2), masks("++", "++"), IS_THING, SETTINGS).category == VOID).all()
    assert (panoptic_labels(torch.ones(2, 2), masks("..", ".."), IS_THING, SETTINGS).category == VOID).all()
    assert (panoptic_labels(torch.zeros(0, 2), torch.zeros(0, 3), IS_THING, SETTINGS).category == VOID).all()
    assert len(panoptic_labels(torch.ones(2, 2), torch.zeros(2, 0), IS_THING, SETTINGS).category) == 0


def test_the_order_of_queries_does_not_matter() -> None:
    probability, mask = torch.rand(8, 2), 3 * torch.randn(8, 40)
    order = torch.randperm(8)
    one, other = (
        panoptic_labels(probability[rows], mask[rows], IS_THING, InferenceSettings(0.1, 2.0, 0.1))
        for rows in (slice(None), order)
    )
    assert (one.category == other.category).all()
    pairs = set(zip(one.instance.tolist(), other.instance.tolist(), strict=True))
    assert len({a for a, _ in pairs}) == len({b for _, b in pairs}) == len(pairs)


@pytest.mark.parametrize("kept", [0, 1, 900])
def test_every_point_gets_the_label_of_its_voxel(text: TextEmbeddings, kept: int) -> None:
    scan = first_points(toy_scan(), kept)
    model = PanopticNetwork(TINY, text.base.is_thing).eval()
    seen = scan_input(scan.points, scan.features)
    found = segment_scan(model, seen, text, InferenceSettings(0.0, 2.0, 0.0))
    assert found.category.shape == found.instance.shape == (kept,)
    voxel = model(seen).voxels.voxel_of_point.numpy()
    for number in np.unique(voxel):
        assert len(np.unique(found.category[voxel == number])) == 1


def test_the_order_of_names_does_not_matter(text: TextEmbeddings) -> None:
    classifier, embedding, mask = Classifier(narrow()), torch.randn(9, EMBEDDING), 3 * torch.randn(9, 40)
    order = np.array([3, 0, 4, 2, 1])
    settings = InferenceSettings(0.0, 2.0, 0.0)
    one, other = (
        panoptic_labels(classifier.logits(embedding, given).sigmoid(), mask, given.is_thing, settings)
        for given in (text, text.select(order))
    )
    assert (one.category != VOID).any()
    assert (np.append(order, VOID)[other.category] == one.category).all()


def test_frozen_features_weigh_more_in_novel_classes() -> None:
    learned, frozen = torch.tensor([[0.5, 0.5]]), torch.tensor([[0.25, 0.25]])
    found = geometric_ensemble(learned, frozen, np.array([True, False]))
    expected = [0.5 ** (1 - share) * 0.25**share for share in (0.4, 0.8)]
    torch.testing.assert_close(found, torch.tensor([expected]))
    learned_alone = geometric_ensemble(learned, frozen, np.array([True, False]), EnsembleSettings(0.0, 0.0))
    torch.testing.assert_close(learned_alone, learned)


def test_the_baseline_labels_every_scan(text: TextEmbeddings) -> None:
    model = PanopticNetwork(baseline_network(TINY), text.base.is_thing).eval()
    assert model.queries.fixed == 0
    for kept in (0, 1, 900):
        scan = first_points(toy_scan(), kept)
        found = segment_scan_by_ensemble(
            model, scan_input(scan.points, scan.features), text, InferenceSettings(0.0, 2.0, 0.0)
        )
        assert found.category.shape == (kept,)


def test_the_evaluator_gives_the_known_answer() -> None:
    """That of SemanticKITTI's own example (Behley et al., ICRA 2021), in the manner of Kirillov et al. (CVPR 2019)."""
    names = ("grass", "sky", "person", "dog")
    table = CategoryTable(tuple(Category(i + 1, name, thing=i > 1) for i, name in enumerate(names)))
    truth, prediction = known_answer()
    overlaps = [overlap(prediction, truth)]
    found = panoptic_quality(
        sum_statistics([parse_protocol("lidar", 1).match(one, table).statistics for one in overlaps])
    )
    means = found.mean()
    assert means["pq"] == pytest.approx(0.479167, abs=1e-6)
    assert means["sq"] == pytest.approx(0.552083, abs=1e-6)
    assert means["rq"] == pytest.approx(0.666667, abs=1e-6)
    assert semantic_quality(confusion(merge_overlaps(overlaps), table)).miou == pytest.approx(0.547619, abs=1e-6)
