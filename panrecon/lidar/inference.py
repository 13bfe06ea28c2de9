"""From masks and classes to one label a point: the surest query wins each voxel, and keeps it if enough is left."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from panrecon.lidar.classify import Vocabulary
from panrecon.lidar.network import Output, PanopticNetwork, ScanInput
from panrecon.structures import VOID, Labels

THRESHOLD: Final = 0.4  # P3Former's (Xiao et al., 2023)
THING_WEIGHT: Final = 2.0
LEAST_LEFT: Final = 0.8  # of a mask, for its segment to stay
SAME: Final = 0.5  # IoU of two masks, from which they show one object


@dataclass(frozen=True)
class Rule:
    """Queries below `threshold` are dropped, scores of things counting `thing_weight` times; so are remnants."""

    threshold: float = THRESHOLD
    thing_weight: float = THING_WEIGHT
    least_left: float = LEAST_LEFT


@torch.no_grad()
def segment_scan(network: PanopticNetwork, scan: ScanInput, words: Vocabulary, rule: Rule | None = None) -> Labels:
    """The labels of a scan's points, rows of `words`; the network is to be in evaluation mode."""
    output = network(scan)
    last = output.predictions[-1]
    probability = network.class_logits(last, words).sigmoid()
    return labels_of_points(output, panoptic(probability, last.mask, words.is_thing, rule or Rule()))


def labels_of_points(output: Output, of_voxel: Labels) -> Labels:
    voxel = output.voxels.voxel_of_point.cpu().numpy()
    return Labels(of_voxel.category[voxel], of_voxel.instance[voxel])


@torch.no_grad()
def panoptic(
    probability: Float[Tensor, "Q C"], mask: Float[Tensor, "Q V"], is_thing: Bool[np.ndarray, " C"], rule: Rule
) -> Labels:
    """Class and instance of voxels, `VOID` where no query stays. All segments of one stuff class are one.

    A query's score is that of its class times how sure its mask is (Mask2Former, Cheng et al., CVPR 2022). Of masks
    that show the same object the one of the highest score counts: P3Former's queries compete until one is left, ours
    do not for objects that training knew nothing of, which several start in.
    """
    empty = torch.full((mask.shape[1],), VOID, dtype=torch.long)
    if not probability.numel():
        return Labels(empty.numpy(), empty.numpy())
    best, category = probability.max(dim=1)
    things = torch.from_numpy(is_thing).to(mask.device)
    score = best * torch.where(things[category], rule.thing_weight, 1.0) * _sureness(mask)
    kept = torch.nonzero(score > rule.threshold).squeeze(1)
    kept = _once(kept, score, mask, things[category])
    # Queries of one stuff class are parts of one segment: they do not contest each other's voxels.
    segment = torch.where(things[category], len(is_thing) + torch.arange(len(category)).to(mask.device), category)
    kinds, number = torch.unique(segment[kept], return_inverse=True)
    winner = _winners(score[kept], mask[kept], number, len(kinds), rule.least_left)
    chosen = torch.cat([kinds, kinds.new_full((1,), VOID)])[winner]
    is_object = chosen >= len(is_thing)
    row = torch.where(is_object, category[(chosen - len(is_thing)).clamp(min=0)], chosen)
    instance = torch.where(is_object, chosen, VOID)
    return Labels(row.cpu().numpy(), _consecutive(instance.cpu().numpy()))


def _sureness(mask: Float[Tensor, "Q V"]) -> Float[Tensor, " Q"]:
    """The mean probability inside each mask, above 0.5; 0 where it is empty."""
    inside = mask > 0
    return (mask.sigmoid() * inside).sum(dim=1) / inside.sum(dim=1).clamp(min=1)


def _once(
    kept: Int[Tensor, " k"], score: Float[Tensor, " Q"], mask: Float[Tensor, "Q V"], is_object: Bool[Tensor, " Q"]
) -> Int[Tensor, " u"]:
    """The kept queries without those of an object that a surer one shows as well."""
    order = kept[score[kept].argsort(descending=True, stable=True)]
    inside = (mask[order] > 0).float()
    common, size = inside @ inside.T, inside.sum(dim=1)
    same = common > SAME * (size[:, None] + size - common)
    rivals = same & is_object[order, None] & is_object[order]
    stays = torch.ones(len(order), dtype=torch.bool, device=mask.device)
    for row in range(1, len(order)):
        stays[row] = ~(rivals[row, :row] & stays[:row]).any()
    return order[stays]


def _winners(
    score: Float[Tensor, " q"], mask: Float[Tensor, "q V"], segment: Int[Tensor, " q"], count: int, least_left: float
) -> Int[Tensor, " V"]:
    """The segment of every voxel, `VOID` for none: that of the query of greatest score times mask, if it holds it."""
    if not len(score):
        return torch.full((mask.shape[1],), VOID, dtype=torch.long, device=mask.device)
    winner = segment[(score[:, None] * mask.sigmoid()).argmax(dim=0)]
    own = torch.zeros(count, mask.shape[1], dtype=torch.bool, device=mask.device)
    own = own.index_put((segment,), mask > 0, accumulate=True)
    mine = own & (winner == torch.arange(count, device=mask.device)[:, None])
    stays = (mine.sum(dim=1) > 0) & (mine.sum(dim=1) >= least_left * own.sum(dim=1))
    return torch.where((mine & stays[:, None]).any(dim=0), winner, VOID)


def _consecutive(number: Int[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
    """The numbers counted from 0, `VOID` as it is."""
    kinds, index = np.unique(number, return_inverse=True)
    return np.where(number == VOID, VOID, index.reshape(-1) - int(VOID in kinds)).astype(np.int64)
