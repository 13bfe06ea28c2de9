"""The terms of training. None of them is NaN where there is nothing to learn from: it is 0 with gradient 0."""

from typing import Final, Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from panrecon.structures import VOID

ALPHA: Final = 0.25
CLASS_FOCUS: Final = 4.0  # exponents of focal loss in P3Former (Xiao et al., 2023)
MASK_FOCUS: Final = 2.0
Distance = Literal["l1", "cosine"]


def focal_terms(logits: Float[Tensor, "*n"], focus: float) -> tuple[Float[Tensor, "*n"], Float[Tensor, "*n"]]:
    """Focal loss (Lin et al., ICCV 2017) of each logit if it should be on, and if it should be off."""
    probability = logits.sigmoid()
    positive = ALPHA * (1 - probability) ** focus * nn.functional.softplus(-logits)
    negative = (1 - ALPHA) * probability**focus * nn.functional.softplus(logits)
    return positive, negative


def focal(logits: Float[Tensor, "*n"], target: Bool[Tensor, "*n"], focus: float) -> Float[Tensor, "*n"]:
    wrong = torch.where(target, -logits, logits)
    return torch.where(target, ALPHA, 1 - ALPHA) * wrong.sigmoid() ** focus * nn.functional.softplus(wrong)


def class_loss(
    logits: Float[Tensor, "Q B"], query_class: Int[Tensor, " Q"], focus: float = CLASS_FOCUS
) -> Float[Tensor, ""]:
    """Focal loss over base classes, a query that has a class; `VOID`: it is of none of them."""
    target = query_class[:, None] == torch.arange(logits.shape[1], device=logits.device)
    return focal(logits, target, focus).sum() / max(1, int((query_class != VOID).sum()))


def dice(logits: Float[Tensor, "m V"], target: Bool[Tensor, "m V"]) -> Float[Tensor, " m"]:
    """1 - twice the common part over the sum of both (V-Net, Milletari et al., 3DV 2016), smoothed by a voxel."""
    probability, wanted = logits.sigmoid(), target.to(logits.dtype)
    return 1 - (2 * (probability * wanted).sum(dim=1) + 1) / (probability.sum(dim=1) + wanted.sum(dim=1) + 1)


def mask_focal_loss(logits: Float[Tensor, "m V"], target: Bool[Tensor, "m V"]) -> Float[Tensor, ""]:
    """The mean over voxels and masks."""
    return focal(logits, target, MASK_FOCUS).sum() / max(1, logits.numel())


def dice_loss(logits: Float[Tensor, "m V"], target: Bool[Tensor, "m V"]) -> Float[Tensor, ""]:
    """The mean over masks."""
    return dice(logits, target).sum() / max(1, len(logits))


def trespass_loss(logits: Float[Tensor, "m V"], known: Bool[Tensor, " V"]) -> Float[Tensor, ""]:
    """The mean share of each mask that lies on labelled voxels, smoothed by a voxel; for queries without a segment."""
    probability = logits.sigmoid()
    share = probability[:, known].sum(dim=1) / (probability.sum(dim=1) + 1)
    return share.sum() / max(1, len(logits))


def semantic_loss(logits: Float[Tensor, "V B"], category: Int[Tensor, " V"]) -> Float[Tensor, ""]:
    """Cross entropy of labelled voxels."""
    total = nn.functional.cross_entropy(logits, category, ignore_index=VOID, reduction="sum")
    return total / max(1, int((category != VOID).sum()))


def lovasz_loss(logits: Float[Tensor, "V B"], category: Int[Tensor, " V"]) -> Float[Tensor, ""]:
    """Lovasz-softmax (Berman et al., CVPR 2018) over the labelled voxels and the classes that occur."""
    known = category != VOID
    probability, category = logits[known].softmax(dim=1), category[known]
    terms = [_lovasz(probability[:, row], category == row) for row in torch.unique(category).tolist()]
    return torch.stack(terms).mean() if terms else logits.sum() * 0


def _lovasz(probability: Float[Tensor, " n"], target: Bool[Tensor, " n"]) -> Float[Tensor, ""]:
    error, order = torch.sort((target.to(probability.dtype) - probability).abs(), descending=True, stable=True)
    wanted = target[order].to(probability.dtype)
    common = wanted.sum() - wanted.cumsum(dim=0)
    jaccard = 1 - common / (wanted.sum() + (1 - wanted).cumsum(dim=0))
    return error @ torch.diff(jaccard, prepend=jaccard.new_zeros(1))


def mask_features(
    mask: Float[Tensor, "m V"], vision: Float[Tensor, "V D"], valid: Bool[Tensor, " V"]
) -> tuple[Float[Tensor, "m D"], Bool[Tensor, " m"]]:
    """The mean vision feature inside each mask (logit > 0) and whether a camera saw any of it; no gradient."""
    inside = ((mask.detach() > 0) & valid).to(vision.dtype)
    count = inside.sum(dim=1)
    return (inside @ vision.detach()) / count.clamp(min=1)[:, None], count > 0


def object_distillation(
    embedding: Float[Tensor, "m D"],
    mask: Float[Tensor, "m V"],
    vision: Float[Tensor, "V D"],
    valid: Bool[Tensor, " V"],
) -> Float[Tensor, ""]:
    """The mean of 1 - cosine between matched queries' embeddings and the vision features inside their masks."""
    wanted, seen = mask_features(mask, vision, valid)
    distance = 1 - nn.functional.cosine_similarity(embedding, wanted, dim=1)
    return torch.where(seen, distance, 0.0).sum() / max(1, int(seen.sum()))


def voxel_distillation(
    mask: Float[Tensor, "Q V"],
    embedding: Float[Tensor, "Q D"],
    vision: Float[Tensor, "V D"],
    valid: Bool[Tensor, " V"],
    distance: Distance = "l1",
    shared: bool = False,
    balanced: bool = False,
) -> Float[Tensor, ""]:
    """How far the queries' embeddings, spread over voxels by their masks, are from the vision features there.

    Embeddings and features are unit vectors. L1 is divided by the root of their width, so that one weight suits all.
    `shared`: where masks add up to more than 1, their mean is held against the feature and not their sum, which would
    first of all teach masks that nobody else teaches to be empty. `balanced`: the mean is one over masks, of each over
    its voxels; else it is one over voxels, most of which are road and walls.
    """
    share = mask.sigmoid()[:, valid].T
    weight = (share / share.sum(dim=0).clamp(min=1)).sum(dim=1).detach()
    if shared:
        share = share / share.sum(dim=1, keepdim=True).clamp(min=1)
    spread = share @ nn.functional.normalize(embedding, dim=1)
    wanted = nn.functional.normalize(vision.detach()[valid], dim=1)
    if distance == "cosine":
        far = 1 - nn.functional.cosine_similarity(spread, wanted, dim=1)
    else:
        far = (spread - wanted).abs().sum(dim=1) / wanted.shape[1] ** 0.5
    if balanced:
        return (far * weight).sum() / weight.sum().clamp(min=1)
    return far.sum() / max(1, len(wanted))
