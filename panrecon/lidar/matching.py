"""Hungarian matching of free queries with segments of the truth (DETR, Carion et al., ECCV 2020)."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from panrecon.lidar.losses import focal_terms
from panrecon.lidar.settings import DEFAULT_MATCHING, MatchingSettings


@dataclass(frozen=True)
class Match:
    """Pairs of a query and a segment; no index occurs twice on its side."""

    query: Int[Tensor, " m"]
    segment: Int[Tensor, " m"]


@torch.no_grad()
def match(
    class_logits: Float[Tensor, "Q B"],
    mask: Float[Tensor, "Q V"],
    segments: Bool[Tensor, "T V"],
    segment_class: Int[Tensor, " T"],
    supervised: Bool[Tensor, " V"],
    settings: MatchingSettings = DEFAULT_MATCHING,
) -> Match:
    """The pairs of least total cost, min(Q, T) in all; voxels that are not `supervised` do not count.

    Costs that are not finite count as 0: the losses report them.
    """
    cost = class_cost(class_logits, segment_class, settings)
    cost = cost + mask_cost(mask[:, supervised], segments[:, supervised].float(), settings)
    query, segment = linear_sum_assignment(cost.nan_to_num(nan=0.0).cpu().numpy())
    device = mask.device
    return Match(torch.from_numpy(query).long().to(device), torch.from_numpy(segment).long().to(device))


def class_cost(
    logits: Float[Tensor, "Q B"], segment_class: Int[Tensor, " T"], settings: MatchingSettings = DEFAULT_MATCHING
) -> Float[Tensor, "Q T"]:
    """The increase of focal loss if the query were not of the segment's class, weighted."""
    positive, negative = focal_terms(logits, settings.class_focus)
    return settings.class_cost * (positive - negative)[:, segment_class]


def mask_cost(
    mask: Float[Tensor, "Q V"], segments: Float[Tensor, "T V"], settings: MatchingSettings = DEFAULT_MATCHING
) -> Float[Tensor, "Q T"]:
    """Mean focal loss over voxels plus dice loss between every query's mask and every segment, weighted."""
    positive, negative = focal_terms(mask, settings.mask_focus)
    focal = (positive @ segments.T + negative @ (1 - segments).T) / max(1, mask.shape[1])
    probability = mask.sigmoid()
    twice_common = 2 * probability @ segments.T
    total = probability.sum(dim=1)[:, None] + segments.sum(dim=1)[None]
    return settings.mask_cost * focal + settings.dice_cost * (1 - (twice_common + 1) / (total + 1))
