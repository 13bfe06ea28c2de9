"""The full method and what it is compared with: one thing left out each, and the baseline of frozen features."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from panrecon.errors import InputError
from panrecon.lidar.pfc import baseline_sizes
from panrecon.lidar.settings import NetworkSizes
from panrecon.lidar.train import TrainingSettings


@dataclass(frozen=True)
class Variant:
    """A network and how it is trained; with `ensemble`, scans are labelled by `segment_scan_by_ensemble`."""

    sizes: NetworkSizes
    settings: TrainingSettings
    ensemble: bool = False


def _baseline(full: Variant) -> Variant:
    return Variant(
        baseline_sizes(full.sizes),
        replace(full.settings, object_weight=0.0, voxel_weight=0.0, trespass_weight=0.0),
        True,
    )


CHANGES: Final[dict[str, Callable[[Variant], Variant]]] = {
    "full": lambda full: full,
    "no_object": lambda full: replace(full, settings=replace(full.settings, object_weight=0.0)),
    "no_voxel": lambda full: replace(full, settings=replace(full.settings, voxel_weight=0.0)),
    "no_fusion": lambda full: replace(full, sizes=replace(full.sizes, vision=False)),
    "negative": lambda full: replace(full, settings=replace(full.settings, unlabelled="negative")),
    "no_looks": lambda full: replace(full, sizes=replace(full.sizes, looks=False)),
    "no_seeds": lambda full: replace(full, sizes=replace(full.sizes, sampled_queries=0)),
    "pfc": _baseline,
}
"""`negative` teaches masks to avoid what is unlabelled, as P3Former does; `no_looks` and `no_seeds` are without what is
ours in the queries; `pfc` is the baseline."""


def variant(name: str, full: Variant) -> Variant:
    """The full method changed as the name says.

    Raises:
        InputError: there is no such variant.
    """
    if name not in CHANGES:
        raise InputError(f"There is no variant {name!r} of the LiDAR method; there are {', '.join(CHANGES)}.")
    return CHANGES[name](full)
