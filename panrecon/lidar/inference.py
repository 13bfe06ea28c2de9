"""Panoptic inference: from masks and class probabilities to one class and instance for every point."""

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from panrecon.lidar.classify import TextEmbeddings
from panrecon.lidar.network import NetworkOutput, PanopticNetwork, ScanInput
from panrecon.lidar.settings import DEFAULT_INFERENCE, InferenceSettings
from panrecon.structures import VOID, Labels


@torch.no_grad()
def segment_scan(
    network: PanopticNetwork,
    scan: ScanInput,
    text_embeddings: TextEmbeddings,
    settings: InferenceSettings = DEFAULT_INFERENCE,
) -> Labels:
    """Labels of a scan's points by the classes of `text_embeddings`, `VOID` where no query is.

    The network has to be in evaluation mode, network, scan and embeddings on one device.
    """
    output = network(scan)
    final = output.predictions[-1]
    probability = network.class_logits(final, text_embeddings).sigmoid()
    return labels_of_points(output, panoptic_labels(probability, final.mask, text_embeddings.is_thing, settings))


def labels_of_points(output: NetworkOutput, labels_of_voxels: Labels) -> Labels:
    """The label of the voxel of every point of a scan."""
    voxel = output.voxels.voxel_of_point.cpu().numpy()
    return Labels(labels_of_voxels.category[voxel], labels_of_voxels.instance[voxel])


@torch.no_grad()
def panoptic_labels(
    probability: Float[Tensor, "Q C"],
    mask: Float[Tensor, "Q V"],
    is_thing: Bool[np.ndarray, " C"],
    settings: InferenceSettings,
) -> Labels:
    """Class and instance of voxels, `VOID` where no query is; instances are numbered from 0, stuff has none.

    A query's score is its class probability times its mask score (Mask2Former, Cheng et al., CVPR 2022). Every voxel is
    of the query of the greatest score times mask probability; all queries of a stuff class are one segment, and a
    segment that has won too little of its own mask is dropped (P3Former). Of thing masks that overlap as if of one
    object only that of the highest score is used (ours): queries anchored in a novel object are not trained to compete.
    """
    if not probability.numel():
        empty = np.full(mask.shape[1], VOID, dtype=np.int64)
        return Labels(empty, empty.copy())
    device = mask.device
    classes = len(is_thing)
    best_probability, category = probability.max(dim=1)
    query_is_thing = torch.from_numpy(is_thing).to(device)[category]
    score = best_probability * torch.where(query_is_thing, settings.thing_weight, 1.0) * _mask_score(mask)
    query = torch.nonzero(score > settings.threshold).squeeze(1)
    query = _without_duplicates(query, score, mask, query_is_thing, settings.duplicate_iou)
    # Segments: stuff by class, then things by query.
    segment_of_query = torch.where(query_is_thing, classes + torch.arange(len(category), device=device), category)
    segments, segment_index = torch.unique(segment_of_query[query], return_inverse=True)
    index_of_voxel = _argmax_segments(score[query], mask[query], segment_index, len(segments), settings.min_share_left)
    segment = torch.cat([segments, segments.new_full((1,), VOID)])[index_of_voxel]
    is_object = segment >= classes
    category_of_voxel = torch.where(is_object, category[(segment - classes).clamp(min=0)], segment)
    instance = torch.where(is_object, segment, VOID)
    return Labels(category_of_voxel.cpu().numpy(), _consecutive(instance.cpu().numpy()))


def _mask_score(mask: Float[Tensor, "Q V"]) -> Float[Tensor, " Q"]:
    """Mean probability inside each mask, above 0.5; 0 where it is empty."""
    inside = mask > 0
    return (mask.sigmoid() * inside).sum(dim=1) / inside.sum(dim=1).clamp(min=1)


def _without_duplicates(
    query: Int[Tensor, " k"],
    score: Float[Tensor, " Q"],
    mask: Float[Tensor, "Q V"],
    is_thing: Bool[Tensor, " Q"],
    max_iou: float,
) -> Int[Tensor, " u"]:
    """Greedy non-maximum suppression of thing masks by their IoU; queries by falling score."""
    order = query[score[query].argsort(descending=True, stable=True)]
    inside = (mask[order] > 0).float()
    intersection = inside @ inside.T
    size = inside.sum(dim=1)
    overlaps = intersection > max_iou * (size[:, None] + size - intersection)
    is_duplicate = overlaps & is_thing[order, None] & is_thing[order]
    is_unsuppressed = torch.ones(len(order), dtype=torch.bool, device=mask.device)
    for rank in range(1, len(order)):
        is_unsuppressed[rank] = ~(is_duplicate[rank, :rank] & is_unsuppressed[:rank]).any()
    return order[is_unsuppressed]


def _argmax_segments(
    score: Float[Tensor, " q"],
    mask: Float[Tensor, "q V"],
    segment: Int[Tensor, " q"],
    count: int,
    min_share_left: float,
) -> Int[Tensor, " V"]:
    """The segment of every voxel by the greatest score times mask probability, `VOID` outside the segment's own masks
    and where the segment is dropped."""
    if not len(score):
        return torch.full((mask.shape[1],), VOID, dtype=torch.long, device=mask.device)
    best_segment = segment[(score[:, None] * mask.sigmoid()).argmax(dim=0)]
    own_mask = torch.zeros(count, mask.shape[1], dtype=torch.bool, device=mask.device)
    own_mask = own_mask.index_put((segment,), mask > 0, accumulate=True)
    won = own_mask & (best_segment == torch.arange(count, device=mask.device)[:, None])
    won_size = won.sum(dim=1)
    is_kept = (won_size > 0) & (won_size >= min_share_left * own_mask.sum(dim=1))
    return torch.where((won & is_kept[:, None]).any(dim=0), best_segment, VOID)


def _consecutive(instance: Int[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
    """Instances numbered from 0 in their order; `VOID` stays."""
    distinct, index = np.unique(instance, return_inverse=True)
    return np.where(instance == VOID, VOID, index.reshape(-1) - int(VOID in distinct)).astype(np.int64)
