"""Laws of the network and its parts."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from panrecon.lidar.classify import Classifier, TextEmbeddings
from panrecon.lidar.decoder import Decoder, anchor_distances
from panrecon.lidar.encoder import Encoder, VoxelBatchNorm
from panrecon.lidar.fusion import Fusion, VoxelVision, voxel_vision
from panrecon.lidar.network import PanopticNetwork, ScanInput
from panrecon.lidar.pfc import baseline_network
from panrecon.lidar.position import MixedPosition, VoxelFeatures
from panrecon.lidar.queries import InitialQueries, QueryInitializer, sample_anchors, stuff_similarity
from panrecon.lidar.settings import PAPER_NUSCENES, PAPER_SEMANTIC_KITTI, SMALL, EncoderSettings, NetworkSettings
from panrecon.lidar.train import scan_input
from panrecon.lidar.voxels import voxelize
from panrecon.structures import VOID

from .conftest import EMBEDDING, TINY, first_points, narrow, toy_scan, without_images

IS_THING = np.array([True, False, False])
SPACING = TINY.anchor_spacing


def network(settings: NetworkSettings = TINY) -> PanopticNetwork:
    return PanopticNetwork(settings, IS_THING).eval()


def toy_input() -> ScanInput:
    return scan_input(toy_scan().points, toy_scan().features)


def random_voxels(count: int) -> VoxelFeatures:
    return VoxelFeatures(torch.randn(count, 8), torch.randn(count, 8), 9 * torch.randn(count, 3))


def random_vision(count: int) -> VoxelVision:
    return VoxelVision(torch.randn(count, EMBEDDING), torch.ones(count, dtype=torch.bool))


def without_anchors(queries: Tensor) -> InitialQueries:
    return InitialQueries(queries, torch.full((len(queries),), VOID))


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
    scan = first_points(toy_scan(), kept)
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
    blind, deaf = network(replace(TINY, vision=False)), network(baseline_network(TINY))
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


def test_every_weight_has_a_gradient() -> None:
    model = network().train()
    output = model(toy_input())
    terms = [p.mask.square().sum() + p.embedding.square().sum() for p in output.predictions]
    torch.autograd.backward(torch.stack(terms).sum() + output.semantic.square().sum())
    without_gradient = [
        name for name, p in model.named_parameters() if p.grad is None or not torch.isfinite(p.grad).all()
    ]
    assert [name for name in without_gradient if "log_scale" not in name and "classifier.bias" not in name] == []


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


@pytest.mark.parametrize("wavelengths", [0, 4])
def test_the_position_encoding_does_not_depend_on_the_features(wavelengths: int) -> None:
    voxels = voxelize(toy_input().points[:, :3], TINY.grid)
    encoder = MixedPosition(narrow(wavelengths=wavelengths))
    one, other = (encoder(torch.randn(len(voxels), 8), voxels) for _ in range(2))
    assert one.position_encoding.equal(other.position_encoding)
    assert len(one.position_encoding.unique(dim=0)) > 0.9 * len(voxels)


def test_fixed_queries_are_the_classifiers_rows_and_come_first() -> None:
    queries, weights = (
        QueryInitializer(narrow(free_queries=5, anchored_queries=3), torch.tensor([2, 1])),
        torch.randn(3, 8),
    )
    voxels = random_voxels(50)
    start = queries(weights, torch.randn(50, 3), torch.tensor([1, 2]), voxels, random_vision(50))
    found = start.values
    assert (start.anchor == VOID).tolist() == [True, True, False, False, False, True, True]
    assert len(start.anchor[2:5].unique()) == 3
    assert found[:2].equal(weights[[2, 1]])
    assert found[5:].equal(queries.free.weight[3:])
    assert not torch.isclose(found[2:5], queries.free.weight[:3]).any()


def test_voxels_of_another_appearance_are_not_similar_however_sure_the_classifier_is() -> None:
    probability = torch.tensor([[1.0, 0.0]] * 9 + [[0.1, 0.1], [1.0, 0.0], [1.0, 0.0]])
    appearance = torch.eye(4)[[0] * 9 + [0, 1, 0]]
    found = stuff_similarity(probability, VoxelVision(appearance, torch.tensor([True] * 11 + [False])))
    assert (found[:9] > 0.9).all()
    assert found[9] < 0.2
    assert found[10] < 0.2
    assert float(found[11]) == 1.0


def test_anchors_have_great_weights_and_are_far_apart() -> None:
    xyz, same_appearance = torch.tensor([[0.0, 0, 0], [0.5, 0, 0], [30.0, 0, 0], [60.0, 0, 0]]), torch.ones(4, 2)
    assert sample_anchors(xyz, same_appearance, torch.tensor([1.0, 0.9, 0.5, 0.1]), 3, SPACING).tolist() == [0, 2, 3]
    assert sample_anchors(xyz, same_appearance, torch.tensor([1.0, 0.9, 0.5, 0.0]), 3, SPACING).tolist() == [0, 2, 1]
    assert len(sample_anchors(xyz[:1], same_appearance[:1], torch.ones(1), 3, SPACING)) == 3


def test_an_anchor_is_sampled_where_the_appearance_changes() -> None:
    xyz = torch.tensor([[0.0, 0, 0], [0.3, 0, 0], [0.6, 0, 0], [2.0, 0, 0]])
    appearance = torch.eye(2)[[0, 0, 1, 0]]
    assert sample_anchors(xyz, appearance, torch.ones(4), 2, SPACING).tolist() == [0, 2]


def test_queries_that_see_nothing_give_no_nan_and_layers_look_only_into_masks() -> None:
    decoder, features = Decoder(narrow(layers=1)), torch.randn(7, 8)
    layer, queries, mask = decoder.layers[0], torch.randn(4, 8), -torch.ones(4, 7)
    assert torch.isfinite(layer(queries, features, mask)).all()
    mask[:, 3] = 1.0
    changed = features.clone()
    changed[[0, 1, 2, 4, 5, 6]] = 50.0
    assert layer(queries, features, mask).equal(layer(queries, changed, mask))
    voxels = VoxelFeatures(features[:0], features[:0], torch.zeros(0, 3))
    assert torch.isfinite(decoder(without_anchors(queries), voxels, random_vision(0))[-1].embedding).all()


def test_the_order_of_queries_does_not_matter_to_the_decoder() -> None:
    decoder, voxels = Decoder(narrow()).eval(), random_voxels(7)
    queries, order = torch.randn(4, 8), torch.tensor([2, 0, 3, 1])
    one, other = (decoder(without_anchors(rows), voxels, random_vision(7))[-1] for rows in (queries, queries[order]))
    torch.testing.assert_close(one.mask[order], other.mask)


def test_mask_logits_decrease_with_the_distance_from_the_anchor() -> None:
    decoder, voxels, queries = Decoder(narrow(layers=1, anchored_queries=2)), random_voxels(7), torch.randn(2, 8)
    start = InitialQueries(queries, torch.tensor([0, VOID]))
    near, free = (decoder(begin, voxels, random_vision(7))[0].mask for begin in (start, without_anchors(queries)))
    decrease = free - near
    assert (decrease[1] == 0).all()
    assert float(decrease[0, 0].detach()) == pytest.approx(0.0, abs=1e-5)
    distance = torch.linalg.vector_norm((voxels.xyz - voxels.xyz[0])[:, :2], dim=1)
    assert decrease[0].argsort().equal(distance.argsort())


def test_mask_logits_decrease_with_the_appearance_distance_from_the_anchor() -> None:
    start, vision = InitialQueries(torch.randn(3, 8), torch.tensor([0, VOID, 2])), random_vision(7)
    vision.values[1] = 3 * vision.values[0]
    vision.valid[2] = False
    found = anchor_distances(start, random_voxels(7), vision).appearance_distance
    assert found[0, :2].tolist() == pytest.approx([0.0, 0.0], abs=1e-6)
    assert (found[0, 3:] > 0).all()
    assert (found[1:] == 0).all()  # starts from no voxel; starts from one that no image shows
    assert found[0, 2] == 0
    voxels = VoxelFeatures(torch.randn(7, 8), torch.randn(7, 8), torch.zeros(7, 3))
    decoder, hidden = (
        Decoder(narrow(layers=1, anchored_queries=3, appearance=True)),
        VoxelVision(vision.values, torch.zeros(7, dtype=torch.bool)),
    )
    decrease = decoder(start, voxels, hidden)[0].mask - decoder(start, voxels, vision)[0].mask
    assert decrease[0].argsort(stable=True).equal(found[0].argsort(stable=True))


def test_class_embeddings_depend_on_the_appearance_of_masks_if_set() -> None:
    queries, appearance = torch.randn(3, 8), torch.randn(3, EMBEDDING)
    for is_used in (False, True):
        classifier = Classifier(narrow(appearance=is_used))
        same = classifier(queries, appearance).equal(classifier(queries, appearance.roll(1, 0)))
        assert same != is_used
        torch.testing.assert_close(classifier(queries, appearance), classifier(queries, 5 * appearance))


def test_appearance_need_not_pass_through_the_narrow_layer() -> None:
    classifier, appearance = Classifier(narrow(2, appearance=True)), torch.eye(EMBEDDING)
    found = classifier(torch.zeros(EMBEDDING, 2), appearance).detach()
    assert torch.linalg.matrix_rank(found - found.mean(dim=0)) == EMBEDDING - 1


def test_norms_of_few_rows_leave_their_statistics() -> None:
    norm = VoxelBatchNorm(3).train()
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


def test_the_papers_settings() -> None:
    for settings in (PAPER_NUSCENES, PAPER_SEMANTIC_KITTI):
        assert (settings.width, settings.embedding_width, settings.free_queries, settings.layers) == (256, 768, 128, 6)
        assert settings.encoder.level_widths == (64, 128, 256, 512)
        assert settings.encoder.strides == ((2, 2, 2), (2, 2, 2), (2, 2, 1), (2, 2, 1))
    with torch.device("meta"):
        parameters = sum(p.numel() for p in Encoder(PAPER_NUSCENES.encoder).parameters())
    assert 40e6 < parameters < 80e6
    assert sum(p.numel() for p in network(SMALL).parameters()) < 2e6


def test_settings_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ValueError, match="heads"):
        replace(TINY, heads=3)
    with pytest.raises(ValueError, match="geometry or vision"):
        replace(TINY, geometry=False, vision=False)
    with pytest.raises(ValueError, match="stride"):
        EncoderSettings(level_widths=(8,), strides=())


def test_new_names_need_no_training(text: TextEmbeddings) -> None:
    model, scan = network(), toy_input()
    last = model(scan).predictions[-1]
    base: Tensor = model.class_logits(last, text.base)
    everything = model.class_logits(last, text)
    torch.testing.assert_close(everything[:, text.is_base], base)
    assert everything.shape[1] == len(text)
