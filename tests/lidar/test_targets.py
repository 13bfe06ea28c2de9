"""What training is told, and that novel labels are no part of it."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from panrecon.lidar.classify import Vocabulary
from panrecon.lidar.targets import base_labels, targets
from panrecon.lidar.train import labelled_scan
from panrecon.lidar.voxels import voxelize
from panrecon.structures import VOID, Labels

from .conftest import TINY, ToyScan, toy_scan

ROW_OF_BASE = {0: 0, 1: 1, 4: 2}


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
def test_labels_of_novel_classes_change_no_training_tensor(words: Vocabulary, how: str) -> None:
    scan = toy_scan()
    changed = relabelled(scan, how)
    assert (changed.labels.category != scan.labels.category).any()
    one, other = (labelled_scan(s.points, s.features, s.labels, words) for s in (scan, changed))
    for name in ("points", "features", "valid"):
        assert getattr(one.scan, name).equal(getattr(other.scan, name))
    assert one.category.equal(other.category)
    assert one.instance.equal(other.instance)


def test_novel_instances_before_base_ones_do_not_show_in_their_numbers(words: Vocabulary) -> None:
    category = np.array([2, 0, 0, 0])
    known = base_labels(Labels(category, np.array([0, 1, 1, 2])), words.is_base)
    bare = base_labels(Labels(np.array([VOID, 0, 0, 0]), np.array([VOID, 0, 0, 1])), words.is_base)
    assert known.category.tolist() == bare.category.tolist() == [VOID, 0, 0, 0]
    assert known.instance.tolist() == bare.instance.tolist() == [VOID, 0, 0, 1]


def test_targets_are_the_truth_of_the_voxels(words: Vocabulary) -> None:
    sample = labelled_scan(toy_scan().points, toy_scan().features, toy_scan().labels, words)
    voxels = voxelize(sample.scan.points[:, :3], TINY.grid)
    found = targets(sample.category, sample.instance, voxels, words.base.is_thing)
    assert found.things.shape == (2, len(voxels))
    assert found.thing_class.tolist() == [0, 0]
    assert found.fixed.shape == (2, len(voxels))
    covered = torch.cat([found.things, found.fixed]).sum(dim=0)
    assert covered.equal(found.known.long())
    assert (found.category[found.fixed[0]] == 1).all()
    assert (found.category[found.fixed[1]] == 2).all()
    assert (found.category[found.things.any(dim=0)] == 0).all()
    right = found.category[voxels.voxel_of_point] == sample.category
    assert right.float().mean() > 0.8


def test_without_fixed_queries_stuff_makes_segments(words: Vocabulary) -> None:
    sample = labelled_scan(toy_scan().points, toy_scan().features, toy_scan().labels, words)
    voxels = voxelize(sample.scan.points[:, :3], TINY.grid)
    found = targets(sample.category, sample.instance, voxels, words.base.is_thing, fixed_queries=False)
    assert found.thing_class.tolist() == [0, 0, 1, 2]
    assert len(found.fixed) == 0


def test_a_thing_without_instance_is_unlabelled(words: Vocabulary) -> None:
    category, instance = torch.tensor([0, 1]), torch.tensor([VOID, VOID])
    voxels = voxelize(torch.tensor([[1.0, 1, 0], [9.0, 9, 0]]), TINY.grid)
    found = targets(category, instance, voxels, words.base.is_thing)
    assert sorted(found.category.tolist()) == [VOID, 1]
    assert len(found.things) == 0


def test_a_scan_of_nothing_has_targets_of_nothing(words: Vocabulary) -> None:
    nothing = torch.zeros(0, dtype=torch.long)
    found = targets(nothing, nothing, voxelize(torch.zeros(0, 3), TINY.grid), words.base.is_thing)
    assert found.things.shape == (0, 0)
    assert found.fixed.shape == (2, 0)
