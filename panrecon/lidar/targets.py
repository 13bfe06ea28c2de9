"""Training targets of a scan, from labels of base classes alone: everything else is treated as unlabelled."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from panrecon.lidar.voxels import ScanVoxels, majority
from panrecon.structures import VOID, Labels


@dataclass(frozen=True)
class Targets:
    """The base class of every voxel, `VOID` where unlabelled, and the masks that queries are to predict.

    `free_masks` are for free queries: one for every object, and for every stuff class where there are no fixed queries.
    `fixed_masks` are those of the base stuff classes in the order of the fixed queries, empty where the scan has none.
    """

    category: Int[Tensor, " V"]
    free_masks: Bool[Tensor, "T V"]
    free_class: Int[Tensor, " T"]
    fixed_masks: Bool[Tensor, "K V"]

    @property
    def labelled(self) -> Bool[Tensor, " V"]:
        """Voxels of a base class."""
        return self.category != VOID


def base_labels(labels: Labels, is_base: Bool[np.ndarray, " C"]) -> Labels:
    """The labels of base classes, numbered among base classes; `VOID` wherever a class is novel.

    Instances are numbered anew by first occurrence, so that their numbers reveal nothing of novel ones either.
    """
    base_class = np.full(len(is_base) + 1, VOID, dtype=np.int64)  # the last is VOID's
    base_class[:-1][is_base] = np.arange(np.count_nonzero(is_base))
    category = base_class[labels.category]
    instance = np.where((category != VOID) & (labels.instance != VOID), labels.instance, VOID)
    distinct, first, index = np.unique(instance, return_index=True, return_inverse=True)
    is_instance = np.flatnonzero(distinct != VOID)
    new_number = np.full(len(distinct), VOID, dtype=np.int64)
    new_number[is_instance[np.argsort(first[is_instance], kind="stable")]] = np.arange(len(is_instance))
    return Labels(category.astype(np.int64), new_number[index.reshape(-1)])


def voxel_targets(
    category: Int[Tensor, " n"],
    instance: Int[Tensor, " n"],
    voxels: ScanVoxels,
    is_thing: Bool[np.ndarray, " B"],
    fixed_queries: bool = True,
) -> Targets:
    """Targets of voxels from base labels of points: a voxel has the segment of most of its points.

    Points of things without an instance are unlabelled. Without fixed queries, stuff classes are free masks too.
    """
    thing = torch.from_numpy(np.append(is_thing, False)).to(category.device)  # the last is VOID's
    is_stuff = (category != VOID) & ~thing[category]
    is_object = thing[category] & (instance != VOID)
    first_stuff = int(instance.max()) + 1 if len(instance) else 0  # segments: objects by instance, then stuff classes
    segment = torch.where(is_object, instance, torch.where(is_stuff, first_stuff + category, VOID))
    segment_of_voxel = majority(segment, voxels.voxel_of_point, len(voxels))
    class_of_segment = torch.full((first_stuff + len(is_thing) + 1,), VOID, dtype=torch.long, device=category.device)
    class_of_segment[first_stuff:-1] = torch.arange(len(is_thing), device=category.device)
    class_of_segment[instance[is_object]] = category[is_object]
    present = torch.unique(segment_of_voxel)
    is_free = (present >= 0) & ((present < first_stuff) | torch.tensor(not fixed_queries, device=present.device))
    free = present[is_free]
    stuff = torch.from_numpy(np.flatnonzero(~is_thing) if fixed_queries else np.empty(0, np.int64)).to(free.device)
    return Targets(
        class_of_segment[segment_of_voxel],
        segment_of_voxel == free[:, None],
        class_of_segment[free],
        segment_of_voxel == first_stuff + stuff[:, None],
    )
