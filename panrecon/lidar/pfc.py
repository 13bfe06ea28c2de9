"""The baseline PFC: frozen vision features alone as input, one set of queries, and a geometric ensemble of classes.

FC-CLIP (Yu et al., NeurIPS 2023) carried over to points, the baseline of arXiv 2401.02402.
"""

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from panrecon.lidar.classify import TextEmbeddings, class_cosines
from panrecon.lidar.inference import labels_of_points, panoptic_labels
from panrecon.lidar.losses import mask_pooling
from panrecon.lidar.network import PanopticNetwork, ScanInput
from panrecon.lidar.settings import (
    DEFAULT_ENSEMBLE,
    DEFAULT_INFERENCE,
    EnsembleSettings,
    InferenceSettings,
    NetworkSettings,
)
from panrecon.structures import Labels


def baseline_network(settings: NetworkSettings) -> NetworkSettings:
    """The same network without a LiDAR encoder and without fixed queries."""
    return replace(settings, geometry=False, fixed_queries=False)


def geometric_ensemble(
    learned: Float[Tensor, "Q C"],
    frozen: Float[Tensor, "Q C"],
    is_base: Bool[np.ndarray, " C"],
    settings: EnsembleSettings = DEFAULT_ENSEMBLE,
) -> Float[Tensor, "Q C"]:
    """p_learned^(1 - e) p_frozen^e of class probabilities, with exponent e by base or novel class (FC-CLIP)."""
    exponents = np.where(is_base, settings.base_exponent, settings.novel_exponent)
    exponent = torch.from_numpy(exponents).to(learned)
    return learned ** (1 - exponent) * frozen**exponent


@torch.no_grad()
def segment_scan_by_ensemble(
    network: PanopticNetwork,
    scan: ScanInput,
    text_embeddings: TextEmbeddings,
    settings: InferenceSettings = DEFAULT_INFERENCE,
    ensemble: EnsembleSettings = DEFAULT_ENSEMBLE,
) -> Labels:
    """As `segment_scan`, with class probabilities of the ensemble; masks in no image have the learned ones alone."""
    output = network(scan)
    final = output.predictions[-1]
    learned = network.class_logits(final, text_embeddings).sigmoid()
    pooled, has_vision = mask_pooling(final.mask, output.vision.values, output.vision.valid)
    frozen = (ensemble.logit_scale * class_cosines(pooled, text_embeddings)).softmax(dim=1)
    combined = geometric_ensemble(learned, frozen, text_embeddings.is_base, ensemble)
    probability = torch.where(has_vision[:, None], combined, learned)
    return labels_of_points(output, panoptic_labels(probability, final.mask, text_embeddings.is_thing, settings))
