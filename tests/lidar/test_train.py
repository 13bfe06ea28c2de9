"""Laws of training, on a toy scan."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor

from panrecon.errors import InputError
from panrecon.evaluation.metrics.panoptic_quality import panoptic_quality
from panrecon.evaluation.overlap import overlap
from panrecon.evaluation.protocols import parse_protocol
from panrecon.lidar.augment import LabelledScan, augment, polar_mix
from panrecon.lidar.classify import TextEmbeddings
from panrecon.lidar.inference import segment_scan
from panrecon.lidar.pfc import baseline_network
from panrecon.lidar.settings import LOSS_NAMES, AugmentationSettings, TrainingSettings, UnlabelledVoxels
from panrecon.lidar.train import State, Trainer, labelled_scan, scan_input, train
from panrecon.structures import VOID
from tests.lidar.test_targets import relabelled

from .conftest import TABLE, TINY, ToyScan, first_points, toy_scan, without_images

SHORT = TrainingSettings(4, checkpoint_every=2, augmentation=AugmentationSettings(mix_probability=0.5))


def sample(scan: ToyScan, text: TextEmbeddings) -> LabelledScan:
    return labelled_scan(scan.points, scan.features, scan.labels, text)


@pytest.fixture(scope="module")
def known(request: pytest.FixtureRequest) -> list[LabelledScan]:
    text = request.getfixturevalue("text")
    return [sample(toy_scan(seed), text) for seed in range(2)]


def same(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.slow
def test_training_finds_base_classes_and_names_novel_ones(known: list[LabelledScan], text: TextEmbeddings) -> None:
    settings = TrainingSettings(250, rate=3e-3, voxel_weight=0.5)
    trained = train(known, text, TINY, settings)
    dice = trained.losses["dice"]
    assert dice[-10:].mean() < 0.3 * dice[:10].mean()
    scan = toy_scan(7)
    found = segment_scan(trained.network, scan_input(scan.points, scan.features), text)
    quality = panoptic_quality(parse_protocol("lidar", 15).match(overlap(found, scan.labels), TABLE).statistics)
    pq = dict(zip([category.name for category in TABLE], quality.pq.tolist(), strict=True))
    assert pq["car"] > 0.5
    assert pq["grass"] > 0.5


@pytest.mark.parametrize("how", ["deleted", "swapped", "permuted"])
def test_labels_of_novel_classes_change_no_weight(text: TextEmbeddings, how: str) -> None:
    scan = toy_scan()
    networks = [train([sample(s, text)], text, TINY, SHORT).network for s in (scan, relabelled(scan, how))]
    assert same(networks[0].state_dict(), networks[1].state_dict())


def test_names_of_novel_classes_change_no_weight(known: list[LabelledScan], text: TextEmbeddings) -> None:
    networks = [train(known, given, TINY, SHORT).network for given in (text, text.base)]
    assert same(networks[0].state_dict(), networks[1].state_dict())


def test_one_seed_gives_one_network_also_after_a_stop(known: list[LabelledScan], text: TextEmbeddings) -> None:
    kept: dict[int, bytes] = {}
    whole = train(known, text, TINY, SHORT, on_checkpoint=lambda step, state: kept.update({step: save(state)}))
    again = train(known, text, TINY, SHORT, resume=load(kept[2]))
    other = train(known, text, TINY, replace(SHORT, seed=1))
    assert sorted(kept) == [2, 4]
    assert same(whole.network.state_dict(), again.network.state_dict())
    assert not same(whole.network.state_dict(), other.network.state_dict())
    assert all((whole.losses[name] == again.losses[name]).all() for name in LOSS_NAMES)


def test_a_state_of_another_version_is_refused(known: list[LabelledScan], text: TextEmbeddings) -> None:
    states: list[State] = []
    train(known, text, TINY, replace(SHORT, steps=2), on_checkpoint=lambda step, state: states.append(state))
    older = {name.replace("network.", "net."): value for name, value in states[0].items()}
    with pytest.raises(InputError, match=r"The half-finished training is of another version .*'net"):
        train(known, text, TINY, SHORT, resume=older)


def test_training_leaves_the_global_random_state_alone(known: list[LabelledScan], text: TextEmbeddings) -> None:
    before = torch.random.get_rng_state()
    train(known, text, TINY, replace(SHORT, steps=1))
    assert torch.random.get_rng_state().equal(before)


def test_object_distillation_moves_no_unmatched_query(known: list[LabelledScan], text: TextEmbeddings) -> None:
    trainer = Trainer(known, text, TINY, SHORT)
    output = trainer.network(known[0].scan)
    last = replace(output.predictions[-1], mask=torch.randn_like(output.predictions[-1].mask))
    last.embedding.retain_grad()
    targets = trainer.targets(known[0], output)
    assignment = trainer.assign(last, targets, output.anchor)
    torch.autograd.backward(trainer.layer_losses(output, last, targets)["object"])
    moved = last.embedding.grad.abs().sum(dim=1) > 0 if last.embedding.grad is not None else torch.zeros(0)
    unmatched = torch.ones(len(last.embedding), dtype=torch.bool)
    unmatched[assignment.query] = False
    assert unmatched.any()
    assert not moved[unmatched].any()
    assert moved.any()


def test_queries_have_the_object_they_are_anchored_in_and_others_are_matched(
    known: list[LabelledScan], text: TextEmbeddings
) -> None:
    trainer = Trainer(known, text, TINY, SHORT)
    output = trainer.network(known[0].scan)
    targets = trainer.targets(known[0], output)
    inside, elsewhere = (int(mask.nonzero()[0]) for mask in (targets.free_masks[1], targets.category == VOID))
    anchor = torch.full_like(output.anchor, VOID)
    anchor[[3, 4, 5]] = torch.tensor([inside, inside, elsewhere])
    assignment = trainer.assign(output.predictions[-1], targets, anchor)
    fixed = trainer.network.queries.fixed
    of_query = dict(zip(assignment.query.tolist(), assignment.mask, strict=True))
    assert of_query[3].equal(targets.free_masks[1])
    assert of_query[4].equal(targets.free_masks[1])
    assert 5 not in of_query
    others = [query for query in of_query if query >= fixed and query not in (3, 4)]
    assert [of_query[query].tolist() for query in others] == [targets.free_masks[0].tolist()]
    assert (assignment.query_class[assignment.query] != VOID).all()


def test_an_anchor_in_stuff_gives_a_query_no_target(known: list[LabelledScan], text: TextEmbeddings) -> None:
    trainer = Trainer(known, text, baseline_network(TINY), SHORT)
    output = trainer.network(known[0].scan)
    targets = trainer.targets(known[0], output)
    row = int((targets.free_class == int(np.flatnonzero(~trainer.text_embeddings.is_thing)[0])).nonzero()[0])
    anchor = torch.full_like(output.anchor, VOID)
    anchor[0] = targets.free_masks[row].nonzero()[0]
    assignment = trainer.assign(output.predictions[-1], targets, anchor)
    assert 0 not in assignment.query
    assert sum(mask.equal(targets.free_masks[row]) for mask in assignment.mask) == 1


@pytest.mark.parametrize(("unlabelled", "fixed", "free"), [("ignored", 0, 0), ("not_stuff", 1, 0), ("negative", 1, 1)])
def test_unlabelled_voxels_supervise_only_the_masks_that_the_setting_names(
    known: list[LabelledScan], text: TextEmbeddings, unlabelled: UnlabelledVoxels, fixed: int, free: int
) -> None:
    trainer = Trainer(known, text, TINY, replace(SHORT, unlabelled=unlabelled))
    output = trainer.network(known[0].scan)
    last, targets = output.predictions[-1], trainer.targets(known[0], output)
    last.mask.retain_grad()
    terms = trainer.layer_losses(output, last, targets)
    torch.autograd.backward(terms["mask"] + terms["dice"] + terms["position"])
    assert last.mask.grad is not None
    has_gradient = last.mask.grad != 0
    assert has_gradient[:, targets.labelled].any(dim=0).all()
    of_fixed, of_free = has_gradient[: trainer.network.queries.fixed], has_gradient[trainer.network.queries.fixed :]
    assert of_fixed[:, ~targets.labelled].any() == bool(fixed)
    assert of_free[:, ~targets.labelled].any() == bool(free)


def test_empty_scans_train_without_nan(text: TextEmbeddings) -> None:
    scans = [sample(first_points(toy_scan(), kept), text) for kept in (0, 1)] + [
        sample(without_images(toy_scan()), text)
    ]
    for sizes in (TINY, baseline_network(TINY)):
        for mixed in (0.0, 1.0):
            trained = train(
                scans,
                text,
                sizes,
                TrainingSettings(5, augmentation=AugmentationSettings(mix_probability=mixed)),
            )
            assert all(np.isfinite(values).all() for values in trained.losses.values())
            assert all(torch.isfinite(value).all() for value in trained.network.state_dict().values())


def test_the_rate_falls_at_the_milestones() -> None:
    settings = TrainingSettings(100, rate=1.0, milestones=(0.5, 0.9))
    assert [settings.rate_at(step) for step in (0, 49, 50, 90)] == pytest.approx([1.0, 1.0, 0.1, 0.01])


def test_augmentation_keeps_labels_features_and_shapes_but_not_places(known: list[LabelledScan]) -> None:
    new = augment(known[0], torch.Generator().manual_seed(1))
    assert new.category is known[0].category
    assert new.scan.features is known[0].scan.features
    assert new.scan.points[:, 3].equal(known[0].scan.points[:, 3])
    ratio = torch.pdist(new.scan.points[:50, :3]) / torch.pdist(known[0].scan.points[:50, :3])
    assert 0.9 < float(ratio.median()) < 1.1
    assert float((new.scan.points[:, 2] - known[0].scan.points[:, 2]).abs().max()) < 0.2
    assert float((new.scan.points[:, :2] - known[0].scan.points[:, :2]).abs().mean()) > 1


def test_a_mixed_scan_has_half_of_each_and_no_object_of_both(known: list[LabelledScan]) -> None:
    first, second = known
    mixed = polar_mix(first, second, torch.Generator().manual_seed(0))
    rows = {tuple(row) for row in first.scan.points.tolist()}
    is_first = torch.tensor([tuple(row) in rows for row in mixed.scan.points.tolist()])
    assert 0.2 < float(is_first.float().mean()) < 0.8
    ours, theirs = (set(mixed.instance[chosen].tolist()) - {VOID} for chosen in (is_first, ~is_first))
    assert not ours & theirs
    assert len(mixed.category) == len(mixed.scan.points) == len(mixed.scan.features) == len(mixed.scan.valid)


def test_input_that_does_not_fit_is_refused(text: TextEmbeddings) -> None:
    scan = toy_scan()
    with pytest.raises(InputError, match="no scan"):
        train([], text, TINY, SHORT)
    with pytest.raises(InputError, match="novel"):
        train([sample(scan, text)], text.select(np.array([2, 3])), TINY, SHORT)
    with pytest.raises(InputError, match="1380 points"):
        scan_input(scan.points, first_points(scan, 5).features)


def test_a_loss_that_is_not_finite_is_named(text: TextEmbeddings) -> None:
    broken = toy_scan()
    broken.features.values[:] = np.nan
    with pytest.raises(FloatingPointError, match="step 0"):
        train([sample(broken, text)], text, TINY, SHORT)
