"""What training is told of a scan: labels of base classes alone. Everything else is as if nobody had labelled it."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from panrecon.lidar.voxels import Voxels, majority
from panrecon.structures import VOID, Labels


@dataclass(frozen=True)
class Targets:
    """Of voxels: the base class, `VOID` where unlabelled, and a mask for every segment, things first come.

    `fixed` are the masks of base stuff classes in the order of the fixed queries, empty where the scan has none.
    """

    category: Int[Tensor, " V"]
    things: Bool[Tensor, "T V"]
    thing_class: Int[Tensor, " T"]
    fixed: Bool[Tensor, "K V"]

    @property
    def known(self) -> Bool[Tensor, " V"]:
        return self.category != VOID


def base_labels(labels: Labels, is_base: Bool[np.ndarray, " C"]) -> Labels:
    """The labels with rows of base classes alone, numbered among themselves; nothing is left of novel ones.

    Instances are renumbered by where they first occur, so that not even their numbers tell of novel ones.
    """
    row_of_base = np.full(len(is_base) + 1, VOID, dtype=np.int64)  # the last is VOID's
    row_of_base[:-1][is_base] = np.arange(np.count_nonzero(is_base))
    category = row_of_base[labels.category]
    instance = np.where((category != VOID) & (labels.instance != VOID), labels.instance, VOID)
    numbers, first, number = np.unique(instance, return_index=True, return_inverse=True)
    order = np.full(len(numbers), VOID, dtype=np.int64)
    real = np.flatnonzero(numbers != VOID)
    order[real[np.argsort(first[real], kind="stable")]] = np.arange(len(real))
    return Labels(category.astype(np.int64), order[number.reshape(-1)])


def targets(
    category: Int[Tensor, " n"],
    instance: Int[Tensor, " n"],
    voxels: Voxels,
    is_thing: Bool[np.ndarray, " B"],
    fixed_queries: bool = True,
) -> Targets:
    """Targets of voxels from base labels of points; a voxel is what most of its points are.

    Points of things without an instance are unlabelled. Without fixed queries, stuff makes segments as things do.
    """
    thing = torch.from_numpy(np.append(is_thing, False)).to(category.device)  # the last is VOID's
    is_stuff = (category != VOID) & ~thing[category]
    counted = thing[category] & (instance != VOID)
    highest = int(instance.max()) + 1 if len(instance) else 0
    segment = torch.where(counted, instance, torch.where(is_stuff, highest + category, VOID))
    of_voxel = majority(segment, voxels.voxel_of_point, len(voxels))
    class_of_segment = torch.full((highest + len(is_thing) + 1,), VOID, dtype=torch.long, device=category.device)
    class_of_segment[highest:-1] = torch.arange(len(is_thing), device=category.device)
    class_of_segment[instance[counted]] = category[counted]
    present = torch.unique(of_voxel)
    whole = (present >= 0) & ((present < highest) | torch.tensor(not fixed_queries, device=present.device))
    found = present[whole]
    stuff = torch.from_numpy(np.flatnonzero(~is_thing) if fixed_queries else np.empty(0, np.int64)).to(found.device)
    return Targets(
        class_of_segment[of_voxel],
        of_voxel == found[:, None],
        class_of_segment[found],
        of_voxel == highest + stuff[:, None],
    )
