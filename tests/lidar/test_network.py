"""Laws of the network and its parts."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from panrecon.lidar.classify import Classifier, Vocabulary
from panrecon.lidar.decoder import Decoder, apart
from panrecon.lidar.encoder import Encoder, RowNorm
from panrecon.lidar.fusion import Fusion, VoxelVision, voxel_vision
from panrecon.lidar.network import PanopticNetwork, ScanInput
from panrecon.lidar.pfc import baseline_sizes
from panrecon.lidar.position import MixedPosition, Placed
from panrecon.lidar.queries import Queries, Start, likeness, spread
from panrecon.lidar.settings import PAPER_NUSCENES, PAPER_SEMANTIC_KITTI, SMALL, EncoderSizes, NetworkSizes
from panrecon.lidar.train import scan_input
from panrecon.lidar.voxels import voxelize
from panrecon.structures import VOID

from .conftest import EMBEDDING, TINY, emptied, toy_scan, without_images

IS_THING = np.array([True, False, False])


def network(sizes: NetworkSizes = TINY) -> PanopticNetwork:
    return PanopticNetwork(sizes, IS_THING).eval()


def toy_input() -> ScanInput:
    return scan_input(toy_scan().points, toy_scan().features)


def some_places(count: int) -> Placed:
    return Placed(torch.randn(count, 8), torch.randn(count, 8), 9 * torch.randn(count, 3))


def some_vision(count: int) -> VoxelVision:
    return VoxelVision(torch.randn(count, EMBEDDING), torch.ones(count, dtype=torch.bool))


def no_places(queries: Tensor) -> Start:
    return Start(queries, torch.full((len(queries),), VOID))


def test_masks_and_embeddings_after_every_layer() -> None:
    output = network()(toy_input())
    assert len(output.predictions) == TINY.layers + 1
    for prediction in output.predictions:
        assert prediction.mask.shape == (2 + TINY.free_queries, len(output.voxels))
        assert prediction.embedding.shape == (2 + TINY.free_queries, EMBEDDING)
    assert output.semantic.shape == (len(output.voxels), 3)


def test_the_order_of_points_does_not_matter() -> None:
    scan, model = toy_input(), network()
    order = torch.randperm(len(scan.points))
    shuffled = ScanInput(scan.points[order], scan.features[order], scan.valid[order])
    one, other = model(scan).predictions[-1], model(shuffled).predictions[-1]
    torch.testing.assert_close(one.mask, other.mask, atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(one.embedding, other.embedding, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("kept", [0, 1, 2])
@pytest.mark.parametrize("training", [False, True])
def test_almost_empty_scans_give_no_nan(kept: int, training: bool) -> None:
    scan = emptied(toy_scan(), kept)
    model = network().train(training)
    output = model(scan_input(scan.points, scan.features))
    for prediction in output.predictions:
        for values in (prediction.mask, prediction.embedding, output.semantic):
            assert torch.isfinite(values).all()
    assert all(torch.isfinite(buffer).all() for buffer in model.buffers())


def test_a_scan_that_no_camera_sees_gives_no_nan() -> None:
    scan = without_images(toy_scan())
    assert torch.isfinite(network()(scan_input(scan.points, scan.features)).predictions[-1].embedding).all()


def test_without_vision_the_features_do_not_matter_and_without_geometry_the_intensity_does_not() -> None:
    scan = toy_input()
    blind, deaf = network(replace(TINY, vision=False)), network(baseline_sizes(TINY))
    other = replace(scan, features=torch.randn_like(scan.features))
    assert blind(scan).predictions[-1].mask.equal(blind(other).predictions[-1].mask)
    assert not deaf(scan).predictions[-1].mask.equal(deaf(other).predictions[-1].mask)
    dull = replace(scan, points=scan.points * torch.tensor([1.0, 1, 1, 0]))
    assert deaf(scan).predictions[-1].mask.equal(deaf(dull).predictions[-1].mask)
    assert not blind(scan).predictions[-1].mask.equal(blind(dull).predictions[-1].mask)


def test_vision_features_are_frozen() -> None:
    scan = toy_input()
    features = scan.features.clone().requires_grad_()
    output = network().train()(replace(scan, features=features))
    torch.autograd.backward(
        sum(prediction.mask.sum() + prediction.embedding.sum() for prediction in output.predictions)
    )
    assert features.grad is None


def test_every_weight_is_taught_something() -> None:
    model = network().train()
    output = model(toy_input())
    terms = [p.mask.square().sum() + p.embedding.square().sum() for p in output.predictions]
    torch.autograd.backward(torch.stack(terms).sum() + output.semantic.square().sum())
    unheard = [name for name, p in model.named_parameters() if p.grad is None or not torch.isfinite(p.grad).all()]
    assert [name for name in unheard if "log_scale" not in name and "classifier.bias" not in name] == []


def test_a_voxels_vision_is_the_mean_over_its_points_in_images() -> None:
    xyz = torch.tensor([[1.0, 1, 0], [1.0, 1, 0], [1.0, 1, 0], [9.0, 9, 0]])
    values = torch.tensor([[2.0, 0], [4.0, 2], [99.0, 99], [7.0, 7]])
    voxels = voxelize(xyz, TINY.grid)
    found = voxel_vision(values, torch.tensor([True, True, False, False]), voxels)
    near, far = voxels.voxel_of_point[0], voxels.voxel_of_point[3]
    assert found.values[near].tolist() == [3.0, 1.0]
    assert found.values[far].tolist() == [0.0, 0.0]
    assert found.valid[near]
    assert not found.valid[far]


def test_fusion_tells_unseen_from_seen() -> None:
    fusion, lidar = Fusion(4, 3, 8), torch.randn(2, 4)
    zeros = torch.zeros(2, 3)
    seen, unseen = (fusion(lidar, VoxelVision(zeros, torch.full((2,), flag))) for flag in (True, False))
    assert not torch.allclose(seen, unseen)


@pytest.mark.parametrize("waves", [0, 4])
def test_position_is_told_apart_from_features(waves: int) -> None:
    voxels = voxelize(toy_input().points[:, :3], TINY.grid)
    encoder = MixedPosition(8, waves)
    one, other = (encoder(torch.randn(len(voxels), 8), voxels) for _ in range(2))
    assert one.position.equal(other.position)
    assert len(one.position.unique(dim=0)) > 0.9 * len(voxels)


def test_fixed_queries_are_the_classifiers_rows_and_come_first() -> None:
    queries, weights = Queries(8, 5, 3, torch.tensor([2, 1])), torch.randn(3, 8)
    placed = some_places(50)
    start = queries(weights, torch.randn(50, 3), torch.tensor([1, 2]), placed, some_vision(50))
    found = start.values
    assert (start.seed == VOID).tolist() == [True, True, False, False, False, True, True]
    assert len(start.seed[2:5].unique()) == 3
    assert found[:2].equal(weights[[2, 1]])
    assert found[5:].equal(queries.free.weight[3:])
    assert not torch.isclose(found[2:5], queries.free.weight[:3]).any()


def test_what_looks_unlike_its_kind_is_unlike_it_however_sure_the_classifier_is() -> None:
    probability = torch.tensor([[1.0, 0.0]] * 9 + [[0.1, 0.1], [1.0, 0.0], [1.0, 0.0]])
    looks = torch.eye(4)[[0] * 9 + [0, 1, 0]]
    found = likeness(probability, VoxelVision(looks, torch.tensor([True] * 11 + [False])))
    assert (found[:9] > 0.9).all()
    assert found[9] < 0.2
    assert found[10] < 0.2
    assert float(found[11]) == 1.0


def test_seeds_are_heavy_and_apart() -> None:
    places, alike = torch.tensor([[0.0, 0, 0], [0.5, 0, 0], [30.0, 0, 0], [60.0, 0, 0]]), torch.ones(4, 2)
    assert spread(places, alike, torch.tensor([1.0, 0.9, 0.5, 0.1]), 3).tolist() == [0, 2, 3]
    assert spread(places, alike, torch.tensor([1.0, 0.9, 0.5, 0.0]), 3).tolist() == [0, 2, 1]
    assert len(spread(places[:1], alike[:1], torch.ones(1), 3)) == 3


def test_what_looks_unlike_its_neighbour_gets_a_seed_of_its_own() -> None:
    places = torch.tensor([[0.0, 0, 0], [0.3, 0, 0], [0.6, 0, 0], [2.0, 0, 0]])
    looks = torch.eye(2)[[0, 0, 1, 0]]
    assert spread(places, looks, torch.ones(4), 2).tolist() == [0, 2]


def test_queries_that_see_nothing_give_no_nan_and_layers_look_only_into_masks() -> None:
    decoder, features = Decoder(8, 1, 2, 16, EMBEDDING), torch.randn(7, 8)
    layer, queries, mask = decoder.layers[0], torch.randn(4, 8), -torch.ones(4, 7)
    assert torch.isfinite(layer(queries, features, mask)).all()
    mask[:, 3] = 1.0
    changed = features.clone()
    changed[[0, 1, 2, 4, 5, 6]] = 50.0
    assert layer(queries, features, mask).equal(layer(queries, changed, mask))
    placed = Placed(features[:0], features[:0], torch.zeros(0, 3))
    assert torch.isfinite(decoder(no_places(queries), placed, some_vision(0))[-1].embedding).all()


def test_the_order_of_queries_does_not_matter_to_the_decoder() -> None:
    decoder, placed = Decoder(8, 2, 2, 16, EMBEDDING).eval(), some_places(7)
    queries, order = torch.randn(4, 8), torch.tensor([2, 0, 3, 1])
    one, other = (decoder(no_places(rows), placed, some_vision(7))[-1] for rows in (queries, queries[order]))
    torch.testing.assert_close(one.mask[order], other.mask)


def test_masks_fade_with_the_distance_from_the_place_of_their_query() -> None:
    decoder, placed, queries = Decoder(8, 1, 2, 16, EMBEDDING, places=True), some_places(7), torch.randn(2, 8)
    start = Start(queries, torch.tensor([0, VOID]))
    near, free = (decoder(begin, placed, some_vision(7))[0].mask for begin in (start, no_places(queries)))
    lost = free - near
    assert (lost[1] == 0).all()
    assert float(lost[0, 0].detach()) == pytest.approx(0.0, abs=1e-5)
    distance = torch.linalg.vector_norm((placed.places - placed.places[0])[:, :2], dim=1)
    assert lost[0].argsort().equal(distance.argsort())


def test_masks_fade_with_how_unlike_the_voxel_looks_that_their_query_starts_from() -> None:
    start, vision = Start(torch.randn(3, 8), torch.tensor([0, VOID, 2])), some_vision(7)
    vision.values[1] = 3 * vision.values[0]
    vision.valid[2] = False
    found = apart(start, some_places(7), vision).unlikeness
    assert found[0, :2].tolist() == pytest.approx([0.0, 0.0], abs=1e-6)
    assert (found[0, 3:] > 0).all()
    assert (found[1:] == 0).all()  # starts from no voxel; starts from one that no image shows
    assert found[0, 2] == 0
    places = Placed(torch.randn(7, 8), torch.randn(7, 8), torch.zeros(7, 3))
    decoder, hidden = (
        Decoder(8, 1, 2, 16, EMBEDDING, places=True, looks=True),
        VoxelVision(vision.values, torch.zeros(7, dtype=torch.bool)),
    )
    lost = decoder(start, places, hidden)[0].mask - decoder(start, places, vision)[0].mask
    assert lost[0].argsort(stable=True).equal(found[0].argsort(stable=True))


def test_what_queries_mean_depends_on_how_their_masks_look_if_asked() -> None:
    queries, looks = torch.randn(3, 8), torch.randn(3, EMBEDDING)
    for asked in (False, True):
        classifier = Classifier(8, EMBEDDING, looks=asked)
        same = classifier(queries, looks).equal(classifier(queries, looks.roll(1, 0)))
        assert same != asked
        torch.testing.assert_close(classifier(queries, looks), classifier(queries, 5 * looks))


def test_looks_need_not_pass_through_the_narrow_layer() -> None:
    classifier, looks = Classifier(2, EMBEDDING, looks=True), torch.eye(EMBEDDING)
    found = classifier(torch.zeros(EMBEDDING, 2), looks).detach()
    assert torch.linalg.matrix_rank(found - found.mean(dim=0)) == EMBEDDING - 1


def test_norms_of_few_rows_leave_their_statistics() -> None:
    norm = RowNorm(3).train()
    before = norm.get_buffer("running_var").clone()
    assert torch.isfinite(norm(torch.randn(1, 3))).all()
    assert norm(torch.zeros(0, 3)).shape == (0, 3)
    assert norm.get_buffer("running_var").equal(before)
    norm(torch.randn(9, 3))
    assert not norm.get_buffer("running_var").equal(before)


def test_the_encoder_sees_beyond_a_voxel() -> None:
    scan = toy_input()
    voxels, encoder = voxelize(scan.points[:, :3], TINY.grid), Encoder(TINY.encoder).eval()
    brighter = scan.points.clone()
    brighter[0, 3] += 5.0
    changed = (encoder(scan.points, voxels) - encoder(brighter, voxels)).abs().amax(dim=1) > 0
    assert 1 < int(changed.sum()) < len(voxels)


def test_the_papers_sizes() -> None:
    for sizes in (PAPER_NUSCENES, PAPER_SEMANTIC_KITTI):
        assert (sizes.width, sizes.embedding, sizes.free_queries, sizes.layers) == (256, 768, 128, 6)
        assert sizes.encoder.levels == (64, 128, 256, 512)
        assert sizes.encoder.strides == ((2, 2, 2), (2, 2, 2), (2, 2, 1), (2, 2, 1))
    with torch.device("meta"):
        counted = sum(p.numel() for p in Encoder(PAPER_NUSCENES.encoder).parameters())
    assert 40e6 < counted < 80e6
    assert sum(p.numel() for p in network(SMALL).parameters()) < 2e6


def test_sizes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="heads"):
        replace(TINY, heads=3)
    with pytest.raises(ValueError, match="sees nothing"):
        replace(TINY, geometry=False, vision=False)
    with pytest.raises(ValueError, match="stride"):
        EncoderSizes(levels=(8,), strides=())


def test_new_names_need_no_training(words: Vocabulary) -> None:
    model, scan = network(), toy_input()
    last = model(scan).predictions[-1]
    base: Tensor = model.class_logits(last, words.base)
    everything = model.class_logits(last, words)
    torch.testing.assert_close(everything[:, words.is_base], base)
    assert everything.shape[1] == len(words)
