"""Laws of training targets, and that labels of novel classes never enter them."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from panrecon.lidar.classify import TextEmbeddings
from panrecon.lidar.targets import base_labels, voxel_targets
from panrecon.lidar.train import labelled_scan
from panrecon.lidar.voxels import voxelize
from panrecon.structures import VOID, Labels

from .conftest import TINY, ToyScan, toy_scan


def relabelled(scan: ToyScan, how: str) -> ToyScan:
    """The scan with labels of its novel classes changed."""
    category, instance = scan.labels.category.copy(), scan.labels.instance.copy()
    novel = np.isin(category, (2, 3))
    if how == "deleted":
        category[novel], instance[novel] = VOID, VOID
    elif how == "swapped":
        category[novel] = 5 - category[novel]
        instance[novel] = np.where(category[novel] == 2, 77, VOID)
    else:
        order = np.random.default_rng(3).permutation(np.flatnonzero(novel))
        category[novel], instance[novel] = category[order], instance[order]
    return replace(scan, labels=Labels(category, instance))


@pytest.mark.parametrize("how", ["deleted", "swapped", "permuted"])
def test_labels_of_novel_classes_change_no_training_tensor(text: TextEmbeddings, how: str) -> None:
    scan = toy_scan()
    changed = relabelled(scan, how)
    assert (changed.labels.category != scan.labels.category).any()
    one, other = (labelled_scan(s.points, s.features, s.labels, text) for s in (scan, changed))
    for name in ("points", "features", "valid"):
        assert getattr(one.scan, name).equal(getattr(other.scan, name))
    assert one.category.equal(other.category)
    assert one.instance.equal(other.instance)


def test_novel_instances_before_base_ones_do_not_show_in_their_numbers(text: TextEmbeddings) -> None:
    category = np.array([2, 0, 0, 0])
    with_novel = base_labels(Labels(category, np.array([0, 1, 1, 2])), text.is_base)
    without_novel = base_labels(Labels(np.array([VOID, 0, 0, 0]), np.array([VOID, 0, 0, 1])), text.is_base)
    assert with_novel.category.tolist() == without_novel.category.tolist() == [VOID, 0, 0, 0]
    assert with_novel.instance.tolist() == without_novel.instance.tolist() == [VOID, 0, 0, 1]


def test_targets_are_the_truth_of_the_voxels(text: TextEmbeddings) -> None:
    sample = labelled_scan(toy_scan().points, toy_scan().features, toy_scan().labels, text)
    voxels = voxelize(sample.scan.points[:, :3], TINY.grid)
    targets = voxel_targets(sample.category, sample.instance, voxels, text.base.is_thing)
    assert targets.free_masks.shape == (2, len(voxels))
    assert targets.free_class.tolist() == [0, 0]
    assert targets.fixed_masks.shape == (2, len(voxels))
    covered = torch.cat([targets.free_masks, targets.fixed_masks]).sum(dim=0)
    assert covered.equal(targets.labelled.long())
    assert (targets.category[targets.fixed_masks[0]] == 1).all()
    assert (targets.category[targets.fixed_masks[1]] == 2).all()
    assert (targets.category[targets.free_masks.any(dim=0)] == 0).all()
    right = targets.category[voxels.voxel_of_point] == sample.category
    assert right.float().mean() > 0.8


def test_without_fixed_queries_stuff_makes_segments(text: TextEmbeddings) -> None:
    sample = labelled_scan(toy_scan().points, toy_scan().features, toy_scan().labels, text)
    voxels = voxelize(sample.scan.points[:, :3], TINY.grid)
    targets = voxel_targets(sample.category, sample.instance, voxels, text.base.is_thing, fixed_queries=False)
    assert targets.free_class.tolist() == [0, 0, 1, 2]
    assert len(targets.fixed_masks) == 0


def test_a_thing_without_instance_is_unlabelled(text: TextEmbeddings) -> None:
    category, instance = torch.tensor([0, 1]), torch.tensor([VOID, VOID])
    voxels = voxelize(torch.tensor([[1.0, 1, 0], [9.0, 9, 0]]), TINY.grid)
    targets = voxel_targets(category, instance, voxels, text.base.is_thing)
    assert sorted(targets.category.tolist()) == [VOID, 1]
    assert len(targets.free_masks) == 0


def test_a_scan_of_nothing_has_targets_of_nothing(text: TextEmbeddings) -> None:
    nothing = torch.zeros(0, dtype=torch.long)
    targets = voxel_targets(nothing, nothing, voxelize(torch.zeros(0, 3), TINY.grid), text.base.is_thing)
    assert targets.free_masks.shape == (0, 0)
    assert targets.fixed_masks.shape == (2, 0)
