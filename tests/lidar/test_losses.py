"""Laws of the losses."""

import pytest
import torch
from torch import Tensor

from panrecon.lidar.losses import (
    class_loss,
    dice,
    dice_loss,
    false_mask_loss,
    lovasz_loss,
    mask_focal_loss,
    mask_pooling,
    object_distillation,
    semantic_loss,
    voxel_distillation,
)
from panrecon.lidar.settings import Distance
from panrecon.structures import VOID

SURE = 40.0
VALID = torch.ones(5, dtype=torch.bool)


def one_mask() -> Tensor:
    return SURE * torch.tensor([[1.0, 1.0, 1.0, -1.0, -1.0]])


def test_object_distillation_is_0_for_parallel_and_2_for_opposite_vectors() -> None:
    vision = torch.randn(5, 8)
    inside = vision[:3].mean(dim=0, keepdim=True)
    for factor, expected in ((0.1, 0.0), (7.0, 0.0), (-3.0, 2.0)):
        loss = object_distillation(factor * inside, one_mask(), vision, VALID)
        assert float(loss) == pytest.approx(expected, abs=1e-5)


def test_object_distillation_is_above_0_unless_parallel() -> None:
    vision = torch.eye(5, 8)
    assert float(object_distillation(vision[:1], one_mask(), vision, VALID)) > 0.1


def test_object_distillation_counts_only_valid_voxels() -> None:
    vision, valid = torch.randn(5, 8), torch.tensor([True, False, False, True, True])
    loss = object_distillation(vision[:1], one_mask(), vision, valid)
    assert float(loss) == pytest.approx(0.0, abs=1e-5)


def test_object_distillation_does_not_count_masks_without_valid_voxels() -> None:
    embedding = torch.randn(2, 8, requires_grad=True)
    empty = -SURE * torch.ones(2, 5)
    loss = object_distillation(embedding, empty, torch.randn(5, 8), VALID)
    torch.autograd.backward(loss)
    assert loss.detach() == 0
    assert embedding.grad is not None
    assert (embedding.grad == 0).all()


def test_voxel_distillation_is_0_for_one_hot_masks_with_the_voxels_own_features() -> None:
    vision, mask = torch.randn(5, 8), SURE * (2 * torch.eye(5) - 1)
    for distance in ("l1", "cosine"):
        loss = voxel_distillation(mask, 3.0 * vision, vision, VALID, _distance(distance))
        assert float(loss) == pytest.approx(0.0, abs=1e-5)
        assert float(voxel_distillation(mask, vision.roll(1, 0), vision, VALID, _distance(distance))) > 0.1


def test_voxel_distillation_is_least_where_every_voxel_is_reconstructed() -> None:
    vision, mask = torch.randn(5, 8), SURE * (2 * torch.eye(5) - 1)
    lacking = mask.clone()
    lacking[2, 2] = -SURE
    assert float(voxel_distillation(lacking, vision, vision, VALID)) > 0.05


def test_voxel_distillation_is_least_where_every_voxel_is_reconstructed_once() -> None:
    vision, mask = torch.randn(5, 8), SURE * (2 * torch.eye(5) - 1)
    twice = voxel_distillation(mask.repeat(2, 1), vision.repeat(2, 1), vision, VALID)
    assert float(twice) > 0.5
    normalized = voxel_distillation(mask.repeat(2, 1), vision.repeat(2, 1), vision, VALID, normalize_masks=True)
    assert float(normalized) == pytest.approx(0.0, abs=1e-5)
    assert float(voxel_distillation(-mask, vision, vision, VALID, normalize_masks=True)) > 0.5


def test_every_mask_has_the_same_weight_in_balanced_voxel_distillation() -> None:
    """A wrong mask of one voxel costs as much as one of four; without balance, a quarter."""
    vision, embedding = torch.eye(2)[[0, 1, 1, 1, 1]], torch.eye(2)
    mask = SURE * torch.tensor([[1.0, -1, -1, -1, -1], [-1, 1, 1, 1, 1]])
    for balanced, share in ((True, 0.5), (False, 0.2)):
        losses = [
            float(voxel_distillation(mask, embeddings, vision, VALID, normalize_masks=True, balance_masks=balanced))
            for embeddings in (embedding[[1, 1]], embedding[[0, 0]], embedding[[1, 0]])
        ]
        assert losses[0] == pytest.approx(share * losses[2], rel=1e-5)
        assert losses[0] + losses[1] == pytest.approx(losses[2], rel=1e-5)


def test_balance_itself_gives_masks_no_gradient() -> None:
    """Two queries of the same class embedding reconstruct the same features, whatever their masks."""
    mask, vision = torch.tensor([[3.0, 2, 1, 4, 2], [1.0, 3, 2, 2, 5]], requires_grad=True), torch.randn(5, 8)
    embedding = torch.randn(1, 8).repeat(2, 1)
    torch.autograd.backward(
        voxel_distillation(mask, embedding, vision, VALID, normalize_masks=True, balance_masks=True)
    )
    assert mask.grad is not None
    torch.testing.assert_close(mask.grad, torch.zeros(2, 5), atol=1e-6, rtol=0)


def test_voxel_distillation_counts_only_valid_voxels() -> None:
    vision, mask = torch.randn(5, 8), SURE * (2 * torch.eye(5) - 1)
    hidden = torch.tensor([True, True, False, True, True])
    changed = vision.clone()
    changed[2] = 100.0
    assert voxel_distillation(mask, vision, changed, hidden) == voxel_distillation(mask, vision, vision, hidden)


def test_frozen_vision_receives_no_gradient() -> None:
    vision = torch.randn(5, 8, requires_grad=True)
    embedding, mask = torch.randn(1, 8, requires_grad=True), one_mask().requires_grad_()
    terms = object_distillation(embedding, mask, vision, VALID) + voxel_distillation(mask, embedding, vision, VALID)
    torch.autograd.backward(terms)
    assert vision.grad is None
    assert embedding.grad is not None


def test_object_distillation_does_not_move_masks() -> None:
    mask, embedding = one_mask().requires_grad_(), torch.randn(1, 8, requires_grad=True)
    torch.autograd.backward(object_distillation(embedding, mask, torch.randn(5, 8), VALID))
    assert mask.grad is None


def test_a_perfect_mask_costs_nothing_and_a_wrong_one_much() -> None:
    target = one_mask() > 0
    assert float(dice(one_mask(), target)) == pytest.approx(0.0, abs=1e-6)
    assert float(mask_focal_loss(one_mask(), target)) == pytest.approx(0.0, abs=1e-6)
    assert float(dice(-one_mask(), target)) > 0.8
    assert float(mask_focal_loss(-one_mask(), target)) > 5


def test_the_false_mask_loss_is_the_share_of_a_mask_on_labelled_voxels() -> None:
    labelled = torch.tensor([True, False, False, False, True])
    assert float(false_mask_loss(one_mask(), labelled)) == pytest.approx(1 / 4)
    assert float(false_mask_loss(one_mask(), ~VALID)) == 0
    assert float(false_mask_loss(-SURE * torch.ones(2, 5), labelled)) == pytest.approx(0.0, abs=1e-6)
    assert float(false_mask_loss(torch.zeros(0, 5), labelled)) == 0


def test_class_loss_falls_as_the_right_class_rises() -> None:
    of_class = torch.tensor([1, VOID])
    values = [
        float(class_loss(torch.tensor([[-4.0, rise, -4.0], [-4.0, -4.0, -4.0]]), of_class)) for rise in (-4.0, 0.0, 4.0)
    ]
    assert values[0] > values[1] > values[2]


def test_lovasz_is_one_less_the_mean_iou_of_sure_predictions() -> None:
    category = torch.tensor([0, 0, 0, 1, 1, VOID])
    predicted = torch.tensor([0, 0, 1, 1, 1, 0])
    logits = SURE * torch.nn.functional.one_hot(predicted, 3).float()
    expected = 1 - (2 / 3 + 2 / 3) / 2
    assert float(lovasz_loss(logits, category)) == pytest.approx(expected, abs=1e-5)


def test_unlabelled_voxels_give_the_semantic_head_no_gradient() -> None:
    logits, category = torch.randn(4, 3, requires_grad=True), torch.tensor([0, VOID, 2, VOID])
    torch.autograd.backward(semantic_loss(logits, category) + lovasz_loss(logits, category))
    assert logits.grad is not None
    assert (logits.grad[category == VOID] == 0).all()
    assert (logits.grad[category != VOID] != 0).all()


def test_nothing_to_learn_from_is_0_and_not_nan() -> None:
    none, flat = torch.zeros(0, 5), torch.zeros(5, 3)
    nothing = torch.full((5,), VOID)
    assert float(dice_loss(none, none.bool())) == 0
    assert float(mask_focal_loss(none, none.bool())) == 0
    assert float(semantic_loss(flat, nothing)) == 0
    assert float(lovasz_loss(flat, nothing)) == 0
    assert float(object_distillation(torch.zeros(0, 8), none, torch.randn(5, 8), VALID)) == 0
    assert float(voxel_distillation(torch.randn(2, 5), torch.randn(2, 8), torch.randn(5, 8), ~VALID)) == 0
    assert float(class_loss(torch.zeros(0, 3), torch.zeros(0, dtype=torch.long))) == 0
    empty = -SURE * torch.ones(1, 5)
    assert torch.isfinite(dice_loss(empty, empty > 0))
    assert torch.isfinite(mask_pooling(empty, torch.randn(5, 8), VALID)[0]).all()


def _distance(name: str) -> Distance:
    return "l1" if name == "l1" else "cosine"
