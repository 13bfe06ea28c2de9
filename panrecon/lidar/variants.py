"""The full method and what it is compared with: ablations of one part each, and the baseline of frozen features."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from panrecon.errors import InputError
from panrecon.lidar.pfc import baseline_network
from panrecon.lidar.settings import NetworkSettings, TrainingSettings


@dataclass(frozen=True)
class LidarVariant:
    """A network and its training; with `ensemble`, scans are labelled by `segment_scan_by_ensemble`."""

    network: NetworkSettings
    training: TrainingSettings
    ensemble: bool = False


def _baseline(full: LidarVariant) -> LidarVariant:
    training = replace(full.training, object_weight=0.0, voxel_weight=0.0, false_mask_weight=0.0)
    return LidarVariant(baseline_network(full.network), training, ensemble=True)


VARIANTS: Final[dict[str, Callable[[LidarVariant], LidarVariant]]] = {
    "full": lambda full: full,
    "no_object": lambda full: replace(full, training=replace(full.training, object_weight=0.0)),
    "no_voxel": lambda full: replace(full, training=replace(full.training, voxel_weight=0.0)),
    "no_fusion": lambda full: replace(full, network=replace(full.network, vision=False)),
    "negative": lambda full: replace(full, training=replace(full.training, unlabelled="negative")),
    "no_appearance": lambda full: replace(full, network=replace(full.network, appearance=False)),
    "no_anchors": lambda full: replace(full, network=replace(full.network, anchored_queries=0)),
    "pfc": _baseline,
}
"""`no_object` and `no_voxel` are without that distillation loss, `no_fusion` without vision features in the network;
`negative` treats unlabelled voxels as negatives, as P3Former; `no_appearance` and `no_anchors` are without our
additions to the queries; `pfc` is the baseline."""


def variant(name: str, full: LidarVariant) -> LidarVariant:
    """The variant of that name of the full method.

    Raises:
        InputError: there is no such variant.
    """
    if name not in VARIANTS:
        raise InputError(f"There is no variant {name!r} of the LiDAR method; there are {', '.join(VARIANTS)}.")
    return VARIANTS[name](full)
