"""Which free query is to become which segment: the assignment of least cost (DETR, Carion et al., ECCV 2020)."""

from dataclasses import dataclass
from typing import Final

import torch
from jaxtyping import Bool, Float, Int
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from panrecon.lidar.losses import CLASS_FOCUS, MASK_FOCUS, focal_terms

CLASS_COST: Final = 1.0
MASK_COST: Final = 1.0
DICE_COST: Final = 2.0


@dataclass(frozen=True)
class Match:
    """Queries and the segments that they are held against."""

    query: Int[Tensor, " m"]
    segment: Int[Tensor, " m"]


@torch.no_grad()
def match(
    class_logits: Float[Tensor, "Q B"],
    mask: Float[Tensor, "Q V"],
    segments: Bool[Tensor, "T V"],
    segment_class: Int[Tensor, " T"],
    known: Bool[Tensor, " V"],
) -> Match:
    """Every segment gets one query, as far as there are any; unlabelled voxels say nothing."""
    cost = class_cost(class_logits, segment_class) + mask_cost(mask[:, known], segments[:, known].float())
    query, segment = linear_sum_assignment(cost.nan_to_num(nan=0.0).cpu().numpy())  # the losses tell of nan
    return Match(*(torch.as_tensor(rows, dtype=torch.long, device=mask.device) for rows in (query, segment)))


def class_cost(logits: Float[Tensor, "Q B"], segment_class: Int[Tensor, " T"]) -> Float[Tensor, "Q T"]:
    """By how much focal loss would grow if the query were not of the segment's class."""
    positive, negative = focal_terms(logits, CLASS_FOCUS)
    return CLASS_COST * (positive - negative)[:, segment_class]


def mask_cost(mask: Float[Tensor, "Q V"], segments: Float[Tensor, "T V"]) -> Float[Tensor, "Q T"]:
    """Focal loss a voxel and dice loss of every query held against every segment."""
    positive, negative = focal_terms(mask, MASK_FOCUS)
    focal = (positive @ segments.T + negative @ (1 - segments).T) / max(1, mask.shape[1])
    probability = mask.sigmoid()
    both = 2 * probability @ segments.T
    either = probability.sum(dim=1)[:, None] + segments.sum(dim=1)[None]
    return MASK_COST * focal + DICE_COST * (1 - (both + 1) / (either + 1))
