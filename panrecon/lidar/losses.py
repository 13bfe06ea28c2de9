"""Losses of training. Each is 0 with gradient 0, and never NaN, where there is nothing to learn from.

Masks are logits of queries over voxels; a voxel is inside a mask where its logit is above 0.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from panrecon.lidar.settings import CLASS_FOCUS, FOCAL_ALPHA, MASK_FOCUS, Distance
from panrecon.structures import VOID


def focal_terms(logits: Float[Tensor, "*n"], focus: float) -> tuple[Float[Tensor, "*n"], Float[Tensor, "*n"]]:
    """Focal loss (Lin et al., ICCV 2017) of each logit for target 1 and for target 0; `focus` is the exponent."""
    probability = logits.sigmoid()
    positive = FOCAL_ALPHA * (1 - probability) ** focus * nn.functional.softplus(-logits)
    negative = (1 - FOCAL_ALPHA) * probability**focus * nn.functional.softplus(logits)
    return positive, negative


def focal(logits: Float[Tensor, "*n"], target: Bool[Tensor, "*n"], focus: float) -> Float[Tensor, "*n"]:
    """Focal loss (Lin et al., ICCV 2017) of each logit for its target; `focus` is the exponent."""
    wrong = torch.where(target, -logits, logits)
    return torch.where(target, FOCAL_ALPHA, 1 - FOCAL_ALPHA) * wrong.sigmoid() ** focus * nn.functional.softplus(wrong)


def class_loss(
    logits: Float[Tensor, "Q B"], query_class: Int[Tensor, " Q"], focus: float = CLASS_FOCUS
) -> Float[Tensor, ""]:
    """Focal loss summed over queries and base classes, divided by the number of queries that have a class.

    Queries of class `VOID` are of no base class.
    """
    target = query_class[:, None] == torch.arange(logits.shape[1], device=logits.device)
    return focal(logits, target, focus).sum() / max(1, int((query_class != VOID).sum()))


def dice(logits: Float[Tensor, "m V"], target: Bool[Tensor, "m V"]) -> Float[Tensor, " m"]:
    """Dice loss of each mask, in [0, 1) (V-Net, Milletari et al., 3DV 2016), smoothed by one voxel."""
    probability = logits.sigmoid()
    truth = target.to(logits.dtype)
    return 1 - (2 * (probability * truth).sum(dim=1) + 1) / (probability.sum(dim=1) + truth.sum(dim=1) + 1)


def mask_focal_loss(
    logits: Float[Tensor, "m V"], target: Bool[Tensor, "m V"], focus: float = MASK_FOCUS
) -> Float[Tensor, ""]:
    """Mean focal loss over masks and voxels."""
    return focal(logits, target, focus).sum() / max(1, logits.numel())


def dice_loss(logits: Float[Tensor, "m V"], target: Bool[Tensor, "m V"]) -> Float[Tensor, ""]:
    """Mean dice loss over masks."""
    return dice(logits, target).sum() / max(1, len(logits))


def false_mask_loss(logits: Float[Tensor, "m V"], labelled: Bool[Tensor, " V"]) -> Float[Tensor, ""]:
    """The mean share of unmatched queries' masks on labelled voxels, in [0, 1), smoothed by one voxel (ours).

    Labelled voxels belong to other queries, so a mask on them is a false one.
    """
    probability = logits.sigmoid()
    share = probability[:, labelled].sum(dim=1) / (probability.sum(dim=1) + 1)
    return share.sum() / max(1, len(logits))


def semantic_loss(logits: Float[Tensor, "V B"], category: Int[Tensor, " V"]) -> Float[Tensor, ""]:
    """Mean cross entropy over voxels whose category is not `VOID`."""
    total = nn.functional.cross_entropy(logits, category, ignore_index=VOID, reduction="sum")
    return total / max(1, int((category != VOID).sum()))


def lovasz_loss(logits: Float[Tensor, "V B"], category: Int[Tensor, " V"]) -> Float[Tensor, ""]:
    """Lovasz-softmax loss (Berman et al., CVPR 2018): mean over classes that occur, of voxels that are not `VOID`."""
    labelled = category != VOID
    probability = logits[labelled].softmax(dim=1)
    category = category[labelled]
    terms = [_lovasz(probability[:, index], category == index) for index in torch.unique(category).tolist()]
    return torch.stack(terms).mean() if terms else logits.sum() * 0


def _lovasz(probability: Float[Tensor, " n"], target: Bool[Tensor, " n"]) -> Float[Tensor, ""]:
    error, order = torch.sort((target.to(probability.dtype) - probability).abs(), descending=True, stable=True)
    truth = target[order].to(probability.dtype)
    intersection = truth.sum() - truth.cumsum(dim=0)
    jaccard = 1 - intersection / (truth.sum() + (1 - truth).cumsum(dim=0))
    return error @ torch.diff(jaccard, prepend=jaccard.new_zeros(1))


def mask_pooling(
    mask: Float[Tensor, "m V"], vision: Float[Tensor, "V D"], valid: Bool[Tensor, " V"]
) -> tuple[Float[Tensor, "m D"], Bool[Tensor, " m"]]:
    """Mean vision feature over valid voxels inside each mask, 0 without any, and whether there is any; no gradient."""
    inside = ((mask.detach() > 0) & valid).to(vision.dtype)
    count = inside.sum(dim=1)
    return (inside @ vision.detach()) / count.clamp(min=1)[:, None], count > 0


def object_distillation(
    embedding: Float[Tensor, "m D"],
    mask: Float[Tensor, "m V"],
    vision: Float[Tensor, "V D"],
    valid: Bool[Tensor, " V"],
) -> Float[Tensor, ""]:
    """Object-level distillation (arXiv 2401.02402): mean 1 - cosine of class embedding and pooled feature, in [0, 2].

    For matched queries; masks without a valid voxel do not count, and masks receive no gradient.
    """
    pooled, has_vision = mask_pooling(mask, vision, valid)
    distance = 1 - nn.functional.cosine_similarity(embedding, pooled, dim=1)
    return torch.where(has_vision, distance, 0.0).sum() / max(1, int(has_vision.sum()))


def voxel_distillation(
    mask: Float[Tensor, "Q V"],
    embedding: Float[Tensor, "Q D"],
    vision: Float[Tensor, "V D"],
    valid: Bool[Tensor, " V"],
    distance: Distance = "l1",
    normalize_masks: bool = False,
    balance_masks: bool = False,
) -> Float[Tensor, ""]:
    """Voxel-level distillation (arXiv 2401.02402): distance of reconstructed and frozen features of valid voxels.

    The reconstruction is the sum of unit class embeddings weighted by mask probabilities; frozen features are brought
    to unit length. L1 is divided by the square root of their width, so that one loss weight suits every width.
    `normalize_masks`: where probabilities sum to more than 1 they are divided by their sum; without it masks that have
    no other supervision become empty first of all. `balance_masks`: the mean is over masks, of each over its voxels;
    without it, over voxels, most of which are road and walls. Both are ours.
    """
    weight_of_query = mask.sigmoid()[:, valid].T
    balance = (weight_of_query / weight_of_query.sum(dim=0).clamp(min=1)).sum(dim=1).detach()
    if normalize_masks:
        weight_of_query = weight_of_query / weight_of_query.sum(dim=1, keepdim=True).clamp(min=1)
    reconstructed = weight_of_query @ nn.functional.normalize(embedding, dim=1)
    frozen = nn.functional.normalize(vision.detach()[valid], dim=1)
    if distance == "cosine":
        error = 1 - nn.functional.cosine_similarity(reconstructed, frozen, dim=1)
    else:
        error = (reconstructed - frozen).abs().sum(dim=1) / frozen.shape[1] ** 0.5
    if balance_masks:
        return (error * balance).sum() / balance.sum().clamp(min=1)
    return error.sum() / max(1, len(frozen))
