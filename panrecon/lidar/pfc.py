"""The baseline: frozen vision features alone into the head, one set of queries, and two opinions of every class.

FC-CLIP (Yu et al., NeurIPS 2023) carried over to points, as arXiv 2401.02402 compares itself with.
"""

from dataclasses import replace
from typing import Final

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from panrecon.lidar.classify import Vocabulary, class_cosines
from panrecon.lidar.inference import Rule, labels_of_points, panoptic
from panrecon.lidar.losses import mask_features
from panrecon.lidar.network import PanopticNetwork, ScanInput
from panrecon.lidar.settings import NetworkSizes
from panrecon.structures import Labels

BASE_SHARE: Final = 0.4  # FC-CLIP's alpha and beta: the say of frozen features
NOVEL_SHARE: Final = 0.8
SHARPNESS: Final = 100.0  # CLIP's logits are cosines times this


def baseline_sizes(sizes: NetworkSizes) -> NetworkSizes:
    """The same network without an encoder of its own and without fixed queries."""
    return replace(sizes, geometry=False, fixed_queries=False)


def geometric_ensemble(
    learned: Float[Tensor, "Q C"], frozen: Float[Tensor, "Q C"], is_base: Bool[np.ndarray, " C"]
) -> Float[Tensor, "Q C"]:
    """p_learned^(1 - share) p_frozen^share of probabilities."""
    share = torch.from_numpy(np.where(is_base, BASE_SHARE, NOVEL_SHARE)).to(learned)
    return learned ** (1 - share) * frozen**share


@torch.no_grad()
def segment_scan_by_ensemble(
    network: PanopticNetwork, scan: ScanInput, words: Vocabulary, rule: Rule | None = None
) -> Labels:
    """The labels of a scan's points, rows of `words`; masks that no camera saw have the learned opinion alone."""
    output = network(scan)
    last = output.predictions[-1]
    learned = network.class_logits(last, words).sigmoid()
    pooled, seen = mask_features(last.mask, output.vision.values, output.vision.valid)
    frozen = (SHARPNESS * class_cosines(pooled, words)).softmax(dim=1)
    both = torch.where(seen[:, None], geometric_ensemble(learned, frozen, words.is_base), learned)
    return labels_of_points(output, panoptic(both, last.mask, words.is_thing, rule or Rule()))
